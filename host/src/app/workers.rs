//! The workers of one host: a role each, over what they share.

use std::sync::Arc;

use anyhow::Result;
use tracing::warn;

use crate::approval::Versions;
use crate::audit::Event;
use crate::config::WorkerConfig;
use crate::db::Db;
use crate::db::decisions::decision;
use crate::db::queue::{Claimant, IdleWorkers};
use crate::db::wakeups::Wake;
use crate::policy::{Authority, Policies};
use crate::sandbox::{LoadedRole, Sandbox, Services};
use crate::task::{HostId, WorkerId};
use crate::worker::{Held, Worker, WorkerSettings, Writer};

/// What all workers of this process share.
pub(super) struct Shared<'a> {
    pub(super) db: &'a Db,
    pub(super) sandbox: &'a Arc<Sandbox>,
    pub(super) services: &'a Arc<Services>,
    pub(super) policies: &'a Arc<Policies>,
    pub(super) wake: &'a Wake,
    pub(super) idle: &'a IdleWorkers,
    pub(super) held: &'a Arc<Held>,
    pub(super) writer: &'a Writer,
    pub(super) host: HostId,
}

/// Registers one worker for each role.
pub(super) async fn start(
    shared: Shared<'_>,
    config: &WorkerConfig,
    loaded: Vec<Arc<LoadedRole>>,
) -> Result<Vec<Arc<Worker>>> {
    let Shared { db, sandbox, services, policies, wake, idle, held, writer, host } = shared;
    let several = loaded.len() > 1;
    let mut workers = Vec::new();
    for role in loaded {
        let info = &role.manifest.role;
        let name = match &config.worker_id {
            Some(id) if several => WorkerId(format!("{id}-{}", info.name)),
            Some(id) => WorkerId(id.clone()),
            None => WorkerId(info.name.to_uppercase()),
        };
        let authority = Arc::new(Authority::new(Arc::clone(policies), Arc::clone(&role.manifest))?);
        let (task_types, decisions) = claimable(&authority, &name);
        db.record(decisions).await?;
        let versions =
            Versions { component: role.component_sha256, manifest: role.manifest.sha256, policy: policies.digest() };
        let versions_sha256 = versions.digest();
        let id = db.register_worker(&name, &info.worker_type, &task_types, host, &versions_sha256).await?;
        let claimant = Claimant {
            worker_id: id,
            worker_type: info.worker_type.clone(),
            task_types,
            lease: config.lease,
            role: info.name.clone(),
            component_sha256: role.component_sha256,
            manifest_sha256: role.manifest.sha256,
            versions_sha256,
        };
        workers.push(Arc::new(Worker {
            db: db.clone(),
            sandbox: Arc::clone(sandbox),
            services: Arc::clone(services),
            role,
            authority,
            claimant: Arc::new(claimant),
            settings: WorkerSettings {
                concurrency: config.concurrency,
                heartbeat: config.heartbeat,
                poll: config.poll,
                grace: config.grace,
                retry_base: config.retry,
            },
            host,
            held: Arc::clone(held),
            writer: writer.clone(),
            wake: wake.clone(),
            idle: idle.clone(),
        }));
    }
    Ok(workers)
}

/// What policy lets a role claim of what its manifest names, and what it said of each, for the record.
fn claimable(authority: &Authority, worker: &WorkerId) -> (Vec<String>, Vec<Event>) {
    let role = &authority.manifest.role;
    let (mut allowed, mut decisions) = (Vec::new(), Vec::new());
    for task_type in &role.task_types {
        let decided = authority.may_claim(task_type);
        decisions.push(decision(&worker.0, &format!("task.claim {task_type}"), &decided));
        match decided {
            Ok(_) => allowed.push(task_type.clone()),
            Err(denied) => {
                warn!(role = role.name, task_type, %denied, "policy keeps the role from a task type of its manifest");
            }
        }
    }
    (allowed, decisions)
}
