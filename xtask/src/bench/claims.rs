//! What a claim costs at different backlogs, as PostgreSQL itself measures it while the real host claims.
//!
//! auto_explain writes each statement's plan with its times and buffers into the server's log; claims are the statements
//! that lock rows of the queue and skip locked ones.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::Bench;
use super::cluster::Database;
use super::drain::{self, Load};
use super::host::Host;
use crate::workspace::say;

/// Of each backlog.
const TURNS: usize = 6;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The server writes its log a moment later.
const LOG_PAUSE: Duration = Duration::from_millis(500);
/// Claims that found little are of a host that begins or waits, and say nothing of the queue.
const CLAIMED_ROWS_MIN: f64 = 4.0;

/// Rows of the queue, and a name for them.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) name: String,
    pub(super) database: &'static str,
    /// In the order of their age, the oldest first.
    pub(super) loads: Vec<Load>,
}

/// Medians over the claims of one backlog, for each claimed task.
#[derive(Debug, Clone)]
pub(super) struct Claims {
    pub(super) count: usize,
    pub(super) rows: f64,
    /// The whole statement, with all that it writes.
    pub(super) task_us: f64,
    /// Finding and locking the rows.
    pub(super) search_us: f64,
    pub(super) search_buffers: f64,
    /// Of the claim with the median time.
    plan: Value,
}

impl Claims {
    /// The plan in one line: how the queue is read, and how many times.
    pub(super) fn scans(&self) -> String {
        let mut scans: BTreeMap<String, f64> = BTreeMap::new();
        queue_scans(&self.plan, &mut scans);
        let shown = scans.iter().map(|(scan, times)| format!("{scan} ×{times:.0}"));
        shown.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn json(&self) -> Value {
        let Claims { count, rows, task_us, search_us, search_buffers, plan } = self;
        json!({
            "claims": count, "rows_per_claim": rows, "us_per_task": task_us, "search_us_per_task": search_us,
            "search_buffers_per_task": search_buffers, "plan": plan,
        })
    }
}

/// Claims at each backlog, in their order.
pub(super) fn measure(bench: &Bench<'_>, backlogs: &[Backlog]) -> Result<Vec<Claims>> {
    let loaded = backlogs.iter().map(|backlog| load(bench, backlog)).collect::<Result<Vec<_>>>()?;
    // Turn by turn, so that whatever else the machine does meets all of them.
    for turn in 1..=TURNS {
        for (backlog, database) in backlogs.iter().zip(&loaded) {
            say(&format!("claims: {}, turn {turn} of {TURNS}", backlog.name))?;
            watch(bench, backlog, database)?;
        }
    }
    thread::sleep(LOG_PAUSE);
    let mut found = Vec::with_capacity(backlogs.len());
    for (backlog, database) in backlogs.iter().zip(&loaded) {
        match summarize(&bench.cluster.plans(&database.name)?) {
            Some(claims) => found.push(claims),
            None => bail!("{}: the server's log has no plan of a claim that found tasks", backlog.name),
        }
        bench.cluster.drop_database(database)?;
    }
    Ok(found)
}

fn load(bench: &Bench<'_>, backlog: &Backlog) -> Result<Database> {
    let database = bench.database(backlog.database)?;
    say(&format!("claims: loading {}", backlog.name))?;
    for load in &backlog.loads {
        drain::load(&database, load)?;
    }
    database.run("vacuum governance_tasks")?;
    database.run("analyze governance_tasks")?;
    explain(&database)?;
    Ok(database)
}

/// Has the host claim for one turn. Where it has claimed all that it may, the last load is made again.
fn watch(bench: &Bench<'_>, backlog: &Backlog, database: &Database) -> Result<()> {
    let mut host = Host::start(&bench.places, database)?;
    let (began, limit) = (Instant::now(), Duration::from_secs(bench.sizes.claims_seconds));
    while began.elapsed() < limit {
        thread::sleep(LOOK_EVERY);
        host.check()?;
        let left = "select count(*) from (
            select from governance_tasks where status = 'pending' and task_type = 'verification' limit 1) as one";
        if database.number(left)? < 1.0
            && let Some(again) = backlog.loads.last()
        {
            drain::load(database, again)?;
        }
    }
    host.stop()
}

/// For connections that are made from now on.
fn explain(database: &Database) -> Result<()> {
    let name = &database.name;
    let settings = [
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_analyze", "on"),
        ("auto_explain.log_buffers", "on"),
        ("auto_explain.log_format", "json"),
    ];
    settings
        .iter()
        .try_for_each(|(setting, value)| database.run(&format!("alter database {name} set {setting} = '{value}'")))
}

