-- Learnings that are found again, and reports.

-- Columns of the specification stay as they are; this one is made of them. `left`, because a text vector has a largest size
-- and a learning written by hand has none.
alter table learnings add column search tsvector not null generated always as (
    setweight(to_tsvector('english', left(title, 1000)), 'A')
    || setweight(jsonb_to_tsvector('english', tags, '["string"]'), 'B')
    || setweight(to_tsvector('english', left(description, 20000)), 'C')
) stored;
create index learnings_search on learnings using gin (search);
create index learnings_tags on learnings using gin (tags jsonb_path_ops);

-- That a run was offered one: once for each attempt.
create table learning_uses (
    learning_id bigint not null references learnings (id) on delete cascade,
    task_id uuid not null references governance_tasks (id) on delete cascade,
    attempt integer not null check (attempt >= 1),
    used_at timestamptz not null default now(),
    primary key (learning_id, task_id, attempt)
);
create index learning_uses_task on learning_uses (task_id);

-- Documents of roles. Evidence names them by their digest, so nothing of them changes.
create table reports (
    id uuid primary key,
    task_id uuid references governance_tasks (id) on delete set null,
    attempt integer not null check (attempt >= 1),
    worker_id text not null,
    title text not null check (length(title) between 1 and 200),
    markdown text not null check (octet_length(markdown) <= 1048576),
    series jsonb not null default '[]' check (jsonb_typeof(series) = 'array' and jsonb_array_length(series) <= 20),
    -- Of the canonical JSON of title, text and series.
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    created_at timestamptz not null default now()
);
create index reports_list on reports (created_at, id);
create index reports_task on reports (task_id) where task_id is not null;

create function reports_stay() returns trigger language plpgsql as $$
begin
    -- A task that is deleted takes its name out of the report, and nothing else.
    if (old.id, old.attempt, old.worker_id, old.title, old.markdown, old.series, old.sha256, old.created_at)
        is distinct from (new.id, new.attempt, new.worker_id, new.title, new.markdown, new.series, new.sha256, new.created_at)
        or (new.task_id is not null and new.task_id is distinct from old.task_id) then
        raise exception 'report % stays as it was stored', old.id
            using errcode = 'check_violation', constraint = 'reports_stay';
    end if;
    return new;
end $$;
create trigger reports_stay before update on reports for each row execute function reports_stay();
