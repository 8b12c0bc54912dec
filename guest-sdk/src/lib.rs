//! Write a Juggernaut role in Rust.
//!
//! A role is a function from its task to an outcome. It runs as a WebAssembly component: no files, no network, no
//! environment, only the capabilities that its manifest grants, each a module of this crate behind a cargo feature of
//! the same name. A call to a capability whose feature is off does not compile; a component that imports more than
//! `capabilities.toml` grants is refused when it is loaded.
//!
//! ```
//! use juggernaut_guest::{Assignment, Evidence, Failure, github_read, info};
//!
//! fn run(task: Assignment) -> Result<Evidence, Failure> {
//!     info!("attempt {} at {}", task.attempt, task.title);
//!     let readme = github_read::get_file("demo/sample", "README.md", "main")?;
//!     let lines = String::from_utf8_lossy(&readme.content).lines().count();
//!     Err(Failure::final_("this example only counts: ").because(format!("{lines} lines")))
//! }
//!
//! juggernaut_guest::role!(run);
//! # fn main() {}
//! ```
//!
//! What a run may depend on: its task, the answers of its host calls, and the clock and random numbers of the standard
//! library, which the host makes repeatable. When the host restarts, the role runs again from the start and is fed the
//! recorded answers; a role that then makes another call than the recorded one is stopped as non-deterministic.
//!
//! A host call that has to wait (a durable sleep, an approval) suspends the run; the role notices nothing. A panic ends
//! the attempt; its message and location are in the execution log.

#[doc(hidden)]
#[allow(missing_docs, clippy::all, unsafe_code)]
pub mod bindings;
mod evidence;
mod failure;
#[doc(hidden)]
pub mod log;
mod start;

use bindings::juggernaut::host;

pub use evidence::{Check, Evidence, TestCounts, TestSuite};
pub use failure::Failure;
pub use host::task::{Assignment, Criterion, Level, Risk};
pub use host::types::{Error, Finding, RetryHint};
#[doc(hidden)]
pub use start::start;

/// What the role was given, and the journal. Every role has it, without a grant.
///
/// The payload is JSON text; `serde_json` reads it. Evidence refers to host calls by their journal position, which is
/// [`last_step`](task::last_step) right after the call.
///
/// ```no_run
/// use juggernaut_guest::{Assignment, Check, Evidence, Failure, Risk, github_read, task};
///
/// fn run(task: Assignment) -> Result<Evidence, Failure> {
///     let payload: serde_json::Value = serde_json::from_str(&task.payload)
///         .map_err(|error| Failure::final_("the payload is no JSON: ").because(error))?;
///     let repository = payload["repository"].as_str().ok_or(Failure::final_("the payload names no repository"))?;
///     if let Some(error) = &task.last_error {
///         juggernaut_guest::info!("attempt {}; the one before ended with: {error}", task.attempt);
///     }
///     let readme = github_read::get_file(repository, "README.md", "main")?;
///     let step = task::last_step().unwrap_or_default();
///     if readme.content.len() > 100_000 {
///         task::raise_risk(Risk::High, "the readme is larger than anybody would read");
///     }
///     let says = String::from_utf8_lossy(&readme.content).contains("licence");
///     let evidence = Evidence::verification_report([Check::body_contains("licence", step, "licence", true, says)]);
///     Ok(task.criteria.iter().fold(evidence, |evidence, criterion| evidence.answer(criterion.number, [step])))
/// }
/// # juggernaut_guest::role!(run);
/// ```
pub mod task {
    use crate::bindings::juggernaut::host::task;

    /// The journal position of the newest host call of this attempt: what evidence refers to.
    pub fn last_step() -> Option<u32> {
        task::last_step()
    }

    /// Raises the task's risk from here on; a lower level changes nothing. From `Risk::Medium` on every host call is
    /// logged, from `Risk::High` on a person approves what takes effect.
    pub fn raise_risk(risk: crate::Risk, reason: &str) {
        task::raise_risk(risk, reason);
    }
}

/// Reading repositories: branches, files, trees, pull requests, check runs and comparisons. Grant `[grants.github-read]`.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::{Error, github_read};
///
/// let head = github_read::get_branch("demo/sample", "main")?;
/// let readme = match github_read::get_file("demo/sample", "README.md", &head) {
///     Ok(file) => String::from_utf8_lossy(&file.content).into_owned(),
///     // What `?` would end the attempt with can be looked at instead.
///     Err(Error::NotFound(_)) => String::new(),
///     Err(error) => return Err(error.into()),
/// };
/// for entry in github_read::get_tree("demo/sample", &head)? {
///     juggernaut_guest::debug!("{} {} {:?}", entry.kind, entry.path, entry.size);
/// }
/// let green = github_read::list_check_runs("demo/sample", &head)?
///     .iter()
///     .all(|check| check.conclusion.as_deref() == Some("success"));
/// # let _ = (readme, green);
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "github-read")]
pub mod github_read {
    pub use crate::bindings::juggernaut::host::github_read::*;
}

