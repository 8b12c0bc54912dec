//! `juggernaut role run`: one task, on a host that lives as long as the task does.
//!
//! Invariant: nothing but what lies in the run's own folder is used or changed: neither a database, a forge nor a host
//! that the environment names. The forge begins anew each time.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::args::DevArguments;
use super::client::Client;
use super::follow::{self, Followed, Lines};
use super::output::{Output, note, visible};
use super::role_args::RunArguments;
use super::{Checkpoints, dev_options, hooks, role_work, start_logging, task};
use crate::app::{self, DevHost};
use crate::config::{ClientConfig, Env, LogConfig};
use crate::db::task_views::TaskSummary;
use crate::manifest::Manifest;

/// Below the role's directory, where cargo's things are, and removed with them.
const FOLDER: &str = "target/role-run";
/// The command line looks for a folder of this name.
const HOME: &str = ".juggernaut";
/// Below that, the folder that holds this one role.
const ROLES: &str = "role-run";
/// What the host tells of itself: only what is wrong, where nobody asks for more.
const LOG_FILTER: &str = "warn";

pub(super) async fn run(arguments: RunArguments, env: Env<'_>, output: Output) -> Result<ExitCode> {
    let RunArguments { component: place, task: file, forge_seeds, forge_checks, record, home } = arguments;
    if let Some(record) = &record {
        ensure!(!record.exists(), "{} exists, and is not overwritten; name another file", record.display());
    }
    let mut draft = task::read_json(&file).context("--task")?;
    let component = role_work::component(&place)?;
    let folder = home.clone().unwrap_or_else(|| place.directory.join(FOLDER));
    let home_folder = folder.join(HOME);
    // Cleared each time: nobody else's folder has this name.
    let roles = home_folder.join(ROLES);
    let manifest = app::stage_role(&place.directory, component, &roles)?;
    complete(&mut draft, &manifest)?;
    if home.is_none() {
        app::clear_folder(&home_folder.join("forge"))?;
    }
    log_what_is_wrong(env)?;
    let listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let dev = DevArguments { listen, home: home_folder, roles: Some(roles), forge_seeds, forge_checks };
    let mut options = dev_options(dev, env)?;
    options.database = None;
    options.audit_key = None;
    options.worker.worker_id = None;
    options.worker.worker_type = None;
    note("starting the database, the forge and the role");
    let host = hooks::start_dev(options).await?;
    let followed = follow_task(&host, &folder, &draft, record.as_deref(), output).await;
    let stopped = host.stop().await;
    let followed = followed?;
    stopped?;
    follow::exit_code(followed)
}

/// One attempt shows what there is to see; and a task that the role does not claim would wait forever.
fn complete(draft: &mut Value, manifest: &Manifest) -> Result<()> {
    let fields = draft.as_object_mut().context("--task must be one task, a JSON object")?;
    fields.entry("attempts_max").or_insert(json!(1));
    let task_type = fields.get("task_type").and_then(Value::as_str).unwrap_or_default();
    if !manifest.role.task_types.iter().any(|claimed| claimed == task_type) {
        bail!(
            "the task is of type {task_type:?}, and the role claims {}; correct the task, or role.task_types of {}",
            manifest.role.task_types.join(", "),
            manifest.path.display()
        );
    }
    Ok(())
}

fn log_what_is_wrong(env: Env<'_>) -> Result<()> {
    let mut log = LogConfig::from_env(env)?;
    if !LogConfig::filter_is_set(env) {
        LOG_FILTER.clone_into(&mut log.filter);
    }
    start_logging(&log, Checkpoints::AsFiltered)
}

async fn follow_task(
    host: &DevHost,
    folder: &Path,
    draft: &Value,
    record: Option<&Path>,
    output: Output,
) -> Result<Followed> {
    let client = Client::new(ClientConfig::of_file(host.client_file())?)?;
    let created: TaskSummary = client.create(&["tasks"], draft).await?.parse()?;
    note(&format!("created task {}: {}", created.id, visible(&created.title)));
    note(&format!("in {} other commands find this host, for example to approve something", shown(folder)));
    let followed = follow::follow(&client, created.id, Lines::Stderr, output).await?;
    match (followed, record) {
        (Followed::Interrupted, _) => {
            // It would go on at the next start, beside the next task.
            client.post(&["tasks", &created.id.to_string(), "cancel"], None).await?;
            note("The task is cancelled: its host ends with this command.");
        }
        (Followed::Ended(_), None) => show(&client, created.id, output).await?,
        (Followed::Ended(_), Some(record)) => {
            show(&client, created.id, output).await?;
            let text = host.recorded(created.id).await.context("--record")?;
            write_new(record, &text)?;
            note(&format!("recorded {}", shown(record)));
        }
    }
    Ok(followed)
}

/// The task and what the role called.
async fn show(client: &Client, id: crate::task::TaskId, output: Output) -> Result<()> {
    task::show(client, id, output).await?;
    if !output.json {
        task::steps(client, id, None, output).await?;
    }
    Ok(())
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;

    let what = || format!("{} can not be written", path.display());
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(what)?;
    }
    let mut file = std::fs::File::create_new(path).with_context(what)?;
    file.write_all(text.as_bytes()).with_context(what)
}

fn shown(path: &Path) -> String {
    visible(&path.display().to_string())
}
