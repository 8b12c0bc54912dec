//! What is measured, section by section, and what each figure is held against.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::claims::{self, Backlog};
use super::drain::{Drain, Load, drain, to_f64};
use super::host::Host;
use super::report::{Report, per_second};
use super::{Bench, Section, Sizes, baseline};

/// Of the bulk API's load.
const ENQUEUE_CONNECTIONS: usize = 4;
const ENQUEUE_BATCH: usize = 500;
/// What the memory of parked instances is judged by.
const PARKED_INSTANCES: f64 = 10_000.0;
const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn run(bench: &Bench<'_>, section: Section, report: &mut Report) -> Result<()> {
    match section {
        Section::Drain => drains(bench, report),
        Section::Backlog => backlogs(bench, report),
        Section::Journal => journal(bench, report),
        Section::Enqueue => enqueue(bench, report),
        Section::Latency => latency(bench, report),
        Section::Sandbox => sandbox(bench, report),
        Section::Parked => parked(bench, report),
        Section::Claims => claim_costs(bench, report),
    }
    .with_context(|| format!("section {section:?}"))
}

fn plain(bench: &Bench<'_>, name: &'static str) -> Drain {
    let Sizes { backlog, window, seconds_max, .. } = bench.sizes;
    Drain { name, backlog, window, seconds_max, dead: 0, payload: "{}" }
}

fn drains(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let (database, drained) = drain(bench, &plain(bench, "drain_20k"))?;
    report.figure("drain at 20 k pending", per_second(drained.tasks_per_second));
    report.figure("  commits per task", format!("{:.3}", drained.commits_per_task));
    report.figure("  statements per task", format!("{:.3}", drained.statements_per_task));
    report.detail("drain_20k", drained.json());
    let base = baseline::measure(bench, &database)?;
    report.figure("claim-50", per_second(base.claim));
    report.figure("claim-50-rows", per_second(base.claim_with_rows));
    report.at_least("drain / claim-50-rows", drained.tasks_per_second / base.claim_with_rows, 0.5, "");
    report.at_least("drain / claim-50", drained.tasks_per_second / base.claim, 0.2, "");
    report.detail("baseline", base.json());
    bench.cluster.drop_database(&database)
}

fn backlogs(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let Sizes { backlog_large, dead, .. } = bench.sizes;
    let large = Drain { backlog: backlog_large, ..plain(bench, "drain_large") };
    let shown = shown(backlog_large);
    let mut rates = Vec::new();
    for (drained, what) in [
        (plain(bench, "drain_small"), "drain at 20 k pending, beside the next two".to_owned()),
        (large, format!("drain at {shown} pending")),
        (Drain { dead, name: "drain_dead", ..large }, format!("drain at {shown} pending behind dead rows")),
    ] {
        let (database, found) = drain(bench, &drained)?;
        bench.cluster.drop_database(&database)?;
        report.figure(&what, per_second(found.tasks_per_second));
        report.detail(drained.name, found.json());
        rates.push(found.tasks_per_second);
    }
    if let [small, large, dead] = rates[..] {
        report.at_least(&format!("drain at {shown} / at 20 k"), large / small, 0.8, "");
        report.at_least(&format!("drain at {shown} behind dead rows / at 20 k"), dead / small, 0.8, "");
    }
    Ok(())
}

