-- A task of a goal has ended: whoever follows the goal is woken, and a goal that nobody follows any more is closed. The
-- trigger only leaves a note, in the transaction that ends the task: to lock the planning task there would have those that
-- end wait for those that plan, and the other way round. The sweeper reads the notes.
create table goal_notes (
    id bigint generated always as identity primary key,
    goal_id uuid not null
);

create function governance_tasks_goal_noted() returns trigger language plpgsql as $$
begin
    insert into goal_notes (goal_id) values (new.goal_id);
    return null;
end $$;

-- The condition is looked at without calling anything, so that tasks without a goal pay nothing.
create trigger governance_tasks_goal_noted after update of status on governance_tasks
    for each row
    when (new.goal_id is not null and new.status in ('completed', 'failed', 'cancelled', 'dead_letter')
        and old.status is distinct from new.status)
    execute function governance_tasks_goal_noted();

alter table goals
    -- Children that ended without success, and whose work others do by a later plan.
    add column replaced uuid[] not null default '{}',
    -- When it was last planned anew.
    add column replanned_at timestamptz;
create unique index goals_planned_by on goals (planned_by);
