//! What language models take: each request is reserved before it is sent and settled after it is answered.
//!
//! Invariants: the row of the day is held while something is reserved, so hosts that ask at the same time do not spend the same
//! rest; what is not settled goes on counting for what was reserved, whatever became of its host.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use time::Date;
use utoipa::ToSchema;

use super::commit::hold;
use super::journal::RunKey;
use super::{Db, DbError, rows};
use crate::audit::{Event, EventKind};
use crate::records::{ModelQuery, Refused, Remaining, Reservation, Settlement, TaskBudget};

/// Models of a day that are listed, the dearest first.
const MODELS_SHOWN: u32 = 100;

/// What counts against a budget.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    tokens: u64,
    microdollars: u64,
}

/// What a day took so far, and what it may take.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BudgetView {
    /// By UTC, such as `2026-11-27`.
    pub day: String,
    /// Prompts and answers together. What is reserved counts, too.
    pub tokens: u64,
    pub tokens_max: u64,
    /// Millionths of a US dollar.
    pub microdollars: u64,
    pub microdollars_max: u64,
    /// The dearest first; at most 100.
    pub models: Vec<ModelSpending>,
}

/// What one model took on a day.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ModelSpending {
    pub model: String,
    pub requests: u64,
    /// Of these, sent without a known answer: they count for what was reserved.
    pub unsettled: u64,
    pub tokens: u64,
    pub microdollars: u64,
}

fn stored(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}

fn read(figure: i64) -> u64 {
    u64::try_from(figure).unwrap_or_default()
}

