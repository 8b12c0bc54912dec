-- A start approval is for what would run: the role's component, its manifest and the policies, in one digest.
alter table worker_registry
    -- What this worker would run a task with; null where an earlier release registered it.
    add column versions_sha256 bytea check (octet_length(versions_sha256) = 32);

alter table governance_tasks
    -- With what it may begin or go on: what the workers that could claim it ran when somebody approved its start. Null
    -- where nobody had to.
    add column start_versions bytea[];

-- Few: those that wait for a worker after somebody approved their start.
create index governance_tasks_start_versions on governance_tasks (id)
    where status = 'pending' and start_versions is not null;

-- What the live workers that could claim a task would run it with.
create function task_versions(task governance_tasks) returns bytea[] language sql stable parallel safe as $$
    select coalesce(array_agg(distinct w.versions_sha256), '{}')
    from worker_registry as w
    where w.versions_sha256 is not null
        and w.capabilities ? task.task_type
        and coalesce(task.assigned_worker, '') in ('', w.worker_type, w.worker_id)
        and w.status not in ('offline', 'stale')
        and w.last_heartbeat > now() - interval '5 minutes'
$$;

-- Whether a person approved the start for something that no live worker runs any more, while others could claim the task.
create function task_start_is_for_others(task governance_tasks) returns boolean language sql stable parallel safe as $$
    select task.start_versions is not null
        and cardinality(now_have.versions) > 0 and not (task.start_versions && now_have.versions)
    from (select task_versions(task) as versions) as now_have
$$;
