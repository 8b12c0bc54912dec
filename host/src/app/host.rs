//! One host process: API, workers and sweeper over one database.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::roles::Pinning;
use super::workers::{self, Shared};
use super::{alerts, audit, policies, roles, schedules, secrets, sweeper, wakeups};
use crate::config::{
    ApprovalConfig, AuditConfig, AuditKey, DatabaseConfig, EgressSettings, GitHubSettings, ModelSettings,
    WebhookConfig, WorkerConfig,
};
use crate::db::queue::IdleWorkers;
use crate::db::wakeups::Wake;
use crate::db::{Db, Readiness};
use crate::egress::{Guard, Loopback, WebClient};
use crate::github::{GitHub, GitHubConfig};
use crate::http::{self, ApiState};
use crate::journal::Alert;
use crate::llm::Models;
use crate::sandbox::{Sandbox, SandboxConfig, Services};
use crate::task::{HostId, WorkerId};
use crate::worker::{self, Held, Writer};

pub(super) const USER_AGENT: &str = concat!("juggernaut/", env!("CARGO_PKG_VERSION"));
/// How long the API may take to finish its requests after the workers are done.
const API_GRACE: Duration = Duration::from_secs(5);
/// How long each other part may take to end. It takes longer only where the database does not answer, and then what is
/// left to be said can not be said.
const END_TIME_MAX: Duration = Duration::from_secs(5);
/// Alerts of runs that lost their claim, on their way.
const ALERTS_MAX: usize = 16;
/// Guests run on this many threads; the host's own work has others.
const GUEST_THREADS: usize = 2;

/// What a host needs.
#[derive(Debug, Clone)]
pub struct HostSettings {
    pub database: DatabaseConfig,
    pub listen: SocketAddr,
    pub github: GitHubSettings,
    pub model: ModelSettings,
    pub egress: EgressSettings,
    pub worker: WorkerConfig,
    pub approvals: ApprovalConfig,
    pub audit: AuditConfig,
    /// None: nobody is told of alerts.
    pub webhook: Option<WebhookConfig>,
    /// What else this host keeps secret, by name: looked for in what leaves a run.
    pub other_secrets: Vec<(String, SecretString)>,
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
    schedules: JoinHandle<()>,
    notifier: Option<JoinHandle<()>>,
    api: JoinHandle<std::io::Result<()>>,
    signer: JoinHandle<()>,
    /// What looks after leases and wake-ups: ended with the host.
    helpers: Vec<JoinHandle<()>>,
    db: Db,
    worker_names: Vec<WorkerId>,
}

impl Host {
    /// Starts everything, or nothing: what is wrong with a role, the database or the port is said before any task is
    /// claimed.
    pub async fn start(settings: HostSettings) -> Result<Self> {
        let (id, key) = (HostId::generate(), audit::signing_key(&settings.audit.key)?);
        let db = Db::connect(&settings.database).await.context("the database can not be reached")?;
        let db = db.with_approvals(settings.approvals).with_model_budget(settings.model.budget);
        if settings.approvals.solo {
            warn!("JUGGERNAUT_SOLO_APPROVALS is on: who created a task may approve it");
        }
        if let Readiness::MigrationsMissing { newest_applied, newest_known } = db.is_ready().await? {
            bail!(
                "the database is at migration {newest_applied} and this host needs {newest_known}; run `juggernaut migrate`"
            );
        }
        let sandbox = Arc::new(Sandbox::new(&sandbox_config(&settings.worker))?);
        let policies = Arc::new(policies::load(settings.worker.policies_dir.as_deref())?);
        let db = db.with_policies(policies.digest());
        let loaded = roles::load(&sandbox, &settings.worker, settings.pinning)?;
        let (alerts, raised) = mpsc::channel(ALERTS_MAX);
        let services = Arc::new(Services {
            github: github(&settings.github)?,
            web: web(settings.egress)?,
            models: models(&settings.model)?,
            secrets: Arc::new(secrets::scanner(&settings)),
            alerts,
        });
        let retry = settings.worker.retry;
        let notifier = settings.webhook.as_ref().map(|webhook| alerts::notifier(webhook, settings.egress, id, retry));
        let notifier = notifier.transpose()?;
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("can not listen on {}; choose another with JUGGERNAUT_LISTEN", settings.listen))?;
        let address = listener.local_addr()?;
        let digests = audit::digests(&loaded, policies.digest());
        let public_key = key.public();
        let db = db.audited_by(id, Some(key));
        audit::record_start(&db, public_key, &digests, &weakened(&settings)).await?;
        if let Some(cron) = &settings.worker.watchdog_cron {
            schedules::keep_watch(&db, cron, &loaded).await?;
        }
        let (wake, idle) = (Wake::default(), IdleWorkers::default());
        let (shutdown, stopping) = watch::channel(false);
        let (closing, closed) = watch::channel(false);

