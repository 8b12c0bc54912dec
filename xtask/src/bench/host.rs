//! The host that is measured: the real binary, serving one role.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::cluster::Database;
use crate::interrupt;

const START_MAX: Duration = Duration::from_mins(1);
const STOP_MAX: Duration = Duration::from_secs(30);
const STOP_LOOK_EVERY: Duration = Duration::from_millis(20);
const LISTENING: &str = "listening on ";
/// Checkpoints of the audit log are signed as in production; with a key that everybody may know.
const AUDIT_KEY: &str = "4a75676765726e617574207369676e7320697473206175646974206c6f672e2e";

/// What a host is started from.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) juggernaut: PathBuf,
    pub(super) roles: PathBuf,
    /// The folder of the no-op role in it.
    pub(super) role: PathBuf,
    /// Logs and compiled components.
    pub(super) work: PathBuf,
    pub(super) concurrency: usize,
}

impl Places {
    /// Nothing of the caller's environment reaches it: a setting or a token of a real host would be measured along.
    pub(super) fn command(&self, database: &Database) -> Command {
        let mut command = Command::new(&self.juggernaut);
        command.env_clear().current_dir(&self.work).env("DATABASE_URL", database.url()).stdin(Stdio::null());
        command
    }

    /// Runs a command of the binary to its end; what it printed.
    pub(super) fn run(&self, database: &Database, arguments: &[&str]) -> Result<Vec<u8>> {
        let output = self.command(database).args(arguments).output().context("juggernaut does not run")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`juggernaut {}` ended with {}: {}", arguments.join(" "), output.status, said.trim());
        }
        Ok(output.stdout)
    }

    /// An operator's token.
    pub(super) fn token(&self, database: &Database) -> Result<String> {
        let printed =
            self.run(database, &["--json", "token", "create", "--principal", "bench", "--role", "operator"])?;
        let created: Value = serde_json::from_slice(&printed).context("`token create` printed no JSON")?;
        let secret = created["secret"].as_str().context("`token create` printed no secret")?;
        Ok(secret.to_owned())
    }
}

#[derive(Debug)]
pub(super) struct Host {
    child: Child,
    pub(super) url: String,
    log: PathBuf,
}

impl Host {
    /// Returns once it listens.
    pub(super) fn start(places: &Places, database: &Database) -> Result<Host> {
        let log = places.work.join(format!("host-{}.log", database.name));
        let output = File::create(&log).with_context(|| format!("could not write {}", log.display()))?;
        let mut command = places.command(database);
        command
            .arg("serve")
            .env("JUGGERNAUT_LISTEN", "127.0.0.1:0")
            .env("JUGGERNAUT_ROLES", &places.roles)
            .env("JUGGERNAUT_CACHE", places.work.join("components"))
            .env("JUGGERNAUT_CONCURRENCY", places.concurrency.to_string())
            .env("JUGGERNAUT_GRACE_SECONDS", "5")
            .env("JUGGERNAUT_AUDIT_KEY", AUDIT_KEY)
            .env("RUST_LOG", "warn");
        let child = command.stdout(Stdio::null()).stderr(output).spawn().context("the host does not start")?;
        let mut host = Host { child, url: String::new(), log };
        host.url = interrupt::wait("the host to start", START_MAX, || host.look())?;
        Ok(host)
    }

    fn look(&mut self) -> Result<Option<String>> {
        let said = fs::read_to_string(&self.log)?;
        if let Some(status) = self.child.try_wait()? {
            bail!("the host ended with {status}:\n{said}");
        }
        Ok(said.lines().find_map(|line| line.strip_prefix(LISTENING)).map(str::to_owned))
    }

    /// An error if it ended by itself.
    pub(super) fn check(&mut self) -> Result<()> {
        self.look().map(drop)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, so that it releases what it has claimed.
    pub(super) fn stop(mut self) -> Result<()> {
        Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh"]).arg(self.pid().to_string()).status()?;
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > STOP_MAX {
                bail!("the host did not stop within {} s; its log is {}", STOP_MAX.as_secs(), self.log.display());
            }
            std::thread::sleep(STOP_LOOK_EVERY);
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already; then there is nobody to kill.
        if self.child.kill().is_ok() {
            self.child.wait().map(drop).unwrap_or_default();
        }
    }
}
