//! Follows a task's log until the task has ended, over as many connections as it takes.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use serde::Deserialize;

use super::client::{Client, Unreachable};
use super::output::{Output, note, time, visible, visible_lines};
use super::sse::{SseEvent, SseReader};
use crate::db::logs::LogLine;
use crate::task::{LogLevel, TaskId, TaskStatus};

/// Connections in a row that may fail before this gives up.
const FAILURES_MAX: u32 = 10;
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// Where the lines of the log go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// They are what was asked for.
    Stdout,
    /// They are progress.
    Stderr,
}

/// How following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    Ended(TaskStatus),
    /// By Ctrl-C; the task goes on.
    Interrupted,
}

#[derive(Deserialize)]
struct StatusData {
    status: TaskStatus,
}

struct Follower<'a> {
    client: &'a Client,
    task: TaskId,
    lines: Lines,
    output: Output,
    after: i64,
    status: Option<TaskStatus>,
}

/// Until the task has ended or Ctrl-C.
pub(super) async fn follow(client: &Client, task: TaskId, lines: Lines, output: Output) -> anyhow::Result<Followed> {
    let mut follower = Follower { client, task, lines, output, after: 0, status: None };
    let interrupted = tokio::select! {
        ended = follower.until_end() => return ended.map(Followed::Ended),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    };
    interrupted.context("Ctrl-C can not be noticed on this machine")?;
    let status = follower.status.map_or("in an unknown status", TaskStatus::as_str);
    note(&format!("Stopped watching. Task {task} goes on; it was {status}."));
    note(&format!(
        "Watch it with `juggernaut task logs --follow {task}`, end it with `juggernaut task cancel {task}`."
    ));
    Ok(Followed::Interrupted)
}

impl Follower<'_> {
    async fn until_end(&mut self) -> anyhow::Result<TaskStatus> {
        let mut failures = 0;
        loop {
            let before = self.after;
            match self.one_stream().await {
                Ok(Some(status)) => return Ok(status),
                // The host cut the stream, which it may at any time.
                Ok(None) => failures = 0,
                Err(error) if error.is::<Unreachable>() && failures < FAILURES_MAX => {
                    failures = if self.after > before { 1 } else { failures + 1 };
                    note(&format!("{error:#}; attempt {failures} of {FAILURES_MAX}"));
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    }

    /// One connection; none if it was cut before the task ended.
    async fn one_stream(&mut self) -> anyhow::Result<Option<TaskStatus>> {
        let id = self.task.to_string();
        let response = self.client.stream(&["tasks", &id, "logs", "stream"], self.after).await?;
        let mut bytes = response.bytes_stream();
        let mut reader = SseReader::default();
        while let Some(chunk) = bytes.next().await {
            let Ok(chunk) = chunk else {
                return Ok(None);
            };
            for event in reader.push(&chunk)? {
                if let Some(status) = self.take(&event)? {
                    return Ok(Some(status));
                }
            }
        }
        Ok(None)
    }

    /// The final status, if that is what the event tells.
    fn take(&mut self, event: &SseEvent) -> anyhow::Result<Option<TaskStatus>> {
        match event.name.as_str() {
            "log" => {
                let line: LogLine = serde_json::from_str(&event.data).context("a line of the log is not understood")?;
                self.print(&line, &event.data)?;
                self.after = line.id;
                Ok(None)
            }
            "status" | "end" => {
                let StatusData { status } =
                    serde_json::from_str(&event.data).context("the status is not understood")?;
                if self.status != Some(status) {
                    note(&status_note(self.task, status));
                    self.status = Some(status);
                }
                Ok((event.name == "end").then_some(status))
            }
            // A newer host may send more.
            _ => Ok(None),
        }
    }

    fn print(&self, line: &LogLine, json: &str) -> anyhow::Result<()> {
        match (self.lines, self.output.json) {
            (Lines::Stdout, true) => self.output.line(json)?,
            (Lines::Stdout, false) => self.output.line(&log_line(line))?,
            (Lines::Stderr, _) => note(&log_line(line)),
        }
        Ok(())
    }
}

fn status_note(task: TaskId, status: TaskStatus) -> String {
    let hint = match status {
        TaskStatus::Pending => " (waits for a worker)",
        TaskStatus::WaitingApproval => " (a person has to approve)",
        TaskStatus::Suspended => " (waits for a dependency, a time or an event)",
        TaskStatus::InProgress
        | TaskStatus::Completed
        | TaskStatus::Failed
        | TaskStatus::Cancelled
        | TaskStatus::DeadLetter => "",
    };
    format!("task {task} is {status}{hint}")
}

/// A line of the log for people.
pub(super) fn log_line(line: &LogLine) -> String {
    let LogLine { id: _, worker_id, action, level, message, metadata: _, error_data, attempt: _, created_at } = line;
    let worker = worker_id.as_deref().map(|worker| format!(" [{}]", visible(worker))).unwrap_or_default();
    let error = match (level, error_data) {
        (LogLevel::Error | LogLevel::Warn, Some(data)) => format!(" {}", visible(&data.to_string())),
        (LogLevel::Error | LogLevel::Warn | LogLevel::Info | LogLevel::Debug, _) => String::new(),
    };
    format!("{} {level:5}{worker} {}: {}{error}", time(*created_at), visible(action), visible_lines(message))
}

/// The exit status for how a task ended: 0 only if it is completed.
pub(super) fn exit_code(followed: Followed) -> anyhow::Result<ExitCode> {
    match followed {
        Followed::Ended(TaskStatus::Completed) => Ok(ExitCode::SUCCESS),
        Followed::Ended(status) if status.is_final() => Ok(ExitCode::FAILURE),
        Followed::Ended(status) => {
            bail!("the host said that the task ended, but it is {status}; ask again with `task show`")
        }
        Followed::Interrupted => Ok(ExitCode::FAILURE),
    }
}