/// Writing to the task's own branch and opening its pull request. Grant `[grants.github-write]`; the task's payload names
/// the repository, and its base branch where that is not `main`.
///
/// ```no_run
/// # use juggernaut_guest::{Assignment, Failure};
/// # fn write(task: &Assignment) -> Result<(), Failure> {
/// use juggernaut_guest::{Error, Failure, github_read, github_write};
///
/// let repository = "demo/sample";
/// let main = github_read::get_branch(repository, "main")?;
/// match github_write::create_branch(repository, &task.branch, &main) {
///     // An attempt before this one made it.
///     Ok(()) | Err(Error::Conflict(_)) => {}
///     Err(error) => return Err(error.into()),
/// }
/// // What the file replaces is named by the blob's SHA; none where it is new.
/// let previous = match github_read::get_file(repository, "NOTES.md", &task.branch) {
///     Ok(file) => Some(file.sha),
///     Err(Error::NotFound(_)) => None,
///     Err(error) => return Err(error.into()),
/// };
/// let text = format!("Notes of task {}\n", task.id);
/// let commit = github_write::put_file(
///     repository, &task.branch, "NOTES.md", text.as_bytes(), "docs: notes", previous.as_deref(),
/// )?;
/// let pull_request =
///     github_write::open_pull_request(repository, &task.branch, "main", &task.title, "Notes of a task.")?;
/// juggernaut_guest::info!("#{} holds {}", pull_request.number, commit.sha);
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "github-write")]
pub mod github_write {
    pub use crate::bindings::juggernaut::host::github_write::*;
}

/// Merging the task's own pull request. Grant `[grants.github-merge]`. From high risk on a person approves it: the run
/// is suspended meanwhile, and notices nothing.
///
/// ```no_run
/// # use juggernaut_guest::{Evidence, Failure};
/// # fn merge(number: u64, head: &str) -> Result<Evidence, Failure> {
/// use juggernaut_guest::{Evidence, github_merge};
///
/// // `head` is the commit that was looked at: another one is a `conflict`, and is not merged.
/// let merged = github_merge::merge("demo/sample", number, head)?;
/// juggernaut_guest::info!("merged as {}", merged.sha);
/// Ok(Evidence::merged_pull_request("demo/sample", number))
/// # }
/// ```
#[cfg(feature = "github-merge")]
pub mod github_merge {
    pub use crate::bindings::juggernaut::host::github_merge::*;
}

/// Durable sleep. Grant `[grants.timer]`.
///
/// ```no_run
/// # fn wait(head: &str) -> Result<(), juggernaut_guest::Failure> {
/// use std::time::Duration;
///
/// use juggernaut_guest::{Failure, github_read, timer};
///
/// for _ in 0..20 {
///     let checks = github_read::list_check_runs("demo/sample", head)?;
///     if checks.iter().any(|check| check.name == "ci" && check.conclusion.is_some()) {
///         return Ok(());
///     }
///     timer::sleep(Duration::from_secs(30))?;
/// }
/// Err(Failure::retriable("the check ci has not ended in ten minutes"))
/// # }
/// ```
#[cfg(feature = "timer")]
pub mod timer {
    use std::time::Duration;

    use crate::Error;
    use crate::bindings::juggernaut::host::timer;

