-- How an attempt ended stands with the attempt: the execution log is dropped after its retention.
alter table task_runs
    add column ended_at timestamptz,
    add column end_cause text,
    add column end_reason text;
comment on column task_runs.ended_at is 'when its last claim ended, or who else ended it; none while it runs, and where it completed its task, whose row says so';
comment on column task_runs.end_cause is 'what kind of end: a cause of the host, or Cancelled, DeadlinePassed, LeaseExpired, ApprovalDenied, ApprovalExpired';
comment on column task_runs.end_reason is 'why it failed, where it did; the next attempt is told';
