//! Approvals as people see them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;

use crate::approval::{ApprovalId, ApprovalKind, ApprovalState};
use crate::db::{Db, DbError, rows};
use crate::task::{Risk, TaskId};

/// An approval in a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovalSummary {
    pub id: ApprovalId,
    pub task_id: TaskId,
    pub task_title: String,
    /// `start` (before the task runs), `call` (at a host call), `acceptance` (of an attested criterion) or
    /// `recommendation` (of changes of the backlog).
    pub kind: ApprovalKind,
    /// What would be done, for example `github-merge.merge`.
    pub action: String,
    pub risk: Risk,
    pub state: ApprovalState,
    /// Policies that ask for it.
    pub policies: Vec<String>,
    pub reasons: Vec<String>,
    pub attempt: i32,
    /// The journal position of the call.
    pub position: Option<i32>,
    #[serde(with = "rfc3339")]
    pub requested_at: OffsetDateTime,
    #[serde(with = "rfc3339")]
    pub expires_at: OffsetDateTime,
    pub decided_by: Option<String>,
    #[serde(with = "rfc3339::option")]
    pub decided_at: Option<OffsetDateTime>,
    pub note: Option<String>,
    /// Whether it could be given only because the host ran in solo mode.
    pub solo: bool,
    #[serde(with = "rfc3339::option")]
    pub consumed_at: Option<OffsetDateTime>,
}

/// The columns that a list leaves out.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovalContent {
    /// SHA-256 of all that is approved, in hexadecimal.
    pub digest: String,
    /// SHA-256 of the component that would act, in hexadecimal; null before the task begins. The two below likewise.
    pub component_sha256: Option<String>,
    pub manifest_sha256: Option<String>,
    pub policy_sha256: Option<String>,
    #[schema(value_type = Object)]
    pub arguments: Value,
    /// What would be done, made by the host from the real arguments.
    pub shown: String,
    /// What the role says about it: proof of nothing.
    pub role_says: Option<String>,
}

/// An approval with all that the approver has to know.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovalDetail {
    #[serde(flatten)]
    pub summary: ApprovalSummary,
    #[serde(flatten)]
    pub content: ApprovalContent,
    /// Whether this host lets one person approve what they created.
    pub solo_mode: bool,
}

/// An approval that a task waits for, or could use.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OpenApproval {
    pub id: ApprovalId,
    pub kind: ApprovalKind,
    pub action: String,
    pub state: ApprovalState,
    #[serde(with = "rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// Which approvals a list shows; a field that is none does not filter.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApprovalFilter {
    pub state: Option<ApprovalState>,
    pub task: Option<TaskId>,
}

/// A place in the list, which is sorted by these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalCursor {
    pub requested_at: OffsetDateTime,
    pub id: ApprovalId,
}

impl ApprovalCursor {
    /// Before the newest.
    pub const START: Self =
        Self { requested_at: time::macros::datetime!(9999-12-31 0:00 UTC), id: ApprovalId(uuid::Uuid::max()) };
}

impl ApprovalSummary {
    pub fn cursor(&self) -> ApprovalCursor {
        ApprovalCursor { requested_at: self.requested_at, id: self.id }
    }
}

impl Db {
    /// Approvals that fit the filter, newest first, from just after the cursor.
    pub async fn list_approvals(
        &self,
        filter: ApprovalFilter,
        after: ApprovalCursor,
        limit: u32,
    ) -> Result<Vec<ApprovalSummary>, DbError> {
        let approvals = sqlx::query_as!(
            ApprovalSummary,
            r#"select a.id as "id: ApprovalId", a.task_id as "task_id: TaskId", t.title as task_title,
                   a.kind as "kind: ApprovalKind", a.action, a.risk as "risk: Risk", a.state as "state: ApprovalState",
                   a.policies, a.reasons, a.attempt, a.position, a.requested_at, a.expires_at, a.decided_by, a.decided_at,
                   a.note, a.solo, a.consumed_at
               from approvals as a join governance_tasks as t on t.id = a.task_id
               where (a.requested_at, a.id) < ($3::timestamptz, $4::uuid)
                   and ($1::approval_state is null or a.state = $1) and ($2::uuid is null or a.task_id = $2)
               order by a.requested_at desc, a.id desc limit $5"#,
            filter.state as Option<ApprovalState>,
            filter.task.map(|task| task.0),
            after.requested_at,
            after.id.0,
            rows(limit),
        )
        .fetch_all(self.pool())
        .await?;
        Ok(approvals)
    }

    pub async fn approval(&self, id: ApprovalId) -> Result<ApprovalDetail, DbError> {
        let mut connection = self.pool().acquire().await?;
        detail(&mut connection, id, self.approval_rules().solo).await
    }
}

pub(super) async fn detail(tx: &mut PgConnection, id: ApprovalId, solo_mode: bool) -> Result<ApprovalDetail, DbError> {
    let summary = sqlx::query_as!(
        ApprovalSummary,
        r#"select a.id as "id: ApprovalId", a.task_id as "task_id: TaskId", t.title as task_title,
               a.kind as "kind: ApprovalKind", a.action, a.risk as "risk: Risk", a.state as "state: ApprovalState",
               a.policies, a.reasons, a.attempt, a.position, a.requested_at, a.expires_at, a.decided_by, a.decided_at,
               a.note, a.solo, a.consumed_at
           from approvals as a join governance_tasks as t on t.id = a.task_id where a.id = $1"#,
        id.0,
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(DbError::UnknownApproval(id))?;
    let content = sqlx::query_as!(
        ApprovalContent,
        r#"select encode(digest, 'hex') as "digest!", encode(component_sha256, 'hex') as component_sha256,
               encode(manifest_sha256, 'hex') as manifest_sha256, encode(policy_sha256, 'hex') as policy_sha256,
               arguments as "arguments: Value", shown, role_says
           from approvals where id = $1"#,
        id.0,
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(ApprovalDetail { summary, content, solo_mode })
}

/// What of a task is open, oldest first.
pub(in crate::db) async fn open_of_task(tx: &mut PgConnection, task: TaskId) -> Result<Vec<OpenApproval>, DbError> {
    let open = sqlx::query_as!(
        OpenApproval,
        r#"select id as "id: ApprovalId", kind as "kind: ApprovalKind", action, state as "state: ApprovalState", expires_at
           from approvals where task_id = $1 and state in ('requested', 'approved') order by requested_at, id limit $2"#,
        task.0,
        rows(u32::MAX),
    )
    .fetch_all(&mut *tx)
    .await?;
    Ok(open)
}
