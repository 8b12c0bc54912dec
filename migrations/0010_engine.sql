-- What ends with a task is looked after once for each statement, not once for each row: claims end in groups.

drop trigger governance_tasks_completed on governance_tasks;
drop trigger governance_tasks_ended on governance_tasks;

-- A completed task frees those that wait for nothing else. Rows are locked in the order of their ids, as whoever
-- completes tasks locks them.
create or replace function governance_tasks_completed() returns trigger language plpgsql as $$
begin
    if not exists (
        select from became join was using (id) join task_dependencies as d on d.depends_on = became.id
        where became.status = 'completed' and was.status <> 'completed'
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
