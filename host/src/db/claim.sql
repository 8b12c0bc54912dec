-- $1 task types, $2 what `assigned_worker` may say, $3 most tasks, $4 worker id, $5 lease in seconds.
-- One index scan for each type, each ordered and cut off, so that the cost does not grow with the queue.
with wanted as (
    select candidate.id
    from unnest($1::text[]) as type (name)
    cross join lateral (
        select t.id, t.priority, t.created_at
        from governance_tasks as t
        where t.status = 'pending'
            and t.task_type = type.name
            -- Whoever wrote the row: critical risk, and what requires approval, waits for a person to approve its start.
            and not t.requires_approval
            and (t.risk <> 'critical' or task_start_approved(t))
            and (t.assigned_worker is null or t.assigned_worker = any ($2::text[]))
        order by t.priority, t.created_at, t.id
        limit $3
        for update skip locked
    ) as candidate
    order by candidate.priority, candidate.created_at, candidate.id
    limit $3
),
claimed as (
    update governance_tasks as t
    set status = 'in_progress',
        assigned_worker = $4,
        started_at = now(),
        lease = t.lease + 1,
        lease_expires_at = now() + make_interval(secs => $5)
    from wanted
    where t.id = wanted.id and t.status = 'pending'
    returning t.*
),
-- The claim uses the approval up.
started as (
    update approvals as a
    set state = 'consumed', consumed_at = now(), attempt = c.attempt
    from claimed as c
    where a.task_id = c.id and a.kind = 'start' and a.state = 'approved'
    returning a.id, a.task_id, a.attempt, a.action, a.decided_by
),
logged as (
    insert into execution_logs (task_id, worker_id, attempt, action, level, message, metadata)
    select task_id, $4, attempt, 'approval_consumed', 'info',
        format('Approval %s of %s consumed: approved by %s', id, action, decided_by), jsonb_build_object('approval', id)
    from started
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
    c.lease as "lease!"
from claimed as c
join task_types as k on k.name = c.task_type
order by c.priority, c.created_at, c.id
