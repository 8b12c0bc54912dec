-- What ends with a task is looked after once for each statement, not once for each row: claims end in groups.

drop trigger governance_tasks_completed on governance_tasks;
drop trigger governance_tasks_ended on governance_tasks;

-- A completed task frees those that wait for nothing else. Rows are locked in the order of their ids, as whoever
-- completes tasks locks them.
create or replace function governance_tasks_completed() returns trigger language plpgsql as $$
begin
    -- Nearly always nobody waits: then no more than this is done.
    if not exists (
        select from became where became.status = 'completed'
            and exists (select from task_dependencies as d where d.depends_on = became.id limit 1)
    ) then
        return null;
    end if;
    perform from governance_tasks as dependent
    where dependent.blocked_by > 0 and dependent.id in (
        select d.task_id from became join was using (id) join task_dependencies as d on d.depends_on = became.id
        where became.status = 'completed' and was.status <> 'completed'
    )
    order by dependent.id for no key update;
    update governance_tasks as dependent
    set blocked_by = dependent.blocked_by - freed.count,
        status = case
            when dependent.status = 'suspended' and dependent.blocked_by = freed.count and dependent.wake_at is null
            then 'pending'::task_status else dependent.status end
    from (
        select d.task_id, count(*)::integer as count
        from became join was using (id) join task_dependencies as d on d.depends_on = became.id
        where became.status = 'completed' and was.status <> 'completed'
        group by d.task_id
    ) as freed
    where dependent.id = freed.task_id and dependent.blocked_by > 0;
    return null;
end $$;

create trigger governance_tasks_completed after update on governance_tasks
    referencing old table as was new table as became
    for each statement execute function governance_tasks_completed();

-- The end of a task closes what of its approvals is open.
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
        where a.task_id = became.id and a.state in ('requested', 'approved')
            and became.status in ('completed', 'failed', 'cancelled', 'dead_letter') and was.status <> became.status
        returning a.id, a.action, a.task_id, became.attempt, became.status
    )
    insert into execution_logs (task_id, worker_id, attempt, action, level, message, metadata)
    select task_id, null, attempt, 'approval_expired', 'info',
        format('Approval %s of %s expired: the task is %s', id, action, status), jsonb_build_object('approval', id)
    from closed;
    return null;
end $$;

create trigger governance_tasks_ended after update on governance_tasks
    referencing old table as was new table as became
    for each statement execute function governance_tasks_ended();

-- The queue as claims read it: one run of index entries for each type, addressee and priority, oldest first. A column
-- of its own for the age keeps the planner from walking another index in the order of `created_at`, past all other types.
alter table governance_tasks add column claim_order timestamptz not null generated always as (created_at) stored;
comment on column governance_tasks.claim_order is 'created_at, for the index that claims read';

drop index governance_tasks_claim;
create index governance_tasks_claim
    on governance_tasks (task_type, coalesce(assigned_worker, ''), priority, claim_order, id) where status = 'pending';

-- Evidence of what a statement completes is checked with the statement, all of it at once; at the end of the transaction
-- only what was completed before its evidence came.
create function governance_tasks_evidence_stored() returns trigger language plpgsql as $$
declare
    problem record;
begin
    select checked.* into problem
    from (
        select t.id,
            coalesce(t.evidence ->> 'verdict' = 'verified' and jsonb_typeof(t.evidence -> 'steps') = 'array'
                and t.completion_evidence <> '', false) as whole,
            steps.named, steps.found
        from became as t
        cross join lateral (
            select count(*) as named, count(stored.position) as found
            from jsonb_to_recordset(
                case when jsonb_typeof(t.evidence -> 'steps') = 'array' then t.evidence -> 'steps' else '[]' end
            ) as e (attempt integer, position integer)
            -- With a limit, so that it is looked up step by step, whatever the planner thinks of their number.
            left join lateral (
                select s.position from task_steps as s
                where s.task_id = t.id and s.attempt = e.attempt and s.position = e.position and s.state = 'done'
                limit 1
            ) as stored on true
        ) as steps
        where t.status = 'completed' and t.evidence is not null
    ) as checked
    where not checked.whole or checked.named = 0 or checked.named <> checked.found
    limit 1;
    if not found then
        return null;
    end if;
    if not problem.whole then
        raise exception 'task % can not be completed: the host has stored no verified evidence for it', problem.id
            using errcode = 'check_violation', constraint = 'governance_tasks_evidence',
            hint = 'only the host completes tasks, after it has verified the evidence itself';
    end if;
    raise exception 'task % can not be completed: its evidence names % journal steps, of which % exist',
        problem.id, problem.named, problem.found
        using errcode = 'check_violation', constraint = 'governance_tasks_evidence';
end $$;

create trigger governance_tasks_evidence_updated after update on governance_tasks
    referencing new table as became
    for each statement execute function governance_tasks_evidence_stored();
create trigger governance_tasks_evidence_inserted after insert on governance_tasks
    referencing new table as became
    for each statement execute function governance_tasks_evidence_stored();

drop trigger governance_tasks_evidence on governance_tasks;
create constraint trigger governance_tasks_evidence after insert or update on governance_tasks
    deferrable initially deferred
    for each row when (new.status = 'completed' and new.evidence is null) execute function governance_tasks_evidence();

-- Narrower: a task has few rows, and those of one moment are sorted when they are read.
drop index audit_log_task;
create index audit_log_task on audit_log (task_id) where task_id is not null;
drop index audit_log_at;
create index audit_log_at on audit_log (at);