/// One claim that found tasks.
struct Claim {
    rows: f64,
    ms: f64,
    search_ms: f64,
    search_buffers: f64,
    plan: Value,
}

fn summarize(logged: &[(f64, Value)]) -> Option<Claims> {
    let mut claims: Vec<Claim> = logged.iter().filter_map(|(ms, explained)| claim(*ms, explained)).collect();
    claims.sort_by(|one, other| (one.ms / one.rows).total_cmp(&(other.ms / other.rows)));
    let median = |value: fn(&Claim) -> f64| {
        let mut values: Vec<f64> = claims.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    Some(Claims {
        count: claims.len(),
        rows: median(|claim| claim.rows)?,
        task_us: median(|claim| claim.ms * 1000.0 / claim.rows)?,
        search_us: median(|claim| claim.search_ms * 1000.0 / claim.rows)?,
        search_buffers: median(|claim| claim.search_buffers / claim.rows)?,
        plan: claims.get(claims.len() / 2)?.plan.clone(),
    })
}

fn claim(ms: f64, explained: &Value) -> Option<Claim> {
    let query = explained["Query Text"].as_str()?.to_lowercase();
    if !query.contains("skip locked") || !query.contains("governance_tasks") || !query.contains("in_progress") {
        return None;
    }
    let plan = &explained["Plan"];
    let mut searches = Vec::new();
    lock_rows(plan, &mut searches);
    let of = |node: &Value, key: &str| node[key].as_f64().unwrap_or_default();
    let total = |key: &str| searches.iter().map(|node| of(node, key) * of(node, "Actual Loops")).sum::<f64>();
    let buffers = searches.iter().map(|node| of(node, "Shared Hit Blocks") + of(node, "Shared Read Blocks")).sum();
    let (rows, search_ms) = (total("Actual Rows"), total("Actual Total Time"));
    (rows >= CLAIMED_ROWS_MIN).then(|| Claim { rows, ms, search_ms, search_buffers: buffers, plan: plan.clone() })
}

/// Nodes that read rows of the queue, by what they read it with.
fn queue_scans(node: &Value, found: &mut BTreeMap<String, f64>) {
    let text = |key: &str| node[key].as_str();
    let kind = text("Node Type").unwrap_or_default();
    if text("Relation Name") == Some("governance_tasks") && kind.ends_with("Scan") {
        let index = text("Index Name").map(|index| format!(" {index}")).unwrap_or_default();
        *found.entry(format!("{kind}{index}")).or_default() += node["Actual Loops"].as_f64().unwrap_or_default();
    }
    node["Plans"].as_array().into_iter().flatten().for_each(|child| queue_scans(child, found));
}

/// Nodes that lock what they found; each has its search below it.
fn lock_rows<'a>(node: &'a Value, found: &mut Vec<&'a Value>) {
    if node["Node Type"] == "LockRows" {
        found.push(node);
        return;
    }
    node["Plans"].as_array().into_iter().flatten().for_each(|child| lock_rows(child, found));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(query: &str, loops: u32) -> Value {
        json!({"Query Text": query, "Plan": {"Node Type": "ModifyTable", "Plans": [
            {"Node Type": "Limit", "Plans": [{
                "Node Type": "LockRows", "Actual Rows": 5, "Actual Loops": loops, "Actual Total Time": 0.5,
                "Shared Hit Blocks": 20, "Shared Read Blocks": 0, "Plans": [{
                    "Node Type": "Index Scan", "Relation Name": "governance_tasks", "Index Name": "governance_tasks_claim",
                    "Actual Loops": loops,
                }],
            }]},
        ]}})
    }

    #[test]
    fn a_claim_is_told_from_other_statements() {
        let query = "update governance_tasks set status = 'in_progress' … FOR UPDATE SKIP LOCKED";
        let claims = summarize(&[
            (2.0, explained(query, 2)),
            (9.0, explained("select 1", 2)),
            (9.0, explained("select from governance_tasks for update skip locked", 2)),
            (9.0, explained(query, 0)),
        ]);
        let claims = claims.expect("one claim");
        assert_eq!((claims.count, claims.rows), (1, 10.0));
        assert_eq!((claims.task_us, claims.search_us, claims.search_buffers), (200.0, 100.0, 2.0));
        assert_eq!(claims.scans(), "Index Scan governance_tasks_claim ×2");
        assert!(summarize(&[]).is_none());
    }
}
