-- A new task that is claimed as it comes to be. $1 to $12: the task; $13 who created it; $14 worker id, $15 lease in
-- seconds, $16 role, $17 and $18 digests of its component and manifest, $19 fencing number; $20 to $28 its rows of the audit
-- log: chain, time, and column by column. What a claim writes is written as `claim.sql` does, and so are the columns of the
-- answer. Nothing is written where the deadline has passed.
with created as (
    insert into governance_tasks (id, title, description, task_type, status, priority, acceptance_criteria,
        assigned_worker, requested_worker, risk, risk_reasons, payload, attempts_max, deadline_at, created_by,
        started_at, lease, lease_expires_at)
    select $1, $2, $3, $4, 'in_progress', $5, $6, $14, $7, $8, $9, $10, $11, $12, $13,
        now(), $19, now() + make_interval(secs => $15)
    where $12::timestamptz is null or $12 > now()
    returning *
),
runs as (
    insert into task_runs (task_id, attempt, worker_id, role, component_sha256, manifest_sha256)
    select id, attempt, $14, $16, $17, $18 from created
),
logged as (
    insert into execution_logs (task_id, worker_id, attempt, action, level, message, metadata)
    select id, null, null, 'task_created', 'info'::log_level, format('Task created by %s, pending', created_by),
        jsonb_build_object('principal', created_by)
    from created
    union all
    select id, $14, attempt, 'task_start', 'info', 'Starting task: ' || title,
        jsonb_build_object('task_type', task_type, 'priority', priority, 'risk', risk,
            'component_sha256', encode($17, 'hex'))
    from created
),
audited as (
    insert into audit_log (chain, seq, at, kind, actor, task_id, details, prev_hash, hash)
    select $20, row.seq, $21, row.kind, row.actor, row.task_id, row.details::json, row.prev_hash, row.hash
    from unnest($22::bigint[], $23::text[], $24::text[], $25::uuid[], $26::text[], $27::bytea[], $28::bytea[])
        as row (seq, kind, actor, task_id, details, prev_hash, hash)
    where exists (select from created)
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
    c.started_at as "run_started_at!",
    0 as "log_lines!",
    false as "resumed!",
    false as "consumed!"
from created as c
join task_types as k on k.name = c.task_type
