//! The journal's part of a group commit.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Write;
use crate::db::DbError;
use crate::db::journal::{RunKey, StepRow};
use crate::journal::Effect;

/// Steps, column by column.
#[derive(Default)]
struct Columns<'a> {
    tasks: Vec<Uuid>,
    attempts: Vec<i32>,
    positions: Vec<i32>,
    interfaces: Vec<&'a str>,
    functions: Vec<&'a str>,
    effects: Vec<Effect>,
    digests: Vec<&'a [u8]>,
    arguments: Vec<String>,
    results: Vec<Option<String>>,
    leases: Vec<i64>,
    intended_at: Vec<OffsetDateTime>,
    done_at: Vec<Option<OffsetDateTime>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, key: &RunKey, StepRow { step, arguments }: &'a StepRow) {
        let outcome = step.outcome.as_ref();
        self.tasks.push(key.task.0);
        self.attempts.push(key.attempt.0);
        self.positions.push(i32::try_from(step.position).unwrap_or(i32::MAX));
        self.interfaces.push(&step.interface);
        self.functions.push(&step.function);
        self.effects.push(step.effect);
        self.digests.push(&step.digest);
        self.arguments.push(arguments.to_string());
        self.results.push(outcome.map(|outcome| outcome.result.to_string()));
        self.leases.push(key.lease.0);
        self.intended_at.push(step.intended_at);
        self.done_at.push(outcome.map(|outcome| outcome.at));
    }
}

pub(super) async fn write(connection: &mut PgConnection, writes: &[&Write]) -> Result<(), DbError> {
    let mut columns = Columns::default();
    for write in writes {
        let steps = &write.batch.steps;
        // The same position may come twice, first the intent and then the result: what is known last is the whole of it.
        let last = |number: usize, row: &StepRow| {
            steps[number + 1..].iter().all(|later| later.step.position != row.step.position)
        };
        for (_, row) in steps.iter().enumerate().filter(|(number, row)| last(*number, row)) {
            columns.push(&write.key, row);
        }
    }
    let count = columns.tasks.len();
    if count == 0 {
        return Ok(());
    }
    let Columns {
        tasks,
        attempts,
        positions,
        interfaces,
        functions,
        effects,
        digests,
        arguments,
        results,
        leases,
        intended_at,
        done_at,
    } = columns;
    let written = sqlx::query!(
        r#"insert into task_steps (task_id, attempt, position, interface, function, effect, arguments_sha256, arguments,
                                   state, result, lease, intended_at, done_at)
           select row.task_id, row.attempt, row.position, row.interface, row.function, row.effect, row.digest,
                  row.arguments::json, case when row.result is null then 'intended' else 'done' end::step_state,
                  row.result::json, row.lease, row.intended_at, row.done_at
           from unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[], $5::text[], $6::step_effect[], $7::bytea[],
                       $8::text[], $9::text[], $10::bigint[], $11::timestamptz[], $12::timestamptz[])
               as row (task_id, attempt, position, interface, function, effect, digest, arguments, result, lease,
                       intended_at, done_at)
           on conflict (task_id, attempt, position) do update
           set state = excluded.state, result = excluded.result, done_at = excluded.done_at, lease = excluded.lease
           where task_steps.state = 'intended' and excluded.state = 'done'"#,
        &tasks,
        &attempts,
        &positions,
        &interfaces as &[&str],
        &functions as &[&str],
        effects as Vec<Effect>,
        &digests as &[&[u8]],
        &arguments,
        &results as &[Option<String>],
        &leases,
        &intended_at,
        &done_at as &[Option<OffsetDateTime>],
    )
    .execute(connection)
    .await?;
    // A result is written once. A second one would mean that something was done twice.
    if written.rows_affected() != count as u64 {
        return Err(DbError::corrupt("task_steps: a step that is done was written again"));
    }
    Ok(())
}
