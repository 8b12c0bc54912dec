create type schedule_state as enum ('active', 'paused');
create type missed_policy as enum ('skip', 'once', 'all');

-- Tasks that come again and again. Whoever fires one holds its row, and moves `next_at` on in the transaction that creates
-- the task: so a firing is one task, however many hosts look.
create table schedules (
    id uuid primary key default gen_random_uuid(),
    -- Plain, and no UUID: people name a schedule by either.
    name text not null unique
        check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$' and name !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
    -- Five fields, UTC.
    cron text not null check (length(cron) between 9 and 200),
    -- What is created, as the API takes it; admitted anew at each firing.
    draft jsonb not null check (jsonb_typeof(draft) = 'object' and octet_length(draft::text) <= 4194304),
    missed missed_policy not null default 'once',
    may_overlap boolean not null default false,
    state schedule_state not null default 'active',
    -- In whose name the tasks are created; `host` for what the host keeps itself.
    created_by text not null,
    created_at timestamptz not null default now(),
    next_at timestamptz,
    last_fired_at timestamptz,
    last_task uuid references governance_tasks (id) on delete set null,
    -- Why the newest firing created nothing; null after one that did.
    last_error text check (length(last_error) <= 2000),
    -- Tasks that it created.
    fired bigint not null default 0 check (fired >= 0),
    -- Firings that nobody made up for.
    misfires bigint not null default 0 check (misfires >= 0),
    -- Firings left out because the task before had not ended.
    overlapped bigint not null default 0 check (overlapped >= 0),
    check ((state = 'active') = (next_at is not null)),
    -- Several tasks at once do overlap.
    check (missed <> 'all' or may_overlap)
);

create index schedules_due on schedules (next_at) where state = 'active';
create index schedules_list on schedules (created_at, id);
-- Deleting a task must not look through all schedules.
create index schedules_last_task on schedules (last_task) where last_task is not null;
