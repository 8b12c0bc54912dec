//! Gathers what the host itself can see of a claim, for `evidence` to judge.

use super::Worker;
use super::recorder::Left;
use crate::audit::Event;
use crate::db::DbError;
use crate::db::decisions::decision;
use crate::db::journal::{RunKey, StepRow};
use crate::evidence::{self, Accepted, CriterionVerdict, Refusal, Verified, World};
use crate::journal::{self, Effect, Step};
use crate::policy::{Assessment, Decision, Denied};
use crate::repo::Repository;
use crate::task::{Attempt, Claim, Task};
use crate::verification::{Gathered, gather};

/// A journal that is judged where it is.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// What came of a claim.
#[derive(Debug)]
pub(super) enum Verdict {
    Verified(Box<Verified>),
    Refused(Refusal),
    /// The outside did not answer; nothing is decided.
    Unanswered(String),
}

/// A verdict, or a question to a person first.
#[derive(Debug)]
pub(super) enum Answer {
    Verdict(Verdict),
    /// True as far as the host sees; a person has to accept what only the role attests.
    NeedsAcceptance {
        verified: Box<Verified>,
        criteria: Vec<CriterionVerdict>,
    },
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        Self::Verdict(verdict)
    }
}

/// What the database knows of a task's work.
pub(super) async fn world(worker: &Worker, key: &RunKey) -> Result<World, DbError> {
    Ok(World {
        steps: worker.db.load_steps(key.task, key.attempt).await?,
        own_commits: worker.db.commits_of_task(key.task).await?,
        own_files: worker.db.files_of_task(key.task).await?.into_iter().collect(),
        ..World::default()
    })
}

/// The same of a first attempt that has stored nothing yet and has changed nothing: all there is to know is in what it
/// is about to store. None where it is not so.
pub(super) fn world_of(task: &Task, resumed: bool, left: &Left) -> Option<World> {
    let Left { batch, stored } = left;
    let only_looked = batch.steps.iter().all(|row| row.step.effect == Effect::Read && row.step.outcome.is_some());
    if task.attempt != Attempt::FIRST || resumed || *stored || !only_looked || batch.raised.is_some() {
        return None;
    }
    let as_stored = |row: &StepRow| Step { arguments: row.arguments.clone(), ..row.step.clone() };
    Some(World { steps: batch.steps.iter().map(as_stored).collect(), ..World::default() })
}

/// Judges a claim. What policy said to its completion goes into `decisions`, for the transaction that ends the claim.
pub(super) async fn verify(
    worker: &Worker,
    task: &Task,
    claim: &Claim,
    world: World,
    decisions: &mut Vec<Event>,
) -> Answer {
    let may_read = |repository: &Repository| may_read(worker, task, repository);
    let world = match gather(worker.services.github.as_ref(), &may_read, task, claim, world).await {
        Gathered::World(world) => world,
        Gathered::Denied(denied) => {
            let refusal = Refusal(denied.to_string());
            decisions.push(decision(&worker.id().0, "evidence.read", &Err(denied)).of(task.id));
            return Verdict::Refused(refusal).into();
        }
        Gathered::Unanswered(cause) => return Verdict::Unanswered(cause).into(),
    };
    let judged = match judged(task, claim, world).await {
        Ok(judged) => judged,
        Err(cause) => return Verdict::Unanswered(cause).into(),
    };
    // "Mark tasks complete without evidence" is a prohibited action like any other: policy has the last word.
    let completed = may_complete(worker, task, judged.is_ok());
    decisions.push(decision(&worker.id().0, "task.complete", &completed).of(task.id));
    let completed = completed.map_err(|denied| denied.to_string());
    match (judged, completed) {
        (Ok(Accepted::Verified(verified)), Ok(_)) => Verdict::Verified(verified).into(),
        (Ok(Accepted::NeedsAcceptance { verified, criteria }), Ok(_)) => Answer::NeedsAcceptance { verified, criteria },
        (Ok(_), Err(denied)) => Verdict::Refused(Refusal(denied)).into(),
        (Err(refusal), _) => Verdict::Refused(refusal).into(),
    }
}

/// Reports and bodies may be megabytes, which is no work for the threads that keep leases.
async fn judged(task: &Task, claim: &Claim, world: Box<World>) -> Result<Result<Accepted, Refusal>, String> {
    if is_small(&world) {
        return Ok(evidence::judge(task, claim, &world));
    }
    let (task, claim) = (task.clone(), claim.clone());
    tokio::task::spawn_blocking(move || evidence::judge(&task, &claim, &world))
        .await
        .map_err(|error| format!("the judge broke off: {error}"))
}

/// Judged in less time than it takes to have another thread do it.
fn is_small(world: &World) -> bool {
    let weights = world.steps.iter().filter_map(|step| step.outcome.as_ref()).map(|it| journal::weight(&it.result));
    world.files.is_empty() && weights.sum::<usize>() < SMALL_BYTES_MAX
}

fn may_complete(worker: &Worker, task: &Task, verified: bool) -> Result<Decision, Denied> {
    let (target, risk) = (task.target(), Assessment::new(task.risk, task.risk_reasons.clone()));
    worker.authority.over(task, &risk, target.as_ref()).complete(verified)
}

fn may_read(worker: &Worker, task: &Task, repository: &Repository) -> Result<(), Denied> {
    let target = task.target();
    let risk = Assessment::new(task.risk, task.risk_reasons.clone());
    worker.authority.over(task, &risk, target.as_ref()).read(repository).map(drop)
}