    /// Returns no earlier than `duration` from now. The run is suspended meanwhile, and costs nothing.
    pub fn sleep(duration: Duration) -> Result<(), Error> {
        timer::sleep(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Files of this run, empty at each start. Grant `[grants.scratch]`. No call of it is journalled.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::scratch;
///
/// scratch::write("parts/1.txt", b"first")?;
/// scratch::write("parts/2.txt", b"second")?;
/// let mut whole = Vec::new();
/// for path in scratch::list_files()? {
///     whole.extend(scratch::read(&path)?);
///     scratch::remove(&path)?;
/// }
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "scratch")]
pub mod scratch {
    pub use crate::bindings::juggernaut::host::scratch::*;
}

/// Looking at the web: GET and HEAD over https. Grant `[grants.http-fetch]`, with one table for each host.
///
/// ```no_run
/// # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
/// use juggernaut_guest::http_fetch::{self, Method, Request};
/// use juggernaut_guest::{Check, Evidence, Failure, task};
///
/// let page = http_fetch::get("https://example.com/status")?;
/// let step = task::last_step().unwrap_or_default();
/// // A status is an answer, not an error.
/// if page.status >= 500 {
///     return Err(Failure::retriable(format!("{} answers {}", page.url, page.status)));
/// }
/// let headers = vec![("accept".to_owned(), "application/json".to_owned())];
/// let head = http_fetch::fetch(&Request { method: Method::Head, url: page.url.clone(), headers })?;
/// juggernaut_guest::info!("{} headers", head.headers.len());
/// let status = page.status.to_string();
/// Ok(Evidence::verification_report([Check::value("status", step, "/ok/status", "200", status)]))
/// # }
/// ```
#[cfg(feature = "http-fetch")]
pub mod http_fetch {
    pub use crate::bindings::juggernaut::host::http_fetch::*;

    /// A GET without headers.
    pub fn get(url: impl Into<String>) -> Result<Response, Error> {
        fetch(&Request { method: Method::Get, url: url.into(), headers: Vec::new() })
    }
}

/// Sending to the web: what changes something elsewhere.
///
/// ```
/// use juggernaut_guest::{Assignment, Check, Evidence, Failure, http_send, task};
///
/// fn run(given: Assignment) -> Result<Evidence, Failure> {
///     let body = serde_json::json!({ "text": format!("{} has begun", given.title) });
///     let answer = http_send::post_json("https://hooks.example.org/v1/notes", &body)?;
///     let step = task::last_step().unwrap_or_default();
///     let status = answer.status.to_string();
///     Ok(Evidence::verification_report([Check::value("noted", step, "/ok/status", "201", status)]))
/// }
/// # juggernaut_guest::role!(run);
/// # fn main() {}
/// ```
///
/// Whatever status it has, an answer is an answer: [`send`] succeeds with it, and redirects are not followed. An
/// [`Error::Unavailable`](crate::Error::Unavailable) says that nothing was sent; sending again is the role's own decision.
/// Where nobody knows what became of the request the role is not told at all: the host sends it again under the same
/// `Idempotency-Key` to a target with `idempotent = true`, and otherwise fails the task for a person to find out.
///
/// Each attempt of a task begins anew, and sends again what an earlier one has sent, under another key. After a call that
/// must not happen twice, fail with [`Failure::final_`](crate::Failure::final_).
#[cfg(feature = "http-send")]
pub mod http_send {
    pub use crate::bindings::juggernaut::host::http_send::*;

    /// A POST of JSON.
    pub fn post_json(url: impl Into<String>, body: &impl serde::Serialize) -> Result<Response, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Invalid(error.to_string()))?;
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        send(&Request { method: Method::Post, url: url.into(), headers, body })
    }
}

/// Asking a language model.
#[cfg(feature = "llm")]
pub mod llm;

/// Looking at tasks.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::tasks_read::{self, Filter, Status};
///
/// let filter = Filter { status: Some(Status::Failed), task_type: None, goal: None, limit: 50 };
/// for task in tasks_read::list_tasks(&filter)? {
///     juggernaut_guest::info!("{} failed: {}", task.title, task.error_message.unwrap_or_default());
/// }
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "tasks-read")]
pub mod tasks_read {
    pub use crate::bindings::juggernaut::host::tasks_read::*;
}

/// Creating and steering tasks of the same goal.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::tasks_write::{self, Draft, Priority};
///
/// let draft = |key: &str, depends_on: &[&str]| Draft {
///     key: key.to_owned(),
///     title: format!("Look into {key}"),
///     description: String::new(),
///     task_type: "research".to_owned(),
///     priority: Priority::Medium,
///     payload: "{}".to_owned(),
///     acceptance_criteria: r#"["says why"]"#.to_owned(),
///     assigned_worker: None,
///     depends_on: depends_on.iter().map(|key| (*key).to_owned()).collect(),
/// };
/// // All of them or none, and never twice, whatever happens to the host meanwhile.
/// let created = tasks_write::create(&[draft("causes", &[]), draft("remedies", &["causes"])])?;
/// tasks_write::set_priority(&created[0].id, Priority::High)?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "tasks-write")]
pub mod tasks_write {
    pub use crate::bindings::juggernaut::host::tasks_write::*;
}

