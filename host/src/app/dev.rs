//! A host on a laptop: its own PostgreSQL, its own forge instead of GitHub, a token for the command line.
//!
//! Invariant: everything lies below one folder, and nothing outlives the process, however it ends.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use super::host::{Host, HostSettings};
use super::roles::Pinning;
use super::{audit, record};
use crate::config::{
    ApprovalConfig, AuditConfig, AuditKey, CheckpointSchedule, DatabaseConfig, EgressSettings, GitHubSettings,
    ModelSettings, WebhookConfig, WorkerConfig,
};
use crate::db::Db;
use crate::db::tokens::{Maker, TokenRole, new_secret};
use crate::localdb::LocalDb;
use crate::task::TaskId;

const DATABASE: &str = "juggernaut";
const PRINCIPAL: &str = "dev";
/// Where the API listens if nothing else is said and the port is free.
const PORT_WANTED: u16 = 8080;
const FORGE_START_MAX: Duration = Duration::from_secs(20);
const FORGE_STOP_MAX: Duration = Duration::from_secs(5);
const FORGE_READY: &str = "listening on ";

/// How `dev` was called.
#[derive(Debug, Clone)]
pub struct DevSettings {
    pub home: PathBuf,
    pub listen: Option<SocketAddr>,
    /// Where the roles are; beside the binary if unset.
    pub roles: Option<PathBuf>,
    /// `owner/name` and the folder that it is filled from, if the repository does not exist yet.
    pub forge_seeds: Vec<(String, PathBuf)>,
    /// Check runs that the forge gives to each new head of a feature branch: `NAME=CONCLUSION@MS`.
    pub forge_checks: Vec<String>,
    /// A database to use instead of the private one.
    pub database: Option<DatabaseConfig>,
    pub model: ModelSettings,
    pub egress: EgressSettings,
    pub worker: WorkerConfig,
    pub approvals: ApprovalConfig,
    /// None: one that is kept in `home`.
    pub audit_key: Option<AuditKey>,
    pub checkpoints: CheckpointSchedule,
    pub webhook: Option<WebhookConfig>,
}

/// Everything that `dev` runs.
#[derive(Debug)]
pub struct DevHost {
    host: Host,
    forge: Forge,
    database: Option<LocalDb>,
    client_file: PathBuf,
}

impl DevHost {
    /// Of the private database: it holds no secret, the socket is its owner's.
    pub fn database_url(&self) -> Option<String> {
        self.database.as_ref().map(|database| database.url(DATABASE))
    }