        let sweeper = tokio::spawn(sweeper::sweep(
            db.clone(),
            wake.clone(),
            settings.worker.poll,
            settings.worker.log_retention,
            stopping.clone(),
        ));
        let schedules =
            tokio::spawn(schedules::fire(db.clone(), Arc::clone(&policies), wake.clone(), stopping.clone()));
        let notifier = notifier.map(|notifier| tokio::spawn(notifier.run(db.clone(), closed.clone())));
        let signer = tokio::spawn(audit::sign(db.clone(), settings.audit.schedule, closed.clone()));
        let held = Arc::new(Held::default());
        let helpers = vec![
            tokio::spawn(worker::keep(db.clone(), Arc::clone(&held), settings.worker.lease, wake.claims_to_look_at())),
            tokio::spawn(raise(db.clone(), raised)),
            tokio::spawn(wakeups::tell(db.clone(), id, wake.to_tell())),
            tokio::spawn(wakeups::listen(db.clone(), wake.clone())),
        ];
        let writer = Writer::start(&db, &wake);
        let shared = Shared {
            db: &db,
            sandbox: &sandbox,
            services: &services,
            policies: &policies,
            wake: &wake,
            idle: &idle,
            held: &held,
            writer: &writer,
            host: id,
        };
        let workers = workers::start(shared, &settings.worker, loaded).await?;
        let worker_names = workers.iter().map(|worker| worker.id().clone()).collect();
        let workers = workers.into_iter().map(|worker| tokio::spawn(worker.work(stopping.clone()))).collect();
        let api = tokio::spawn(serve(
            listener,
            http::router(ApiState::new(db.clone(), policies, wake, idle, closed.clone())),
            closed,
        ));
        info!(%address, "host is up");
        Ok(Self {
            address,
            shutdown,
            closing,
            workers,
            sweeper,
            schedules,
            notifier,
            api,
            signer,
            helpers,
            db,
            worker_names,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// With this host's chain in the audit log.
    pub(super) fn db(&self) -> &Db {
        &self.db
    }

    pub fn worker_names(&self) -> &[WorkerId] {
        &self.worker_names
    }

    /// Drains: no new claims, running tasks finish or are released within the grace time; the API answers meanwhile. Ends
    /// within half a minute more, whatever does not answer.
    pub async fn stop(self) -> Result<()> {
        let Self {
            address: _,
            shutdown,
            closing,
            workers,
            sweeper,
            schedules,
            notifier,
            api,
            signer,
            helpers,
            db,
            worker_names: _,
        } = self;
        shutdown.send_replace(true);
        for worker in workers {
            worker.await.context("a worker panicked")?;
        }
        end("the sweeper", sweeper).await?;
        end("the schedules' loop", schedules).await?;
        helpers.iter().for_each(JoinHandle::abort);
        closing.send_replace(true);
        match tokio::time::timeout(API_GRACE, api).await {
            Ok(served) => served.context("the API panicked")??,
            Err(_) => warn!("requests were still open and are cut off"),
        }
        if let Some(notifier) = notifier {
            // What it has begun to send, it ends, unless that takes long; then another host sends it again, or this one later.
            end("the notifier", notifier).await?;
        }
        end("the signer of the audit log", signer).await?;
        if tokio::time::timeout(END_TIME_MAX, audit::record_stop(&db)).await.is_err() {
            warn!("the end of this host was not recorded: the database does not answer");
        }
        info!("host is down");
        Ok(())
    }
}

/// Raises what runs can not say any more.
async fn raise(db: Db, mut raised: mpsc::Receiver<Alert>) {
    while let Some(alert) = raised.recv().await {
        if let Err(error) = db.raise_alert(&alert).await {
            error!(%error, title = alert.title, "an alert could not be raised");
        }
    }
}

/// Waits for a part that has been told to end.
async fn end(what: &str, mut part: JoinHandle<()>) -> Result<()> {
    match tokio::time::timeout(END_TIME_MAX, &mut part).await {
        Ok(ended) => ended.with_context(|| format!("{what} panicked")),
        Err(_) => {
            warn!("{what} does not end and is cut off");
            part.abort();
            Ok(())
        }
    }
}

/// Settings of this host that weaken governance.
fn weakened(settings: &HostSettings) -> Vec<(&'static str, &'static str)> {
    let ephemeral = match settings.audit.key {
        AuditKey::Seed(_) => None,
        AuditKey::Ephemeral => Some(("JUGGERNAUT_AUDIT_KEY", "ephemeral")),
    };
    let solo = settings.approvals.solo.then_some(("JUGGERNAUT_SOLO_APPROVALS", "on"));
    let loopback = settings.egress.loopback_allowed.then_some(("JUGGERNAUT_EGRESS_LOOPBACK", "allow"));
    ephemeral.into_iter().chain(solo).chain(loopback).collect()
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

/// The client, where a token is configured.
pub fn github(settings: &GitHubSettings) -> Result<Option<GitHub>> {
    let GitHubSettings { api_url, token } = settings.clone();
    if token.is_none() {
        warn!("GITHUB_TOKEN is not set: calls to GitHub answer `unavailable`");
        return Ok(None);
    }
    let config = GitHubConfig { api_url, token, user_agent: USER_AGENT.to_owned() };
    Ok(Some(GitHub::new(config).context("the GitHub client can not be made")?))
}

/// The client, where a key is configured.
fn models(settings: &ModelSettings) -> Result<Option<Models>> {
    if settings.api_key.is_none() {
        info!("OPENROUTER_API_KEY is not set: calls to language models answer `unavailable`");
    }
    Models::new(settings, USER_AGENT).map_err(anyhow::Error::msg)
}

/// The client of the web, with its guard.
pub fn web(settings: EgressSettings) -> Result<WebClient> {
    let EgressSettings { loopback_allowed } = settings;
    if loopback_allowed {
        warn!(
            "JUGGERNAUT_EGRESS_LOOPBACK=allow: roles may fetch from this machine and send to it; never set it on a server"
        );
    }
    Ok(WebClient::new(guard(settings), USER_AGENT)?)
}

pub(super) fn guard(settings: EgressSettings) -> Guard {
    let EgressSettings { loopback_allowed } = settings;
    Guard::new(if loopback_allowed { Loopback::Allowed } else { Loopback::Refused })
}
