//! What the database itself can do: claims and completions in batches, by pgbench, without any runner.
//!
//! The tables are copies of ours with their indexes (but for that of the claim, which is the scripts' own), constraints
//! and storage settings, without triggers and foreign keys. `claim-50` updates tasks alone; `claim-50-rows` also writes the rows that our runner wrote for one no-op task
//! in this very database, as they are, again for each task.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Bench;
use super::cluster::Database;
use super::drain::to_f64;
use crate::workspace::say;

const CLIENTS: usize = 8;
const BATCH: usize = 50;
/// Of the loaded rows this part is claimed: at the very end clients would find nothing.
const CLAIMED_PARTS: usize = 10;

/// Tables that a run writes to, besides the task's own row, and what stands there instead of the sampled value.
const TABLES: [(&str, &[(&str, &str)]); 4] = [
    ("execution_logs", &[("task_id", "t.id"), ("created_at", "now()")]),
    ("task_runs", &[("task_id", "t.id")]),
    ("task_steps", &[("task_id", "t.id")]),
    (
        "audit_log",
        &[
            ("task_id", "t.id"),
            ("at", "now()"),
            ("chain", "md5(:client_id::text)::uuid"),
            ("seq", "nextval('bench_sequence')"),
        ],
    ),
];

/// The index that the scripts claim by, in place of the one that fits our own claims: theirs need not be asked as ours are.
const OWN_CLAIM_INDEX: &str = "do $$
    declare
        ours text;
    begin
        for ours in
            select indexrelid::regclass::text from pg_index
            where indrelid = 'bench_governance_tasks'::regclass
                and pg_get_expr(indpred, indrelid) like '%pending%' and pg_get_indexdef(indexrelid) like '%(task_type,%'
        loop
            execute 'drop index ' || ours;
        end loop;
    end $$;
    create index bench_claim on bench_governance_tasks (task_type, priority, created_at, id) where status = 'pending'";

