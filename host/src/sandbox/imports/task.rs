//! `task`: what the role was given, and its log. Not journalled: the answers are the same at each start.

use serde_json::json;

use crate::journal::{Call, Effect};
use crate::sandbox::bindings::juggernaut::host::task::{Assignment, Criterion, Host, Level, Risk};
use crate::sandbox::log;
use crate::sandbox::state::RunState;
use crate::task;

/// Of a reason to raise the risk, what is kept.
const RAISE_REASON_BYTES_MAX: usize = 500;

impl Host for RunState {
    async fn given(&mut self) -> wasmtime::Result<Assignment> {
        let task = &self.task;
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Ok(Assignment {
            id: task.id.to_string(),
            title: task.title.clone(),
            description: task.description.clone(),
            task_type: task.task_type.clone(),
            risk: match task.risk {
                task::Risk::Low => Risk::Low,
                task::Risk::Medium => Risk::Medium,
                task::Risk::High => Risk::High,
                task::Risk::Critical => Risk::Critical,
            },
            branch: task.branch(),
            payload: task.payload.to_string(),
            criteria: (task.criteria.iter().enumerate())
                .map(|(at, criterion)| Criterion {
                    number: number(at),
                    kind: criterion.kind().to_owned(),
                    text: criterion.describe(),
                })
                .collect(),
            attempt: task.attempt.number(),
            last_error: task.last_error.clone(),
            goal: task.goal.map(|goal| goal.to_string()),
        })
    }

    async fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Debug => task::LogLevel::Debug,
            Level::Info => task::LogLevel::Info,
            Level::Warn => task::LogLevel::Warn,
            Level::Error => task::LogLevel::Error,
        };
        let pushed = log::lock(&self.log).push(level, "log", &message);
        pushed.map_err(wasmtime::Error::new)?;
        self.drain_log().await.map_err(wasmtime::Error::new)
    }

    async fn raise_risk(&mut self, risk: Risk, mut reason: String) -> wasmtime::Result<()> {
        reason.truncate(reason.floor_char_boundary(RAISE_REASON_BYTES_MAX));
        let reason = self.clean("raise-risk", &reason.replace('\0', "\u{2400}"));
        let risk = match risk {
            Risk::Low => task::Risk::Low,
            Risk::Medium => task::Risk::Medium,
            Risk::High => task::Risk::High,
            Risk::Critical => task::Risk::Critical,
        };
        let call = Call {
            interface: "task",
            function: "raise-risk",
            effect: Effect::Write,
            arguments: json!({ "risk": risk, "reason": reason }),
        };
        RunState::raise_risk(self, call, risk, &reason).await.map_err(wasmtime::Error::new)
    }

    async fn last_step(&mut self) -> wasmtime::Result<Option<u32>> {
        Ok(self.cursor.last())
    }
}
