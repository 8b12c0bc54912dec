//! The journal as people read it: what a run called and when. Results stay in the database: they may be large, and
//! they may be what a role was allowed to see but the reader is not.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{Db, DbError, rows};
use crate::journal::Effect;
use crate::task::TaskId;

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "step_state", rename_all = "snake_case")]
pub enum StepStateView {
    /// Begun; if nothing runs, the host died in between.
    Intended,
    Done,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    Ok,
    Err,
}

impl StepOutcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Err => "err",
        }
    }
}

/// One host call of a run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    pub attempt: i32,
    pub position: i32,
    pub interface: String,
    pub function: String,
    pub effect: Effect,
    pub state: StepStateView,
    /// None while it is not done.
    pub outcome: Option<StepOutcome>,
    /// Long values are replaced by their length and digest.
    #[schema(value_type = Value)]
    pub arguments: Value,
    #[serde(with = "time::serde::rfc3339")]
    pub intended_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub done_at: Option<OffsetDateTime>,
}

impl Db {
    /// The calls of an attempt (the newest if none is named), in order, after that position (-1: from the start).
    pub async fn task_steps(
        &self,
        task: TaskId,
        attempt: Option<i32>,
        after: i32,
        limit: u32,
    ) -> Result<Vec<StepView>, DbError> {
        let rows = sqlx::query!(
            r#"select attempt, position, interface, function, effect as "effect: Effect",
                state as "state: StepStateView", result -> 'err' is not null as "failed!", arguments, intended_at, done_at
            from task_steps
            where task_id = $1 and position > $3
                and attempt = coalesce($2, (select max(attempt) from task_runs where task_id = $1))
            order by position limit $4"#,
            task as TaskId,
            attempt,
            after,
            rows(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        let steps = rows.into_iter().map(|row| StepView {
            attempt: row.attempt,
            position: row.position,
            interface: row.interface,
            function: row.function,
            effect: row.effect,
            state: row.state,
            outcome: row.done_at.map(|_| if row.failed { StepOutcome::Err } else { StepOutcome::Ok }),
            arguments: row.arguments,
            intended_at: row.intended_at,
            done_at: row.done_at,
        });
        Ok(steps.collect())
    }
}
