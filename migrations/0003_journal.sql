-- An attempt at a task: what ran, and what its clock and random numbers start from.
create table task_runs (
    task_id uuid not null references governance_tasks (id) on delete cascade,
    attempt integer not null,
    worker_id text not null,
    role text not null,
    component_sha256 bytea not null check (octet_length(component_sha256) = 32),
    manifest_sha256 bytea not null check (octet_length(manifest_sha256) = 32),
    -- The guest's clock starts here. Its random numbers are seeded from (task_id, attempt).
    started_at timestamptz not null default now(),
    -- Lines of the guest that are in the execution log already; a resumed run does not write them again.
    log_lines integer not null default 0,
    primary key (task_id, attempt)
);

-- The journal: one row for each host call of an attempt. `json` and not `jsonb`: a replay needs the recorded bytes,
-- and jsonb refuses a NUL inside a string.
create table task_steps (
    task_id uuid not null,
    attempt integer not null,
    position integer not null check (position >= 0),
    interface text not null,
    function text not null,
    effect step_effect not null,
    -- Of the canonical JSON of the arguments, whole.
    arguments_sha256 bytea not null check (octet_length(arguments_sha256) = 32),
    -- For people: long values are replaced by their length and digest.
    arguments json not null,
    state step_state not null,
    -- {"ok": …} or {"err": …}, exactly what the guest was given.
    result json,
    lease bigint not null,
    intended_at timestamptz not null,
    done_at timestamptz,
    primary key (task_id, attempt, position),
    foreign key (task_id, attempt) references task_runs (task_id, attempt) on delete cascade,
    check ((state = 'done') = (result is not null and done_at is not null))
);

-- No task is completed without evidence that the host verified, whoever writes the row. The check is deferred to the
-- commit, so that evidence and status may be written in either order. The evidence must name steps of this very
-- task's journal, and each of them must be done.
create function governance_tasks_evidence() returns trigger language plpgsql as $$
declare
    task governance_tasks%rowtype;
    named integer;
    found_steps integer;
begin
    select * into task from governance_tasks where id = new.id;
    if not found or task.status <> 'completed' then
        return null;
    end if;
    if task.evidence is null or task.evidence ->> 'verdict' is distinct from 'verified'
        or jsonb_typeof(task.evidence -> 'steps') is distinct from 'array'
        or coalesce(task.completion_evidence, '') = '' then
        raise exception 'task % can not be completed: the host has stored no verified evidence for it', new.id
            using errcode = 'check_violation', constraint = 'governance_tasks_evidence',
            hint = 'only the host completes tasks, after it has verified the evidence itself';
    end if;
    select count(*), count(s.position) into named, found_steps
    from jsonb_to_recordset(task.evidence -> 'steps') as e (attempt integer, position integer)
    left join task_steps as s
        on s.task_id = task.id and s.attempt = e.attempt and s.position = e.position and s.state = 'done';
    if named = 0 or named <> found_steps then
        raise exception 'task % can not be completed: its evidence names % journal steps, of which % exist',
            new.id, named, found_steps
            using errcode = 'check_violation', constraint = 'governance_tasks_evidence';
    end if;
    return null;
end $$;

create constraint trigger governance_tasks_evidence after insert or update on governance_tasks
    deferrable initially deferred
    for each row when (new.status = 'completed') execute function governance_tasks_evidence();
