//! Schedules: made, shown, paused and removed by people; fired by any host.
//!
//! Invariant: whoever changes a schedule holds its row, so that pausing, removing and firing meet one after the other.

mod fire;
mod keep;
mod views;

pub use fire::{Fired, Firing};
pub use views::{ScheduleCursor, ScheduleDetail, ScheduleView};

use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Db, DbError};
use crate::audit::{Event, EventKind};
use crate::schedule::{Cron, MissedPolicy, NewSchedule, SCHEDULES_MAX, ScheduleState};

impl Db {
    /// The database's clock, which schedules go by.
    pub async fn now(&self) -> Result<OffsetDateTime, DbError> {
        Ok(sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(self.pool()).await?)
    }

    /// Adds a schedule; policy has let its task pass for this principal.
    pub async fn create_schedule(&self, new: &NewSchedule, principal: &str) -> Result<ScheduleDetail, DbError> {
        let mut tx = self.begin_audited().await?;
        if !insert(&mut tx, new, principal).await? {
            return Err(DbError::ScheduleExists(new.name.clone()));
        }
        let schedule = views::show(&mut tx, &new.name).await?;
        tx.commit(vec![created(&schedule.summary, principal)]).await?;
        Ok(schedule)
    }

    /// Pauses or resumes a schedule, named by its id or name, in the name of `by`. What would have fired while it was
    /// paused is not made up for.
    pub async fn set_schedule_state(
        &self,
        schedule: &str,
        to: ScheduleState,
        by: &str,
    ) -> Result<ScheduleView, DbError> {
        let mut tx = self.begin_audited().await?;
        let Held { id, state: from, cron, now, .. } = hold(&mut tx, schedule).await?;
        if from == to {
            return Ok(views::show(&mut tx, schedule).await?.summary);
        }
        let next = match to {
            ScheduleState::Active => Some(next_of(&cron, now)?),
            ScheduleState::Paused => None,
        };
        sqlx::query!(
            "update schedules set state = $2, next_at = $3 where id = $1",
            id,
            to as ScheduleState,
            next as Option<OffsetDateTime>
        )
        .execute(&mut **tx)
        .await?;
        let view = views::show(&mut tx, schedule).await?.summary;
        let details = json!({ "schedule": id, "name": view.name, "from": from, "to": to });
        tx.commit(vec![Event::new(EventKind::ScheduleChanged, by, details)]).await?;
        Ok(view)
    }

    /// Removes a schedule; its tasks stay.
    pub async fn delete_schedule(&self, schedule: &str, by: &str) -> Result<ScheduleView, DbError> {
        let mut tx = self.begin_audited().await?;
        let Held { id, created_by, .. } = hold(&mut tx, schedule).await?;
        let view = views::show(&mut tx, schedule).await?.summary;
        if created_by == Event::HOST {
            return Err(DbError::ScheduleKept(view.name));
        }
        sqlx::query!("delete from schedules where id = $1", id).execute(&mut **tx).await?;
        let details = json!({ "schedule": id, "name": view.name, "created_by": created_by, "fired": view.fired });
        tx.commit(vec![Event::new(EventKind::ScheduleDeleted, by, details)]).await?;
        Ok(view)
    }
}

/// False where there is one of that name.
async fn insert(tx: &mut PgConnection, new: &NewSchedule, principal: &str) -> Result<bool, DbError> {
    let NewSchedule { name, cron, task, missed, may_overlap } = new;
    // Two that are added at once must not both be the last one that there is room for.
    sqlx::query!("select pg_advisory_xact_lock(hashtext('juggernaut schedules'))::text as locked")
        .fetch_one(&mut *tx)
        .await?;
    let there = sqlx::query!(
        r#"select count(*) as "count!", coalesce(bool_or(name = $1), false) as "taken!", now() as "now!" from schedules"#,
        name
    )
    .fetch_one(&mut *tx)
    .await?;
    if there.taken {
        return Ok(false);
    }
    if there.count >= SCHEDULES_MAX {
        return Err(DbError::SchedulesFull(there.count));
    }
    sqlx::query!(
        "insert into schedules (name, cron, draft, missed, may_overlap, created_by, next_at)
        values ($1, $2, $3, $4, $5, $6, $7)",
        name,
        cron.as_str(),
        json!(task.draft()),
        *missed as MissedPolicy,
        may_overlap,
        principal,
        next_of(cron.as_str(), there.now)?
    )
    .execute(tx)
    .await?;
    Ok(true)
}

fn created(schedule: &ScheduleView, principal: &str) -> Event {
    let ScheduleView { id, name, cron, missed, overlap, title, task_type, .. } = schedule;
    let details = json!({
        "schedule": id, "name": name, "cron": cron, "missed": missed, "overlap": overlap, "title": title,
        "task_type": task_type,
    });
    Event::new(EventKind::ScheduleCreated, principal, details)
}

/// What a change has to know of a schedule whose row it holds.
struct Held {
    id: Uuid,
    state: ScheduleState,
    cron: String,
    created_by: String,
    now: OffsetDateTime,
}

async fn hold(tx: &mut PgConnection, schedule: &str) -> Result<Held, DbError> {
    sqlx::query_as!(
        Held,
        r#"select id, state as "state: ScheduleState", cron, created_by, now() as "now!"
        from schedules where name = $1 or id = $2 for update"#,
        schedule,
        as_id(schedule) as Option<Uuid>
    )
    .fetch_optional(tx)
    .await?
    .ok_or_else(|| unknown(schedule))
}

/// No name looks like an id.
fn as_id(schedule: &str) -> Option<Uuid> {
    Uuid::try_parse(schedule).ok().filter(|_| schedule.len() == 36)
}

fn unknown(schedule: &str) -> DbError {
    DbError::UnknownSchedule(schedule.chars().take(64).collect())
}

/// When a stored expression fires next.
fn next_of(cron: &str, now: OffsetDateTime) -> Result<OffsetDateTime, DbError> {
    Cron::parse(cron, now).ok().and_then(|cron| cron.after(now)).ok_or_else(|| DbError::corrupt("schedules"))
}
