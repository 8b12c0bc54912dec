//! The host of the demo: `juggernaut dev`, a child of ours.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{CHECK_POLICY, Places, REPOSITORY, interrupt};

/// A cluster is made and components are compiled within this.
const START_MAX: Duration = Duration::from_mins(2);
const STOP_MAX: Duration = Duration::from_mins(1);
const STOP_LOOK_EVERY: Duration = Duration::from_millis(50);
/// Before the database's URL.
const DATABASE: &str = "database ";
const READY: &str = "listening on http";
/// Lines of the host's log that are shown when it does not start.
const TAIL_LINES: usize = 15;
/// What a developer may have set for another host, and what must not reach this one.
const FOREIGN: &[&str] = &[
    "DATABASE_URL",
    "PORT",
    "GITHUB_TOKEN",
    "GITHUB_API_URL",
    "OPENROUTER_API_KEY",
    "OPENROUTER_BASE_URL",
    "WORKER_ID",
    "WORKER_TYPE",
    "JUGGERNAUT_LISTEN",
    "JUGGERNAUT_ROLES",
    "JUGGERNAUT_CACHE",
    "JUGGERNAUT_POLICIES",
    "JUGGERNAUT_AUDIT_KEY",
    "JUGGERNAUT_AUDIT_CHECKPOINT_ROWS",
    "JUGGERNAUT_AUDIT_CHECKPOINT_SECONDS",
    "JUGGERNAUT_APPROVAL_HOURS",
    "JUGGERNAUT_SOLO_APPROVALS",
    "JUGGERNAUT_EGRESS_LOOPBACK",
    "JUGGERNAUT_CONCURRENCY",
    "JUGGERNAUT_HEARTBEAT_SECONDS",
    "JUGGERNAUT_LEASE_SECONDS",
    "JUGGERNAUT_POLL_MS",
    "JUGGERNAUT_GRACE_SECONDS",
    "JUGGERNAUT_LOG_RETENTION_DAYS",
    "JUGGERNAUT_WATCHDOG_CRON",
    "JUGGERNAUT_ALERT_WEBHOOK_URL",
    "JUGGERNAUT_ALERT_WEBHOOK_SECRET",
    "JUGGERNAUT_LLM_DAY_TOKENS_MAX",
    "JUGGERNAUT_LLM_DAY_MICRODOLLARS_MAX",
    "JUGGERNAUT_LLM_PRICES",
    "JUGGERNAUT_LOG_FORMAT",
];

/// Where the command line finds the host.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) url: String,
    pub(super) token: String,
}

#[derive(Debug)]
pub(super) struct DevHost {
    /// None once it was waited for.
    child: Option<Child>,
    log: PathBuf,
    address: Address,
    database: String,
}

impl DevHost {
    /// Returns once the API answers.
    pub(super) fn start(places: &Places) -> Result<DevHost> {
        let home = &places.home;
        fs::create_dir_all(home).with_context(|| format!("could not create {}", home.display()))?;
        let log = home.join("demo.log");
        let output = File::create(&log).with_context(|| format!("could not write {}", log.display()))?;
        let mut command = Command::new(&places.juggernaut);
        command.current_dir(&places.root).args(["dev", "--listen", "127.0.0.1:0", "--home"]).arg(home);
        command.arg("--roles").arg(&places.roles).args(["--forge-check", CHECK_POLICY, "--forge-seed"]);
        command.arg(format!("{REPOSITORY}={}", places.sources.join("sample").display()));
        for name in FOREIGN {
            command.env_remove(name);
        }
        command.env("JUGGERNAUT_RETRY_MS", "200").env("RUST_LOG", "info");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn();
        let child = child.with_context(|| format!("{} does not start", places.juggernaut.display()))?;
        let address = Address { url: String::new(), token: String::new() };
        // From here on an error stops the child: it is dropped.
        let mut host = DevHost { child: Some(child), log, address, database: String::new() };
        interrupt::wait("the host to start", START_MAX, || host.look()).with_context(|| host.tail())?;
        host.address = read_address(&home.join("client.toml"))?;
        let said = fs::read_to_string(&host.log)?;
        let database = said.lines().find_map(|line| line.strip_prefix(DATABASE)).context("`dev` names no database")?;
        database.trim().clone_into(&mut host.database);
        Ok(host)
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn database(&self) -> &str {
        &self.database
    }

    fn look(&mut self) -> Result<Option<()>> {
        let child = self.child.as_mut().context("the host was waited for already")?;
        if let Some(status) = child.try_wait()? {
            self.child = None;
            bail!("`juggernaut dev` ended with {status}");
        }
        let log = fs::read_to_string(&self.log)?;
        Ok(log.lines().any(|line| line.starts_with(READY)).then_some(()))
    }

    fn tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        format!("the end of {}:\n{tail}\nthe host did not start", self.log.display())
    }

    /// As a deployment platform does it; an error if the host does not end well by itself.
    pub(super) fn stop(mut self) -> Result<()> {
        let Some(child) = self.child.take() else {
            bail!("`juggernaut dev` ended by itself; see {}", self.log.display());
        };
        match end(child)? {
            status if status.success() => Ok(()),
            status => bail!("`juggernaut dev` was stopped and ended with {status}; see {}", self.log.display()),
        }
    }
}

impl Drop for DevHost {
    /// Only where starting failed: everything else goes through `stop`.
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            // The error that led here is the one to tell.
            end(child).map(drop).unwrap_or_default();
        }
    }
}

/// SIGTERM, and SIGKILL to what does not heed it. The number is of our own child, which is not waited for yet.
fn end(mut child: Child) -> Result<ExitStatus> {
    Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh"]).arg(child.id().to_string()).status()?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if began.elapsed() > STOP_MAX {
            child.kill()?;
            child.wait()?;
            bail!("`juggernaut dev` did not stop within {} s and was killed", STOP_MAX.as_secs());
        }
        std::thread::sleep(STOP_LOOK_EVERY);
    }
}

fn read_address(file: &std::path::Path) -> Result<Address> {
    let text = fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
    let value = |key: &str| {
        let found = text.lines().filter_map(|line| line.split_once(" = ")).find(|(name, _)| *name == key);
        let (_, value) = found.with_context(|| format!("{} has no {key}", file.display()))?;
        anyhow::Ok(value.trim_matches('"').to_owned())
    };
    Ok(Address { url: value("url")?, token: value("token")? })
}
