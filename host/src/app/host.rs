//! One host process: API, workers and sweeper over one database.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::roles::Pinning;
use super::{roles, sweeper};
use crate::config::{DatabaseConfig, GitHubSettings, WorkerConfig};
use crate::db::{Db, Readiness};
use crate::github::{GitHub, GitHubConfig};
use crate::http::{self, ApiState};
use crate::sandbox::{LoadedRole, Sandbox, SandboxConfig, Services};
use crate::task::{HostId, WorkerId};
use crate::worker::{Worker, WorkerSettings};

const USER_AGENT: &str = concat!("juggernaut/", env!("CARGO_PKG_VERSION"));
/// How long the API may take to finish its requests after the workers are done.
const API_GRACE: Duration = Duration::from_secs(5);
/// Guests run on this many threads; the host's own work has others.
const GUEST_THREADS: usize = 2;

/// What a host needs.
#[derive(Debug, Clone)]
pub struct HostSettings {
    pub database: DatabaseConfig,
    pub listen: SocketAddr,
    pub github: GitHubSettings,
    pub worker: WorkerConfig,
    pub pinning: Pinning,
}

/// A running host.
#[derive(Debug)]
pub struct Host {
    address: SocketAddr,
    shutdown: watch::Sender<bool>,
    closing: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    sweeper: JoinHandle<()>,
    api: JoinHandle<std::io::Result<()>>,
    worker_names: Vec<WorkerId>,
}

impl Host {
    /// Starts everything, or nothing: what is wrong with a role, the database or the port is said before any task is
    /// claimed.
    pub async fn start(settings: HostSettings) -> Result<Self> {
        let db = Db::connect(&settings.database).await.context("the database can not be reached")?;
        if let Readiness::MigrationsMissing { newest_applied, newest_known } = db.is_ready().await? {
            bail!(
                "the database is at migration {newest_applied} and this host needs {newest_known}; run `juggernaut migrate`"
            );
        }
        let sandbox = Arc::new(Sandbox::new(&sandbox_config(&settings.worker))?);
        let loaded = roles::load(&sandbox, &settings.worker, settings.pinning)?;
        let services = Services { github: github(&settings.github)? };
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("can not listen on {}; choose another with JUGGERNAUT_LISTEN", settings.listen))?;
        let address = listener.local_addr()?;
        let (wake, woken) = watch::channel(());
        let (shutdown, stopping) = watch::channel(false);
        let (closing, closed) = watch::channel(false);

        let sweeper = tokio::spawn(sweeper::sweep(
            db.clone(),
            wake.clone(),
            settings.worker.poll,
            settings.worker.log_retention,
            stopping.clone(),
        ));
        let workers = start_workers(&db, &sandbox, &services, &settings.worker, loaded, &wake).await?;
        let worker_names = workers.iter().map(|worker| worker.id.clone()).collect();
        let workers =
            workers.into_iter().map(|worker| tokio::spawn(worker.work(stopping.clone(), woken.clone()))).collect();
        let api = tokio::spawn(serve(listener, http::router(ApiState::new(db, wake, closed.clone())), closed));
        info!(%address, "host is up");
        Ok(Self { address, shutdown, closing, workers, sweeper, api, worker_names })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn worker_names(&self) -> &[WorkerId] {
        &self.worker_names
    }

    /// Drains: no new claims, running tasks finish or are released within the grace time; the API answers meanwhile.
    pub async fn stop(self) -> Result<()> {
        let Self { address: _, shutdown, closing, workers, sweeper, api, worker_names: _ } = self;
        shutdown.send_replace(true);
        for worker in workers {
            worker.await.context("a worker panicked")?;
        }
        sweeper.await.context("the sweeper panicked")?;
        closing.send_replace(true);
        match tokio::time::timeout(API_GRACE, api).await {
            Ok(served) => served.context("the API panicked")??,
            Err(_) => warn!("requests were still open and are cut off"),
        }
        info!("host is down");
        Ok(())
    }
}

async fn serve(listener: TcpListener, router: axum::Router, mut closed: watch::Receiver<bool>) -> std::io::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            // An error means that the host is gone altogether.
            if closed.wait_for(|closed| *closed).await.is_err() {
                warn!("the host went away without closing its API");
            }
        })
        .await
}

fn sandbox_config(worker: &WorkerConfig) -> SandboxConfig {
    let guests = worker.concurrency.saturating_mul(roles::ROLES_MAX);
    SandboxConfig {
        cache_dir: worker.cache_dir.clone(),
        guests_max: u32::try_from(guests).unwrap_or(u32::MAX).clamp(1, 4096),
        threads: GUEST_THREADS,
    }
}

fn github(settings: &GitHubSettings) -> Result<Option<GitHub>> {
    let GitHubSettings { api_url, token } = settings.clone();
    if token.is_none() {
        warn!("GITHUB_TOKEN is not set: calls to GitHub answer `unavailable`");
        return Ok(None);
    }
    let config = GitHubConfig { api_url, token, user_agent: USER_AGENT.to_owned() };
    Ok(Some(GitHub::new(config).context("the GitHub client can not be made")?))
}

async fn start_workers(
    db: &Db,
    sandbox: &Arc<Sandbox>,
    services: &Services,
    config: &WorkerConfig,
    loaded: Vec<Arc<LoadedRole>>,
    wake: &watch::Sender<()>,
) -> Result<Vec<Arc<Worker>>> {
    let host = HostId::generate();
    let several = loaded.len() > 1;
    let mut workers = Vec::new();
    for role in loaded {
        let info = &role.manifest.role;
        let name = match &config.worker_id {
            Some(id) if several => WorkerId(format!("{id}-{}", info.name)),
            Some(id) => WorkerId(id.clone()),
            None => WorkerId(info.name.to_uppercase()),
        };
        let id = db.register_worker(&name, &info.worker_type, &info.task_types, host).await?;
        workers.push(Arc::new(Worker {
            db: db.clone(),
            sandbox: Arc::clone(sandbox),
            services: services.clone(),
            role,
            settings: WorkerSettings {
                concurrency: config.concurrency,
                lease: config.lease,
                heartbeat: config.heartbeat,
                poll: config.poll,
                grace: config.grace,
                retry_base: config.retry,
            },
            host,
            id,
            wake: wake.clone(),
        }));
    }
    Ok(workers)
}
