//! A person's side: approve and deny.

use serde_json::json;
use sqlx::{PgConnection, Postgres, Transaction};

use super::people::not_theirs;
use super::{ApprovalDetail, Change, changed, recommended, record, views};
use crate::approval::{ApprovalId, ApprovalKind, ApprovalState};
use crate::audit::{Event, EventKind, short};
use crate::db::attempts::end_attempts;
use crate::db::logs::{LogEntry, append};
use crate::db::tokens::Principal;
use crate::db::{Db, DbError};
use crate::task::{LogLevel, Risk, TaskId, TaskStatus};

/// An approval and its task, both locked.
pub(super) struct Locked {
    pub(super) task: TaskId,
    pub(super) attempt: i32,
    action: String,
    kind: ApprovalKind,
    pub(super) risk: Risk,
    state: ApprovalState,
    decided_by: Option<String>,
    pub(super) in_time: bool,
    fits: bool,
    task_status: TaskStatus,
    pub(super) task_risk: Risk,
    pub(super) created_by: String,
    blocked_by: i32,
}

impl Db {
    /// Approves what was asked for, and lets the task go on if nothing else of it waits.
    pub async fn approve(&self, id: ApprovalId, by: &Principal, note: Option<&str>) -> Result<ApprovalDetail, DbError> {
        let principal = by.name.as_str();
        let mut tx = self.begin_audited().await?;
        let locked = lock(&mut tx, id).await?;
        open(id, &locked, "approved")?;
        let why = match locked.kind {
            ApprovalKind::Recommendation => recommended::void(self, &mut tx, id, &locked).await?,
            ApprovalKind::Start | ApprovalKind::Call | ApprovalKind::Acceptance => void(&locked),
        };
        if let Some(why) = why {
            set_state(&mut tx, id, ApprovalState::Expired).await?;
            record(&mut tx, &change(id, &locked, ApprovalState::Expired, None, false, &why)).await?;
            let events = changed(&mut tx, &[locked.task.0]).await?;
            tx.commit(events).await?;
            return Err(DbError::ApprovalVoid { id, why });
        }
        let refused = not_theirs(&mut tx, &locked, by).await?;
        let solo = match refused {
            None => false,
            Some(_) if self.approval_rules().solo => true,
            Some(why) => return Err(DbError::NotYours(why)),
        };
        set_decision(&mut tx, id, ApprovalState::Approved, principal, note, solo).await?;
        let why = if solo { "in solo mode" } else { "" };
        record(&mut tx, &change(id, &locked, ApprovalState::Approved, Some(principal), solo, why)).await?;
        let (went_on, mut events) = match locked.kind {
            ApprovalKind::Recommendation => {
                // Recorded here, because it does not stay approved.
                let mut events = changed(&mut tx, &[locked.task.0]).await?;
                events.extend(recommended::apply(self, &mut tx, id, &locked, principal).await?);
                let used = change(id, &locked, ApprovalState::Consumed, Some(principal), solo, "its changes are made");
                record(&mut tx, &used).await?;
                (None, events)
            }
            ApprovalKind::Start => {
                bind_versions(&mut tx, locked.task).await?;
                (go_on(&mut tx, &locked).await?, Vec::new())
            }
            ApprovalKind::Call | ApprovalKind::Acceptance => (go_on(&mut tx, &locked).await?, Vec::new()),
        };
        let detail = views::detail(&mut tx, id, self.approval_rules().solo).await?;
        events.extend(changed(&mut tx, &[locked.task.0]).await?);
        events.extend(went_on.map(|status| {
            Event::moved(EventKind::TaskReleased, locked.task, status, principal, json!({ "approval": id }))
        }));
        tx.commit(events).await?;
        Ok(detail)
    }

    /// Denies what was asked for: the task fails, unless it only recommended.
    pub async fn deny(&self, id: ApprovalId, principal: &str, note: &str) -> Result<ApprovalDetail, DbError> {
        let mut tx = self.begin_audited().await?;
        let locked = lock(&mut tx, id).await?;
        open(id, &locked, "denied")?;
        set_decision(&mut tx, id, ApprovalState::Denied, principal, Some(note), false).await?;
        record(&mut tx, &change(id, &locked, ApprovalState::Denied, Some(principal), false, note)).await?;
        let mut events = Vec::new();
        if !locked.task_status.is_final() && locked.kind != ApprovalKind::Recommendation {
            let reason = format!("approval denied by {principal}: {note}");
            events.push(fail_task(&mut tx, locked.task, locked.attempt, "ApprovalDenied", &reason, principal).await?);
        }
        let detail = views::detail(&mut tx, id, self.approval_rules().solo).await?;
        events.extend(changed(&mut tx, &[locked.task.0]).await?);
        tx.commit(events).await?;
        Ok(detail)
    }
}

