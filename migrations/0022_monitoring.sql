-- What roles may see of the system, and alerts that they raise.

-- Null: the host itself. Otherwise the worker whose run raised it: then title and details are that guest's words. Its
-- fingerprint begins with its kind and a '/', so that it can not pass for one of the host's.
alter table alerts add column raised_by text;
comment on column alerts.raised_by is 'the worker whose run raised it, and whose words title and details are; null: the host';
comment on table alerts is 'what people have to look at; nothing that a guest wrote, but where raised_by names a worker';
create index alerts_open_kind on alerts (kind, first_seen_at) where state <> 'resolved';

-- Windows of time: what ended in them, and which attempts failed in them.
create index governance_tasks_ended_at on governance_tasks (completed_at) where completed_at is not null;
create index execution_logs_task_error on execution_logs (created_at) where action = 'task_error';
create index execution_logs_grave on execution_logs (created_at) where level in ('warn', 'error');

-- Error messages that differ only in what names this or that thing are one: ids, hexadecimal, quotations and numbers go.
create function error_shape(message text) returns text language sql immutable parallel safe as $$
    select left(trim(regexp_replace(
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    regexp_replace(
                        lower(left(message, 1000)),
                        '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '<id>', 'g'
                    ),
                    '"[^"]*"|`[^`]*`|(?<![[:alnum:]])''[^'']*''', '<quoted>', 'g'
                ),
                '\m(0x[0-9a-f]+|(?=[0-9a-f]*[0-9])[0-9a-f]{7,})\M', '<hex>', 'g'
            ),
            '[0-9]+', '<n>', 'g'
        ),
        '\s+', ' ', 'g'
    )), 300)
$$;

-- The shape, short enough to name it.
create function error_fingerprint(message text) returns text language sql immutable parallel safe as $$
    select left(encode(sha256(convert_to(error_shape(message), 'UTF8')), 'hex'), 16)
$$;

-- What the figures are made of. Nothing here was written by a guest, but for `message`.
create view metric_ended as
    select t.id, t.task_type, t.status, t.completed_at as ended_at,
        extract(epoch from t.completed_at - coalesce(r.started_at, t.started_at))::float8 as seconds
    from governance_tasks as t
    left join task_runs as r on r.task_id = t.id and r.attempt = t.attempt
    where t.completed_at is not null;

create view metric_waiting as
    select task_type, status, created_at from governance_tasks
    where status in ('pending', 'in_progress', 'waiting_approval', 'suspended');

create view metric_running as
    select id, task_type, assigned_worker as worker, started_at from governance_tasks where status = 'in_progress';

create view metric_errors as
    select l.created_at, coalesce(t.task_type, '') as task_type, coalesce(l.error_data ->> 'details', l.message) as message
    from execution_logs as l left join governance_tasks as t on t.id = l.task_id
    where l.action = 'task_error';
