//! Schedules that the host keeps itself.

use serde_json::{Value, json};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{created, hold, insert, views};
use crate::audit::{Event, EventKind};
use crate::db::{Db, DbError};
use crate::schedule::{MissedPolicy, NewSchedule, ScheduleDraft, ScheduleState};
use crate::task::TaskDraft;

impl Db {
    /// Sees to it that there is this schedule of the host's: makes it, or brings expression and task up to date. Doing it
    /// again changes nothing, and one that somebody paused stays paused. Missed firings are skipped, and it fires only
    /// once the task before has ended. A schedule of that name that a person made is left alone:
    /// [`DbError::ScheduleExists`].
    pub async fn ensure_schedule(&self, name: &str, cron: &str, task: TaskDraft) -> Result<(), DbError> {
        let (name, cron) = (name.to_owned(), cron.to_owned());
        let draft = ScheduleDraft { name, cron, task, missed: MissedPolicy::Skip, overlap: false };
        let new = NewSchedule::admit(draft, self.now().await?)?;
        let mut tx = self.begin_audited().await?;
        let event = if insert(&mut tx, &new, Event::HOST).await? {
            Some(created(&views::show(&mut tx, &new.name).await?.summary, Event::HOST))
        } else {
            bring_up_to_date(&mut tx, &new).await?
        };
        tx.commit(event.into_iter().collect()).await
    }
}

/// None where nothing is to be changed.
async fn bring_up_to_date(tx: &mut PgConnection, new: &NewSchedule) -> Result<Option<Event>, DbError> {
    let held = hold(tx, &new.name).await?;
    if held.created_by != Event::HOST {
        return Err(DbError::ScheduleExists(new.name.clone()));
    }
    let task = json!(new.task.draft());
    let other_time = held.cron != new.cron.as_str();
    let next: Option<OffsetDateTime> = match held.state {
        ScheduleState::Active if other_time => new.cron.after(held.now),
        ScheduleState::Active | ScheduleState::Paused => None,
    };
    let changed = sqlx::query_scalar!(
        "update schedules set cron = $2, draft = $3, next_at = coalesce($4, next_at)
        where id = $1 and (cron <> $2 or draft <> $3) returning id",
        held.id,
        new.cron.as_str(),
        task as Value,
        next as Option<OffsetDateTime>
    )
    .fetch_optional(tx)
    .await?;
    let details = json!({ "schedule": held.id, "name": new.name, "cron": new.cron.as_str(), "cron_before": held.cron });
    Ok(changed.map(|_| Event::new(EventKind::ScheduleChanged, Event::HOST, details)))
}
