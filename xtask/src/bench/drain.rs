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
const LOOK_EVERY: Duration = Duration::from_millis(250);
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
    if drain.dead > 0 {
        die(&database, drain.dead)?;
    }
    load(&database, drain.backlog + drain.window, "verification", drain.payload)?;
    // Rows before the dead ones can not be older than them: what is loaded is in the order of its loading.
    if drain.dead > 0 {
        database.run("update governance_tasks set status = 'cancelled', completed_at = now() where title = 'dead'")?;
    } else {
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

/// Pending tasks like those that the API makes: ids grow with time, triggers have nothing to do for them.
pub(super) fn load(database: &Database, tasks: usize, task_type: &str, payload: &str) -> Result<()> {
    insert(database, tasks, "bench", task_type, payload)
}

/// Earlier tasks, which autovacuum does not clear away once they are dead.
fn die(database: &Database, tasks: usize) -> Result<()> {
    database.run("alter table governance_tasks set (autovacuum_enabled = off)")?;
    insert(database, tasks, "dead", "verification", "{}")
}

fn insert(database: &Database, tasks: usize, title: &str, task_type: &str, payload: &str) -> Result<()> {
    let mut loaded = 0;
    while loaded < tasks {
        let rows = (tasks - loaded).min(LOAD_ROWS_MAX);
        database.run(&format!(
            "set session_replication_role = replica;
            insert into governance_tasks (id, title, task_type, payload, created_at, created_by)
            select (lpad(to_hex(ms), 12, '0') || '7' || lpad(to_hex(n & 4095), 3, '0') || '8'
                    || substr(md5(random()::text), 1, 15))::uuid,
                '{title}', '{task_type}', '{payload}', to_timestamp(ms / 1000.0), 'bench'
            from generate_series(1, {rows}) as n
            cross join lateral (select (extract(epoch from now()) * 1000)::bigint - 3600000 + {loaded} + n as ms) as t"
        ))?;
        loaded += rows;
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
