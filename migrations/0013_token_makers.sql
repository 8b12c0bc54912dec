-- Who made a token, and with which one: whoever makes a token for somebody holds its secret, so the two are not two people
-- where two have to agree.
alter table api_tokens
    -- A principal; `database` where somebody made it on the database itself; null where that is not known any more.
    add column created_by text,
    -- The token that it was made with; null where there was none.
    add column created_with uuid references api_tokens (id);

-- Of earlier ones the audit log knows who.
update api_tokens as t
set created_by = case when made.actor = 'command-line' then 'database' else made.actor end
from audit_log as made
where made.kind = 'token_created' and made.details ->> 'token' = t.id::text;

create index api_tokens_principal on api_tokens (lower(principal));
