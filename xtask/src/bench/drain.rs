//! Tasks per second from pending to completed, by the real host: claimed, run in a fresh sandbox, verified, durable.
//!
//! The backlog is loaded by SQL before the host starts, and what is completed is counted in the database.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::Bench;
use super::cluster::Database;
use super::host::Host;
use crate::workspace::say;

/// Completed before counting begins: components are loaded, connections open, statements planned.
const WARM_UP_TASKS: f64 = 500.0;
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Without one more completed task for so long, the host does not drain.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// Rows of one insertion of the backlog.
const LOAD_ROWS_MAX: usize = 200_000;

/// A backlog, and how much of it is drained while counting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drain {
    pub(super) name: &'static str,
    /// Pending at the least while it is counted.
    pub(super) backlog: usize,
    pub(super) window: usize,
    pub(super) seconds_max: u64,
    /// Rows before the backlog that were pending and are cancelled, unvacuumed.
    pub(super) dead: usize,
    pub(super) payload: &'static str,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(super) struct Drained {
    pub(super) tasks_per_second: f64,
    pub(super) commits_per_task: f64,
    pub(super) statements_per_task: f64,
    tasks: f64,
    seconds: f64,
}

impl Drained {
    pub(super) fn json(&self) -> Value {
        let Drained { tasks_per_second, commits_per_task, statements_per_task, tasks, seconds } = self;
        json!({
            "tasks_per_second": tasks_per_second, "commits_per_task": commits_per_task,
            "statements_per_task": statements_per_task, "tasks": tasks, "seconds": seconds,
        })
    }
}

/// Where the database stands at one moment, in one statement, which is itself one commit.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: f64,
    completed: f64,
    commits: f64,
    statements: f64,
}

const LOOK: &str = "select extract(epoch from clock_timestamp()),
    (select count(*) from governance_tasks where status = 'completed'),
    (select xact_commit from pg_stat_database where datname = current_database()),
    (select coalesce(sum(calls), 0) from pg_stat_statements
     where dbid = (select oid from pg_database where datname = current_database()))";

impl Look {
    fn take(database: &Database) -> Result<Look> {
        let row = database.row(LOOK)?;
        let number = |at: usize| row.get(at).and_then(|text| text.parse::<f64>().ok());
        let look = || Some(Look { at: number(0)?, completed: number(1)?, commits: number(2)?, statements: number(3)? });
        look().with_context(|| format!("the database tells no numbers: {row:?}"))
    }
}

/// Loads the backlog into a new database and drains it. The database is the caller's afterwards, its host is stopped.
pub(super) fn drain(bench: &Bench<'_>, drain: &Drain) -> Result<(Database, Drained)> {
    let database = bench.database(drain.name)?;
    say(&format!("{}: loading {} pending, {} dead", drain.name, drain.backlog + drain.window, drain.dead))?;
    let rows = drain.backlog + drain.window;
    let pending = Load { rows, payload: drain.payload, ..Load::default() };
    if drain.dead > 0 {
        // Otherwise autovacuum clears them away at its own time.
        database.run("alter table governance_tasks set (autovacuum_enabled = off)")?;
        load(&database, &Load { rows: drain.dead, title: "dead", ..Load::default() })?;
        load(&database, &pending)?;
        database.run("update governance_tasks set status = 'cancelled', completed_at = now() where title = 'dead'")?;
    } else {
        load(&database, &pending)?;
        database.run("vacuum governance_tasks")?;
    }
    database.run("analyze governance_tasks")?;
    database.run("checkpoint")?;
    let mut host = Host::start(&bench.places, &database)?;
    let drained = count(&database, &mut host, drain);
    let stopped = host.stop();
    let drained = drained?;
    stopped?;
    Ok((database, drained))
}

/// Rows to load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) rows: usize,
    pub(super) title: &'static str,
    pub(super) task_type: &'static str,
    pub(super) status: &'static str,
    pub(super) payload: &'static str,
}

impl Default for Load {
    fn default() -> Self {
        Self { rows: 0, title: "bench", task_type: "verification", status: "pending", payload: "{}" }
    }
}

/// Tasks like those that the API makes: younger than all that were loaded before, with ids that grow with time. Triggers
/// have nothing to do for them, and do not run.
pub(super) fn load(database: &Database, load: &Load) -> Result<()> {
    let Load { rows, title, task_type, status, payload } = load;
    let mut loaded = 0;
    while loaded < *rows {
        let part = (rows - loaded).min(LOAD_ROWS_MAX);
        database.run(&format!(
            "set session_replication_role = replica;
            insert into governance_tasks (id, title, task_type, status, payload, created_at, created_by, wake_at)
            select (lpad(to_hex(ms), 12, '0') || '7' || lpad(to_hex(n & 4095), 3, '0') || '8'
                    || substr(md5(random()::text), 1, 15))::uuid,
                '{title}', '{task_type}', '{status}', '{payload}', to_timestamp(ms / 1000.0), 'bench',
                case when '{status}' = 'suspended' then now() + interval '1 day' end
            from (
                -- Of the last days, a tenth of a second apart.
                select coalesce((extract(epoch from max(created_at)) * 1000)::bigint,
                    (extract(epoch from now()) * 1000)::bigint - 7 * 86400000) as newest
                from governance_tasks
            ) as before
            cross join generate_series(1, {part}) as n
            cross join lateral (select newest + n * 100 as ms) as t"
        ))?;
        loaded += part;
    }
    Ok(())
}

fn count(database: &Database, host: &mut Host, drain: &Drain) -> Result<Drained> {
    let mut looks = 0.0;
    let mut progress = (Instant::now(), 0.0);
    let mut first: Option<(Look, f64)> = None;
    loop {
        thread::sleep(LOOK_EVERY);
        host.check()?;
        let look = Look::take(database)?;
        looks += 1.0;
        if look.completed > progress.1 {
            progress = (Instant::now(), look.completed);
        } else if progress.0.elapsed() > STALLED_AFTER {
            bail!("{}: nothing was completed for {} s: {}", drain.name, STALLED_AFTER.as_secs(), stalled(database)?);
        }
        let Some((from, looked)) = first else {
            first = (look.completed >= WARM_UP_TASKS).then_some((look, looks));
            continue;
        };
        let (tasks, seconds) = (look.completed - from.completed, look.at - from.at);
        if tasks < to_f64(drain.window) - WARM_UP_TASKS
            && seconds < Duration::from_secs(drain.seconds_max).as_secs_f64()
        {
            continue;
        }
        if tasks <= 0.0 {
            bail!("{}: nothing was completed within {seconds:.0} s: {}", drain.name, stalled(database)?);
        }
        let looked = looks - looked;
        return Ok(Drained {
            tasks_per_second: tasks / seconds,
            commits_per_task: (look.commits - from.commits - looked) / tasks,
            statements_per_task: (look.statements - from.statements - looked) / tasks,
            tasks,
            seconds,
        });
    }
}

/// What there is to see where tasks are not completed.
fn stalled(database: &Database) -> Result<String> {
    database.value(
        "select coalesce(string_agg(distinct status || ' ' || left(coalesce(error_message, ''), 200), '; '), 'no tasks')
        from governance_tasks",
    )
}

/// Counts of a bench are far below what a float holds exactly.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(super) fn to_f64(count: usize) -> f64 {
    count as f64
}
