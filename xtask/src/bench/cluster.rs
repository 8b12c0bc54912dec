//! A PostgreSQL of the bench's own, as durable as a production one, and the programs that talk to it.
//!
//! Invariant: it listens on a socket in its own directory and nowhere else, and ends and is deleted with this value.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

use serde_json::Value;

use crate::db::delete_directory;
use crate::interrupt;

const SUPERUSER: &str = "juggernaut";
/// Where root's PostgreSQL can get at its files.
const PARENT: &str = "/var/tmp";

/// What differs from PostgreSQL's own defaults, and is said beside the figures. Nothing here makes a commit less
/// durable.
pub(super) const SERVER_SETTINGS: [(&str, &str); 13] = [
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
    ("max_connections", "100"),
    ("shared_preload_libraries", "pg_stat_statements"),
    ("pg_stat_statements.track", "top"),
    ("logging_collector", "on"),
    ("log_destination", "jsonlog"),
    ("log_rotation_size", "0"),
    ("listen_addresses", ""),
];

/// An account that may run PostgreSQL, where we are root.
#[derive(Debug, Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

#[derive(Debug)]
pub(super) struct Cluster {
    dir: PathBuf,
    programs: PathBuf,
    account: Option<Account>,
}

/// A database of the cluster.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) name: String,
    socket: PathBuf,
    programs: PathBuf,
}

impl Cluster {
    /// Makes and starts it.
    pub(super) fn start() -> Result<Cluster> {
        let dir = Path::new(PARENT).join(format!("juggernaut-bench-{}", std::process::id()));
        let (programs, account) = (programs()?, account()?);
        fs::create_dir(&dir).with_context(|| format!("could not create {}", dir.display()))?;
        // From here on an error deletes it again.
        let cluster = Cluster { dir, programs, account };
        if let Some(Account { uid, gid }) = account {
            let dir = &cluster.dir;
            chown(dir, Some(uid), Some(gid)).with_context(|| format!("could not give {} away", dir.display()))?;
        }
        let data = cluster.dir.join("data");
        let initdb = ["--auth=trust", "--no-locale", "--encoding=UTF8", "--username", SUPERUSER];
        finished(cluster.command("initdb").args(initdb).arg("--pgdata").arg(&data))?;
        let settings = SERVER_SETTINGS.iter().map(|(name, value)| format!("{name} = '{value}'\n"));
        let socket = format!("unix_socket_directories = '{}'\n", cluster.dir.display());
        let text: String = settings.chain([socket]).collect();
        let conf = data.join("postgresql.auto.conf");
        fs::write(&conf, text).with_context(|| format!("could not write {}", conf.display()))?;
        cluster.control("start")?;
        Ok(cluster)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.dir).stdin(Stdio::null());
        if let Some(Account { uid, gid }) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn control(&self, verb: &str) -> Result<()> {
        let mut control = self.command("pg_ctl");
        control.arg(verb).args(["-w", "-m", "fast"]).arg("-D").arg(self.dir.join("data"));
        if verb == "start" {
            control.arg("-l").arg(self.dir.join("server.log"));
        }
        // The server inherits standard output; waiting for its end would be waiting for the server's.
        let status = control.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let status = status.context("pg_ctl does not run")?;
        if !status.success() {
            let log = fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
            bail!("`pg_ctl {verb}` ended with {status}; the server says:\n{log}");
        }
        Ok(())
    }

    /// An empty database, or a copy of another one that nobody is connected to.
    pub(super) fn create(&self, name: &str, template: Option<&Database>) -> Result<Database> {
        let postgres = self.database("postgres");
        let template = template.map_or("template0", |template| &template.name);
        postgres.run(&format!("create database {name} template {template}"))?;
        let database = self.database(name);
        database.run("create extension if not exists pg_stat_statements")?;
        Ok(database)
    }

    pub(super) fn drop_database(&self, database: &Database) -> Result<()> {
        self.database("postgres").run(&format!("drop database {} with (force)", database.name))
    }

