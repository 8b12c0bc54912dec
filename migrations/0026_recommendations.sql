-- Recommendations: changes of the backlog that a role filed. They are made through an approval, or not at all.
alter type approval_kind add value 'recommendation';

create type recommendation_state as enum ('filed', 'applied', 'refused');

create table recommendations (
    id uuid primary key,
    -- The planning task, and the attempt that filed it.
    task_id uuid not null references governance_tasks (id) on delete restrict,
    attempt integer not null,
    worker_id text not null,
    title text not null check (length(title) between 1 and 200),
    -- What the role says about it.
    rationale text not null check (octet_length(rationale) <= 16384),
    -- `json` as in task_steps: the recorded text, whose digest the approval binds.
    changes json not null check (json_typeof(changes) = 'array' and json_array_length(changes) between 1 and 50),
    sha256 bytea not null check (octet_length(sha256) = 32),
    state recommendation_state not null default 'filed',
    approval_id uuid not null unique references approvals (id) on delete restrict,
    created_at timestamptz not null default now(),
    decided_by text,
    decided_at timestamptz,
    check ((state = 'filed') = (decided_at is null)),
    check (state <> 'applied' or decided_by is not null)
);

create index recommendations_task on recommendations (task_id);

-- What was recommended never changes, and is decided once.
create function recommendations_before_update() returns trigger language plpgsql as $$
begin
    if (new.id, new.task_id, new.attempt, new.worker_id, new.title, new.rationale, new.changes::text, new.sha256,
            new.approval_id, new.created_at)
        is distinct from
       (old.id, old.task_id, old.attempt, old.worker_id, old.title, old.rationale, old.changes::text, old.sha256,
            old.approval_id, old.created_at)
        or old.state <> 'filed'
    then
        raise exception 'recommendation %: what was recommended or decided can not be changed', old.id
            using errcode = 'check_violation', constraint = 'recommendations_immutable';
    end if;
    return new;
end $$;

create trigger recommendations_before_update before update on recommendations
    for each row execute function recommendations_before_update();

create function recommendations_before_delete() returns trigger language plpgsql as $$
begin
    raise exception 'recommendation %: recommendations are kept', old.id
        using errcode = 'check_violation', constraint = 'recommendations_immutable';
end $$;

create trigger recommendations_before_delete before delete on recommendations
    for each row execute function recommendations_before_delete();

-- An approval that is denied or expires takes its recommendation with it, whoever writes the row. The kind is compared as
-- text, because a new value of an enum can not be used in the transaction that adds it.
create function approvals_refuse_recommendation() returns trigger language plpgsql as $$
begin
    update recommendations set state = 'refused', decided_by = new.decided_by,
        decided_at = coalesce(new.decided_at, clock_timestamp())
    where approval_id = new.id and state = 'filed';
    return null;
end $$;

create trigger approvals_refuse_recommendation after update of state on approvals
    for each row when (new.kind::text = 'recommendation' and new.state in ('denied', 'expired'))
    execute function approvals_refuse_recommendation();

-- As in 0010, but for what a planning task recommended: that is decided after its end.
create or replace function governance_tasks_ended() returns trigger language plpgsql as $$
begin
    if not exists (
        select from became where became.status in ('completed', 'failed', 'cancelled', 'dead_letter')
            and exists (select from approvals as a where a.task_id = became.id limit 1)
    ) then
        return null;
    end if;
    with closed as (
        update approvals as a set state = 'expired'
        from became join was using (id)
        where a.task_id = became.id and a.state in ('requested', 'approved') and a.kind::text <> 'recommendation'
            and became.status in ('completed', 'failed', 'cancelled', 'dead_letter') and was.status <> became.status
        returning a.id, a.action, a.task_id, became.attempt, became.status
    )
    insert into execution_logs (task_id, worker_id, attempt, action, level, message, metadata)
    select task_id, null, attempt, 'approval_expired', 'info',
        format('Approval %s of %s expired: the task is %s', id, action, status), jsonb_build_object('approval', id)
    from closed;
    return null;
end $$;
