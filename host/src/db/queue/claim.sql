-- $1 task types, $2 whom the task is meant for ('' for anybody), $3 priorities, $4 and $5 where the search begins
-- (created_at and id of the place before it), all five of the same length; $6 most tasks, $7 worker id, $8 lease in
-- seconds, $9 role, $10 and $11 digests of its component and manifest, $12 who comes first within a turn, one for each
-- of the first five; $13 digest of component, manifest and policies.
-- One index scan for each type, addressee and priority, each ordered and cut off, so that the cost does not grow with the
-- queue.
with wanted as (
    select ranked.id
    from (
        select candidate.id, candidate.created_at, place.priority, place.rank,
            row_number() over (partition by place.name, place.priority order by candidate.created_at, candidate.id) as turn
        from unnest($1::text[], $2::text[], $3::task_priority[], $4::timestamptz[], $5::uuid[], $12::integer[])
            as place (name, addressee, priority, created_at, id, rank)
        cross join lateral (
            select t.id, t.claim_order as created_at
            from governance_tasks as t
            where t.status = 'pending'
                and t.task_type = place.name
                and coalesce(t.assigned_worker, '') = place.addressee
                and t.priority = place.priority
                and (t.claim_order, t.id) > (place.created_at, place.id)
                -- Whoever wrote the row: critical risk, and what requires approval, waits for a person to approve it.
                and not t.requires_approval
                and (t.deadline_at is null or t.deadline_at > now())
                and (t.risk <> 'critical' or task_start_approved(t))
                -- What somebody approved begins with what they approved it for; the sweeper asks anew where nobody has that.
                and (t.start_versions is null or $13 = any (t.start_versions))
            order by t.claim_order, t.id
            limit $6
            for update skip locked
        ) as candidate
    ) as ranked
    -- Within a priority the types take turns: a flood of one does not starve another. Who had the last turn of the claim
    -- before comes last now.
    order by ranked.priority, ranked.turn, ranked.rank, ranked.created_at, ranked.id
    limit $6
),
claimed as (
    update governance_tasks as t
    set status = 'in_progress',
        assigned_worker = $7,
        started_at = now(),
        lease = t.lease + 1,
        lease_expires_at = now() + make_interval(secs => $8)
    -- As an array, so that no estimate of how many they are makes the planner read the whole table. That they are pending
    -- was seen when they were locked; said again here, an index of all pending tasks could be read instead.
    where t.id = any (array(select id from wanted))
    returning t.*
),
-- The claim uses the approval up.
started as (
    update approvals as a
    set state = 'consumed', consumed_at = now(), attempt = c.attempt
    from claimed as c
    where a.task_id = c.id and a.kind = 'start' and a.state = 'approved'
        and a.task_id = any (array(select id from claimed))
    returning a.id, a.task_id, a.attempt, a.action, a.decided_by
),
-- An attempt that has run before, as it was before this statement.
before as (
    select r.task_id, r.component_sha256, r.manifest_sha256, r.started_at, r.log_lines
    from claimed as c
    join task_runs as r on r.task_id = c.id and r.attempt = c.attempt
    where r.task_id = any (array(select id from claimed))
),
runs as (
    insert into task_runs (task_id, attempt, worker_id, role, component_sha256, manifest_sha256)
    select c.id, c.attempt, $7, $9, $10, $11 from claimed as c
    -- It goes on: what ended it before is over.
    on conflict (task_id, attempt) do update set worker_id = excluded.worker_id, role = excluded.role,
        component_sha256 = excluded.component_sha256, manifest_sha256 = excluded.manifest_sha256,
        ended_at = null, end_cause = null, end_reason = null
),
logged as (
    insert into execution_logs (task_id, worker_id, attempt, action, level, message, metadata)
    select task_id, $7, attempt, 'approval_consumed', 'info'::log_level,
        format('Approval %s of %s consumed: approved by %s', id, action, decided_by), jsonb_build_object('approval', id)
    from started
    union all
    -- The attempt goes on with another component or manifest than it began with. Its journal holds the new one to the
    -- same calls; people get to know.
    select c.id, $7, c.attempt, 'role_changed', 'warn',
        'the role or its manifest changed while the task waited; it is replayed against the journal',
        jsonb_build_object('component_before', encode(b.component_sha256, 'hex'), 'component_now', encode($10, 'hex'))
    from before as b join claimed as c on c.id = b.task_id
    where b.component_sha256 <> $10 or b.manifest_sha256 <> $11
    union all
    -- The `task_start` row of the specification.
    select c.id, $7, c.attempt, case when b.task_id is null then 'task_start' else 'task_resume' end, 'info',
        case when b.task_id is null then 'Starting' else 'Resuming' end || ' task: ' || c.title,
        jsonb_build_object('task_type', c.task_type, 'priority', c.priority, 'risk', c.risk,
            'component_sha256', encode($10, 'hex'))
    from claimed as c left join before as b on b.task_id = c.id
)
select
    c.id as "id!",
    c.title as "title!",
    c.description as "description!",
    c.task_type as "task_type!",
    k.evidence as "evidence_kind!: EvidenceKind",
    c.priority as "priority!: Priority",
    c.risk as "risk!: Risk",
    c.risk_reasons as "risk_reasons!",
    c.payload as "payload!",
    c.acceptance_criteria as "acceptance_criteria!",
    c.attempt as "attempt!",
    c.attempts_max as "attempts_max!",
    c.error_message,
    c.goal_id,
    c.lease as "lease!",
    c.created_at as "created_at!",
    c.deadline_at,
    c.requested_worker,
    coalesce(b.started_at, now()) as "run_started_at!",
    coalesce(b.log_lines, 0) as "log_lines!",
    b.task_id is not null as "resumed!",
    exists (select from started) as "consumed!"
from claimed as c
join task_types as k on k.name = c.task_type
left join before as b on b.task_id = c.id
order by c.priority, c.created_at, c.id
