//! STRATEGIST: looks at the backlog, and recommends what should be done first, by whom, and where the risks are.

mod backlog;
mod payload;
mod rationale;

use std::time::{SystemTime, UNIX_EPOCH};

use juggernaut_guest::metrics_read::{self, Metric};
use juggernaut_guest::recommendations::{self, Change, Priority, Recommendation};
use juggernaut_guest::tasks_read::{self, Filter, Status, TaskView};
use juggernaut_guest::{Assignment, Evidence, Failure, info, task, workers_read};

use backlog::{Advice, Ended, Observed, Queued, Rank, Seen, advise};
use payload::Settings;

/// Tasks of one look; the host lists them by priority, then age.
const LISTED: u32 = 500;
const HOUR_SECONDS: u64 = 3600;

juggernaut_guest::role!(run);

fn run(assignment: Assignment) -> Result<Evidence, Failure> {
    let settings = Settings::parse(&assignment.payload).map_err(Failure::final_)?;
    let observed = observe(&settings)?;
    let looked = task::last_step();
    let advice = advise(&settings, &observed);
    if advice.is_empty() {
        return Err(Failure::final_("nothing to recommend: ").because(rationale::calm(&observed, &settings)));
    }
    let changes: Vec<Change> = advice.iter().map(change).collect();
    let title = rationale::title(&advice);
    let rationale = rationale::text(&advice, &observed, &settings);
    let id = recommendations::file(&Recommendation { title: title.clone(), rationale, changes })?;
    info!("recommended {} changes as {id}", advice.len());
    let steps: Vec<u32> = looked.into_iter().chain(task::last_step()).collect();
    let claim = Evidence::recommendation_filed(id).summary(title);
    Ok(assignment.criteria.iter().fold(claim, |claim, criterion| claim.answer(criterion.number, steps.clone())))
}

fn observe(settings: &Settings) -> Result<Observed, Failure> {
    let list = |status| {
        let filter = Filter { status: Some(status), task_type: None, goal: None, limit: LISTED };
        tasks_read::list_tasks(&filter).map(|tasks| tasks.into_iter().map(seen).collect::<Vec<_>>())
    };
    let pending = list(Status::Pending)?;
    let blocked = list(Status::Suspended)?;
    let workers = workers_read::list_workers()?;
    let live = workers.into_iter().filter(|worker| !matches!(worker.status.as_str(), "stale" | "offline"));
    let completion = metrics_read::measure(Metric::Completion, settings.window_hours * HOUR_SECONDS)?;
    let queue = metrics_read::measure(Metric::Queue, HOUR_SECONDS)?;
    Ok(Observed {
        now_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
        pending,
        blocked,
        workers: live.map(|worker| (worker.id, worker.worker_type, worker.task_types)).collect(),
        ended: (completion.records())
            .map(|record| Ended {
                task_type: record.text("task-type").to_owned(),
                completed: record.number("completed"),
                failed: record.number("failed") + record.number("dead-lettered"),
            })
            .collect(),
        queued: (queue.records())
            .filter(|record| matches!(record.text("status"), "pending" | "suspended" | "waiting_approval"))
            .map(|record| Queued { task_type: record.text("task-type").to_owned(), count: record.number("count") })
            .collect(),
    })
}

fn seen(task: TaskView) -> Seen {
    Seen {
        id: task.id,
        task_type: task.task_type,
        rank: match task.priority {
            Priority::Low => Rank::Low,
            Priority::Medium => Rank::Medium,
            Priority::High => Rank::High,
            Priority::Critical => Rank::Critical,
        },
        worker: task.assigned_worker,
        depends_on: task.depends_on,
        created_at_ms: task.created_at_ms,
    }
}

fn change(advice: &Advice) -> Change {
    match advice {
        Advice::Raise { task, to, .. } => Change::set_priority(
            task,
            match to {
                Rank::Low => Priority::Low,
                Rank::Medium => Priority::Medium,
                Rank::High => Priority::High,
                Rank::Critical => Priority::Critical,
            },
        ),
        Advice::Unassign { task, .. } => Change::assign(task, None),
    }
}
