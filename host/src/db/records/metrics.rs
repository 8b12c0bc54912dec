//! Figures over a window of time, from the views of `migrations/0022_monitoring.sql`.
//!
//! Invariant: read-only, each statement short, at most [`ROWS_MAX`] rows.

use serde_json::{Value, json};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::RecordError;
use super::bounds::{looked, reading};
use crate::db::Db;
use crate::records::{Figures, Metric, MetricQuery, TaskBudget};
use crate::task::TaskStatus;

const ROWS_MAX: i64 = 500;
/// Newest failures that are grouped.
const ERRORS_MAX: i64 = 20_000;
/// Of a sample.
const SAMPLE_CHARS_MAX: i32 = 300;

/// A window as the database takes it.
pub(super) fn seconds(window: u64) -> f64 {
    f64::from(u32::try_from(window).unwrap_or(u32::MAX))
}

/// Since 1970.
pub(super) fn milliseconds(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

pub(super) async fn look(db: &Db, query: &MetricQuery) -> Result<Value, RecordError> {
    let mut tx = reading(db).await?;
    let window = seconds(query.window_seconds);
    let figures = match query.metric {
        Metric::Completion => completion(&mut tx, window).await,
        Metric::Duration => duration(&mut tx, window).await,
        Metric::Queue => queue(&mut tx).await,
        Metric::Throughput => throughput(&mut tx, window).await,
        Metric::Errors => errors(&mut tx, window).await,
        Metric::Running => running(&mut tx).await,
        Metric::Cost => cost(&mut tx, window).await,
        Metric::Budget => budget(&mut tx, db.day_budget()).await,
    };
    Ok(json!(figures.map_err(looked)?))
}

fn figures(columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Figures {
    Figures { columns: columns.iter().map(|&column| column.to_owned()).collect(), rows: rows.collect() }
}

fn decimal(value: f64) -> String {
    format!("{value:.3}")
}

/// A share of all; 0 where there is nothing to have a share in.
fn share(part: i64, all: i64) -> String {
    // Counts are far below what a double holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
    let share = if all == 0 { 0.0 } else { part as f64 / all as f64 };
    format!("{share:.4}")
}

async fn completion(tx: &mut PgConnection, window: f64) -> Result<Figures, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with made as (
               select task_type, count(*) as created from governance_tasks
               where created_at >= now() - make_interval(secs => $1) group by task_type
           ), ended as (
               select task_type, count(*) filter (where status = 'completed') as completed,
                      count(*) filter (where status = 'failed') as failed,
                      count(*) filter (where status = 'dead_letter') as dead
               from metric_ended where ended_at >= now() - make_interval(secs => $1) group by task_type
           )
           select task_type as "task_type!", coalesce(created, 0) as "created!", coalesce(completed, 0) as "completed!",
                  coalesce(failed, 0) as "failed!", coalesce(dead, 0) as "dead!"
           from made full join ended using (task_type) order by task_type limit $2"#,
        window,
        ROWS_MAX,
    )
    .fetch_all(tx)
    .await?;
    let columns = ["task-type", "created", "completed", "failed", "dead-lettered", "completion-rate", "failure-rate"];
    Ok(figures(
        &columns,
        rows.into_iter().map(|row| {
            let all = row.completed + row.failed + row.dead;
            vec![
                row.task_type,
                row.created.to_string(),
                row.completed.to_string(),
                row.failed.to_string(),
                row.dead.to_string(),
                share(row.completed, all),
                share(row.failed + row.dead, all),
            ]
        }),
    ))
}

async fn duration(tx: &mut PgConnection, window: f64) -> Result<Figures, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select task_type as "task_type!", count(*) as "count!",
                  percentile_cont(0.5) within group (order by seconds) as "p50!",
                  percentile_cont(0.95) within group (order by seconds) as "p95!", max(seconds) as "max!"
           from metric_ended
           where status = 'completed' and seconds is not null and ended_at >= now() - make_interval(secs => $1)
           group by task_type order by task_type limit $2"#,
        window,
        ROWS_MAX,
    )
    .fetch_all(tx)
    .await?;
    let columns = ["task-type", "count", "p50-seconds", "p95-seconds", "max-seconds"];
    Ok(figures(
        &columns,
        rows.into_iter().map(|row| {
            vec![row.task_type, row.count.to_string(), decimal(row.p50), decimal(row.p95), decimal(row.max)]
        }),
    ))
}

async fn queue(tx: &mut PgConnection) -> Result<Figures, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select task_type as "task_type!", status as "status!: TaskStatus", count(*) as "count!",
                  greatest(extract(epoch from now() - min(created_at)), 0)::float8 as "oldest!"
           from metric_waiting group by task_type, status order by task_type, status limit $1"#,
        ROWS_MAX,
    )
    .fetch_all(tx)
    .await?;
    Ok(figures(
        &["task-type", "status", "count", "oldest-seconds"],
        rows.into_iter()
            .map(|row| vec![row.task_type, row.status.to_string(), row.count.to_string(), decimal(row.oldest)]),
    ))
}