fn journal(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut statements = Vec::new();
    for (name, payload) in [("journal_one", "{}"), ("journal_ten", r#"{"reads": 10}"#)] {
        let (database, found) = drain(bench, &Drain { payload, ..plain(bench, name) })?;
        bench.cluster.drop_database(&database)?;
        report.detail(name, found.json());
        statements.push(found);
    }
    if let [one, ten] = &statements[..] {
        report.figure("ten journalled reads: tasks", per_second(ten.tasks_per_second));
        report.figure("  commits per task", format!("{:.3}", ten.commits_per_task));
        let ratio = ten.statements_per_task / one.statements_per_task;
        report.at_most("statements per task, ten reads / no-op", ratio, 10.0, "");
    }
    Ok(())
}

fn enqueue(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let found = with_host(bench, "enqueue", |asked| {
        asked["connections"] = json!(ENQUEUE_CONNECTIONS);
        asked["batch"] = json!(ENQUEUE_BATCH);
        asked["seconds"] = json!(bench.sizes.enqueue_seconds);
    })?;
    let rate = of(&found, "/tasks") / of(&found, "/seconds");
    report.figure("enqueue, lists of 500 over 4 connections", per_second(rate));
    report.detail("enqueue", found);
    Ok(())
}

fn latency(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let found = with_host(bench, "latency", |asked| asked["samples"] = json!(bench.sizes.samples))?;
    for (name, what) in
        [("create to run", "create_to_run_ms"), ("insert by hand to run", "insert_to_run_ms"), ("floor", "floor_ms")]
    {
        for which in ["p50", "p99"] {
            let ms = of(&found, &format!("/{what}/{which}"));
            report.figure(&format!("{name}, {which}"), format!("{ms:.2} ms"));
        }
    }
    let ratio = of(&found, "/create_to_run_ms/p50") / of(&found, "/floor_ms/p50");
    report.at_most("create to run / floor, p50", ratio, 1.5, "");
    let ratio = of(&found, "/insert_to_run_ms/p50") / of(&found, "/floor_ms/p50");
    report.figure("insert by hand to run / floor, p50", format!("{ratio:.2}"));
    report.detail("latency", found);
    Ok(())
}

/// Has the probe measure an idle host over a fresh database.
fn with_host(bench: &Bench<'_>, what: &'static str, add: impl FnOnce(&mut Value)) -> Result<Value> {
    let database = bench.database(what)?;
    let token = bench.places.token(&database)?;
    let mut host = Host::start(&bench.places, &database)?;
    let mut asked = json!({ "database": database.url(), "url": host.url, "token": token });
    add(&mut asked);
    let found = bench.probe.run(what, &asked)?;
    host.check()?;
    host.stop()?;
    bench.cluster.drop_database(&database)?;
    Ok(found)
}

fn sandbox(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut asked = in_process(bench);
    asked["runs"] = json!(bench.sizes.runs);
    let found = bench.probe.run("sandbox", &asked)?;
    report.at_most("sandbox cost of a task, p50", of(&found, "/cost_us"), 40.0, " µs");
    for (what, figure) in [
        ("  with a journalled read and its decision, p50", "/cost_with_read_us"),
        ("  alone on an idle host, from call to answer, p50", "/alone_us"),
        ("  the same with a journalled read, p50", "/alone_with_read_us"),
    ] {
        report.figure(what, format!("{:.1} µs", of(&found, figure)));
    }
    report.figure("host call", format!("{:.0} ns", of(&found, "/host_call_ns")));
    let (one, two) = (of(&found, "/runs_per_second_1_thread"), of(&found, "/runs_per_second_2_threads"));
    report.figure("runs with 1 guest thread", per_second(one));
    report.figure("runs with 2 guest threads", per_second(two));
    report.more_than("2 guest threads / 1", two / one, 1.0, "");
    report.figure("endless loop stopped after its limit, p50", format!("{:.1} ms", of(&found, "/loop_overrun_ms/p50")));
    report.at_most("  worst", of(&found, "/loop_overrun_ms/worst"), 30.0, " ms");
    report.detail("sandbox", found);
    Ok(())
}

fn parked(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut asked = in_process(bench);
    asked["instances"] = json!(bench.sizes.parked);
    let found = bench.probe.run("parked", &asked)?;
    let each = |pointer| of(&found, pointer) / of(&found, "/instances");
    let kib = |pointer| format!("{:.1} KiB", each(pointer) / 1024.0);
    report.figure(&format!("memory of a parked instance, of {}", bench.sizes.parked), kib("/bytes"));
    report.figure("  counting pages that they share for each", kib("/resident_bytes"));
    let each = each("/bytes");
    report.at_most("  10,000 of them", each * PARKED_INSTANCES / MIB, 600.0, " MiB");
    report.detail("parked", found);
    Ok(())
}

fn in_process(bench: &Bench<'_>) -> Value {
    json!({ "role": bench.places.role, "cache": bench.places.work.join("components") })
}

fn claim_costs(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let [small, medium, large] = bench.sizes.claims;
    let ours = |rows| Load { rows, ..Load::default() };
    let others = Load { rows: large - large / 100, task_type: "planning", ..Load::default() };
    let asleep = Load { rows: large, status: "suspended", ..Load::default() };
    let backlogs = [
        Backlog { name: shown(small), database: "claims_small", loads: vec![ours(small)] },
        Backlog { name: shown(medium), database: "claims_medium", loads: vec![ours(medium)] },
        Backlog { name: shown(large), database: "claims_large", loads: vec![ours(large)] },
        Backlog {
            name: format!("{}, 99% of other types", shown(large)),
            database: "claims_others",
            loads: vec![others, ours(large / 100)],
        },
        Backlog {
            name: format!("{} beside {} suspended", shown(small), shown(large)),
            database: "claims_suspended",
            loads: vec![asleep, ours(small)],
        },
    ];
    let mut first: Option<f64> = None;
    for (backlog, found) in backlogs.iter().zip(claims::measure(bench, &backlogs)?) {
        let what = format!("claim at {}", backlog.name);
        report.figure(&format!("{what}, each task"), format!("{:.0} µs ({} claims)", found.task_us, found.count));
        report.figure(
            "  finding and locking it",
            format!("{:.1} µs, {:.1} pages", found.search_us, found.search_buffers),
        );
        report.note("  plan", found.scans());
        match first {
            None => first = Some(found.task_us),
            Some(small) => report.at_most(&format!("{what} / at {}", backlogs[0].name), found.task_us / small, 1.2, ""),
        }
        report.detail(backlog.database, found.json());
    }
    Ok(())
}

fn of(found: &Value, pointer: &str) -> f64 {
    found.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// A number of rows for people.
fn shown(rows: usize) -> String {
    if rows >= 1_000_000 { format!("{} M", to_f64(rows) / 1e6) } else { format!("{} k", to_f64(rows) / 1e3) }
}
