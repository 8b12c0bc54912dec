select a.id, a.severity as "severity: Severity", a.kind, a.fingerprint, a.title, a.details,
    a.task_id as "task_id: TaskId", a.worker_id, a.raised_by, a.occurrences, a.first_seen_at, a.last_seen_at,
    a.state as "state: AlertState", a.acknowledged_by, a.acknowledged_at, a.resolved_by, a.resolved_at,
    n.event as "notice_event?: NoticeEvent", n.state as "notice_state?: NoticeState", n.attempts as "notice_attempts?",
    n.ended_at as notice_ended_at, n.last_error as notice_error
from alerts as a
left join lateral (
    select event, state, attempts, ended_at, last_error from alert_notices where alert_id = a.id order by id desc limit 1
) as n on true
where (a.first_seen_at, a.id) < ($3::timestamptz, $4::uuid)
    and ($1::alert_state is null or a.state = $1) and ($2::alert_severity is null or a.severity = $2)
    and ($6::uuid is null or a.id = $6)
order by a.first_seen_at desc, a.id desc limit $5
