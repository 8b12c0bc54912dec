//! Admission of a schedule, and of the task in it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Cron, MissedPolicy};
use crate::task::{InvalidTask, NewTask, TaskDraft};

const NAME_BYTES_MAX: usize = 63;

/// A schedule as somebody asks for it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleDraft {
    /// 1 to 63 lower-case letters, digits, `.`, `_` or `-`; begins with a letter or digit. No other schedule has it.
    pub name: String,
    /// Five fields, in UTC: minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// What is created at each firing, in your name: policy and admission judge it anew each time. It names no
    /// `depends_on` and no `deadline_at`.
    pub task: TaskDraft,
    /// What is done about firings that no host was there for; `once` if unset.
    #[serde(default = "once")]
    #[schema(inline)]
    pub missed: MissedPolicy,
    /// Whether it fires while its task before has not ended; `missed` as `all` needs it.
    #[serde(default)]
    pub overlap: bool,
}

fn once() -> MissedPolicy {
    MissedPolicy::Once
}

/// Why a schedule is refused: the field, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {message}")]
pub struct InvalidSchedule {
    pub field: String,
    pub message: String,
}

fn invalid(field: impl Into<String>, message: impl Into<String>) -> InvalidSchedule {
    InvalidSchedule { field: field.into(), message: message.into() }
}

impl From<InvalidTask> for InvalidSchedule {
    fn from(task: InvalidTask) -> Self {
        invalid(format!("task.{}", task.field), task.message)
    }
}

/// A schedule that passed admission; policy has not been asked. Only [`NewSchedule::admit`] makes one.
#[derive(Clone, Debug)]
pub struct NewSchedule {
    pub name: String,
    pub cron: Cron,
    pub task: NewTask,
    pub missed: MissedPolicy,
    pub may_overlap: bool,
}

impl NewSchedule {
    pub fn admit(draft: ScheduleDraft, now: OffsetDateTime) -> Result<Self, InvalidSchedule> {
        let ScheduleDraft { name, cron, task, missed, overlap: may_overlap } = draft;
        check_name(&name)?;
        let cron = Cron::parse(&cron, now).map_err(|error| invalid("cron", error.to_string()))?;
        if missed == MissedPolicy::All && !may_overlap {
            let message = "is all, which creates several tasks at once, so they overlap: allow that with overlap, or \
                           take once";
            return Err(invalid("missed", message));
        }
        Ok(Self { name, cron, task: admit_task(task)?, missed, may_overlap })
    }
}

/// What a firing would refuse every time, or from some day on, is refused at once.
pub fn admit_task(task: TaskDraft) -> Result<NewTask, InvalidSchedule> {
    if task.deadline_at.is_some() {
        return Err(invalid("task.deadline_at", "is one day, which passes while the schedule goes on; leave it out"));
    }
    if !task.depends_on.is_empty() {
        return Err(invalid(
            "task.depends_on",
            "names single tasks, which end while the schedule goes on; leave it out",
        ));
    }
    Ok(NewTask::admit(task)?)
}

fn check_name(name: &str) -> Result<(), InvalidSchedule> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !begins || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        let message = "must be 1 to 63 lower-case letters, digits, '.', '_' or '-', and begin with a letter or digit";
        return Err(invalid("name", message));
    }
    if name.len() == 36 && Uuid::try_parse(name).is_ok() {
        return Err(invalid("name", "is an id; schedules have ids besides, so take another name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;

    fn refused(change: (&str, Value)) -> String {
        let mut draft = json!({
            "name": "nightly", "cron": "0 3 * * *", "task": { "title": "Look", "task_type": "analysis" },
        });
        draft[change.0] = change.1;
        let draft = serde_json::from_value(draft).unwrap();
        match NewSchedule::admit(draft, datetime!(2026-11-27 12:00 UTC)) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => format!("{}: {}", error.field, error.message),
        }
    }

    #[test]
    fn a_refusal_names_the_field() {
        let task = |more: Value| {
            let mut task = json!({ "title": "Look", "task_type": "analysis" });
            for (key, value) in more.as_object().unwrap() {
                task[key] = value.clone();
            }
            ("task", task)
        };
        for (change, expected) in [
            (("name", json!("a.b_c-1")), "accepted"),
            (("name", json!("")), "name: must be 1 to 63"),
            (("name", json!("Nightly")), "name: must be"),
            (("name", json!("-x")), "name: must be"),
            (("name", json!("x".repeat(64))), "name: must be"),
            (("name", json!("0193b7a0-0000-7000-8000-000000000000")), "name: is an id"),
            (("cron", json!("0 25 * * *")), "cron: has \"25\" as its hour"),
            (("missed", json!("all")), "missed: is all, which creates several"),
            (task(json!({"title": " "})), "task.title: must not be empty"),
            (task(json!({"deadline_at": "2030-01-01T00:00:00Z"})), "task.deadline_at: is one day"),
            (task(json!({"depends_on": ["0193b7a0-0000-7000-8000-000000000000"]})), "task.depends_on: names single"),
        ] {
            let shown = format!("{change:?}");
            let said = refused(change);
            assert!(said.starts_with(expected), "{shown}: {said}");
        }
    }
}
