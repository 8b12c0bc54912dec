//! Tasks that an idle worker of this host has from the moment they exist: the statement that creates one claims it, so that
//! nobody has to be woken and look for it.
//!
//! Invariant: an idle worker is given one task at a time, and only such a one as it would have claimed. One that is claimed
//! for a worker which does not get it, because the process ends meanwhile, is claimed again when its lease has run out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::future::BoxFuture;
use serde_json::json;
use sqlx::PgConnection;
use tokio::sync::oneshot;
use tracing::warn;
use uuid::Uuid;

use super::{Claim, Claimant, ClaimedRow};
use crate::audit::Event;
use crate::db::audit::{Audited, Rows};
use crate::db::bulk::{Admitted, Origin, created_event};
use crate::db::request_keys::{RequestKey, remember};
use crate::db::task_views::TaskSummary;
use crate::db::{Db, DbError};
use crate::journal;
use crate::task::{Attempt, EvidenceKind, Lease, Priority, Risk, TaskId, TaskStatus, Treatment, WorkerId};

/// Of a task that nobody has claimed before.
const FIRST_LEASE: Lease = Lease(1);

/// Largest payload and description: nothing else is committed while the statement is under way.
const BYTES_MAX: usize = 16 << 10;

/// The workers of this process that wait for a task.
#[derive(Debug, Clone, Default)]
pub struct IdleWorkers(Arc<Mutex<Vec<Idle>>>);

/// A worker that waits. Whoever has it gives it a task or drops it, and the worker hears of either.
#[derive(Debug)]
struct Idle {
    claimant: Arc<Claimant>,
    to: oneshot::Sender<HandedOver>,
}

/// A task that was claimed as it was created.
#[derive(Debug)]
pub struct HandedOver {
    pub claim: Claim,
    /// Its lease counts from here.
    pub asked_at: Instant,
}

impl IdleWorkers {
    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The claimant waits for a task. An error comes where one was to be created for it and was not.
    pub fn wait(&self, claimant: &Arc<Claimant>) -> oneshot::Receiver<HandedOver> {
        let (to, given) = oneshot::channel();
        self.lock().push(Idle { claimant: Arc::clone(claimant), to });
        given
    }

    /// The worker waits no longer. False: a task is being created for it; what comes of that is still to come.
    pub fn leave(&self, worker: &WorkerId) -> bool {
        let mut idle = self.lock();
        let at = idle.iter().position(|idle| idle.claimant.worker_id == *worker);
        at.map(|at| idle.swap_remove(at)).is_some()
    }

    /// A worker that would claim this task at once.
    fn take(&self, task: &Admitted) -> Option<Idle> {
        let draft = task.task.draft();
        let Treatment { risk, start_reason, .. } = &task.treatment;
        // What waits for a person or for another task is nobody's yet. Critical risk waits whatever policy says.
        if start_reason.is_some() || risk.needs_start_approval() || !draft.depends_on.is_empty() {
            return None;
        }
        if journal::weight(&draft.payload) + draft.description.len() > BYTES_MAX {
            return None;
        }
        let mut idle = self.lock();
        let fits = |it: &Idle| it.claimant.takes(&draft.task_type, draft.assigned_worker.as_deref());
        let at = idle.iter().position(fits)?;
        Some(idle.swap_remove(at))
    }
}

impl Idle {
    /// Once the claim is committed.
    fn give(self, claim: Claim, asked_at: Instant) {
        let task = claim.task.id;
        if self.to.send(HandedOver { claim, asked_at }).is_err() {
            warn!(task.id = %task, worker = %self.claimant.worker_id, "the worker is gone; the task's lease runs out");
        }
    }
}

