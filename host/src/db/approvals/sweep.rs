//! What nobody decides: approvals whose time is over, and tasks that wait without anything to approve.

use serde_json::json;
use uuid::Uuid;

use super::decide::{fail_task, set_state};
use super::{Change, ask_start, changed, record};
use crate::approval::{ApprovalId, ApprovalKind, ApprovalState};
use crate::audit::{Event, EventKind};
use crate::db::{Db, DbError};
use crate::task::{TaskId, TaskStatus};

/// Rows of one sweep; the next one follows soon.
const ROWS_MAX: i64 = 100;

/// What a sweep did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SweptApprovals {
    pub expired: u64,
    pub asked: u64,
}

impl Db {
    /// Several hosts may do it at once: each row is changed under its task's lock, by the first.
    pub async fn sweep_approvals(&self) -> Result<SweptApprovals, DbError> {
        let mut swept = SweptApprovals::default();
        let due = sqlx::query!(
            r#"select id as "id: ApprovalId", task_id as "task: TaskId" from approvals
               where state in ('requested', 'approved') and expires_at <= now() order by expires_at limit $1"#,
            ROWS_MAX,
        )
        .fetch_all(self.pool())
        .await?;
        for due in due {
            swept.expired += u64::from(self.expire_approval(due.id, due.task).await?);
        }
        for task in self.tasks_without_approval().await? {
            swept.asked += u64::from(self.ask_for_start(TaskId(task)).await?);
        }
        Ok(swept)
    }

    async fn expire_approval(&self, id: ApprovalId, task: TaskId) -> Result<bool, DbError> {
        let mut tx = self.begin_audited().await?;
        let locked = sqlx::query!(
            r#"select status as "status: TaskStatus", attempt, call_approval as "call: ApprovalId"
               from governance_tasks where id = $1 for update"#,
            task.0,
        )
        .fetch_one(&mut **tx)
        .await?;
        let due = sqlx::query!(
            r#"select kind as "kind: ApprovalKind", action, state as "state: ApprovalState" from approvals
               where id = $1 and state in ('requested', 'approved') and expires_at <= now() for update"#,
            id.0,
        )
        .fetch_optional(&mut **tx)
        .await?;
        let Some(due) = due else {
            return Ok(false);
        };
        set_state(&mut tx, id, ApprovalState::Expired).await?;
        let undecided = due.state == ApprovalState::Requested;
        let why = if undecided { "nobody decided in time" } else { "it was not used in time; it is asked for anew" };
        let change = Change {
            id,
            task,
            attempt: locked.attempt,
            action: &due.action,
            becomes: ApprovalState::Expired,
            by: None,
            solo: false,
            why,
        };
        record(&mut tx, &change).await?;
        let mut events = Vec::new();
        let waits_for_it = locked.call == Some(id) || (due.kind == ApprovalKind::Start && locked.call.is_none());
        if undecided && locked.status == TaskStatus::WaitingApproval && waits_for_it {
            let reason = format!(
                "approval {id} of {} expired: nobody decided in time; `juggernaut task retry` asks again",
                due.action
            );
            events.push(fail_task(&mut tx, task, locked.attempt, "ApprovalExpired", &reason, Event::HOST).await?);
        }
        // Whatever makes it pending again, its start waits for a person.
        let not_begun = matches!(locked.status, TaskStatus::Pending | TaskStatus::Suspended);
        if !undecided && due.kind == ApprovalKind::Start && not_begun {
            sqlx::query!("update governance_tasks set requires_approval = true where id = $1", task.0)
                .execute(&mut **tx)
                .await?;
        }
        events.extend(changed(&mut tx, &[task.0]).await?);
        tx.commit(events).await?;
        Ok(true)
    }

    /// Tasks that somebody made wait, or made pending, past the host; and those whose start was approved for another
    /// component, manifest or policy than any worker has that could claim them.
    async fn tasks_without_approval(&self) -> Result<Vec<Uuid>, DbError> {
        let tasks = sqlx::query_scalar!(
            r#"(select t.id as "id!" from governance_tasks as t
                where t.status = 'waiting_approval' and not exists (
                    select from approvals as a
                    where a.task_id = t.id and a.state = 'requested' and (a.id = t.call_approval or a.kind = 'start')
                ) limit $1)
               union all
               (select t.id from governance_tasks as t
                where t.status = 'pending' and (t.risk = 'critical' or t.requires_approval)
                    and not task_start_approved(t) limit $1)
               union all
               (select t.id from governance_tasks as t
                where t.status = 'pending' and t.start_versions is not null and task_start_is_for_others(t) limit $1)"#,
            ROWS_MAX,
        )
        .fetch_all(self.pool())
        .await?;
        Ok(tasks)
    }

    async fn ask_for_start(&self, task: TaskId) -> Result<bool, DbError> {
        let mut tx = self.begin_audited().await?;
        let locked = sqlx::query!(
            r#"select status as "status: TaskStatus",
                   ((risk = 'critical' or requires_approval) and not task_start_approved(t)
                       or task_start_is_for_others(t)) as "lacks!"
               from governance_tasks as t where id = $1 for update"#,
            task.0,
        )
        .fetch_one(&mut **tx)
        .await?;
        let waits = locked.status == TaskStatus::WaitingApproval;
        let lacks = locked.status == TaskStatus::Pending && locked.lacks;
        if !(waits || lacks) {
            return Ok(false);
        }
        sqlx::query!(
            r#"update governance_tasks
               set status = 'waiting_approval', requires_approval = true,
                   approval_reason = coalesce(approval_reason, 'A person has to approve before it runs')
               where id = $1"#,
            task.0,
        )
        .execute(&mut **tx)
        .await?;
        let asked = ask_start(&mut tx, task, self.approval_rules().lifetime).await?;
        let mut events = changed(&mut tx, &[task.0]).await?;
        if locked.status == TaskStatus::Pending {
            let to = TaskStatus::WaitingApproval;
            events.push(Event::moved(EventKind::TaskWaitingApproval, task, to, Event::HOST, json!({})));
        }
        tx.commit(events).await?;
        Ok(asked)
    }
}
