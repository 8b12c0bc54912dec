-- Approvals: a person's word for exactly one action. Asked for by the host, decided through the API, used up once.
create type approval_state as enum ('requested', 'approved', 'denied', 'expired', 'consumed');
-- Before a task first runs; at a host call; for a criterion that only the role attests.
create type approval_kind as enum ('start', 'call', 'acceptance');

create table approvals (
    id uuid primary key,
    task_id uuid not null references governance_tasks (id) on delete restrict,
    -- Where it was asked for; once consumed, the step that used it up. A start approval has no position.
    attempt integer not null,
    position integer,
    kind approval_kind not null,
    action text not null check (length(action) between 1 and 200),
    risk risk_level not null,
    -- Which policies asked, and why.
    policies text[] not null default '{}',
    reasons text[] not null default '{}',
    -- Of everything that is approved; whatever differs in one byte has another one.
    digest bytea not null check (octet_length(digest) = 32),
    component_sha256 bytea check (octet_length(component_sha256) = 32),
    manifest_sha256 bytea check (octet_length(manifest_sha256) = 32),
    policy_sha256 bytea check (octet_length(policy_sha256) = 32),
    -- `json` as in task_steps: the recorded text.
    arguments json not null,
    -- What the approver sees, made by the host from what it will do.
    shown text not null check (octet_length(shown) <= 1048576),
    -- What the role says about it. Never mixed with the host's text.
    role_says text check (octet_length(role_says) <= 16384),
    state approval_state not null default 'requested',
    requested_at timestamptz not null default now(),
    expires_at timestamptz not null,
    decided_by text,
    decided_at timestamptz,
    note text check (octet_length(note) <= 4096),
    -- Given by somebody who was allowed to only because this host runs in solo mode.
    solo boolean not null default false,
    consumed_at timestamptz,
    check ((decided_by is null) = (decided_at is null)),
    check (state not in ('approved', 'denied', 'consumed') or decided_by is not null),
    check ((state = 'consumed') = (consumed_at is not null))
);

-- At most one is open for the same thing.
create unique index approvals_open on approvals (task_id, kind, digest) where state in ('requested', 'approved');
create index approvals_task on approvals (task_id, kind);
create index approvals_expiry on approvals (expires_at) where state in ('requested', 'approved');
create index approvals_list on approvals (requested_at, id);
create index approvals_list_state on approvals (state, requested_at, id);

alter table governance_tasks
    -- The approval that the run waits for, at a host call; null while none does.
    add column call_approval uuid references approvals (id),
    -- How often the task was begun anew after it had ended. Part of what a start approval binds: each time asks anew.
    add column restarts integer not null default 0 check (restarts >= 0);

create index governance_tasks_waiting_approval on governance_tasks (id) where status = 'waiting_approval';
create index governance_tasks_unapproved on governance_tasks (id)
    where status = 'pending' and (risk = 'critical' or requires_approval);

-- Which state may follow which. The same table stands in host/src/approval/state.rs; a test compares them.
create function approval_state_may_follow(was approval_state, becomes approval_state) returns boolean
language sql immutable parallel safe as $$
    select case was
        when 'requested' then becomes in ('approved', 'denied', 'expired')
        when 'approved' then becomes in ('consumed', 'expired')
        when 'denied' then false
        when 'expired' then false
        when 'consumed' then false
    end
$$;

-- What was asked and what was decided never changes, whoever writes the row.
create function approvals_before_update() returns trigger language plpgsql as $$
begin
    if new.state <> old.state and not approval_state_may_follow(old.state, new.state) then
        raise exception 'approval % can not go from % to %', new.id, old.state, new.state
            using errcode = 'check_violation', constraint = 'approvals_state_transition';
    end if;
    if (new.id, new.task_id, new.kind, new.action, new.risk, new.policies, new.reasons, new.digest, new.component_sha256,
            new.manifest_sha256, new.policy_sha256, new.arguments::text, new.shown, new.role_says, new.requested_at)
        is distinct from
       (old.id, old.task_id, old.kind, old.action, old.risk, old.policies, old.reasons, old.digest, old.component_sha256,
            old.manifest_sha256, old.policy_sha256, old.arguments::text, old.shown, old.role_says, old.requested_at)
    then
        raise exception 'approval %: what was asked for can not be changed', new.id
            using errcode = 'check_violation', constraint = 'approvals_immutable';
    end if;
    if old.decided_at is not null and (new.decided_by, new.decided_at, new.note, new.solo)
        is distinct from (old.decided_by, old.decided_at, old.note, old.solo)
    then
        raise exception 'approval %: what was decided can not be changed', new.id
            using errcode = 'check_violation', constraint = 'approvals_immutable';
    end if;
    if old.state not in ('requested', 'approved')
        and (new.attempt, new.position, new.expires_at, new.consumed_at)
            is distinct from (old.attempt, old.position, old.expires_at, old.consumed_at)
    then
        raise exception 'approval % is %: it can not be changed', new.id, old.state
            using errcode = 'check_violation', constraint = 'approvals_immutable';
    end if;
    return new;
end $$;

create trigger approvals_before_update before update on approvals
    for each row execute function approvals_before_update();

create function approvals_before_delete() returns trigger language plpgsql as $$
begin
    raise exception 'approval %: approvals are kept', old.id
        using errcode = 'check_violation', constraint = 'approvals_immutable';
