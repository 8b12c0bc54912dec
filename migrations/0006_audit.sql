-- The audit log: what was decided and done, in hash chains, one for each process that writes. docs/AUDIT.md says how the
-- hashes are made. No retention touches these tables, and no foreign key leads out of them: what was done to a task
-- stays known when the task is deleted. Rows are bound to their chain by its hash, which a foreign key could not do.

-- Where a chain begins. Its digest, with the anchors, is what the chain's first row follows.
create table audit_chains (
    id uuid primary key,
    -- The process: `worker_registry.host_id` where it is a host.
    host_id uuid not null,
    started_at timestamptz not null,
    -- Ed25519, of the key that signs the chain's checkpoints; null for a process without a key.
    public_key bytea check (octet_length(public_key) = 32)
);

-- Where the other chains stood when this one began, as far as no other anchor held them there already.
create table audit_anchors (
    chain uuid not null,
    anchored uuid not null check (anchored <> chain),
    seq bigint not null check (seq >= 1),
    hash bytea not null check (octet_length(hash) = 32),
    primary key (chain, anchored)
);
create index audit_anchors_anchored on audit_anchors (anchored, seq);

create table audit_log (
    chain uuid not null,
    seq bigint not null check (seq >= 1),
    at timestamptz not null,
    kind text not null check (kind ~ '^[a-z][a-z_]{0,62}$'),
    -- A principal, a worker's id, or `host`.
    actor text not null,
    task_id uuid,
    -- `json` and not `jsonb`: exactly these bytes are hashed.
    details json not null,
    prev_hash bytea not null check (octet_length(prev_hash) = 32),
    hash bytea not null check (octet_length(hash) = 32),
    primary key (chain, seq)
);
create index audit_log_task on audit_log (task_id, at, chain, seq) where task_id is not null;
create index audit_log_at on audit_log (at, chain, seq);
create index audit_log_host_started on audit_log (at) where kind = 'host_started';

-- Signed statements of how far a chain had come.
create table audit_checkpoints (
    chain uuid not null,
    seq bigint not null check (seq >= 1),
    hash bytea not null check (octet_length(hash) = 32),
    at timestamptz not null,
    -- Digest of the chain's checkpoint before this one; 32 zero bytes for the first.
    previous bytea not null check (octet_length(previous) = 32),
    -- The first 8 bytes of the SHA-256 of the public key.
    key_id bytea not null check (octet_length(key_id) = 8),
    signature bytea not null check (octet_length(signature) = 64),
    primary key (chain, seq)
);

-- Whoever really wants to change a row has to disable this trigger first; then the hashes and checkpoints tell.
create function audit_append_only() returns trigger language plpgsql as $$
begin
    raise exception '% of % is refused: the audit log is only ever appended to', tg_op, tg_table_name
        using errcode = 'restrict_violation', constraint = 'audit_append_only';
end $$;

create trigger audit_chains_append_only before update or delete or truncate on audit_chains
    for each statement execute function audit_append_only();
create trigger audit_anchors_append_only before update or delete or truncate on audit_anchors
    for each statement execute function audit_append_only();
create trigger audit_log_append_only before update or delete or truncate on audit_log
    for each statement execute function audit_append_only();
create trigger audit_checkpoints_append_only before update or delete or truncate on audit_checkpoints
    for each statement execute function audit_append_only();