/// The goal that this task works for.
///
/// ```no_run
/// # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
/// use juggernaut_guest::{Evidence, goals};
///
/// let goal = goals::given()?;
/// loop {
///     let progress = goals::get_progress()?;
///     if progress.ended as usize == progress.children.len() {
///         break;
///     }
///     // The run is suspended, and wakes when one more has ended.
///     goals::wait(progress.ended, 24 * 60 * 60 * 1000)?;
/// }
/// let closed = goals::complete(&format!("{}: done", goal.title), &[])?;
/// Ok(Evidence::tasks_created(closed.children))
/// # }
/// ```
#[cfg(feature = "goals")]
pub mod goals {
    pub use crate::bindings::juggernaut::host::goals::*;
}

/// The workers and their heartbeats.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::workers_read;
///
/// let silent = workers_read::list_workers()?.into_iter().filter(|worker| worker.silent_seconds > 300);
/// # drop(silent);
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "workers-read")]
pub mod workers_read {
    pub use crate::bindings::juggernaut::host::workers_read::*;
}

/// Figures over a window of time.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::metrics_read::{self, Metric};
///
/// let table = metrics_read::measure(Metric::Completion, 3600)?;
/// for row in table.records() {
///     juggernaut_guest::info!("{}: {} failed", row.text("task-type"), row.number("failed"));
/// }
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "metrics-read")]
pub mod metrics_read {
    pub use crate::bindings::juggernaut::host::metrics_read::*;

    /// A row of a [`Table`], by the names of its columns.
    #[derive(Clone, Copy, Debug)]
    pub struct Record<'a> {
        table: &'a Table,
        row: &'a [String],
    }

    impl Record<'_> {
        /// Empty where there is no such column.
        pub fn text(&self, column: &str) -> &str {
            let place = self.table.columns.iter().position(|name| name == column);
            place.and_then(|place| self.row.get(place)).map_or("", String::as_str)
        }

        /// 0 where there is no such column, or no number in it.
        pub fn number(&self, column: &str) -> f64 {
            self.text(column).parse().unwrap_or(0.0)
        }
    }

    impl Table {
        /// Its rows.
        pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
            self.rows.iter().map(|row| Record { table: self, row })
        }
    }
}

/// The execution log.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::logs_read::{self, Filter, Level};
///
/// let newest = Filter { task: None, level: Level::Error, window_seconds: 3600, limit: 20 };
/// for line in logs_read::list_lines(&newest)? {
///     juggernaut_guest::info!("{:?} in {}", line.task, line.action);
/// }
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "logs-read")]
pub mod logs_read {
    pub use crate::bindings::juggernaut::host::logs_read::*;
    pub use crate::bindings::juggernaut::host::task::Level;
}

/// Raising and resolving alerts.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::alerts::{self, Draft, Severity};
///
/// let id = alerts::raise(&Draft {
///     severity: Severity::Warning,
///     kind: "disk-full".to_owned(),
///     fingerprint: "volume-1".to_owned(),
///     title: "Volume 1 is nearly full".to_owned(),
///     details: r#"{"percent": 97}"#.to_owned(),
/// })?;
/// juggernaut_guest::info!("raised {id}");
/// alerts::resolve("disk-full", "volume-1")?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "alerts")]
pub mod alerts {
    pub use crate::bindings::juggernaut::host::alerts::*;
}

/// What earlier tasks taught.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::learnings::{self, Draft};
///
/// // Other runs wrote them: words to weigh, not orders to follow.
/// for learning in learnings::offered()? {
///     juggernaut_guest::info!("learning {}: {}", learning.id, learning.title);
/// }
/// learnings::capture(&Draft {
///     category: "technique".to_owned(),
///     title: "Long windows are slow".to_owned(),
///     description: "A window of a day is enough to see a trend.".to_owned(),
///     impact_score: 0.4,
///     tags: vec!["analysis".to_owned()],
/// })?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "learnings")]
pub mod learnings {
    pub use crate::bindings::juggernaut::host::learnings::*;
}

/// Storing reports.
///
/// ```no_run
/// # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
/// use juggernaut_guest::Evidence;
/// use juggernaut_guest::reports::{self, Draft, Series};
///
/// let stored = reports::store(&Draft {
///     title: "Failures by type".to_owned(),
///     markdown: "# Failures\n\nNone.".to_owned(),
///     series: vec![Series {
///         name: "Failures".to_owned(),
///         unit: "tasks".to_owned(),
///         kind: "bar".to_owned(),
///         labels: vec!["code".to_owned()],
///         values: vec![0.0],
///     }],
/// })?;
/// Ok(Evidence::report_stored(stored.id, stored.sha256).summary("No failures"))
/// # }
/// ```
#[cfg(feature = "reports")]
pub mod reports {
    pub use crate::bindings::juggernaut::host::reports::*;
}

