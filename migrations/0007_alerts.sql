create type alert_severity as enum ('info', 'warning', 'critical');
create type alert_state as enum ('open', 'acknowledged', 'resolved');

-- What people have to look at. One row for each thing that is wrong, however often it happens, until somebody resolves
-- it; it holds nothing that a guest wrote.
create table alerts (
    id uuid primary key default gen_random_uuid(),
    severity alert_severity not null,
    kind text not null check (length(kind) between 1 and 100),
    -- Names what makes two alerts the same.
    fingerprint text not null check (length(fingerprint) between 1 and 500),
    title text not null check (length(title) between 1 and 500),
    details jsonb not null default '{}' check (jsonb_typeof(details) = 'object'),
    task_id uuid references governance_tasks (id) on delete set null,
    worker_id text,
    occurrences bigint not null default 1 check (occurrences >= 1),
    first_seen_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    state alert_state not null default 'open',
    acknowledged_by text,
    acknowledged_at timestamptz,
    resolved_by text,
    resolved_at timestamptz,
    check ((acknowledged_at is null) = (acknowledged_by is null)),
    check ((resolved_at is null) = (resolved_by is null)),
    check ((state = 'resolved') = (resolved_at is not null)),
    check (state <> 'acknowledged' or acknowledged_at is not null)
);

-- A repeat counts up; what comes after it was resolved is a new alert.
create unique index alerts_unresolved on alerts (fingerprint) where state <> 'resolved';
create index alerts_list on alerts (first_seen_at, id);
create index alerts_task on alerts (task_id) where task_id is not null;
