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
            -- Whoever wrote the row: high and critical risk waits for a person.
            and t.risk in ('low', 'medium')
            and not t.requires_approval
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