/// Recommending changes that a person may approve.
///
/// Nothing changes by it: a person sees the changes as the host describes them, and approves all of them or none. The run does
/// not wait for that, and its task may have ended by then.
///
/// ```no_run
/// # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
/// use juggernaut_guest::Evidence;
/// use juggernaut_guest::recommendations::{self, Change, Priority, Recommendation};
///
/// let id = recommendations::file(&Recommendation {
///     title: "Do first what others wait for".to_owned(),
///     rationale: "Two tasks wait for the first one; nobody needs the second one any more.".to_owned(),
///     changes: vec![
///         Change::set_priority("0190a3f0-0000-7000-8000-000000000001", Priority::High),
///         Change::cancel("0190a3f0-0000-7000-8000-000000000002", "it was done by hand"),
///     ],
/// })?;
/// Ok(Evidence::recommendation_filed(id))
/// # }
/// ```
#[cfg(feature = "recommendations")]
pub mod recommendations {
    pub use crate::bindings::juggernaut::host::recommendations::*;

    impl Change {
        /// A task should have this priority.
        pub fn set_priority(task: impl Into<String>, priority: Priority) -> Self {
            Self::SetPriority(PriorityChange { task: task.into(), priority })
        }

        /// A task should be meant for this type or id of worker; for any where none is named.
        pub fn assign(task: impl Into<String>, worker: Option<String>) -> Self {
            Self::Assign(AssignmentChange { task: task.into(), worker })
        }

        /// A task should be given up.
        pub fn cancel(task: impl Into<String>, reason: impl Into<String>) -> Self {
            Self::Cancel(Cancellation { task: task.into(), reason: reason.into() })
        }
    }
}

/// Starting workflows of GitHub Actions, and following them.
///
/// ```
/// use std::time::Duration;
/// use juggernaut_guest::{Assignment, Check, Evidence, Failure, deploy, task};
///
/// fn run(_: Assignment) -> Result<Evidence, Failure> {
///     // Waits here until a person has approved exactly this.
///     let run = deploy::dispatch("demo/sample", "deploy.yml", "main", &[("target".to_owned(), "staging".to_owned())])?;
///     let run = deploy::follow("demo/sample", run.id, Duration::from_secs(30), 60)?;
///     let step = task::last_step().unwrap_or_default();
///     let ended = run.conclusion.unwrap_or_default();
///     if ended != "success" {
///         return Err(Failure::final_(format!("{} ended as {ended}", run.url)));
///     }
///     Ok(Evidence::verification_report([Check::value("deployed", step, "/ok/conclusion", "success", ended)]))
/// }
/// # juggernaut_guest::role!(run);
/// # fn main() {}
/// ```
///
/// A dispatch is made once at most. Where its answer is lost the host looks for the run; it finds it surely where the workflow
/// has an input `juggernaut_step` and puts it into its `run-name`, and otherwise only while nobody else starts the same one.
#[cfg(feature = "deploy")]
pub mod deploy {
    pub use crate::bindings::juggernaut::host::deploy::*;

    /// Looks at a run until it is completed, with a pause between two looks in which this run of the role is suspended.
    /// `Unavailable` where it is not completed by the last look.
    #[cfg(feature = "timer")]
    pub fn follow(
        repository: &str,
        id: u64,
        pause: std::time::Duration,
        looks_max: u32,
    ) -> Result<WorkflowRun, crate::Error> {
        for look in 1..=looks_max {
            let run = get_run(repository, id)?;
            if run.status == "completed" {
                return Ok(run);
            }
            if look < looks_max {
                crate::timer::sleep(pause)?;
            }
        }
        Err(crate::Error::Unavailable(format!("run {id} of {repository} is not completed after {looks_max} looks")))
    }
}

/// Makes a function the role: `fn(Assignment) -> Result<Evidence, Failure>`.
#[macro_export]
macro_rules! role {
    ($run:path) => {
        struct JuggernautRole;

        impl $crate::bindings::Guest for JuggernautRole {
            fn run() -> $crate::bindings::Outcome {
                $crate::start($run)
            }
        }

        $crate::bindings::export_role!(JuggernautRole with_types_in $crate::bindings);
    };
}
