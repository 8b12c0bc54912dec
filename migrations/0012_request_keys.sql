-- What a client that got no answer sends again: the tasks that the first request created.
create table request_keys (
    principal text not null,
    key text not null check (length(key) between 1 and 200),
    -- Of what was asked for: the same key with another request is a mistake.
    request_sha256 bytea not null check (length(request_sha256) = 32),
    tasks uuid[] not null,
    created_at timestamptz not null default now(),
    primary key (principal, key)
);
create index request_keys_created_at on request_keys (created_at);