#[derive(Debug, Clone)]
pub(super) struct Baseline {
    pub(super) claim: f64,
    pub(super) claim_with_rows: f64,
    /// Rows of each table for one task.
    rows: Vec<(&'static str, f64)>,
}

impl Baseline {
    pub(super) fn json(&self) -> Value {
        let rows: serde_json::Map<_, _> =
            self.rows.iter().map(|(table, rows)| ((*table).to_owned(), json!(rows))).collect();
        json!({
            "clients": CLIENTS, "batch": BATCH, "rows_per_task": rows,
            "claim_50_tasks_per_second": self.claim, "claim_50_rows_tasks_per_second": self.claim_with_rows,
        })
    }
}

/// In the database of a drain: one of its tasks is the sample.
pub(super) fn measure(bench: &Bench<'_>, database: &Database) -> Result<Baseline> {
    let rows = sample(database)?;
    let claim =
        run(bench, database, "claim-50", &claim_script(&["evidence = '{}'", "completion_evidence = 'done'"], &[]))?;
    let ended = ["evidence = s.evidence", "completion_evidence = s.completion_evidence"];
    let inserts = TABLES.iter().map(|(table, instead)| insert(database, table, instead));
    let inserts = inserts.collect::<Result<Vec<_>>>()?;
    let claim_with_rows = run(bench, database, "claim-50-rows", &claim_script(&ended, &inserts))?;
    Ok(Baseline { claim, claim_with_rows, rows })
}

/// Keeps the rows of one completed task, and makes the empty tables.
fn sample(database: &Database) -> Result<Vec<(&'static str, f64)>> {
    database.run(
        "create table sample_governance_tasks as
            select * from governance_tasks where status = 'completed' order by completed_at desc limit 1;
        create sequence bench_sequence cache 100",
    )?;
    let mut rows = Vec::new();
    for (table, _) in TABLES {
        database.run(&format!(
            "create table sample_{table} as
                select * from {table} where task_id = (select id from sample_governance_tasks);
            create table bench_{table} (like {table} including all)"
        ))?;
        rows.push((table, database.number(&format!("select count(*) from sample_{table}"))?));
    }
    Ok(rows)
}

/// One row of the table for each task and each sampled row.
fn insert(database: &Database, table: &str, instead: &[(&str, &str)]) -> Result<String> {
    let columns = database.value(&format!(
        "select string_agg(column_name, ',' order by ordinal_position) from information_schema.columns
        where table_name = '{table}' and is_identity = 'NO' and is_generated = 'NEVER'"
    ))?;
    let values: Vec<String> = columns
        .split(',')
        .map(|column| {
            let replaced = instead.iter().find(|(name, _)| *name == column);
            replaced.map_or_else(|| format!("s.{column}"), |(_, value)| (*value).to_owned())
        })
        .collect();
    Ok(format!(
        "insert into bench_{table} ({columns}) select {} from unnest(:ids::uuid[]) as t (id) cross join sample_{table} as s;",
        values.join(", ")
    ))
}

fn claim_script(ended: &[&str], inserts: &[String]) -> String {
    let claim = format!(
        "with wanted as (
            select id from bench_governance_tasks where status = 'pending' and task_type = 'verification'
            order by priority, created_at, id limit {BATCH} for update skip locked
        ), claimed as (
            update bench_governance_tasks as t
            set status = 'in_progress', assigned_worker = 'bench', started_at = now(), lease = lease + 1,
                lease_expires_at = now() + interval '1 minute'
            from wanted where t.id = wanted.id returning t.id
        ) select coalesce(array_agg(id), '{{}}')::text as ids from claimed \\gset\n"
    );
    let complete = format!(
        "update bench_governance_tasks as t
        set status = 'completed', completed_at = now(), lease = t.lease + 1, lease_expires_at = null, {}
        from sample_governance_tasks as s where t.id = any(:ids::uuid[]);\n",
        ended.join(", ")
    );
    if inserts.is_empty() {
        return [claim, complete].concat();
    }
    let inserts = inserts.join("\n");
    // Pipelined, so that it is the database that is measured and not the way to it.
    [claim, format!("\\startpipeline\nbegin;\n{complete}{inserts}\ncommit;\n\\endpipeline\n")].concat()
}

/// Tasks per second.
fn run(bench: &Bench<'_>, database: &Database, name: &str, script: &str) -> Result<f64> {
    let tasks = bench.sizes.baseline;
    say(&format!("{name}: {tasks} tasks, {CLIENTS} clients"))?;
    database.run(&format!(
        "drop table if exists bench_governance_tasks;
        create table bench_governance_tasks (like governance_tasks including all);
        insert into bench_governance_tasks (id, title, task_type, created_at, created_by)
        select (lpad(to_hex(ms), 12, '0') || '7' || lpad(to_hex(n & 4095), 3, '0') || '8'
                || substr(md5(random()::text), 1, 15))::uuid,
            'bench', 'verification', to_timestamp(ms / 1000.0), 'bench'
        from generate_series(1, {tasks}) as n
        cross join lateral (select (extract(epoch from now()) * 1000)::bigint + n as ms) as t"
    ))?;
    database.run(OWN_CLAIM_INDEX)?;
    database.run("vacuum analyze bench_governance_tasks")?;
    database.run("checkpoint")?;
    let file = bench.places.work.join(format!("{name}.sql"));
    fs::write(&file, script).with_context(|| format!("could not write {}", file.display()))?;
    let transactions = tasks * (CLAIMED_PARTS - 1) / CLAIMED_PARTS / BATCH / CLIENTS;
    let printed = database.pgbench(&file, CLIENTS, transactions)?;
    let per_second = printed
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok())
        .with_context(|| format!("pgbench prints no tps:\n{printed}"))?;
    let done = database.number("select count(*) from bench_governance_tasks where status = 'completed'")?;
    Ok(done / (to_f64(transactions * CLIENTS) / per_second))
}
