select id as "id: TaskId", title, task_type, status as "status: TaskStatus", priority as "priority: Priority",
    risk as "risk: Risk", assigned_worker, attempt, attempts_max, blocked_by, requires_approval, approval_reason,
    error_message, created_by, created_at, started_at, completed_at, deadline_at, goal_id as "goal: GoalId"
from governance_tasks
where (created_at, id) < ($6::timestamptz, $7::uuid)
    and ($1::task_status is null or status = $1)
    and ($2::text is null or task_type = $2)
    and ($3::task_priority is null or priority = $3)
    and ($4::text is null or assigned_worker = $4)
    and ($5::uuid is null or goal_id = $5)
order by created_at desc, id desc
limit $8
