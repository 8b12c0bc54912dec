-- A task can be claimed by the statement that creates it. Who it was meant for is said by that statement then, and nobody
-- where it says nothing: otherwise a claim that ends without an outcome would go back to the worker that had it.
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
    -- What the claim of a pending task asks for, too.
    if new.status = 'in_progress' and (
        new.requires_approval or (new.risk = 'critical' and not task_start_approved(new))
    ) then
        raise exception 'task % can not begin: a person has to approve it first', new.id
            using errcode = 'check_violation', constraint = 'governance_tasks_unapproved',
            hint = 'insert it as pending, and it waits for approval';
    end if;
    if new.status <> 'in_progress' then
        new.requested_worker := coalesce(new.requested_worker, new.assigned_worker);
    end if;
    return new;
end $$;

-- As in 0010, and less work where nothing is completed, as in every claim and every creation.
create or replace function governance_tasks_evidence_stored() returns trigger language plpgsql as $$
declare
    problem record;
begin
    if not exists (select from became as t where t.status = 'completed' and t.evidence is not null) then
        return null;
    end if;
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
