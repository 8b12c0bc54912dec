create table worker_registry (
    worker_id text primary key check (length(worker_id) between 1 and 128),
    worker_type text not null,
    status worker_status not null default 'active',
    capabilities jsonb not null default '[]' check (jsonb_typeof(capabilities) = 'array'),
    last_heartbeat timestamptz not null default now(),
    current_task_id uuid,
    -- The process that registered it; a name that a live process holds is not taken over.
    host_id uuid,
    registered_at timestamptz not null default now()
);

-- What workers did and said. Partitioned by month: retention drops whole partitions.
create table execution_logs (
    id bigint generated always as identity,
    task_id uuid,
    worker_id text,
    action text not null,
    level log_level not null default 'info',
    message text not null,
    metadata jsonb not null default '{}',
    error_data jsonb,
    attempt integer,
    created_at timestamptz not null default now(),
    primary key (created_at, id)
) partition by range (created_at);

create index execution_logs_task on execution_logs (task_id, id);

-- Creates the partitions of this month and the next two, and drops those that ended before `keep` ago.
-- Returns the names of the dropped ones.
create function execution_logs_maintain(keep interval) returns setof text language plpgsql set client_min_messages = warning as $$
declare
    first_day timestamptz := date_trunc('month', now() at time zone 'utc') at time zone 'utc';
    partition record;
begin
    perform pg_advisory_xact_lock(hashtext('execution_logs_maintain'));
    for month in 0..2 loop
        execute format(
            'create table if not exists execution_logs_%s partition of execution_logs for values from (%L) to (%L)',
            to_char((first_day at time zone 'utc') + make_interval(months => month), 'YYYYMM'),
            ((first_day at time zone 'utc') + make_interval(months => month)) at time zone 'utc',
            ((first_day at time zone 'utc') + make_interval(months => month + 1)) at time zone 'utc'
        );
    end loop;
    for partition in
        select c.relname::text as name from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'execution_logs'::regclass and c.relname ~ '^execution_logs_\d{6}$'
    loop
        if (to_date(right(partition.name, 6), 'YYYYMM') + interval '1 month') at time zone 'utc' < now() - keep then
            execute format('drop table %I', partition.name);
            return next partition.name;
        end if;
    end loop;
end $$;

select execution_logs_maintain(interval '100 years');
-- Rows outside every month (a clock that is years off) are kept, not refused.
create table execution_logs_other partition of execution_logs default;

create table learnings (
    id bigint generated always as identity primary key,
    task_id uuid references governance_tasks (id) on delete set null,
    worker_id text not null,
    category text not null,
    title text not null,
    description text not null,
    impact_score real check (impact_score between 0 and 1),
    tags jsonb not null default '[]' check (jsonb_typeof(tags) = 'array'),
    created_at timestamptz not null default now()
);
create index learnings_task on learnings (task_id);

-- Bearer tokens of the API. The secret is 256 random bits, so an unsalted SHA-256 is enough; it is shown once.
create table api_tokens (
    id uuid primary key default gen_random_uuid(),
    principal text not null check (principal ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$'),
    role token_role not null,
    secret_sha256 bytea not null unique check (octet_length(secret_sha256) = 32),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
