//! Runs a command beside a local database: `juggernaut dev-database --home DIR -- COMMAND ARGS…`.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context as _, bail};

use super::LocalDb;

const DATABASE: &str = "juggernaut";

/// What shells add to a signal's number when they report it as a status.
const SIGNAL_STATUS_BASE: i32 = 128;

/// Starts the database of `home`, runs `command` with DATABASE_URL set to its database `juggernaut`, stops it, and
/// returns the command's status.
///
/// Ctrl-C goes to the command too, which ends in its own time; the database stays until then.
pub async fn run_with(home: &Path, command: &[OsString]) -> anyhow::Result<ExitCode> {
    let Some((program, arguments)) = command.split_first() else {
        bail!("there is no command to run; put one after `--`");
    };
    let db = LocalDb::start(home).await?;
    let ended = run(&db, program, arguments).await;
    // Stops it also where the command could not be run; that failure is the one to report.
    let stopped = db.stop().await;
    let status = ended?;
    stopped?;
    Ok(exit_code(status))
}

async fn run(db: &LocalDb, program: &OsString, arguments: &[OsString]) -> anyhow::Result<ExitStatus> {
    db.ensure_database(DATABASE).await?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", db.url(DATABASE))
        .spawn()
        .with_context(|| format!("could not run {}; check its name", program.to_string_lossy()))?;
    loop {
        tokio::select! {
            status = child.wait() => return status.context("could not wait for the command"),
            // Listening is what keeps Ctrl-C from ending us before the command ends.
            signal = tokio::signal::ctrl_c() => signal.context("could not listen for Ctrl-C")?,
        }
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let number = status.code().or_else(|| Some(SIGNAL_STATUS_BASE + status.signal()?));
    number.and_then(|number| u8::try_from(number).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