impl Db {
    /// Creates the task as the claim of an idle worker. None, and nothing is done, where no such worker would claim it, the
    /// deadline has passed, or this process has no chain in the audit log just now.
    pub(in crate::db) async fn hand_over(
        &self,
        idle: &IdleWorkers,
        task: &Admitted,
        principal: &str,
        key: Option<&RequestKey>,
    ) -> Result<Option<TaskSummary>, DbError> {
        let Some(worker) = idle.take(task) else { return Ok(None) };
        let (asked_at, creation) = (Instant::now(), Creation { task, principal, claimant: &worker.claimant });
        let events = creation.events();
        let answer = match key {
            Some(key) => {
                let mut tx = self.begin_handover().await?;
                // Another request with the same key is waited for before the chain is held.
                remember(&mut tx, principal, key, &[task.id]).await?;
                tx.commit_with(&events, &creation).await?
            }
            None => self.commit_statement(&events, &creation).await?,
        };
        let Some((created, claim)) = answer else { return Ok(None) };
        worker.give(claim, asked_at);
        // It begins before anything else is done.
        tokio::task::yield_now().await;
        Ok(Some(created))
    }
}

/// Creates a task that is claimed from the beginning, unless its deadline has passed.
struct Creation<'a> {
    task: &'a Admitted,
    principal: &'a str,
    claimant: &'a Claimant,
}

impl Creation<'_> {
    /// What has to be recorded.
    fn events(&self) -> [Event; 2] {
        let Self { task, principal, claimant } = self;
        let created = created_event(task, TaskStatus::Pending, false, Origin::of(principal));
        [created, claimant.claimed(task.id, Attempt::FIRST, FIRST_LEASE, false)]
    }

    async fn insert(&self, connection: &mut PgConnection, rows: &Rows<'_>) -> Result<Option<ClaimedRow>, sqlx::Error> {
        let Self { task: Admitted { id, task, treatment }, principal, claimant } = self;
        let draft = task.draft();
        sqlx::query_file_as!(
            ClaimedRow,
            "src/db/queue/create_claimed.sql",
            id.0,
            draft.title,
            draft.description,
            draft.task_type,
            draft.priority as Priority,
            draft.acceptance_criteria,
            draft.assigned_worker,
            treatment.risk as Risk,
            json!(treatment.risk_reasons),
            draft.payload,
            i32::try_from(draft.attempts_max).unwrap_or(i32::MAX),
            draft.deadline_at,
            principal,
            claimant.worker_id.0,
            claimant.lease.as_secs_f64(),
            claimant.role,
            claimant.component_sha256.as_slice(),
            claimant.manifest_sha256.as_slice(),
            FIRST_LEASE as Lease,
            rows.head.chain,
            rows.at,
            &rows.seqs,
            &rows.kinds as &[&str],
            &rows.actors as &[&str],
            &rows.tasks as &[Option<Uuid>],
            &rows.details as &[&str],
            &rows.previous as &[[u8; 32]],
            &rows.hashes as &[[u8; 32]]
        )
        .fetch_optional(connection)
        .await
    }

    fn summary(&self, row: &ClaimedRow) -> TaskSummary {
        TaskSummary {
            id: TaskId(row.id),
            title: row.title.clone(),
            task_type: row.task_type.clone(),
            status: TaskStatus::InProgress,
            priority: row.priority,
            risk: row.risk,
            assigned_worker: Some(self.claimant.worker_id.0.clone()),
            attempt: row.attempt,
            attempts_max: row.attempts_max,
            blocked_by: 0,
            requires_approval: false,
            approval_reason: None,
            error_message: None,
            created_by: self.principal.to_owned(),
            created_at: row.created_at,
            started_at: Some(row.run_started_at),
            completed_at: None,
            deadline_at: row.deadline_at,
            goal: None,
        }
    }
}

impl Audited for Creation<'_> {
    type Answer = (TaskSummary, Claim);

    fn run<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        rows: &'a Rows<'a>,
    ) -> BoxFuture<'a, Result<Option<Self::Answer>, sqlx::Error>> {
        Box::pin(async move {
            let row = self.insert(connection, rows).await?;
            Ok(row.map(|row| (self.summary(&row), row.into_claim())))
        })
    }
}
