//! From a branch to a merged pull request, and back where checks are red and a model wrote the change.

use juggernaut_guest::github_read::CheckRun;
use juggernaut_guest::{Assignment, Failure, github_merge, info, task};

use crate::author::{Author, Proposal};
use crate::payload::Change;
use crate::{branch, checks, lessons, pull_request};

/// Answers that are asked of the model for one attempt: the first, and those that mend it or ask for more files.
const ROUNDS_MAX: u32 = 5;

/// What is to become of a repository.
pub struct Job {
    /// `owner/name`.
    pub repository: String,
    /// The branch to merge into.
    pub base: String,
    /// Of a conventional commit, such as `feat`.
    pub kind: &'static str,
    /// Of the commits.
    pub subject: String,
    pub source: Source,
}

/// Where the content comes from.
pub enum Source {
    Given(Vec<Change>),
    Instructions {
        instructions: String,
        /// The one file that may be written.
        only: Option<String>,
    },
}

/// A change that is merged.
pub struct Done {
    pub pull_request: u64,
    pub paths: Vec<String>,
    /// Calls that changed or showed something.
    pub steps: Vec<u32>,
}

/// What is known while it is under way.
struct Progress {
    head: String,
    paths: Vec<String>,
    steps: Vec<u32>,
}

pub fn carry_out(task: &Assignment, job: &Job) -> Result<Done, Failure> {
    let mut steps = Vec::new();
    if let Some(merged) = pull_request::merged_before(task, job)? {
        info!("pull request #{} is merged already", merged.number);
        steps.extend(task::last_step());
        return Ok(Done { pull_request: merged.number, paths: given_paths(&job.source), steps });
    }
    let head = branch::prepare(task, job)?;
    let mut progress = Progress { head, paths: Vec::new(), steps };
    match &job.source {
        Source::Given(changes) => given(task, job, changes, progress),
        Source::Instructions { instructions, only } => {
            let mut author = Author::begin(task, job, instructions, only.as_deref())?;
            let done = instructed(task, job, &mut author, progress);
            let (summary, troubles) = author.told();
            lessons::keep(task, summary, troubles, done.as_ref().err());
            done
        }
    }
}

/// The model writes, and mends, until the checks are green.
fn instructed(task: &Assignment, job: &Job, author: &mut Author<'_>, mut progress: Progress) -> Result<Done, Failure> {
    let mut rounds = ROUNDS_MAX;
    write(task, job, author, &mut progress, &mut rounds)?;
    let opened = pull_request::open(task, job, &progress.paths, &mut progress.steps)?;
    while let Some(red) = checks::wait(&job.repository, &progress.head)? {
        info!("{}", describe(&red, &progress.head));
        if rounds == 0 {
            return Err(Failure::final_(given_up(&describe(&red, &progress.head))));
        }
        author.hear_checks(&red);
        write(task, job, author, &mut progress, &mut rounds)?;
    }
    merge(job, opened.number, progress)
}

fn given_paths(source: &Source) -> Vec<String> {
    match source {
        Source::Given(changes) => changes.iter().map(|change| change.path.clone()).collect(),
        Source::Instructions { .. } => Vec::new(),
    }
}

fn given(task: &Assignment, job: &Job, changes: &[Change], mut progress: Progress) -> Result<Done, Failure> {
    for change in changes {
        progress.paths.push(change.path.clone());
        if let Some(commit) = branch::write(task, job, change)? {
            progress.steps.extend(task::last_step());
            progress.head = commit;
        }
    }
    let opened = pull_request::open(task, job, &progress.paths, &mut progress.steps)?;
    match checks::wait(&job.repository, &progress.head)? {
        None => merge(job, opened.number, progress),
        Some(red) => Err(Failure::final_(format!(
            "{}; mend the change, or rerun the check, and retry the task",
            describe(&red, &progress.head)
        ))),
    }
}

/// Has the model write until the host took what it wrote.
fn write(
    task: &Assignment,
    job: &Job,
    author: &mut Author<'_>,
    progress: &mut Progress,
    rounds: &mut u32,
) -> Result<(), Failure> {
    let mut changed = false;
    let mut trouble = String::new();
    while *rounds > 0 {
        *rounds -= 1;
        let Proposal { edits, wants } = author.propose()?;
        if !wants.is_empty() {
            info!("the model asks for {}", wants.join(", "));
            author.fetch(&wants)?;
            trouble = "the model only asked for more files".to_owned();
            if edits.is_empty() {
                continue;
            }
        }
        let written = author.write(task, job, &edits, &mut progress.steps)?;
        for (path, commit) in written {
            changed = true;
            progress.head = commit;
            if !progress.paths.contains(&path) {
                progress.paths.push(path);
            }
        }
        match author.trouble() {
            None if changed || author.found_changes() => return Ok(()),
            None => {
                trouble = "the model proposes nothing that would change a file".to_owned();
                author.hear("Your edits change nothing: every file already is as you wrote it.");
            }
            Some(found) => {
                info!("{found}");
                trouble = found;
            }
        }
    }
    Err(Failure::final_(given_up(&trouble)))
}

fn given_up(trouble: &str) -> String {
    format!(
        "the model did not come to a change that holds within {ROUNDS_MAX} answers; the last trouble was: {trouble}; give \
         `changes` instead, or better instructions, and retry the task"
    )
}

fn merge(job: &Job, number: u64, progress: Progress) -> Result<Done, Failure> {
    let Progress { head, paths, mut steps } = progress;
    steps.extend(task::last_step());
    match github_merge::merge(&job.repository, number, &head) {
        Ok(merged) => info!("merged pull request #{number} as {}", merged.sha),
        Err(error) => pull_request::merged_meanwhile(job, number, error)?,
    }
    steps.extend(task::last_step());
    Ok(Done { pull_request: number, paths, steps })
}

pub fn describe(red: &CheckRun, head: &str) -> String {
    format!(
        "check {:?} is {} on {head}{}",
        red.name,
        red.conclusion.as_deref().unwrap_or("without a conclusion"),
        red.url.as_ref().map(|url| format!(" ({url})")).unwrap_or_default(),
    )
}
