//! Approvals of recommendations: what they bind, and how what was recommended is made.
//!
//! Invariant: the changes are made in the transaction that approves them, all or none, and exactly those whose digest the
//! approval binds. The approval is used up by that, so that it can not be used for anything else.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::decide::Locked;
use crate::approval::{ApprovalId, ApprovalKind, Binding, Versions, exact_digest};
use crate::audit::{Event, EventKind};
use crate::db::bulk::{Admitted, Origin, create_in};
use crate::db::steer::{assign_in, prioritise_in};
use crate::db::tasks::cancel_in;
use crate::db::{Db, DbError};
use crate::records::{Recommended, RecommendedTask, changes_sha256};
use crate::task::{NewTask, TaskId};

/// What the approver is told that he approves.
pub(in crate::db) const ACTION: &str = "recommendations.apply";

/// A recommendation, as far as an approval binds it.
#[derive(Clone, Copy, Debug)]
pub(in crate::db) struct Bound<'a> {
    pub(in crate::db) id: Uuid,
    pub(in crate::db) task: TaskId,
    pub(in crate::db) title: &'a str,
    pub(in crate::db) rationale: &'a str,
    pub(in crate::db) changes: &'a Value,
    pub(in crate::db) versions: Versions,
}

impl Bound<'_> {
    pub(in crate::db) fn arguments(&self) -> Value {
        json!({ "recommendation": self.id, "title": self.title, "changes": self.changes })
    }

    pub(in crate::db) fn digest(&self) -> [u8; 32] {
        let sha256 = changes_sha256(self.changes);
        let binding = Binding {
            task: self.task,
            kind: ApprovalKind::Recommendation,
            action: ACTION,
            arguments: &self.arguments(),
            exact: exact_digest([self.rationale.as_bytes(), sha256.as_slice()]),
            versions: self.versions,
        };
        binding.digest()
    }
}

/// A recommendation that an approval is for, as it is stored now.
struct Stored {
    id: Uuid,
    changes: Value,
    sha256: [u8; 32],
    /// What it was judged by when it was filed.
    policies: [u8; 32],
    /// Whether it is what the approval binds.
    fits: bool,
}

async fn stored(tx: &mut PgConnection, approval: ApprovalId, task: TaskId) -> Result<Option<Stored>, DbError> {
    let row = sqlx::query!(
        r#"select r.id, r.title, r.rationale, r.changes as "changes: Value", r.sha256, a.digest,
               a.component_sha256, a.manifest_sha256, a.policy_sha256
           from recommendations as r join approvals as a on a.id = r.approval_id
           where a.id = $1 and r.task_id = $2 and r.state = 'filed' for update of r"#,
        approval.0,
        task.0,
    )
    .fetch_optional(tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let digest = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).unwrap_or_default();
    let versions = Versions {
        component: digest(row.component_sha256),
        manifest: digest(row.manifest_sha256),
        policy: digest(row.policy_sha256),
    };
    let (title, rationale, changes) = (row.title.as_str(), row.rationale.as_str(), &row.changes);
    let bound = Bound { id: row.id, task, title, rationale, changes, versions };
    let sha256 = changes_sha256(changes);
    let fits = bound.digest().as_slice() == row.digest && sha256.as_slice() == row.sha256;
    Ok(Some(Stored { id: row.id, changes: row.changes, sha256, policies: versions.policy, fits }))
}

/// Why an approval that is still open is good for nothing.
pub(super) async fn void(
    db: &Db,
    tx: &mut PgConnection,
    approval: ApprovalId,
    locked: &Locked,
) -> Result<Option<String>, DbError> {
    if !locked.in_time {
        return Ok(Some("its time is over; have it planned anew".to_owned()));
    }
    match stored(tx, approval, locked.task).await? {
        Some(Stored { fits: true, policies, .. }) if db.policies.is_none_or(|now| now == policies) => Ok(None),
        Some(Stored { fits: true, .. }) => {
            Ok(Some("it was judged by other policies than those of this host; have it planned anew".to_owned()))
        }
        Some(_) => Ok(Some("what is stored is not what was recommended; have it planned anew".to_owned())),
        None => Ok(Some("there is no such recommendation any more; have it planned anew".to_owned())),
    }
}

