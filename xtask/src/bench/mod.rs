//! `cargo xtask bench`: the engine's figures, each beside what it is held against, in one run on one machine.
//!
//! Invariant: what it starts it stops, and deletes, also when it fails or is interrupted; figures are counted in the
//! database or by the probe, never taken from what the host says of itself.

mod baseline;
mod claims;
mod cluster;
mod drain;
mod host;
mod probe;
mod report;
mod sections;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::build::{self, Profile};
use crate::interrupt;
use crate::workspace::{Workspace, say};
use cluster::{Cluster, Database, SERVER_SETTINGS};
use host::Places;
use probe::Probe;
use report::Report;

const ROLE: &str = "noop";

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Small sizes, two minutes: its figures only show that it works
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
    /// Fail where a target is missed
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Tasks per second, and the database's own limit beside it
    Drain,
    /// The same with a large backlog, and behind dead rows
    Backlog,
    /// Statements and commits of tasks with ten journalled reads
    Journal,
    /// Tasks per second through the bulk API
    Enqueue,
    /// From creation to the first line of the run, on an idle system
    Latency,
    /// What the sandbox costs without queue and database
    Sandbox,
    /// Memory of live instances that wait in a host call
    Parked,
    /// Time and plan of a claim, by the size of the queue
    Claims,
}

impl Settings {
    fn wants(&self, section: Section) -> bool {
        self.sections.is_empty() || self.sections.contains(&section)
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    backlog: usize,
    backlog_large: usize,
    dead: usize,
    /// Tasks that are counted while a backlog is drained, and the time after which it is enough.
    window: usize,
    seconds_max: u64,
    /// Tasks of a pgbench script.
    baseline: usize,
    enqueue_seconds: u64,
    /// Of the latency.
    samples: usize,
    /// Of the sandbox.
    runs: usize,
    parked: usize,
    /// Pending tasks that claims are measured at.
    claims: [usize; 3],
    /// Of one turn.
    claims_seconds: u64,
}

impl Sizes {
    fn of(quick: bool) -> Sizes {
        if quick {
            Sizes {
                backlog: 20_000,
                backlog_large: 100_000,
                dead: 40_000,
                window: 5_000,
                seconds_max: 4,
                baseline: 40_000,
                enqueue_seconds: 3,
                samples: 40,
                runs: 1_000,
                parked: 2_000,
                claims: [1_000, 20_000, 100_000],
                claims_seconds: 2,
            }
        } else {
            Sizes {
                backlog: 20_000,
                backlog_large: 1_000_000,
                dead: 400_000,
                window: 20_000,
                seconds_max: 60,
                baseline: 400_000,
                enqueue_seconds: 10,
                samples: 200,
                runs: 10_000,
                parked: 10_000,
                claims: [1_000, 100_000, 1_000_000],
                claims_seconds: 5,
            }
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
    let roles = work.join("roles");
    let places = Places {
        juggernaut: workspace.bin_dir(settings.profile).join("juggernaut"),
        role: role(workspace, &roles)?,
        roles,
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
    let wanted = Section::value_variants().iter().filter(|section| settings.wants(**section));
    let measured = wanted.copied().try_for_each(|section| sections::run(&bench, section, &mut report));
    // What was measured before a section failed is shown, too.
    report.print()?;
    let file = work.join(format!("{}.json", SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()));
    report.write(&file, &described(&bench, settings)?)?;
    say(&format!("written to {}", file.display()))?;
    measured?;
    let missed = report.missed();
    if settings.check && !missed.is_empty() {
        bail!("missed targets: {}", missed.join("; "));
    }
    Ok(())
}

/// The no-op role, alone in a folder of roles.
fn role(workspace: &Workspace, roles: &Path) -> Result<PathBuf> {
    let (from, into) = (workspace.test_guests_dir().join(ROLE), roles.join(ROLE));
    fs::create_dir_all(&into).with_context(|| format!("could not create {}", into.display()))?;
    for file in [format!("{ROLE}.wasm"), "capabilities.toml".to_owned()] {
        fs::copy(from.join(&file), into.join(&file)).with_context(|| format!("could not copy {file} of {ROLE}"))?;
    }
    Ok(into)
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
