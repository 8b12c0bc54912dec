//! `cargo xtask bench`: the engine's figures, each beside what it is held against, in one run on one machine.
//!
//! Invariant: what it starts it stops, and deletes, also when it fails or is interrupted; figures are counted in the
//! database or by the probe, never taken from what the host says of itself.

mod baseline;
mod cluster;
mod drain;
mod host;
mod probe;
mod report;

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::build::{self, Profile};
use crate::interrupt;
use crate::workspace::{Workspace, say};
use cluster::{Cluster, Database, SERVER_SETTINGS};
use drain::{Drain, drain};
use host::{Host, Places};
use probe::Probe;
use report::{Report, per_second};

const ROLE: &str = "noop";

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Small sizes: two minutes instead of twenty, and figures that only show that it works
    #[arg(long)]
    quick: bool,
    /// How the host is built
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    profile: Profile,
    /// What to measure; all of it if not given. Can be given more than once
    #[arg(long = "section", value_enum)]
    sections: Vec<Section>,
    /// Tasks that the host runs at the same time
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Tasks per second, and the database's own limit beside it
    Drain,
    /// From creation to the first line of the run, on an idle system
    Latency,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    backlog: usize,
    window: usize,
    seconds_max: u64,
    /// Tasks of a pgbench script.
    baseline: usize,
    samples: usize,
}

impl Sizes {
    fn of(quick: bool) -> Sizes {
        if quick {
            Sizes { backlog: 20_000, window: 5_000, seconds_max: 8, baseline: 40_000, samples: 40 }
        } else {
            Sizes { backlog: 20_000, window: 20_000, seconds_max: 60, baseline: 400_000, samples: 200 }
        }
    }
}

/// What the sections share.
#[derive(Debug)]
struct Bench<'a> {
    cluster: &'a Cluster,
    /// Migrated, otherwise empty.
    template: Database,
    places: Places,
    probe: Probe,
    sizes: Sizes,
}

impl Bench<'_> {
    /// A migrated, empty database.
    fn database(&self, name: &str) -> Result<Database> {
        self.cluster.create(name, Some(&self.template))
    }
}

pub(crate) fn run(workspace: &Workspace, settings: &Settings) -> Result<()> {
    build::binaries_and_probe(workspace, settings.profile)?;
    build::test_guests(workspace)?;
    interrupt::watch()?;
    let work = workspace.target_dir.join("bench");
    let places = Places {
        juggernaut: workspace.bin_dir(settings.profile).join("juggernaut"),
        roles: roles(workspace, &work)?,
        work: work.clone(),
        concurrency: settings.concurrency,
    };
    build::lock(workspace, settings.profile, &places.roles)?;
    let cluster = Cluster::start()?;
    let template = cluster.create("template_bench", None)?;
    places.run(&template, &["migrate"])?;
    let probe = Probe::find(workspace, settings.profile)?;
    let bench = Bench { cluster: &cluster, template, places, probe, sizes: Sizes::of(settings.quick) };
    let mut report = Report::default();
    let measured = sections(&bench, settings, &mut report);
    // What was measured before a section failed is shown, too.
    report.print()?;
    let file = work.join(format!("{}.json", SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()));
    report.write(&file, &described(&bench, settings)?)?;
    say(&format!("written to {}", file.display()))?;
    measured
}

fn sections(bench: &Bench<'_>, settings: &Settings, report: &mut Report) -> Result<()> {
    let wanted = |section| settings.sections.is_empty() || settings.sections.contains(&section);
    if wanted(Section::Drain) {
        drains(bench, report).context("section drain")?;
    }
    if wanted(Section::Latency) {
        latency(bench, report).context("section latency")?;
    }
    Ok(())
}

fn drains(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let Sizes { backlog, window, seconds_max, .. } = bench.sizes;
    let plain = Drain { name: "drain_20k", backlog, window, seconds_max, dead: 0, payload: "{}" };
    let (database, drained) = drain(bench, &plain)?;
    report.figure("drain at 20 k pending", per_second(drained.tasks_per_second));
    report.figure("  commits per task", format!("{:.2}", drained.commits_per_task));
    report.figure("  statements per task", format!("{:.2}", drained.statements_per_task));
    report.detail("drain_20k", drained.json());
    let base = baseline::measure(bench, &database)?;
    report.figure("claim-50", per_second(base.claim));
    report.figure("claim-50-rows", per_second(base.claim_with_rows));
    report.at_least("drain / claim-50-rows", drained.tasks_per_second / base.claim_with_rows, 0.5, "");
    report.at_least("drain / claim-50", drained.tasks_per_second / base.claim, 0.2, "");
    report.detail("baseline", base.json());
    bench.cluster.drop_database(&database)
}

fn latency(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let database = bench.database("latency")?;
    let token = bench.places.token(&database)?;
    let mut host = Host::start(&bench.places, &database)?;
    let asked = json!({
        "database": database.url(), "url": host.url, "token": token, "samples": bench.sizes.samples,
    });
    let found = bench.probe.run("latency", &asked)?;
    host.check()?;
    host.stop()?;
    let of = |what: &str, which: &str| found[what][which].as_f64().unwrap_or(f64::NAN);
    for (name, what) in [("create to run", "create_to_run_ms"), ("floor", "floor_ms")] {
        report.figure(&format!("{name}, p50"), format!("{:.2} ms", of(what, "p50")));
        report.figure(&format!("{name}, p99"), format!("{:.2} ms", of(what, "p99")));
    }
    report.at_most("create to run / floor, p50", of("create_to_run_ms", "p50") / of("floor_ms", "p50"), 1.5, "");
    report.detail("latency", found);
    bench.cluster.drop_database(&database)
}

/// A folder with the no-op role alone.
fn roles(workspace: &Workspace, work: &std::path::Path) -> Result<PathBuf> {
    let (from, roles) = (workspace.test_guests_dir().join(ROLE), work.join("roles"));
    let into = roles.join(ROLE);
    fs::create_dir_all(&into).with_context(|| format!("could not create {}", into.display()))?;
    for file in [format!("{ROLE}.wasm"), "capabilities.toml".to_owned()] {
        fs::copy(from.join(&file), into.join(&file)).with_context(|| format!("could not copy {file} of {ROLE}"))?;
    }
    Ok(roles)
}

/// What the figures were measured with.
fn described(bench: &Bench<'_>, settings: &Settings) -> Result<Value> {
    let server: serde_json::Map<_, _> =
        SERVER_SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    Ok(json!({
        "quick": settings.quick, "profile": format!("{:?}", settings.profile), "concurrency": settings.concurrency,
        "cpus": cpus, "postgresql": bench.template.value("show server_version")?, "postgresql_settings": server,
        "sizes": format!("{:?}", bench.sizes),
    }))
}
