-- How a task's risk came to be: one line for each step up.
alter table governance_tasks add column risk_reasons jsonb not null default '[]'
    check (jsonb_typeof(risk_reasons) = 'array');

-- Whoever asks, risk is only ever raised.
create function governance_tasks_risk() returns trigger language plpgsql as $$
begin
    raise exception 'the risk of task % can not be lowered from % to %', new.id, old.risk, new.risk
        using errcode = 'check_violation', constraint = 'governance_tasks_risk';
end $$;

create trigger governance_tasks_risk before update of risk on governance_tasks
    for each row when (new.risk < old.risk) execute function governance_tasks_risk();