    /// Statements of a database whose plans auto_explain wrote into the server's log: milliseconds, and the plan.
    pub(super) fn plans(&self, database: &str) -> Result<Vec<(f64, Value)>> {
        let mut plans = Vec::new();
        for entry in fs::read_dir(self.dir.join("data/log")).context("the server has no log")? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let file = File::open(&path).with_context(|| format!("could not read {}", path.display()))?;
            for line in BufReader::new(file).lines() {
                // A line that is still being written is not the last claim.
                let Ok(logged) = serde_json::from_str::<Value>(&line?) else { continue };
                if logged["dbname"] == database {
                    plans.extend(logged["message"].as_str().and_then(plan));
                }
            }
        }
        Ok(plans)
    }

    fn database(&self, name: &str) -> Database {
        Database { name: name.to_owned(), socket: self.dir.clone(), programs: self.programs.clone() }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Whatever led here is the thing to tell; a server without its directory ends by itself.
        self.control("stop").unwrap_or_default();
        delete_directory(&self.dir).unwrap_or_default();
    }
}

impl Database {
    pub(super) fn url(&self) -> String {
        format!("postgres:///{}?host={}&user={SUPERUSER}", self.name, self.socket.display())
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.arg("--host").arg(&self.socket).args(["--username", SUPERUSER]).stdin(Stdio::null());
        command
    }

    fn psql(&self, statement: &str) -> Result<String> {
        interrupt::check()?;
        let mut psql = self.client("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.name, "-c", statement]);
        let output = psql.output().context("psql does not run")?;
        if !output.status.success() {
            bail!("in {}: {}\n{statement}", self.name, String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8(output.stdout).context("psql printed what is not text")
    }

    /// Runs statements for what they do; several are one transaction.
    pub(super) fn run(&self, statements: &str) -> Result<()> {
        self.psql(statements).map(drop)
    }

    /// The one row of a query, its columns as text.
    pub(super) fn row(&self, query: &str) -> Result<Vec<String>> {
        let text = self.psql(query)?;
        Ok(text.trim_end_matches('\n').split('|').map(str::to_owned).collect())
    }

    /// The one value of a query.
    pub(super) fn value(&self, query: &str) -> Result<String> {
        Ok(self.psql(query)?.trim_end_matches('\n').to_owned())
    }

    /// The one number of a query.
    pub(super) fn number(&self, query: &str) -> Result<f64> {
        let text = self.value(query)?;
        text.parse().with_context(|| format!("{text:?} is no number: {query}"))
    }

    /// `pgbench` with a script of ours; what it printed.
    pub(super) fn pgbench(&self, script: &Path, clients: usize, transactions: usize) -> Result<String> {
        interrupt::check()?;
        let mut pgbench = self.client("pgbench");
        let (clients, transactions) = (clients.to_string(), transactions.to_string());
        pgbench.args(["-n", "-M", "prepared", "-j", "2", "-c", &clients, "-t", &transactions, "-f"]);
        let Output { status, stdout, stderr } =
            pgbench.arg(script).arg(&self.name).output().context("pgbench does not run")?;
        if !status.success() {
            bail!("pgbench ended with {status}: {}", String::from_utf8_lossy(&stderr).trim());
        }
        String::from_utf8(stdout).context("pgbench printed what is not text")
    }
}

/// `duration: 1.234 ms  plan:` and the plan as JSON.
fn plan(message: &str) -> Option<(f64, Value)> {
    let (duration, plan) = message.strip_prefix("duration: ")?.split_once(" ms  plan:")?;
    Some((duration.parse().ok()?, serde_json::from_str(plan).ok()?))
}

/// PostgreSQL refuses to run as root; its packages make an account for it.
fn account() -> Result<Option<Account>> {
    if number(&["-u"])? != 0 {
        return Ok(None);
    }
    Ok(Some(Account { uid: number(&["-u", "postgres"])?, gid: number(&["-g", "postgres"])? }))
}

fn number(arguments: &[&str]) -> Result<u32> {
    let output = Command::new("id").args(arguments).output().context("`id` does not run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("`id {}` printed no number", arguments.join(" ")))
}

/// The newest server of the machine that has pgbench beside it.
fn programs() -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let dir = entry.path().join("bin");
        let major: Option<u32> = entry.file_name().to_string_lossy().parse().ok();
        if let Some(major) = major
            && ["initdb", "pg_ctl", "psql", "pgbench"].iter().all(|program| dir.join(program).is_file())
        {
            found.push((major, dir));
        }
    }
    if let Some((_, dir)) = found.into_iter().max() {
        return Ok(dir);
    }
    let output = Command::new("pg_config").arg("--bindir").output();
    let output = output.context("no PostgreSQL with pgbench was found; install it, on Debian with `postgresql`")?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn finished(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{} does not run", command.get_program().display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", command.get_program().display(), output.status, said.trim());
    }
    Ok(())
}