impl Db {
    /// Makes a request count, before it is sent. Refused where the estimate exceeds what is left for the task or the day.
    pub async fn reserve_model(&self, key: &RunKey, reservation: &Reservation) -> Result<Result<(), Refused>, DbError> {
        let Reservation { id, position, model, request, tokens, microdollars, budget } = reservation;
        let mut tx = self.begin_audited().await?;
        hold(&mut tx, key).await?;
        // A commit whose answer was lost.
        let known = sqlx::query_scalar!(r#"select exists (select from llm_usage where id = $1) as "known!""#, id);
        if known.fetch_one(&mut **tx).await? {
            return Ok(Ok(()));
        }
        let day = hold_day(&mut tx).await?;
        let spent = spent_by_day(&mut tx, day).await?;
        let of_task = spent_by_task(&mut tx, key).await?;
        let wanted = Spent { tokens: *tokens, microdollars: *microdollars };
        if let Some(refused) = beyond(wanted, of_task, *budget, spent, self.day_budget()) {
            // Nothing was changed: the transaction is dropped.
            return Ok(Err(refused));
        }
        sqlx::query!(
            "insert into llm_usage (id, task_id, attempt, position, model, day, request, tokens_reserved, microdollars_reserved)
             values ($1, $2, $3, $4, $5, $6, $7::text::json, $8, $9)",
            id,
            key.task.0,
            key.attempt.0,
            i32::try_from(*position).unwrap_or(i32::MAX),
            model,
            day,
            request.to_string(),
            stored(*tokens),
            stored(*microdollars),
        )
        .execute(&mut **tx)
        .await?;
        count(&mut tx, day, stored(*tokens), stored(*microdollars)).await?;
        let details = json!({
            "request": id, "model": model, "attempt": key.attempt, "position": position, "tokens": tokens,
            "microdollars": microdollars,
        });
        tx.commit(vec![Event::new(EventKind::ModelReserved, &key.worker.0, details).of(key.task)]).await?;
        Ok(Ok(()))
    }

    /// Puts what a request took in the place of what was reserved for it.
    pub async fn settle_model(&self, key: &RunKey, settlement: &Settlement) -> Result<(), DbError> {
        let Settlement { id, answer, prompt_tokens, answer_tokens, microdollars } = settlement;
        let mut tx = self.begin_audited().await?;
        hold(&mut tx, key).await?;
        // The day before its requests, as reservations do.
        let day = sqlx::query_scalar!(
            "select d.day from llm_days d join llm_usage u on u.day = d.day where u.id = $1 for no key update of d",
            id
        );
        let Some(day) = day.fetch_optional(&mut **tx).await? else {
            return Err(DbError::corrupt("llm_usage: a request was answered that was not reserved"));
        };
        let reserved = sqlx::query!(
            "update llm_usage set state = 'settled', answer = $3::text::json, prompt_tokens = $4, answer_tokens = $5,
                 microdollars = $6, settled_at = now()
             where id = $1 and task_id = $2 and state = 'reserved'
             returning tokens_reserved, microdollars_reserved, model",
            id,
            key.task.0,
            answer.to_string(),
            stored(*prompt_tokens),
            stored(*answer_tokens),
            stored(*microdollars),
        )
        .fetch_optional(&mut **tx)
        .await?;
        // None: a commit whose answer was lost.
        let Some(reserved) = reserved else { return Ok(()) };
        let tokens = stored(prompt_tokens.saturating_add(*answer_tokens)).saturating_sub(reserved.tokens_reserved);
        let cost = stored(*microdollars).saturating_sub(reserved.microdollars_reserved);
        count(&mut tx, day, tokens, cost).await?;
        let details = json!({
            "request": id, "model": reserved.model, "attempt": key.attempt, "prompt_tokens": prompt_tokens,
            "answer_tokens": answer_tokens, "microdollars": microdollars,
        });
        tx.commit(vec![Event::new(EventKind::ModelSettled, &key.worker.0, details).of(key.task)]).await
    }

    pub(super) async fn look_at_models(&self, key: &RunKey, query: &ModelQuery) -> Result<Value, DbError> {
        let ModelQuery::Remaining(of_task) = query;
        let mut connection = self.pool().acquire().await?;
        let of_day = self.day_budget();
        let task = spent_by_task(&mut connection, key).await?;
        let today = today(&mut connection).await?;
        let day = spent_by_day(&mut connection, today).await?;
        let left = |task_max: u64, task: u64, day_max: u64, day: u64| {
            task_max.saturating_sub(task).min(day_max.saturating_sub(day))
        };
        let remaining = Remaining {
            tokens: left(of_task.tokens_max, task.tokens, of_day.tokens_max, day.tokens),
            microdollars: left(of_task.microdollars_max, task.microdollars, of_day.microdollars_max, day.microdollars),
        };
        serde_json::to_value(remaining).map_err(|_| DbError::corrupt("llm_usage"))
    }

    /// What this day took so far, for people.
    pub async fn model_budget(&self) -> Result<BudgetView, DbError> {
        let mut connection = self.pool().acquire().await?;
        let day = today(&mut connection).await?;
        let Spent { tokens, microdollars } = spent_by_day(&mut connection, day).await?;
        let models = sqlx::query!(
            r#"select model, count(*) as "requests!", count(*) filter (where state = 'reserved') as "unsettled!",
                   sum(coalesce(prompt_tokens + answer_tokens, tokens_reserved))::bigint as "tokens!",
                   sum(coalesce(microdollars, microdollars_reserved))::bigint as "microdollars!"
               from llm_usage where day = $1 group by model order by 5 desc, model limit $2"#,
            day,
            rows(MODELS_SHOWN),
        )
        .fetch_all(&mut *connection)
        .await?;
        let models = models.into_iter().map(|row| ModelSpending {
            model: row.model,
            requests: read(row.requests),
            unsettled: read(row.unsettled),
            tokens: read(row.tokens),
            microdollars: read(row.microdollars),
        });
        Ok(BudgetView {
            day: day.to_string(),
            tokens,
            tokens_max: self.models.day_tokens_max,
            microdollars,
            microdollars_max: self.models.day_microdollars_max,
            models: models.collect(),
        })
    }

    pub(super) fn day_budget(&self) -> TaskBudget {
        TaskBudget { tokens_max: self.models.day_tokens_max, microdollars_max: self.models.day_microdollars_max }
    }
}

/// The key that does not allow it, if one does not.
fn beyond(wanted: Spent, task: Spent, of_task: TaskBudget, day: Spent, of_day: TaskBudget) -> Option<Refused> {
    let cases = [
        ("tokens", "tokens_per_task_max of [grants.llm]", wanted.tokens, task.tokens, of_task.tokens_max),
        (
            "microdollars",
            "cost_microdollars_per_task_max of [grants.llm]",
            wanted.microdollars,
            task.microdollars,
            of_task.microdollars_max,
        ),
        ("tokens", "JUGGERNAUT_LLM_DAY_TOKENS_MAX of the host", wanted.tokens, day.tokens, of_day.tokens_max),
        (
            "microdollars",
            "JUGGERNAUT_LLM_DAY_MICRODOLLARS_MAX of the host",
            wanted.microdollars,
            day.microdollars,
            of_day.microdollars_max,
        ),
    ];
    let (unit, key, wanted, spent, max) =
        cases.into_iter().find(|(_, _, wanted, spent, max)| spent.saturating_add(*wanted) > *max)?;
    Some(Refused::Denied(format!(
        "the request may take {wanted} {unit}, and of {max} are {} left: see {key}",
        max.saturating_sub(spent)
    )))
}

async fn today(connection: &mut PgConnection) -> Result<Date, DbError> {
    let day = sqlx::query_scalar!(r#"select (now() at time zone 'utc')::date as "day!""#);
    Ok(day.fetch_one(connection).await?)
}

/// Holds today's row until the transaction ends.
async fn hold_day(connection: &mut PgConnection) -> Result<Date, DbError> {
    let day = sqlx::query_scalar!(
        "insert into llm_days (day) values ((now() at time zone 'utc')::date)
         on conflict (day) do update set tokens = llm_days.tokens returning day"
    );
    Ok(day.fetch_one(connection).await?)
}

async fn spent_by_day(connection: &mut PgConnection, day: Date) -> Result<Spent, DbError> {
    let row = sqlx::query!("select tokens, microdollars from llm_days where day = $1", day);
    let row = row.fetch_optional(connection).await?;
    Ok(row.map(|row| Spent { tokens: read(row.tokens), microdollars: read(row.microdollars) }).unwrap_or_default())
}

async fn spent_by_task(connection: &mut PgConnection, key: &RunKey) -> Result<Spent, DbError> {
    let row = sqlx::query!(
        r#"select coalesce(sum(coalesce(prompt_tokens + answer_tokens, tokens_reserved)), 0)::bigint as "tokens!",
               coalesce(sum(coalesce(microdollars, microdollars_reserved)), 0)::bigint as "microdollars!"
           from llm_usage where task_id = $1"#,
        key.task.0,
    )
    .fetch_one(connection)
    .await?;
    Ok(Spent { tokens: read(row.tokens), microdollars: read(row.microdollars) })
}

/// Adds to the day's sum, or takes from it.
async fn count(connection: &mut PgConnection, day: Date, tokens: i64, microdollars: i64) -> Result<(), DbError> {
    sqlx::query!(
        "update llm_days set tokens = greatest(tokens + $2, 0), microdollars = greatest(microdollars + $3, 0) where day = $1",
        day,
        tokens,
        microdollars,
    )
    .execute(connection)
    .await?;
    Ok(())
}
