create type notice_event as enum ('opened', 'escalated', 'resolved');
create type notice_state as enum ('pending', 'delivered', 'failed', 'skipped', 'expired');

-- What people are to be told of alerts: the outbox of the notifier. Written by the trigger below, so that no way of raising
-- or resolving an alert is without. One that is being sent has its next try in the future, which is the sender's lease.
create table alert_notices (
    id bigint generated always as identity primary key,
    alert_id uuid not null references alerts (id) on delete cascade,
    event notice_event not null,
    -- `skipped`: below the severity that is told; `expired`: nobody could be told in time.
    state notice_state not null default 'pending',
    attempts integer not null default 0 check (attempts >= 0),
    next_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    ended_at timestamptz,
    -- Of the newest answer, where there was one.
    last_status integer,
    last_error text check (length(last_error) <= 2000),
    check ((state = 'pending') = (ended_at is null))
);

create index alert_notices_due on alert_notices (next_at, id) where state = 'pending';
create index alert_notices_alert on alert_notices (alert_id, id);

-- A repeat of an open alert tells nobody again, unless it is worse.
create function alerts_notice() returns trigger language plpgsql as $$
begin
    insert into alert_notices (alert_id, event) values (new.id, case
        when tg_op = 'INSERT' then 'opened'
        when new.state = 'resolved' then 'resolved'
        else 'escalated' end::notice_event);
    return null;
end $$;

create trigger alerts_opened after insert on alerts for each row execute function alerts_notice();
create trigger alerts_changed after update of state, severity on alerts for each row
    when ((new.state = 'resolved' and old.state <> 'resolved') or (new.state <> 'resolved' and new.severity > old.severity))
    execute function alerts_notice();
