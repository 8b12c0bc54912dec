-- States are enums, so that a misspelt one is an error wherever it is written. Their order is meaningful: the claim
-- sorts by priority, and risk is compared.
create type task_status as enum (
    'pending', 'in_progress', 'waiting_approval', 'suspended', 'completed', 'failed', 'cancelled', 'dead_letter'
);
create type task_priority as enum ('critical', 'high', 'medium', 'low');
create type risk_level as enum ('low', 'medium', 'high', 'critical');
create type worker_status as enum ('active', 'idle', 'busy', 'stale', 'offline');
create type log_level as enum ('debug', 'info', 'warn', 'error');
create type token_role as enum ('viewer', 'operator', 'approver', 'admin');
create type step_effect as enum ('read', 'write', 'wait');
create type step_state as enum ('intended', 'done');
create type evidence_kind as enum (
    'merged_pull_request', 'test_results', 'verification_report', 'cited_summary', 'document',
    'tasks_created', 'report_stored', 'alerts_evaluated', 'recommendation_filed'
);

-- What a task of each type must show to be completed.
create table task_types (
    name text primary key check (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    evidence evidence_kind not null,
    description text not null
);

insert into task_types (name, evidence, description) values
    ('code', 'merged_pull_request', 'Change a repository; done when the pull request is merged'),
    ('test', 'test_results', 'Run or read tests; done when the host saw the same counts'),
    ('verification', 'verification_report', 'Check named facts; done when the host finds them again'),
    ('research', 'cited_summary', 'Find out and cite; done when each source was fetched by this task'),
    ('documentation', 'document', 'Write a document; done when it answers at its location'),
    ('decomposition', 'tasks_created', 'Split a goal into tasks; done when they exist'),
    ('analysis', 'report_stored', 'Calculate and report; done when the report is stored'),
    ('monitoring', 'alerts_evaluated', 'Look after the system; done when the alerts were evaluated'),
    ('planning', 'recommendation_filed', 'Plan and recommend; done when the recommendation is filed');
