//! Looks again at what completed tasks stand on.

use time::OffsetDateTime;

use super::{document, found};
use crate::db::completed::{Completed, CompletedCursor};
use crate::db::{Db, DbError};
use crate::evidence::{Details, DocumentPlace, Holding, MergeEvidence, Verified, WorldNow, recheck};
use crate::github::{GitHub, GitHubError};
use crate::repo::{Branch, Repository};
use crate::task::TaskId;

/// Tasks that are loaded at once.
const PAGE_TASKS: u32 = 50;

/// What to look at.
#[derive(Debug, Clone)]
pub struct Request {
    /// Tasks completed since then.
    pub since: OffsetDateTime,
    /// This one alone, whenever it was completed.
    pub task: Option<TaskId>,
}

/// A completed task, looked at again.
#[derive(Debug, Clone)]
pub struct Checked {
    pub task: TaskId,
    pub title: String,
    pub task_type: String,
    pub completed_at: OffsetDateTime,
    pub holding: Holding,
}

impl Checked {
    /// In a word, and why.
    pub fn verdict(&self) -> (&'static str, Vec<String>) {
        match &self.holding {
            Holding::Holds => ("holds", Vec::new()),
            Holding::Broken(problems) => ("broken", problems.clone()),
            Holding::NotAnswered(cause) => ("not_answered", vec![cause.clone()]),
        }
    }
}

/// What a pass found, counted; the tasks themselves went to `each`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    pub holds: u64,
    pub broken: u64,
    pub not_answered: u64,
}

/// Why nothing is known of a task's evidence.
enum Unknown {
    /// GitHub asks for patience: nobody is asked any further.
    Patience(String),
    NotAnswered(String),
}

impl From<GitHubError> for Unknown {
    fn from(error: GitHubError) -> Self {
        match error {
            GitHubError::RateLimited { .. } => Self::Patience(error.to_string()),
            GitHubError::NotFound(_)
            | GitHubError::Denied(_)
            | GitHubError::Conflict(_)
            | GitHubError::Invalid(_)
            | GitHubError::Unavailable(_)
            | GitHubError::Unknown(_) => Self::NotAnswered(error.to_string()),
        }
    }
}

/// Looks at each task once, oldest first, and hands it to `each`.
pub async fn verify_again<E: From<DbError>>(
    db: &Db,
    github: Option<&GitHub>,
    request: &Request,
    mut each: impl FnMut(Checked) -> Result<(), E>,
) -> Result<Found, E> {
    let mut found = Found::default();
    let mut patience = None;
    let mut cursor: Option<CompletedCursor> = None;
    loop {
        let page = db.completed_tasks(request.since, request.task, cursor, PAGE_TASKS).await?;
        let Some(last) = page.last() else { return Ok(found) };
        cursor = Some(CompletedCursor { completed_at: last.completed_at, id: last.id });
        for completed in page {
            let holding = look(db, github, &completed, &mut patience).await?;
            match &holding {
                Holding::Holds => found.holds += 1,
                Holding::Broken(_) => found.broken += 1,
                Holding::NotAnswered(_) => found.not_answered += 1,
            }
            let Completed { id, title, task_type, completed_at, evidence: _ } = completed;
            each(Checked { task: id, title, task_type, completed_at, holding })?;
        }
    }
}

async fn look(
    db: &Db,
    github: Option<&GitHub>,
    completed: &Completed,
    patience: &mut Option<String>,
) -> Result<Holding, DbError> {
    let verified: Verified = match serde_json::from_value(completed.evidence.clone()) {
        Ok(verified) => verified,
        Err(error) => return Ok(Holding::Broken(vec![format!("the stored evidence can not be read: {error}")])),
    };
    let steps = match verified.steps.first() {
        Some(step) => db.load_steps(completed.id, step.attempt).await?,
        None => Vec::new(),
    };
    let mut now = WorldNow { steps, ..WorldNow::default() };
    if let Some(asked) = outside(&verified.details) {
        if let Some(cause) = patience {
            return Ok(Holding::NotAnswered(format!("not asked: {cause}")));
        }
        let Some(github) = github else {
            return Ok(Holding::NotAnswered("GITHUB_TOKEN is not set".to_owned()));
        };
        match ask(github, asked, &mut now).await {
            Ok(()) => {}
            Err(Unknown::NotAnswered(cause)) => return Ok(Holding::NotAnswered(cause)),
            Err(Unknown::Patience(cause)) => {
                *patience = Some(cause.clone());
                return Ok(Holding::NotAnswered(cause));
            }
        }
    }
    Ok(recheck(&verified, &now))
}

/// What of the evidence lies outside of the journal.
enum Outside<'a> {
    Merge(&'a MergeEvidence),
    File { repository: &'a Repository, path: &'a str, reference: &'a str },
}

fn outside(details: &Details) -> Option<Outside<'_>> {
    match details {
        Details::MergedPullRequest(merge) => Some(Outside::Merge(merge)),
        Details::Document(document) => match &document.document {
            DocumentPlace::File { repository, path, reference } => Some(Outside::File { repository, path, reference }),
            DocumentPlace::Url { .. } => None,
        },
        Details::TestResults(_)
        | Details::VerificationReport(_)
        | Details::CitedSummary(_)
        | Details::TasksCreated(_)
        | Details::ReportStored(_)
        | Details::AlertsEvaluated(_)
        | Details::RecommendationFiled(_) => None,
    }
}

async fn ask(github: &GitHub, asked: Outside<'_>, now: &mut WorldNow) -> Result<(), Unknown> {
    match asked {
        Outside::Merge(MergeEvidence { repository, pull_request, .. }) => {
            now.pull_request = found(github.pull_request(repository, pull_request.number).await)?;
            let base = &pull_request.base_branch;
            if now.pull_request.is_none() {
                return is_visible(github, repository).await;
            }
            if let Some(merge) = &pull_request.merge_sha {
                let compared = found(github.compare(repository, base, merge.as_str()).await)?;
                // Ahead by none: all that the merge has, the base has.
                now.merge_in_base = compared.is_some_and(|comparison| comparison.ahead_by == 0);
            }
            Ok(())
        }
        Outside::File { repository, path, reference } => {
            now.document = document(github, repository, path, reference).await?;
            if now.document.is_none() { is_visible(github, repository).await } else { Ok(()) }
        }
    }
}

/// GitHub answers alike for what is gone and for what the token may not see. Only where the repository lists its pull
/// requests is what is missing really gone.
async fn is_visible(github: &GitHub, repository: &Repository) -> Result<(), Unknown> {
    let Ok(any) = Branch::parse("main") else { return Ok(()) };
    match found(github.find_pull_requests(repository, &any).await)? {
        Some(_) => Ok(()),
        None => Err(Unknown::NotAnswered(format!(
            "{repository} does not show itself to this token: it may be gone, or not be visible"
        ))),
    }
}
