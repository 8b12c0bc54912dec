//! ORCHESTRATOR: carries a goal from its words to its end.
//!
//! A plan that was given with the goal is used as it is; otherwise a model is asked for one. The tasks are created in one
//! call, and followed with durable waits. What failed for a passing reason is tried again once; for the rest a model is
//! asked for a new plan, as often as the goal allows. The goal is closed by the evidence of its tasks, or given up with a
//! reason. What stands in the goal's tables decides, not what this run remembers: an attempt after a failed one goes on
//! from the tasks that are there.

mod follow;
mod learn;
mod model;
mod plan;

use std::collections::BTreeSet;

use juggernaut_guest::goals::{Child, Goal, GoalState};
use juggernaut_guest::{Assignment, Error, Evidence, Failure, goals, info, task, tasks_write, warn};

use follow::Next;
use plan::Plan;

juggernaut_guest::role!(run);

/// Longest wait at a stretch; a task that ends wakes the run before.
const WAIT_MS: u64 = 24 * 60 * 60 * 1000;
/// How often a model is asked for one plan: the second time it is told what was wrong with the first.
const PLAN_ROUNDS_MAX: u32 = 2;
/// Lost tasks that a reason names.
const NAMED_MAX: usize = 5;

fn run(task: Assignment) -> Result<Evidence, Failure> {
    let goal = goals::given()?;
    match goal.state {
        // Completed by an attempt that did not come to its own end: the host answers the same again.
        GoalState::Open | GoalState::Completed => {}
        GoalState::Failed | GoalState::Cancelled => {
            return Err(Failure::final_("the goal has ended; retry this task to open it again"));
        }
    }
    if let Some(last) = &task.last_error {
        info!("attempt {}; the one before ended with: {last}", task.attempt);
    }
    let ended = Orchestrator::new(&task, goal).carry_out();
    if let Err(failure) = &ended
        && !failure.retriable
    {
        learn::failed(&task, &failure.reason);
        if let Err(error) = goals::fail(&failure.reason) {
            warn!("the goal could not be given up: {error:?}");
        }
    }
    ended
}

struct Orchestrator<'a> {
    task: &'a Assignment,
    goal: Goal,
    lessons: Vec<String>,
    /// Tasks that this attempt has tried again.
    retried: BTreeSet<String>,
    replans: u32,
}

impl<'a> Orchestrator<'a> {
    fn new(task: &'a Assignment, goal: Goal) -> Self {
        Self { task, goal, lessons: Vec::new(), retried: BTreeSet::new(), replans: 0 }
    }

    fn carry_out(mut self) -> Result<Evidence, Failure> {
        if self.goal.state == GoalState::Completed {
            return self.close();
        }
        self.lessons = learn::offered();
        if goals::get_progress()?.children.is_empty() {
            self.begin()?;
        }
        loop {
            let progress = goals::get_progress()?;
            match follow::next(&progress.children, &self.retried, self.task.attempt > 1) {
                Next::Close => return self.close(),
                Next::Wait => goals::wait(progress.ended, WAIT_MS)?,
                Next::Retry(ids) => self.retry(ids)?,
                Next::Replan { lost, stranded } => self.replan(&progress.children, &lost, &stranded)?,
            }
        }
    }

    /// Creates the tasks of the first plan.
    fn begin(&self) -> Result<(), Failure> {
        if let Some(given) = &self.goal.plan {
            let plan = Plan::parse(given).map_err(|error| Failure::final_("the goal's plan: ").because(error))?;
            info!("carrying the given plan out: {} tasks", plan.tasks.len());
            tasks_write::create(&plan.drafts())
                .map_err(|error| Failure::from(error).before("the goal's plan is refused: "))?;
            return Ok(());
        }
        create_as_asked(|problem| model::first_plan(&self.goal, &self.lessons, problem))
    }

    fn retry(&mut self, ids: Vec<String>) -> Result<(), Failure> {
        for id in ids {
            info!("trying task {id} again");
            match tasks_write::retry(&id) {
                // Somebody else was quicker.
                Ok(()) | Err(Error::Conflict(_)) => drop(self.retried.insert(id)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Has others do what was lost, and what waits for it in vain.
    fn replan(&mut self, children: &[Child], lost: &[&Child], stranded: &[String]) -> Result<(), Failure> {
        let reason = follow::describe(lost, NAMED_MAX);
        if self.replans >= self.goal.replans_left {
            return Err(Failure::final_(format!("{reason}; no new plan is left")));
        }
        // Before anything is changed: without a model there is no new plan.
        let first = model::new_plan(&self.goal, children, lost, stranded, &self.lessons, None)
            .map_err(|failure| failure.before(&format!("{reason}; there is no new plan: ")))?;
        for id in stranded {
            match tasks_write::cancel(id, "what it waits for is lost; a new plan replaces it") {
                Ok(()) | Err(Error::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let replaced: Vec<String> = lost.iter().map(|child| child.id.clone()).chain(stranded.iter().cloned()).collect();
        goals::replan(&reason, &replaced)?;
        self.replans += 1;
        info!("planning anew: {reason}");
        let mut first = Some(first);
        create_as_asked(|problem| match first.take() {
            Some(plan) => Ok(plan),
            None => model::new_plan(&self.goal, children, lost, stranded, &self.lessons, problem),
        })
    }

    fn close(&self) -> Result<Evidence, Failure> {
        let closed = goals::complete(&format!("{}: every task is completed", self.goal.title), &[])?;
        let closing: Vec<u32> = task::last_step().into_iter().collect();
        learn::completed(self.task, self.replans, closed.children.len());
        let summary = format!("{}: {} tasks completed", self.goal.title, closed.children.len());
        let claim = Evidence::tasks_created(closed.children).summary(summary);
        Ok(self.task.criteria.iter().fold(claim, |claim, criterion| claim.answer(criterion.number, closing.clone())))
    }
}

/// Creates the tasks of a plan that a model makes, and has it made once more if the host refuses it.
fn create_as_asked(mut ask: impl FnMut(Option<&str>) -> Result<Plan, Failure>) -> Result<(), Failure> {
    let mut problem: Option<String> = None;
    for _ in 0..PLAN_ROUNDS_MAX {
        let plan = ask(problem.as_deref())?;
        match tasks_write::create(&plan.drafts()) {
            Ok(created) => {
                info!("created {} tasks", created.len());
                return Ok(());
            }
            Err(Error::Invalid(message) | Error::Denied(message)) => {
                warn!("the host refuses the plan: {message}");
                problem = Some(message);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::final_("the host refuses the model's plan: ").because(problem.unwrap_or_default()))
}
