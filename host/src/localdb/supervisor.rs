//! A child that ends when we end: `supervisor.sh` holds the other end of a pipe of ours.
//!
//! Invariants: the pipe's write end is close-on-exec (std opens all its pipes so), hence no child of ours keeps it
//! open. The child has its own process group: Ctrl-C at the terminal reaches us, and we decide when it stops.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::LocalDbError;
use super::account::Account;
use super::cluster::last_chars;

const SCRIPT: &str = include_str!("supervisor.sh");
const SHELL: &str = "/bin/sh";

const EXIT_POLL: Duration = Duration::from_millis(20);

/// The end of a log that an error shows.
const LOG_TAIL_CHARS_MAX: usize = 2_000;

#[derive(Debug)]
pub(super) struct Supervised {
    /// None once it is stopping, or ended and was waited for.
    child: Option<Child>,
    /// Closing it is the request to stop.
    pipe: Option<ChildStdin>,
    log: PathBuf,
}

impl Supervised {
    /// Runs `program` under `account`. The account opens the log, not we: as root we would follow whatever link it
    /// had put there.
    pub(super) fn spawn<A: AsRef<OsStr>>(
        account: &Account,
        log: &Path,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Supervised, LocalDbError> {
        let mut child = account
            .command(SHELL)
            .args(["-c", SCRIPT, "supervisor"])
            .arg(log)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(LocalDbError::spawn(SHELL))?;
        Ok(Supervised { pipe: child.stdin.take(), child: Some(child), log: log.to_owned() })
    }

    /// How it ended, if it did.
    pub(super) fn exited(&mut self) -> Result<Option<ExitStatus>, LocalDbError> {
        let Some(child) = &mut self.child else {
            return Ok(None);
        };
        child.try_wait().map_err(LocalDbError::io("wait for the program that writes", &self.log))
    }

    /// Waits for it to end by itself, without asking it to.
    pub(super) async fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>, LocalDbError> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.exited()? {
                return Ok(Some(status));
            }
            if began.elapsed() > limit {
                return Ok(None);
            }
            tokio::time::sleep(EXIT_POLL).await;
        }
    }

    /// Asks it to end. It goes on ending if nobody waits.
    pub(super) fn request_stop(&mut self) {
        drop(self.pipe.take());
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// The end of its log, for an error message.
    pub(super) fn log_tail(&self) -> String {
        match fs::read(&self.log) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                last_chars(text.trim_end(), LOG_TAIL_CHARS_MAX).to_owned()
            }
            Err(error) => format!("(the log can not be read: {error})"),
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.request_stop();
        let Some(mut child) = self.child.take() else {
            return;
        };
        // Reaps it without holding up whoever drops us; if this process ends first, init does it.
        let reaper = std::thread::Builder::new().name("localdb-reaper".to_owned()).spawn(move || child.wait());
        if let Err(error) = reaper {
            tracing::warn!(%error, "the ended PostgreSQL stays a zombie until this process ends");
        }
    }
}
