-- New tasks column by column ($1 to $15, all of the same length), $16 who created them, $17 their goal, $18 the same for
-- people, $19 metadata of their lines in the execution log. In the order of the list, which is that of their ids, so that
-- the first is claimed first.
with created as (
    insert into governance_tasks (id, title, description, task_type, status, priority, acceptance_criteria,
        assigned_worker, requires_approval, approval_reason, risk, risk_reasons, payload, attempts_max, deadline_at,
        blocked_by, created_by, goal_id)
    select id, title, description, task_type, status, priority, criteria, worker, start_reason is not null,
        start_reason, risk, risk_reasons, payload, attempts_max, deadline_at,
        blocked_by, $16, $17
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::task_status[], $6::task_priority[],
            $7::jsonb[], $8::text[], $9::text[], $10::risk_level[], $11::jsonb[], $12::jsonb[], $13::integer[],
            $14::timestamptz[], $15::integer[])
        with ordinality as task (id, title, description, task_type, status, priority, criteria, worker,
            start_reason, risk, risk_reasons, payload, attempts_max, deadline_at, blocked_by, number)
    order by number
    returning *
),
logged as (
    insert into execution_logs (task_id, action, level, message, metadata)
    select id, 'task_created', 'info', format('Task created by %s, %s', $18::text, status), $19 from created
)
select id as "id!: TaskId", title as "title!", task_type as "task_type!", status as "status!: TaskStatus",
    priority as "priority!: Priority", risk as "risk!: Risk", assigned_worker, attempt as "attempt!",
    attempts_max as "attempts_max!", blocked_by as "blocked_by!", requires_approval as "requires_approval!",
    approval_reason, error_message, created_by as "created_by!", created_at as "created_at!", started_at, completed_at,
    deadline_at, goal_id as "goal: GoalId"
from created
