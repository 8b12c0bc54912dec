-- What language models cost. A request is reserved before it is sent and settled when it is answered; one whose answer never
-- came, or whose host died, goes on counting for what was reserved.
create type llm_usage_state as enum ('reserved', 'settled');

-- One row for each day (UTC) with all that counts against its budget. Whoever reserves holds it, so that hosts which ask at the
-- same time do not spend the same rest.
create table llm_days (
    day date primary key,
    tokens bigint not null default 0 check (tokens >= 0),
    microdollars bigint not null default 0 check (microdollars >= 0)
);

-- One row for each request that was sent, retries and fallbacks included.
create table llm_usage (
    id uuid primary key,
    task_id uuid not null,
    attempt integer not null,
    -- The step of the journal that asked.
    position integer not null check (position >= 0),
    model text not null check (length(model) between 1 and 128),
    state llm_usage_state not null default 'reserved',
    day date not null references llm_days (day),
    -- As it was sent: `json`, because a prompt may hold what jsonb refuses.
    request json not null,
    tokens_reserved bigint not null check (tokens_reserved >= 0),
    microdollars_reserved bigint not null check (microdollars_reserved >= 0),
    -- What came back, or why nothing did; null while it is reserved.
    answer json,
    prompt_tokens bigint check (prompt_tokens >= 0),
    answer_tokens bigint check (answer_tokens >= 0),
    microdollars bigint check (microdollars >= 0),
    reserved_at timestamptz not null default now(),
    settled_at timestamptz,
    foreign key (task_id, attempt) references task_runs (task_id, attempt) on delete cascade,
    check ((state = 'settled') = (settled_at is not null)),
    check ((state = 'settled')
        = (answer is not null and prompt_tokens is not null and answer_tokens is not null and microdollars is not null))
);
create index llm_usage_task on llm_usage (task_id);
create index llm_usage_day on llm_usage (day, model);