    pub async fn start(settings: DevSettings) -> Result<Self> {
        let DevSettings {
            home,
            listen,
            roles,
            forge_seeds,
            forge_checks,
            database,
            model,
            egress,
            approvals,
            mut worker,
            audit_key,
            checkpoints,
            webhook,
        } = settings;
        std::fs::create_dir_all(&home).with_context(|| format!("{} can not be made", home.display()))?;
        let home = home.canonicalize()?;
        let (local, database) = match database {
            Some(config) => (None, config),
            None => {
                let local = LocalDb::start(&home).await?;
                local.ensure_database(DATABASE).await?;
                let url = SecretString::from(local.url(DATABASE));
                (Some(local), DatabaseConfig { url })
            }
        };
        let db = Db::connect(&database).await?;
        db.migrate().await?;
        let forge = Forge::start(&home.join("forge"), &forge_seeds, &forge_checks).await?;
        worker.roles_dir = roles.or_else(roles_beside_binary).unwrap_or(worker.roles_dir);
        worker.cache_dir = worker.cache_dir.or_else(|| Some(home.join("cache")));
        let github = GitHubSettings { api_url: forge.url.clone(), token: Some(forge.token.clone()) };
        let key = audit_key.map_or_else(|| audit::key_of_dev(&home), Ok)?;
        let audit = AuditConfig { key, schedule: checkpoints };
        let listen = listen.unwrap_or_else(free_address);
        let host = Host::start(HostSettings {
            database,
            listen,
            github,
            model,
            egress,
            worker,
            approvals,
            audit,
            webhook,
            pinning: Pinning::Free,
            other_secrets: Vec::new(),
        })
        .await?;
        let client_file = home.join("client.toml");
        write_client_file(host.db(), &client_file, host.address()).await?;
        Ok(Self { host, forge, database: local, client_file })
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The newest attempt of a task, which has ended, as a fixture of `role test`.
    pub async fn recorded(&self, task: TaskId) -> Result<String> {
        let db = self.host.db();
        let attempt = db.recorded_attempt(task, None).await?.context("no attempt of the task has begun")?;
        let steps = db.load_steps(task, attempt.task.attempt).await?;
        record::fixture(&attempt, &steps)
    }

    pub fn forge_url(&self) -> &Url {
        &self.forge.url
    }

    pub fn client_file(&self) -> &Path {
        &self.client_file
    }

    /// Drains the host first: what runs may still need the forge and the database.
    pub async fn stop(self) -> Result<()> {
        let Self { host, forge, database, client_file: _ } = self;
        host.stop().await?;
        forge.stop().await?;
        if let Some(database) = database {
            database.stop().await?;
        }
        Ok(())
    }
}

/// The local forge, a child process that ends with its standard input.
#[derive(Debug)]
struct Forge {
    child: Child,
    url: Url,
    token: SecretString,
}

impl Forge {
    async fn start(root: &Path, seeds: &[(String, PathBuf)], checks: &[String]) -> Result<Self> {
        let binary = beside_binary("forge").filter(|path| path.is_file()).context(
            "the local forge is not beside this binary; `cargo xtask build` puts it there (on a server use `juggernaut serve`)",
        )?;
        let token = new_secret()?;
        let mut command = Command::new(&binary);
        command.arg("--root").arg(root).arg("--exit-with-stdin").env("FORGE_TOKEN", token.expose_secret());
        for (repository, folder) in seeds {
            command.arg("--seed").arg(format!("{repository}={}", folder.display()));
        }
        for check in checks {
            command.arg("--check").arg(check);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} does not start", binary.display()))?;
        let stdout = child.stdout.take().context("the forge has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let first =
            tokio::time::timeout(FORGE_START_MAX, lines.next_line()).await.context("the forge does not start")??;
        let Some(url) = first.as_deref().and_then(|line| line.strip_prefix(FORGE_READY)) else {
            bail!("the forge ended at its start; its error is above");
        };
        let url = Url::parse(url).with_context(|| format!("the forge says it is at {url:?}"))?;
        Ok(Self { child, url, token })
    }

    async fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        match tokio::time::timeout(FORGE_STOP_MAX, self.child.wait()).await {
            Ok(ended) => drop(ended?),
            Err(_) => self.child.kill().await?,
        }
        Ok(())
    }
}

fn beside_binary(name: &str) -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.join(name))
}

/// `target/release/juggernaut` has its roles in `target/roles`.
fn roles_beside_binary() -> Option<PathBuf> {
    let roles = std::env::current_exe().ok()?.parent()?.parent()?.join("roles");
    roles.is_dir().then_some(roles)
}

fn free_address() -> SocketAddr {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_WANTED));
    let free = std::net::TcpListener::bind(wanted).is_ok();
    if free { wanted } else { SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
}

/// A new token at each start; the one before is revoked.
async fn write_client_file(db: &Db, path: &Path, address: SocketAddr) -> Result<()> {
    db.revoke_tokens_of(PRINCIPAL).await?;
    let (_, secret) = db.create_token(PRINCIPAL, TokenRole::Admin, None, Maker::Database(PRINCIPAL)).await?;
    let secret = secret.expose_secret();
    let text = format!(
        "# Written by `juggernaut dev`; the command line finds it by itself.\nurl = \"http://{address}\"\n\
         token = \"{secret}\"\n"
    );
    let folder = path.parent().context("the client file has no folder")?;
    // Made private before it has content, and put in place whole.
    let mut file = tempfile::Builder::new().prefix(".client").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).with_context(|| format!("{} can not be written", path.display()))?;
    Ok(())
}
