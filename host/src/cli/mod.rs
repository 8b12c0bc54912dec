//! The command line.
//!
//! Invariants: only [`output`] prints; exit status 0 is success, 1 a failure that was told on stderr, 2 a wrong call, 3
//! (of `role diff` alone) more authority than before;
//! `--json` prints exactly what the API answers. Tokens and migrations work on the database directly; all else that
//! concerns tasks goes through the API.

mod alert;
mod approval;
mod args;
mod audit;
mod budget;
mod client;
mod database;
mod evidence;
mod follow;
mod goal;
mod goal_args;
mod governance_args;
pub mod hooks;
mod knowledge_args;
mod learning;
pub mod output;
mod policy;
mod replay;
mod report;
mod role;
mod role_args;
mod role_run;
mod role_work;
mod schedule;
mod sse;
mod task;
mod trace;
mod worker;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::config::{
    self, ApprovalConfig, AuditKey, CheckpointSchedule, DatabaseConfig, EgressSettings, Env, HostConfig, LogConfig,
    LogFormat, ModelSettings, WebhookConfig, WorkerConfig,
};
use crate::text;
use args::{Arguments, Command, DevArguments, TaskCommand};
use output::{Output, note};

/// The whole program: from its arguments to its exit status.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Before any client is made; an error only says that it was done before.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are "errors" too, with status 0. If they can't be printed, nobody is listening.
            error.print().unwrap_or_default();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(&format!("error: the runtime can not start: {error}; check the limits of this machine"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(dispatch(arguments)) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // It may quote a manifest, a component or a server.
            note(&text::visible_block(&format!("error: {error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// The reader of our output has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn dispatch(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { json, command } = arguments;
    let output = Output { json };
    let env = Env(&config::process);
    match command {
        Command::Serve => {
            let config = HostConfig::from_env(env)?;
            start_logging(&config.log, Checkpoints::Kept)?;
            hooks::serve(config).await
        }
        Command::Dev(dev) => {
            start_logging(&LogConfig::from_env(env)?, Checkpoints::Kept)?;
            hooks::dev(dev_options(dev, env)?).await
        }
        Command::Migrate => database::migrate(output).await,
        Command::Task { command } => {
            let client = client::Client::from_env(env)?;
            match command {
                TaskCommand::Create(create) => task::create(&client, create, output).await,
                TaskCommand::List(list) => task::list(&client, list, output).await,
                TaskCommand::Show { id } => task::show(&client, id, output).await,
                TaskCommand::Logs { id, follow } => task::logs(&client, id, follow, output).await,
                TaskCommand::Steps { id, attempt } => task::steps(&client, id, attempt, output).await,
                TaskCommand::Trace { id, attempt } => trace::trace(&client, id, attempt, output).await,
                TaskCommand::Cancel { id } => task::change(&client, id, "cancel", output).await,
                TaskCommand::Retry { id } => task::change(&client, id, "retry", output).await,
            }
        }
        Command::Goal { command } => goal::run(&client::Client::from_env(env)?, command, output).await,
        Command::Approval { command } => approval::run(&client::Client::from_env(env)?, command, output).await,
        Command::Schedule { command } => schedule::run(&client::Client::from_env(env)?, command, output).await,
        Command::Alert { command } => alert::run(env, command, output).await,
        Command::Learning { command } => learning::run(&client::Client::from_env(env)?, command, output).await,
        Command::Report { command } => report::run(&client::Client::from_env(env)?, command, output).await,
        Command::Worker { command: args::WorkerCommand::List } => {
            worker::list(&client::Client::from_env(env)?, output).await
        }
        Command::Budget { command: args::BudgetCommand::Show } => {
            budget::show(&client::Client::from_env(env)?, output).await
        }
        Command::Role { command } => role::run(command, env, output).await,
        Command::Policy { command } => policy::run(command, output),
        Command::Audit { command } => audit::audit(command, output).await,
        Command::Replay(arguments) => replay::replay(arguments, output).await,
        Command::Evidence { command } => evidence::run(command, output).await,
        Command::Token { command } => database::token(command, output).await,
        Command::DevDatabase { home, command } => hooks::dev_database(home, command).await,
    }
}

fn dev_options(arguments: DevArguments, env: Env<'_>) -> anyhow::Result<hooks::DevOptions> {
    let DevArguments { listen, home, roles, forge_seeds, forge_checks } = arguments;
    Ok(hooks::DevOptions {
        listen,
        home,
        roles,
        forge_seeds,
        forge_checks,
        database: DatabaseConfig::if_set(env)?,
        model: ModelSettings::from_env(env)?,
        egress: EgressSettings::from_env(env)?,
        worker: WorkerConfig::from_env(env)?,
        approvals: ApprovalConfig::from_env(env)?,
        audit_key: AuditKey::if_set(env)?,
        checkpoints: CheckpointSchedule::from_env(env)?,
        webhook: WebhookConfig::if_set(env)?,
    })
}

/// Whether the log has the audit log's checkpoints, whatever else is left out: the log stream is where they are safe from
/// the database's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checkpoints {
    Kept,
    /// Of a host that nobody's work depends on.
    AsFiltered,
}

/// The host's own log goes to stderr; stdout belongs to what a command prints.
fn start_logging(config: &LogConfig, checkpoints: Checkpoints) -> anyhow::Result<()> {
    let mut filter = EnvFilter::try_new(&config.filter).context("RUST_LOG is not a tracing filter")?;
    if checkpoints == Checkpoints::Kept {
        filter = filter.add_directive("audit_checkpoint=info".parse()?);
    }
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match config.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log can not start: {error}"))
}