/// Oldest hour first; hours in which nothing happened have no row.
async fn throughput(tx: &mut PgConnection, window: f64) -> Result<Figures, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with made as (
               select date_trunc('hour', created_at, 'UTC') as hour, count(*) as created from governance_tasks
               where created_at >= now() - make_interval(secs => $1) group by 1
           ), ended as (
               select date_trunc('hour', ended_at, 'UTC') as hour,
                      count(*) filter (where status = 'completed') as completed,
                      count(*) filter (where status in ('failed', 'dead_letter')) as failed
               from metric_ended where ended_at >= now() - make_interval(secs => $1) group by 1
           ), newest as (
               select hour, coalesce(created, 0) as created, coalesce(completed, 0) as completed,
                      coalesce(failed, 0) as failed
               from made full join ended using (hour) order by hour desc limit $2
           )
           select hour as "hour!", created as "created!", completed as "completed!", failed as "failed!"
           from newest order by hour"#,
        window,
        ROWS_MAX,
    )
    .fetch_all(tx)
    .await?;
    Ok(figures(
        &["hour-ms", "created", "completed", "failed"],
        rows.into_iter().map(|row| {
            let counts = [row.created, row.completed, row.failed].map(|count| count.to_string());
            std::iter::once(milliseconds(row.hour).to_string()).chain(counts).collect()
        }),
    ))
}

async fn errors(tx: &mut PgConnection, window: f64) -> Result<Figures, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with newest as (
               select created_at, task_type, message from metric_errors
               where created_at >= now() - make_interval(secs => $1) order by created_at desc limit $2
           )
           select error_fingerprint(message) as "fingerprint!", count(*) as "count!", task_type as "task_type!",
                  min(created_at) as "first!", max(created_at) as "last!",
                  (array_agg(left(message, $3) order by created_at desc))[1] as "sample!"
           from newest group by 1, 3 order by 2 desc, 1, 3 limit $4"#,
        window,
        ERRORS_MAX,
        SAMPLE_CHARS_MAX,
        ROWS_MAX,
    )
    .fetch_all(tx)
    .await?;
    Ok(figures(
        &["fingerprint", "count", "task-type", "first-ms", "last-ms", "sample"],
        rows.into_iter().map(|row| {
            vec![
                row.fingerprint,
                row.count.to_string(),
                row.task_type,
                milliseconds(row.first).to_string(),
                milliseconds(row.last).to_string(),
                row.sample,
            ]
        }),
    ))
}

async fn running(tx: &mut PgConnection) -> Result<Figures, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id as "id!", task_type as "task_type!", coalesce(worker, '') as "worker!",
                  greatest(extract(epoch from now() - coalesce(started_at, now())), 0)::float8 as "seconds!"
           from metric_running order by started_at nulls last, id limit $1"#,
        ROWS_MAX,
    )
    .fetch_all(tx)
    .await?;
    Ok(figures(
        &["id", "task-type", "worker", "running-seconds"],
        rows.into_iter().map(|row| vec![row.id.to_string(), row.task_type, row.worker, decimal(row.seconds)]),
    ))
}

/// A request whose answer never came counts for the cost that was reserved, and for no tokens.
async fn cost(tx: &mut PgConnection, window: f64) -> Result<Figures, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select model, count(*) as "calls!", coalesce(sum(prompt_tokens), 0)::bigint as "prompt!",
                  coalesce(sum(answer_tokens), 0)::bigint as "answer!",
                  sum(coalesce(microdollars, microdollars_reserved))::bigint as "microdollars!"
           from llm_usage
           where day >= ((now() - make_interval(secs => $1)) at time zone 'utc')::date
               and reserved_at >= now() - make_interval(secs => $1)
           group by model order by 5 desc, model limit $2"#,
        window,
        ROWS_MAX,
    )
    .fetch_all(tx)
    .await?;
    Ok(figures(
        &["model", "calls", "prompt-tokens", "answer-tokens", "cost-microdollars"],
        rows.into_iter().map(|row| {
            let counts = [row.calls, row.prompt, row.answer, row.microdollars].map(|count| count.to_string());
            std::iter::once(row.model).chain(counts).collect()
        }),
    ))
}

/// Of today, by UTC, as the budget is.
async fn budget(tx: &mut PgConnection, limits: TaskBudget) -> Result<Figures, sqlx::Error> {
    let spent = sqlx::query!("select tokens, microdollars from llm_days where day = (now() at time zone 'utc')::date")
        .fetch_optional(tx)
        .await?;
    let (tokens, microdollars) = spent.map_or((0, 0), |row| (row.tokens, row.microdollars));
    let row = [
        tokens.to_string(),
        limits.tokens_max.to_string(),
        microdollars.to_string(),
        limits.microdollars_max.to_string(),
    ];
    Ok(figures(
        &["spent-tokens", "limit-tokens", "spent-microdollars", "limit-microdollars"],
        std::iter::once(row.to_vec()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_none() {
        assert_eq!((share(0, 0).as_str(), share(1, 3).as_str(), share(2, 2).as_str()), ("0.0000", "0.3333", "1.0000"));
    }

    #[test]
    fn times_are_milliseconds() {
        assert_eq!(milliseconds(OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(1_500)), 1_500);
    }
}
