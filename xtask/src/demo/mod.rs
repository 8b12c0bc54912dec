//! The demo: tasks from their creation to a merged pull request, refusals, an approval, and an audit log that shows
//! tampering, with the real binaries and nothing from outside.
//!
//! Invariant: what it says happened was looked up where it happened, by other means than the run that did it: the API
//! for the task, git for the commit, the forge's own file for pull requests.
//! Invariant: what it starts it stops, also when it fails or is interrupted.

mod cli;
mod git;
mod goal;
mod governance;
mod host;
mod roles;
mod scenario;
mod show;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::build::Profile;
use crate::interrupt;
use crate::workspace::Workspace;
use cli::Cli;
use git::Repository;
use host::DevHost;
use scenario::Scenario;
use show::{Row, line};

const BINARIES: [&str; 2] = ["juggernaut", "forge"];
/// The repository that the demo works on, in the local forge.
pub(super) const REPOSITORY: &str = "demo/sample";
/// The check run that the forge gives to each new head, and how long it takes.
pub(super) const CHECK: &str = "ci";
const CHECK_POLICY: &str = "ci=success@1500";
/// The demo's own sources, below the workspace.
const SOURCES: &str = "xtask/demo";

/// Where everything is.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) juggernaut: PathBuf,
    pub(super) root: PathBuf,
    /// Database, forge and token; kept between runs.
    pub(super) home: PathBuf,
    pub(super) sources: PathBuf,
    /// Roles that the host runs.
    pub(super) roles: PathBuf,
    /// Roles that no host runs.
    pub(super) refused: PathBuf,
}

/// Runs the scenario with the binaries of `profile`, in `home`.
pub(crate) fn run(workspace: &Workspace, profile: Profile, home: &Path) -> Result<()> {
    let bin_dir = workspace.bin_dir(profile);
    for name in BINARIES {
        let path = bin_dir.join(name);
        if !path.is_file() {
            bail!("{} does not exist; run `cargo xtask demo`, which builds it", path.display());
        }
    }
    interrupt::watch()?;
    let places = Places {
        juggernaut: bin_dir.join("juggernaut"),
        root: workspace.root.clone(),
        home: home.to_owned(),
        sources: workspace.root.join(SOURCES),
        roles: workspace.target_dir.join("demo-roles"),
        refused: workspace.target_dir.join("demo-refused"),
    };
    roles::assemble(workspace, &places)?;
    let host = DevHost::start(&places)?;
    let played = play(&places, &host);
    let stopped = host.stop();
    // What went wrong first is what matters; a stop that failed after it is told along.
    let rows = match (played, stopped) {
        (Ok(rows), Ok(())) => rows,
        (Ok(_), Err(error)) | (Err(error), Ok(())) => return Err(error),
        (Err(error), Err(stop)) => bail!("{error:#}; besides, the host did not stop well: {stop:#}"),
    };
    show::table(&rows)?;
    line("everything was stopped; a second run goes on from here")
}

fn play(places: &Places, host: &DevHost) -> Result<Vec<Row>> {
    let repository = Repository::new(places.home.join("forge").join(format!("{REPOSITORY}.git")));
    let cli = Cli::new(places, host.address());
    // Before the run is counted: what is left may be merging.
    scenario::cancel_leftovers(&cli)?;
    let scenario = Scenario {
        cli,
        run: repository.commits_on_main().context("the demo's repository can not be read")?,
        repository,
        places,
        database: host.database().to_owned(),
    };
    line(&format!("\nJuggernaut demo, run {}: API at {}", scenario.run, host.address().url))?;
    let mut rows = vec![scenario.code_task()?, scenario.prose_task()?];
    rows.extend(scenario.refused_components()?);
    rows.push(scenario.approved_task()?);
    rows.push(scenario.prohibited()?);
    rows.extend(scenario.goal()?);
    rows.push(scenario.watched()?);
    scenario.audit_log()?;
    Ok(rows)
}