async fn lock(tx: &mut Transaction<'_, Postgres>, id: ApprovalId) -> Result<Locked, DbError> {
    // The task first, like everybody who changes an approval.
    sqlx::query_scalar!(
        "select 1 from governance_tasks where id = (select task_id from approvals where id = $1) for update",
        id.0,
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(DbError::UnknownApproval(id))?;
    // A statement of its own: its snapshot is from after the wait for the lock.
    let locked = sqlx::query_as!(
        Locked,
        r#"select a.task_id as "task: TaskId", a.attempt, a.action, a.kind as "kind: ApprovalKind",
               a.risk as "risk: Risk", a.state as "state: ApprovalState", a.decided_by,
               a.expires_at > clock_timestamp() as "in_time!",
               (a.kind <> 'start' or a.digest = task_start_digest(t)) as "fits!",
               t.status as "task_status: TaskStatus", t.risk as "task_risk: Risk", t.created_by, t.blocked_by
           from approvals as a join governance_tasks as t on t.id = a.task_id where a.id = $1 for update of a"#,
        id.0,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(locked)
}

fn open(id: ApprovalId, locked: &Locked, action: &'static str) -> Result<(), DbError> {
    match locked.state {
        ApprovalState::Requested => Ok(()),
        ApprovalState::Expired if locked.task_status.is_final() && locked.kind != ApprovalKind::Recommendation => {
            Err(DbError::ApprovalVoid { id, why: format!("task {} is {}", locked.task, locked.task_status) })
        }
        state
        @ (ApprovalState::Approved | ApprovalState::Denied | ApprovalState::Expired | ApprovalState::Consumed) => {
            Err(DbError::ApprovalDecided { id, state, by: locked.decided_by.clone(), action })
        }
    }
}

/// Why an approval that is still open is good for nothing.
fn void(locked: &Locked) -> Option<String> {
    if locked.task_status.is_final() {
        return Some(format!("task {} is {}", locked.task, locked.task_status));
    }
    if !locked.in_time {
        return Some("its time is over; `juggernaut task retry` asks again".to_owned());
    }
    if !locked.fits {
        return Some("the task was changed after it was asked for; it is asked for anew".to_owned());
    }
    None
}

fn change<'a>(
    id: ApprovalId,
    locked: &'a Locked,
    becomes: ApprovalState,
    by: Option<&'a str>,
    solo: bool,
    why: &'a str,
) -> Change<'a> {
    Change { id, task: locked.task, attempt: locked.attempt, action: &locked.action, becomes, by, solo, why }
}

pub(super) async fn set_state(tx: &mut PgConnection, id: ApprovalId, becomes: ApprovalState) -> Result<(), DbError> {
    sqlx::query!("update approvals set state = $2 where id = $1", id.0, becomes as ApprovalState)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

async fn set_decision(
    tx: &mut PgConnection,
    id: ApprovalId,
    becomes: ApprovalState,
    principal: &str,
    note: Option<&str>,
    solo: bool,
) -> Result<(), DbError> {
    sqlx::query!(
        "update approvals set state = $2, decided_by = $3, decided_at = clock_timestamp(), note = $4, solo = $5
         where id = $1",
        id.0,
        becomes as ApprovalState,
        principal,
        note,
        solo,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// A start is approved for what would run the task now. Where nobody could, it is asked for anew once somebody can.
async fn bind_versions(tx: &mut PgConnection, task: TaskId) -> Result<(), DbError> {
    sqlx::query!("update governance_tasks as t set start_versions = task_versions(t) where id = $1", task.0)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// A task that waited for this and nothing else goes on. One that still runs finds out by itself.
async fn go_on(tx: &mut Transaction<'_, Postgres>, locked: &Locked) -> Result<Option<TaskStatus>, DbError> {
    let freed = sqlx::query!(
        r#"update governance_tasks set status = 'pending', requires_approval = false
           where id = $1 and status = 'waiting_approval'
               and not exists (select from approvals where task_id = $1 and state = 'requested' and kind <> 'recommendation')"#,
        locked.task.0,
    )
    .execute(&mut **tx)
    .await?;
    if freed.rows_affected() == 0 {
        return Ok(None);
    }
    if locked.blocked_by == 0 {
        return Ok(Some(TaskStatus::Pending));
    }
    // Two steps, because what waits for approval goes on through `pending`; nobody sees the first one.
    sqlx::query!("update governance_tasks set status = 'suspended' where id = $1", locked.task.0)
        .execute(&mut **tx)
        .await?;
    Ok(Some(TaskStatus::Suspended))
}

/// Returns what the audit log says of it.
pub(super) async fn fail_task(
    tx: &mut PgConnection,
    task: TaskId,
    attempt: i32,
    error_type: &str,
    reason: &str,
    actor: &str,
) -> Result<Event, DbError> {
    sqlx::query!(
        "update governance_tasks set status = 'failed', completed_at = now(), error_message = $2 where id = $1",
        task.0,
        reason,
    )
    .execute(&mut *tx)
    .await?;
    end_attempts(tx, &[task.0], error_type).await?;
    let entry = LogEntry {
        task_id: Some(task),
        worker_id: None,
        action: "task_error".to_owned(),
        level: LogLevel::Error,
        message: reason.to_owned(),
        metadata: json!({}),
        error_data: Some(json!({ "error_type": error_type, "details": reason })),
        attempt: Some(attempt),
    };
    append(tx, &entry).await?;
    let details = json!({ "attempt": attempt, "cause": error_type, "reason": short(reason) });
    Ok(Event::moved(EventKind::TaskFailed, task, TaskStatus::Failed, actor, details))
}
