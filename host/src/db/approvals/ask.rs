//! The run's side: asking, and using up.

use std::time::Duration;

use sqlx::{PgConnection, Postgres, Transaction};

use super::{Change, changed, record};
use crate::approval::{ApprovalId, ApprovalKind, ApprovalState, Asked, Request, Use};
use crate::db::commit::hold;
use crate::db::journal::RunKey;
use crate::db::{Db, DbError};
use crate::task::Risk;

impl Db {
    /// Finds or makes the approval that a run needs to go on. The same question has one answer, however often it is
    /// asked; another question makes the one before void, because a run waits at one call.
    pub async fn ask_approval(&self, key: &RunKey, request: &Request) -> Result<Asked, DbError> {
        let mut tx = self.begin_audited().await?;
        hold(&mut tx, key).await?;
        if request.unfinished && used_for_step(&mut tx, key, request).await? {
            return Ok(Asked::Consumed);
        }
        void_others(&mut tx, key, request).await?;
        let open = sqlx::query!(
            r#"select id as "id: ApprovalId", state as "state: ApprovalState" from approvals
               where task_id = $1 and kind = $3 and digest = $2 and state in ('requested', 'approved') for update"#,
            key.task.0,
            request.digest.as_slice(),
            request.kind as ApprovalKind,
        )
        .fetch_optional(&mut **tx)
        .await?;
        let asked = match open {
            Some(open) if open.state == ApprovalState::Approved => Asked::Approved(open.id),
            Some(open) => Asked::Waiting(open.id),
            None => Asked::Waiting(insert(&mut tx, key, request, self.approval_rules().lifetime).await?),
        };
        let events = changed(&mut tx, &[key.task.0]).await?;
        tx.commit(events).await?;
        Ok(asked)
    }
}

/// Asks a person. The caller holds the run's claim.
pub(in crate::db) async fn insert(
    tx: &mut PgConnection,
    key: &RunKey,
    request: &Request,
    lifetime: Duration,
) -> Result<ApprovalId, DbError> {
    let id = ApprovalId::generate();
    let Request { kind, action, risk, policies, reasons, digest, versions, arguments, shown, role_says, .. } = request;
    sqlx::query!(
        r#"insert into approvals (id, task_id, attempt, position, kind, action, risk, policies, reasons, digest,
               component_sha256, manifest_sha256, policy_sha256, arguments, shown, role_says, expires_at)
           values ($1, $2, $3, $4, $17, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
               now() + make_interval(secs => $16))"#,
        id.0,
        key.task.0,
        key.attempt.0,
        i32::try_from(request.position).unwrap_or(i32::MAX),
        action,
        *risk as Risk,
        policies,
        reasons,
        digest.as_slice(),
        versions.component.as_slice(),
        versions.manifest.as_slice(),
        versions.policy.as_slice(),
        arguments,
        shown,
        role_says.as_deref(),
        lifetime.as_secs_f64(),
        *kind as ApprovalKind,
    )
    .execute(&mut *tx)
    .await?;
    let why = reasons.join("; ");
    let change = Change {
        id,
        task: key.task,
        attempt: key.attempt.0,
        action,
        becomes: ApprovalState::Requested,
        by: None,
        solo: false,
        why: &why,
    };
    record(tx, &change).await?;
    Ok(id)
}

/// Whether this very step used up an approval of exactly this.
async fn used_for_step(tx: &mut Transaction<'_, Postgres>, key: &RunKey, request: &Request) -> Result<bool, DbError> {
    let used = sqlx::query_scalar!(
        r#"select exists (
               select from approvals
               where task_id = $1 and attempt = $2 and position = $3 and kind = $5 and digest = $4
                   and state = 'consumed'
           ) as "used!""#,
        key.task.0,
        key.attempt.0,
        i32::try_from(request.position).unwrap_or(i32::MAX),
        request.digest.as_slice(),
        request.kind as ApprovalKind,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(used)
}

/// What was asked for before and is not what is asked for now: the arguments, the change or what runs is another.
async fn void_others(tx: &mut Transaction<'_, Postgres>, key: &RunKey, request: &Request) -> Result<(), DbError> {
    let void = sqlx::query!(
        r#"update approvals set state = 'expired'
           where task_id = $1 and kind in ('call', 'acceptance') and state in ('requested', 'approved')
               and (digest <> $2 or expires_at <= now())
           returning id as "id: ApprovalId", action, digest <> $2 as "other!""#,
        key.task.0,
        request.digest.as_slice(),
    )
    .fetch_all(&mut **tx)
    .await?;
    for void in void {
        let why = if void.other {
            "what it was for is not what would be done now; it is asked for anew"
        } else {
            "its time was over before it was used"
        };
        let change = Change {
            id: void.id,
            task: key.task,
            attempt: key.attempt.0,
            action: &void.action,
            becomes: ApprovalState::Expired,
            by: None,
            solo: false,
            why,
        };
        record(tx, &change).await?;
    }
    Ok(())
}

/// Uses an approval up for a step; [`DbError::NotApproved`] where it is not good any more.
pub(in crate::db) async fn consume(
    tx: &mut Transaction<'_, Postgres>,
    key: &RunKey,
    position: u32,
    used: &Use,
) -> Result<(), DbError> {
    let consumed = sqlx::query!(
        r#"update approvals set state = 'consumed', consumed_at = now(), attempt = $4, position = $5
           where id = $1 and task_id = $2 and kind in ('call', 'acceptance') and digest = $3 and state = 'approved'
               and expires_at > now()
           returning action, decided_by, solo"#,
        used.approval.0,
        key.task.0,
        used.digest.as_slice(),
        key.attempt.0,
        i32::try_from(position).unwrap_or(i32::MAX),
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(DbError::NotApproved)?;
    let why = format!("approved by {}", consumed.decided_by.as_deref().unwrap_or("nobody"));
    let change = Change {
        id: used.approval,
        task: key.task,
        attempt: key.attempt.0,
        action: &consumed.action,
        becomes: ApprovalState::Consumed,
        by: None,
        solo: consumed.solo,
        why: &why,
    };
    record(tx, &change).await
}