end $$;

create trigger approvals_before_delete before delete on approvals
    for each row execute function approvals_before_delete();

create function approval_digest_part(value text) returns bytea language sql stable parallel safe as $$
    select int8send(octet_length(convert_to(value, 'UTF8'))::bigint) || convert_to(value, 'UTF8')
$$;

-- What a start approval binds: the task as a worker would get it. Made here and not in the host, because the claim
-- compares it, and because rows written by hand have one, too.
create function task_start_digest(task governance_tasks) returns bytea language sql stable parallel safe as $$
    select sha256(
        approval_digest_part('juggernaut/approval/start/1')
        || approval_digest_part(task.id::text)
        || approval_digest_part(task.restarts::text)
        || approval_digest_part(task.risk::text)
        || approval_digest_part(task.task_type)
        || approval_digest_part(task.title)
        || approval_digest_part(task.description)
        || approval_digest_part(task.payload::text)
        || approval_digest_part(task.acceptance_criteria::text)
    )
$$;

-- Whether a person has approved that this task, as it stands, begins.
create function task_start_approved(task governance_tasks) returns boolean language sql stable parallel safe as $$
    select not task.requires_approval and exists (
        select from approvals as a
        where a.task_id = task.id and a.kind = 'start' and a.digest = task_start_digest(task)
            and (a.state = 'consumed' or (a.state = 'approved' and a.expires_at > now()))
    )
$$;

-- A task whose start was asked for needs that anew when its content changes: what is open for the old content is void.
-- By columns, so that nothing else that writes the row compares payloads.
create function governance_tasks_content_changed() returns trigger language plpgsql as $$
begin
    if (new.risk, new.task_type, new.title, new.description, new.payload, new.acceptance_criteria)
        is not distinct from (old.risk, old.task_type, old.title, old.description, old.payload, old.acceptance_criteria)
        or not exists (select from approvals where task_id = new.id and kind = 'start')
    then
        return new;
    end if;
    new.requires_approval := true;
    with void as (
        update approvals set state = 'expired'
        where task_id = new.id and kind = 'start' and state in ('requested', 'approved')
        returning id, action
    )
    insert into execution_logs (task_id, worker_id, attempt, action, level, message, metadata)
    select new.id, null, new.attempt, 'approval_expired', 'warn',
        format('Approval %s of %s expired: the task was changed', id, action), jsonb_build_object('approval', id)
    from void;
    return new;
end $$;

create trigger governance_tasks_content_changed
    before update of risk, task_type, title, description, payload, acceptance_criteria on governance_tasks
    for each row execute function governance_tasks_content_changed();

-- As in 0002, and: a call's approval is nothing to wait for any more once the task leaves `waiting_approval`, and a task
-- that is begun anew after its end needs its start approved anew.
create or replace function governance_tasks_before_update() returns trigger language plpgsql as $$
begin
    if new.status = old.status then
        return new;
    end if;
    if not task_status_may_follow(old.status, new.status) then
        raise exception 'task % can not go from % to %', new.id, old.status, new.status
            using errcode = 'check_violation', constraint = 'governance_tasks_status_transition';
    end if;
    if old.status = 'waiting_approval' and old.call_approval is not null then
        new.call_approval := null;
        -- Unless its start has to be approved, too.
        new.requires_approval := exists (select from approvals where task_id = new.id and kind = 'start')
            and not exists (
                select from approvals
                where task_id = new.id and kind = 'start' and state in ('approved', 'consumed')
                    and digest = task_start_digest(new)
            );
    end if;
    if old.status in ('failed', 'cancelled', 'dead_letter') then
        new.restarts := old.restarts + 1;
        if exists (select from approvals where task_id = new.id and kind = 'start') then
            new.requires_approval := true;
        end if;
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

-- Critical risk, and whatever says that it requires approval, waits for a person before it begins, whoever writes the
-- row. High risk runs, and waits at the calls that matter.
create or replace function governance_tasks_before_insert() returns trigger language plpgsql as $$
begin
    if (new.risk = 'critical' or new.requires_approval) and new.status in ('pending', 'suspended') then
        new.status := 'waiting_approval';
    end if;
    if new.risk = 'critical' and new.status = 'waiting_approval' then
        new.requires_approval := true;
        new.approval_reason := coalesce(
            new.approval_reason, format('Declared risk %s: a person has to approve before it runs', new.risk)
        );
    end if;
    new.requested_worker := coalesce(new.requested_worker, new.assigned_worker);
    return new;
end $$;

-- A task that has ended has nothing left to approve: a late approval must find that it is too late.
create function governance_tasks_ended() returns trigger language plpgsql as $$
begin
    with closed as (
        update approvals set state = 'expired' where task_id = new.id and state in ('requested', 'approved')
        returning id, action
    )
    insert into execution_logs (task_id, worker_id, attempt, action, level, message, metadata)
    select new.id, null, new.attempt, 'approval_expired', 'info',
        format('Approval %s of %s expired: the task is %s', id, action, new.status), jsonb_build_object('approval', id)
    from closed;
    return null;
end $$;

create trigger governance_tasks_ended after update of status on governance_tasks
    for each row
    when (new.status in ('completed', 'failed', 'cancelled', 'dead_letter') and old.status is distinct from new.status)
    execute function governance_tasks_ended();