/// Makes what was recommended, uses the approval up, and says what has to be recorded.
pub(super) async fn apply(
    db: &Db,
    tx: &mut PgConnection,
    approval: ApprovalId,
    locked: &Locked,
    by: &str,
) -> Result<Vec<Event>, DbError> {
    let Some(Stored { id, changes, sha256, fits: true, .. }) = stored(tx, approval, locked.task).await? else {
        return Err(DbError::corrupt("recommendations"));
    };
    let list: Vec<Recommended> =
        serde_json::from_value(changes).map_err(|_| DbError::corrupt("recommendations.changes"))?;
    let count = list.len();
    let (steered, created) = split(list).map_err(|why| DbError::RecommendationStale { id: approval, why })?;
    let mut events = make(db, tx, &steered, &created, locked, by).await.map_err(|error| stale(approval, error))?;
    sqlx::query!(
        "update recommendations set state = 'applied', decided_by = $2, decided_at = clock_timestamp() where id = $1",
        id,
        by,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("update approvals set state = 'consumed', consumed_at = clock_timestamp() where id = $1", approval.0)
        .execute(&mut *tx)
        .await?;
    let details = json!({
        "recommendation": id, "approval": approval, "changes": count, "sha256": hex::encode(sha256),
    });
    events.push(Event::new(EventKind::RecommendationApplied, by, details).of(locked.task));
    Ok(events)
}

/// What somebody who approves can be told; anything else is a fault.
fn stale(id: ApprovalId, error: DbError) -> DbError {
    match error {
        DbError::WrongStatus { .. }
        | DbError::UnknownTask(_)
        | DbError::UnknownTaskType
        | DbError::UnknownDependencies(_)
        | DbError::GoalEnded { .. }
        | DbError::Transition(_) => DbError::RecommendationStale { id, why: error.to_string() },
        error => error,
    }
}

/// Changes of tasks that there are, and tasks to be made.
fn split(list: Vec<Recommended>) -> Result<(Vec<Recommended>, Vec<Admitted>), String> {
    let mut created = Vec::new();
    let mut steered = Vec::new();
    for change in list {
        match change {
            Recommended::Create(task) => {
                let RecommendedTask { id, key, draft, treatment } = *task;
                let task = NewTask::admit(draft).map_err(|invalid| format!("task {key:?}: {invalid}"))?;
                created.push(Admitted { id, task, treatment });
            }
            change @ (Recommended::SetPriority { .. } | Recommended::Assign { .. } | Recommended::Cancel { .. }) => {
                steered.push(change);
            }
        }
    }
    Ok((steered, created))
}

async fn make(
    db: &Db,
    tx: &mut PgConnection,
    steered: &[Recommended],
    created: &[Admitted],
    locked: &Locked,
    by: &str,
) -> Result<Vec<Event>, DbError> {
    lock_all(tx, steered).await?;
    let mut events = Vec::new();
    for change in steered {
        match change {
            Recommended::SetPriority { task, priority } => events.push(prioritise_in(tx, *task, *priority, by).await?),
            Recommended::Assign { task, worker } => events.push(assign_in(tx, *task, worker.as_deref(), by).await?),
            Recommended::Cancel { task, reason } => events.extend(cancel_in(tx, *task, by, Some(reason)).await?),
            Recommended::Create(_) => return Err(DbError::corrupt("recommendations.changes")),
        }
    }
    if !created.is_empty() {
        // In the name of who had it planned: nobody approves what he asked for, by this way either.
        let origin = Origin { creator: &locked.created_by, actor: by, goal: None };
        events.extend(create_in(tx, created, origin, db.approval_rules().lifetime).await?.1);
    }
    Ok(events)
}

/// In one order, so that two who approve do not wait for each other.
async fn lock_all(tx: &mut PgConnection, list: &[Recommended]) -> Result<(), DbError> {
    let tasks: Vec<Uuid> = list.iter().filter_map(Recommended::changes).map(|task| task.0).collect();
    sqlx::query_scalar!("select id from governance_tasks where id = any ($1) order by id for update", &tasks)
        .fetch_all(tx)
        .await?;
    Ok(())
}
