-- What people want: a role splits it into tasks. A goal is closed by the evidence of its tasks.
create type goal_state as enum ('open', 'completed', 'failed', 'cancelled');

create table goals (
    id uuid primary key,
    title text not null check (length(title) between 1 and 200),
    description text not null default '' check (octet_length(description) <= 65536),
    acceptance_criteria jsonb not null default '[]' check (jsonb_typeof(acceptance_criteria) = 'array'),
    -- The plan that was given with it, if one was: then no model is asked.
    plan jsonb check (jsonb_typeof(plan) = 'object' and octet_length(plan::text) <= 4194304),
    priority task_priority not null default 'medium',
    state goal_state not null default 'open',
    -- Nobody approves what he asked for: its tasks have this creator, too.
    created_by text not null,
    created_at timestamptz not null default now(),
    ended_at timestamptz,
    replans integer not null default 0 check (replans >= 0),
    replans_max integer not null default 3 check (replans_max between 0 and 20),
    -- How it ended: what its children showed, or why it was given up.
    outcome jsonb check (jsonb_typeof(outcome) = 'object'),
    -- The task that plans it and follows its children.
    planned_by uuid references governance_tasks (id) on delete set null,
    check ((state = 'open') = (ended_at is null))
);
create index goals_list on goals (created_at, id);

alter table governance_tasks
    add column goal_id uuid references goals (id) on delete restrict,
    -- While it is suspended: it goes on, too, when a task of its goal ends.
    add column waits_for_goal boolean not null default false;
create index governance_tasks_goal on governance_tasks (goal_id, created_at) where goal_id is not null;

insert into task_types (name, evidence, description) values
    ('report', 'report_stored', 'Report on the system; done when the report is stored')
on conflict do nothing;
