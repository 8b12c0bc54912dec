-- Until when a task is wanted: one that has not ended by then fails, whatever it waits for, and its run stops.
alter table governance_tasks add column deadline_at timestamptz;
comment on column governance_tasks.deadline_at is 'a task that has not ended by then fails; none: it may take as long as it takes';

create index governance_tasks_deadline on governance_tasks (deadline_at)
    where deadline_at is not null and status in ('pending', 'in_progress', 'waiting_approval', 'suspended');
