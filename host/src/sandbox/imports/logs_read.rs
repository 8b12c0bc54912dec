//! `logs-read`.

use serde_json::json;

use super::metrics_read::beyond_window;
use crate::journal::{Call, Effect};
use crate::manifest::Interface;
use crate::records::{LogQuery, Query, SeenLine};
use crate::sandbox::bindings::juggernaut::host::logs_read::{Filter, Host, Level, Line};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::state::RunState;
use crate::task::{LogLevel, TaskId};

impl Host for RunState {
    async fn list_lines(&mut self, filter: Filter) -> Result<Vec<Line>, CallError> {
        let query = checked(&filter).map_err(GuestError::Invalid)?;
        let LogQuery { task, level, window_seconds, limit } = query;
        let call = Call {
            interface: "logs-read",
            function: "list-lines",
            effect: Effect::Read,
            arguments: json!({ "task": task, "level": level, "window_seconds": window_seconds, "limit": limit }),
        };
        let grant = self.manifest.grants.logs_read.as_ref().map(AsRef::as_ref);
        let mut beyond = beyond_window(window_seconds, grant.map(|grant| grant.window_hours_max));
        if let Some(lines) = grant.map(|grant| grant.lines_max).filter(|lines| limit > *lines) {
            let remedy = format!("a limit of {limit} is more than the {lines} lines that are granted");
            beyond.push(("lines_max".to_owned(), remedy));
        }
        let allowed = self.judged(move |scope| scope.read_records(Interface::LogsRead, "list-lines", beyond)).await;
        let seen: Vec<SeenLine> = self.look(call, allowed, Query::Logs(query)).await?;
        Ok(seen.into_iter().map(line).collect())
    }
}

fn checked(filter: &Filter) -> Result<LogQuery, String> {
    let Filter { task, level, window_seconds, limit } = filter;
    if *window_seconds == 0 || *limit == 0 {
        return Err("window-seconds and limit must be 1 at least".to_owned());
    }
    let parse = |id: &String| {
        let parsed: Result<TaskId, _> = id.parse();
        parsed.map_err(|_| "task is no task's id".to_owned())
    };
    let task = task.as_ref().map(parse).transpose()?;
    let level = match level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    };
    Ok(LogQuery { task, level, window_seconds: *window_seconds, limit: *limit })
}

fn line(seen: SeenLine) -> Line {
    let SeenLine { task, worker, action, level, message, at_ms } = seen;
    let level = match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warn => Level::Warn,
        LogLevel::Error => Level::Error,
    };
    Line { task, worker, action, level, message, at_ms }
}
