//! A task's log as server-sent events: what there is, then what comes, until the task has ended.
//!
//! Invariant: bounded in number (a permit for each), in time, and in memory (a reader who is slow slows its own stream
//! alone). A stream that ends without the event `end` was cut; its reader goes on with `Last-Event-ID`.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tracing::warn;

use super::ApiState;
use super::access::{May, Read};
use super::cursor;
use super::extract::TaskPath;
use super::problem::Problem;
use crate::db::{Db, DbError, PAGE_ROWS_MAX};
use crate::task::{TaskId, TaskStatus};

/// Time between two looks at the database.
const POLL: Duration = Duration::from_millis(500);
/// Events that wait for a slow reader.
const EVENTS_WAITING_MAX: usize = 64;
/// A stream ends after this, so that a revoked token does not read on for ever.
const STREAM_TIME_MAX: Duration = Duration::from_mins(15);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Follow a task's log
///
/// Events: `log` (a line; its id is the event's id), `status` (the task's status, at first and when it changes), `end`
/// (the task has ended, and all its lines were sent). `Last-Event-ID` goes on after that line.
#[utoipa::path(get, path = "/tasks/{id}/logs/stream", tag = "tasks",
    params(("id" = TaskId, Path, description = "The task's id"),
        ("Last-Event-ID" = Option<i64>, Header, description = "The last line that was received")),
    responses((status = 200, description = "Events", body = String, content_type = "text/event-stream")))]
pub(super) async fn stream_task_logs(
    State(state): State<ApiState>,
    _caller: May<Read>,
    TaskPath(id): TaskPath,
    headers: HeaderMap,
) -> Result<Sse<KeepAliveStream>, Problem> {
    let after = match headers.get("last-event-id") {
        None => 0,
        Some(value) => cursor::number(value.to_str().unwrap_or_default())?,
    };
    state.db.task_status(id).await?;
    let permit = state.streams.clone().try_acquire_owned().map_err(|_| Problem::too_many_streams())?;
    let (events, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
    let follower = Follower { db: state.db, task: id, after, status: None, events };
    tokio::spawn(run(follower, state.closing, permit));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(keep_alive))
}

type KeepAliveStream = axum::response::sse::KeepAliveStream<ReceiverStream<Result<Event, Infallible>>>;

/// Follows until the task ends, the reader goes, the host stops or the time is over; holds the permit until then.
async fn run(mut follower: Follower, mut closing: watch::Receiver<bool>, permit: OwnedSemaphorePermit) {
    let reader = follower.events.clone();
    let stopping = async move {
        // An error means that whoever could announce the end is gone; then the process is ending as well.
        closing.wait_for(|closing| *closing).await.map(|_| ()).unwrap_or_default();
    };
    tokio::select! {
        () = follower.follow() => {}
        () = reader.closed() => {}
        () = stopping => {}
        () = tokio::time::sleep(STREAM_TIME_MAX) => {}
    }
    drop(permit);
}

#[derive(Debug)]
struct Follower {
    db: Db,
    task: TaskId,
    after: i64,
    status: Option<TaskStatus>,
    events: mpsc::Sender<Result<Event, Infallible>>,
}

/// The reader is gone.
struct Gone;

impl Follower {
    async fn follow(&mut self) {
        loop {
            match self.look().await {
                Ok(Ok(false)) => tokio::time::sleep(POLL).await,
                Ok(Ok(true) | Err(Gone)) => return,
                Err(error) => {
                    // Cut, not ended: the reader comes back, and by then the database may have too.
                    warn!(task.id = %self.task, %error, "log stream cut");
                    return;
                }
            }
        }
    }

    /// Sends what is new; true once the task has ended and everything was sent.
    async fn look(&mut self) -> Result<Result<bool, Gone>, DbError> {
        // The status first: lines that belong to the end are written before it or with it.
        let status = self.db.task_status(self.task).await?;
        loop {
            let lines = self.db.task_logs(self.task, self.after, PAGE_ROWS_MAX).await?;
            let Some(last) = lines.last() else {
                break;
            };
            self.after = last.id;
            for line in &lines {
                let data = serde_json::to_string(line).unwrap_or_default();
                let event = Event::default().event("log").id(line.id.to_string()).data(data);
                if self.send(event).await.is_err() {
                    return Ok(Err(Gone));
                }
            }
        }
        if self.status != Some(status) {
            self.status = Some(status);
            if self.send(status_event("status", status)).await.is_err() {
                return Ok(Err(Gone));
            }
        }
        if !status.is_final() {
            return Ok(Ok(false));
        }
        Ok(self.send(status_event("end", status)).await.map(|()| true))
    }

    async fn send(&self, event: Event) -> Result<(), Gone> {
        self.events.send(Ok(event)).await.map_err(|_| Gone)
    }
}

fn status_event(name: &str, status: TaskStatus) -> Event {
    Event::default().event(name).data(json!({ "status": status }).to_string())
}
