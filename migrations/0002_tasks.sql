-- The queue. Columns of the specification first, then what the host adds.
create table governance_tasks (
    id uuid primary key default gen_random_uuid(),
    title text not null check (length(title) between 1 and 200),
    description text not null default '' check (octet_length(description) <= 65536),
    task_type text not null references task_types (name),
    status task_status not null default 'pending',
    priority task_priority not null default 'medium',
    acceptance_criteria jsonb not null default '[]' check (jsonb_typeof(acceptance_criteria) = 'array'),
    -- While the task waits: a worker type or a worker id that it is meant for. Once claimed: the worker's id.
    assigned_worker text,
    requires_approval boolean not null default false,
    approval_reason text,
    completion_evidence text,
    error_message text,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    completed_at timestamptz,

    risk risk_level not null default 'low',
    payload jsonb not null default '{}' check (jsonb_typeof(payload) = 'object' and octet_length(payload::text) <= 4194304),
    -- The principal that created it; 'sql' where somebody wrote the row by hand.
    created_by text not null default 'sql',
    -- What `assigned_worker` goes back to whenever a claim ends without an outcome.
    requested_worker text,
    -- What the host verified, as JSON; see the trigger `governance_tasks_evidence`.
    evidence jsonb,
    attempt integer not null default 1 check (attempt >= 1),
    attempts_max integer not null default 3 check (attempts_max between 1 and 100),
    -- Fencing number: grows with each claim; every write of a run names the one it was claimed with.
    lease bigint not null default 0,
    lease_expires_at timestamptz,
    -- How often this attempt's host went away without a word.
    leases_lost integer not null default 0,
    -- For `suspended`: when it is pending again by itself; null while only an event can wake it.
    wake_at timestamptz,
    -- Dependencies that are not completed yet.
    blocked_by integer not null default 0 check (blocked_by >= 0)
);

-- The claim: types of a role, by priority, then age.
create index governance_tasks_claim on governance_tasks (task_type, priority, created_at, id) where status = 'pending';
create index governance_tasks_wake on governance_tasks (wake_at) where status = 'suspended' and wake_at is not null;
create index governance_tasks_lease on governance_tasks (lease_expires_at) where status = 'in_progress';
create index governance_tasks_list on governance_tasks (created_at, id);
create index governance_tasks_list_status on governance_tasks (status, created_at, id);

create table task_dependencies (
    task_id uuid not null references governance_tasks (id) on delete cascade,
    depends_on uuid not null references governance_tasks (id) on delete restrict,
    primary key (task_id, depends_on),
    check (task_id <> depends_on)
);
create index task_dependencies_reverse on task_dependencies (depends_on);

-- Which status may follow which. The same table stands in host/src/task/status.rs; a test compares them.
create function task_status_may_follow(was task_status, becomes task_status) returns boolean
language sql immutable parallel safe as $$
    select case was
        when 'pending' then becomes in ('in_progress', 'waiting_approval', 'suspended', 'failed', 'cancelled')
        when 'in_progress' then becomes in
            ('pending', 'waiting_approval', 'suspended', 'completed', 'failed', 'cancelled', 'dead_letter')
        when 'waiting_approval' then becomes in ('pending', 'failed', 'cancelled')
        when 'suspended' then becomes in ('pending', 'failed', 'cancelled', 'dead_letter')
        when 'completed' then false
        when 'failed' then becomes = 'pending'
        when 'cancelled' then becomes = 'pending'
        when 'dead_letter' then becomes = 'pending'
    end
$$;

-- Keeps what a status implies true, whoever writes it: a claim gets its fencing number, and a task that leaves
-- `in_progress` gives up its lease.
create function governance_tasks_before_update() returns trigger language plpgsql as $$
begin
    if new.status = old.status then
        return new;
    end if;
    if not task_status_may_follow(old.status, new.status) then
        raise exception 'task % can not go from % to %', new.id, old.status, new.status
            using errcode = 'check_violation', constraint = 'governance_tasks_status_transition';
    end if;
    if new.status = 'in_progress' then
        if new.lease = old.lease then
            new.lease := old.lease + 1;
        end if;
        if new.lease_expires_at is null then
            new.lease_expires_at := now() + interval '1 minute';
        end if;
        new.requested_worker := old.assigned_worker;
    elsif old.status = 'in_progress' then
        -- The number moves on, so that a run which still believes in its claim can write nothing more.
        if new.lease = old.lease then
            new.lease := old.lease + 1;
        end if;
        new.lease_expires_at := null;
        if new.status in ('pending', 'suspended', 'waiting_approval') then
            new.assigned_worker := old.requested_worker;
            new.started_at := null;
        end if;
    end if;
    if new.status <> 'suspended' then
        new.wake_at := null;
    end if;
    return new;
end $$;

create trigger governance_tasks_before_update before update on governance_tasks
    for each row execute function governance_tasks_before_update();

-- High and critical risk waits for a person from the start, whoever writes the row.
create function governance_tasks_before_insert() returns trigger language plpgsql as $$
begin
    if new.risk in ('high', 'critical') and new.status in ('pending', 'suspended') then
        new.status := 'waiting_approval';
        new.requires_approval := true;
        new.approval_reason := coalesce(
            new.approval_reason, format('Declared risk %s: a person has to approve before it runs', new.risk)
        );
    end if;
    new.requested_worker := coalesce(new.requested_worker, new.assigned_worker);
    return new;
end $$;

create trigger governance_tasks_before_insert before insert on governance_tasks
    for each row execute function governance_tasks_before_insert();

-- A completed task frees those that waited for it. The count is kept in the dependent's own row, so that two
-- dependencies that complete at once meet at its lock and the second one finds zero.
create function governance_tasks_completed() returns trigger language plpgsql as $$
begin
    -- In the order of their ids, whatever order the plan below finds them in: two that free the same tasks would
    -- lock each other out otherwise.
    perform from governance_tasks as dependent
    where dependent.id in (select task_id from task_dependencies where depends_on = new.id) and dependent.blocked_by > 0
    order by dependent.id for no key update;
    update governance_tasks as dependent
    set blocked_by = dependent.blocked_by - 1,
        status = case
            when dependent.status = 'suspended' and dependent.blocked_by = 1 and dependent.wake_at is null
            then 'pending'::task_status else dependent.status end
    from task_dependencies as d
    where d.depends_on = new.id and dependent.id = d.task_id and dependent.blocked_by > 0;
    return null;
end $$;

create trigger governance_tasks_completed after update of status on governance_tasks
    for each row when (new.status = 'completed' and old.status is distinct from 'completed')
    execute function governance_tasks_completed();
