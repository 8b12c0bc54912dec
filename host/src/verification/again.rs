//! Looks again at what completed tasks stand on.

use std::collections::BTreeSet;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::{document, files, found};
use crate::db::completed::{Completed, CompletedCursor};
use crate::db::{Db, DbError};
use crate::egress::{Fetch, FetchError, RequestHeaders, WebClient};
use crate::evidence::{
    Details, DocumentPlace, Holding, MergeEvidence, SeenDocument, SuiteFrom, TestEvidence, Verified, WorldNow,
    hosts_of, recheck,
};
use crate::github::{GitHub, GitHubError};
use crate::policy::Denied;
use crate::repo::{Branch, Repository, Sha};
use crate::task::{Criterion, Target, TaskId};
use crate::web::{Method, WebTarget};

/// A document on the web, looked at again: as much as any role may be granted.
const DOCUMENT_BYTES_MAX: usize = 64 << 20;
const DOCUMENT_TIME_MAX: Duration = Duration::from_mins(1);
/// Tasks that are loaded at once.
const PAGE_TASKS: u32 = 50;

/// Whom to ask.
#[derive(Debug)]
pub struct Asked {
    /// None where no token is configured.
    pub github: Option<GitHub>,
    pub web: WebClient,
}

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
    asked: &Asked,
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
            let holding = look(db, asked, &completed, &mut patience).await?;
            match &holding {
                Holding::Holds => found.holds += 1,
                Holding::Broken(_) => found.broken += 1,
                Holding::NotAnswered(_) => found.not_answered += 1,
            }
            let Completed { id, title, task_type, completed_at, .. } = completed;
            each(Checked { task: id, title, task_type, completed_at, holding })?;
        }
    }
}

async fn look(
    db: &Db,
    asked: &Asked,
    completed: &Completed,
    patience: &mut Option<String>,
) -> Result<Holding, DbError> {
    let verified: Verified = match serde_json::from_value(completed.evidence.clone()) {
        Ok(verified) => verified,
        Err(error) => return Ok(Holding::Broken(vec![format!("the stored evidence can not be read: {error}")])),
    };
    let mut now = WorldNow::default();
    if let Some(step) = verified.steps.first() {
        now.world.steps = db.load_steps(completed.id, step.attempt).await?;
    }
    let looking = Looking { asked, patience: patience.as_deref(), completed };
    match looking.all(&verified.details, &mut now).await {
        Ok(()) => Ok(recheck(&verified, &completed.criteria, &now)),
        Err(Unknown::NotAnswered(cause)) => Ok(Holding::NotAnswered(cause)),
        Err(Unknown::Patience(cause)) => {
            *patience = Some(cause.clone());
            Ok(Holding::NotAnswered(cause))
        }
    }
}

/// One task, and whom to ask about it.
struct Looking<'a> {
    asked: &'a Asked,
    /// Why GitHub is not asked any further.
    patience: Option<&'a str>,
    completed: &'a Completed,
}

impl Looking<'_> {
    /// What of the evidence lies outside of the journal.
    async fn all(&self, details: &Details, now: &mut WorldNow) -> Result<(), Unknown> {
        match details {
            Details::MergedPullRequest(merge) => return self.merge(merge, now).await,
            Details::TestResults(tests) => self.check_runs(tests, now).await?,
            Details::Document(stored) => match &stored.document {
                DocumentPlace::File { repository, path, reference } => {
                    let github = self.github()?;
                    now.world.document = document(github, repository, path, reference).await?;
                    if now.world.document.is_none() {
                        is_visible(github, repository).await?;
                    }
                }
                DocumentPlace::Url { url, step } => self.page(url, *step, now).await?,
            },
            Details::VerificationReport(_)
            | Details::CitedSummary(_)
            | Details::TasksCreated(_)
            | Details::ReportStored(_)
            | Details::AlertsEvaluated(_)
            | Details::RecommendationFiled(_) => {}
        }
        self.target_files(now).await
    }

    fn github(&self) -> Result<&GitHub, Unknown> {
        if let Some(cause) = self.patience {
            return Err(Unknown::NotAnswered(format!("not asked: {cause}")));
        }
        self.asked.github.as_ref().ok_or_else(|| Unknown::NotAnswered("GITHUB_TOKEN is not set".to_owned()))
    }

    async fn merge(&self, merge: &MergeEvidence, now: &mut WorldNow) -> Result<(), Unknown> {
        let MergeEvidence { repository, pull_request, .. } = merge;
        let (github, criteria) = (self.github()?, &self.completed.criteria);
        now.world.pull_request = found(github.pull_request(repository, pull_request.number).await)?;
        let base = &pull_request.base_branch;
        if now.world.pull_request.is_none() {
            return is_visible(github, repository).await;
        }
        if let Some(merge) = &pull_request.merge_sha {
            let compared = found(github.compare(repository, base, merge.as_str()).await)?;
            // Ahead by none: all that the merge has, the base has.
            now.merge_in_base = compared.is_some_and(|comparison| comparison.ahead_by == 0);
        }
        if criteria.iter().any(|criterion| matches!(criterion, Criterion::CheckGreen { .. })) {
            now.world.checks = found(github.check_runs(repository, &pull_request.head_sha).await)?.unwrap_or_default();
        }
        // As the merge left them: what came after it is no business of this task.
        let merged = pull_request.merge_sha.as_ref().map(Sha::as_str);
        now.world.files = files(github, criteria, repository, merged).await?;
        Ok(())
    }

    async fn check_runs(&self, tests: &TestEvidence, now: &mut WorldNow) -> Result<(), Unknown> {
        let of = |source: &SuiteFrom| match source {
            SuiteFrom::CheckRun { repository, sha, .. } => Some((repository.clone(), sha.clone())),
            SuiteFrom::JunitReport { .. } => None,
        };
        let named: BTreeSet<(Repository, Sha)> = tests.suites.iter().filter_map(|suite| of(&suite.source)).collect();
        for (repository, sha) in named {
            let github = self.github()?;
            match found(github.check_runs(&repository, &sha).await)? {
                Some(runs) => now.world.suites.extend([((repository, sha), runs)]),
                None => is_visible(github, &repository).await?,
            }
        }
        Ok(())
    }

    /// The document at its URL, without leaving the hosts that the task's own look met.
    async fn page(&self, url: &str, step: u32, now: &mut WorldNow) -> Result<(), Unknown> {
        let Ok(target) = WebTarget::parse(url) else { return Ok(()) };
        let mut hosts = hosts_of(&now.world.steps, step);
        hosts.insert(target.host().to_owned());
        let judge = move |next: &WebTarget, _: Method| {
            if hosts.contains(next.host()) {
                return Ok(());
            }
            Err(Denied { policies: vec!["redirect".to_owned()], message: format!("it leads to {next} now") })
        };
        let fetch = Fetch {
            target,
            method: Method::Get,
            headers: RequestHeaders::default(),
            body_bytes_max: DOCUMENT_BYTES_MAX,
            time_max: DOCUMENT_TIME_MAX,
        };
        let fetched = self.asked.web.fetch(fetch, judge).await.map_err(|error| match error {
            FetchError::Denied(denied) => Unknown::NotAnswered(format!("{url}: {denied}")),
            FetchError::Invalid(why) | FetchError::Unavailable(why) => Unknown::NotAnswered(format!("{url}: {why}")),
        })?;
        match fetched.status {
            200..=299 => {
                let sha256 = hex::encode(Sha256::digest(&fetched.body));
                now.world.document = Some(SeenDocument { sha256, bytes: fetched.body.len() });
                Ok(())
            }
            404 | 410 => Ok(()),
            status => Err(Unknown::NotAnswered(format!("{url} answers with {status}"))),
        }
    }

    /// `file-contains` of a task without a merge is about the branch that its payload names.
    async fn target_files(&self, now: &mut WorldNow) -> Result<(), Unknown> {
        let Completed { criteria, payload, .. } = self.completed;
        let asks = criteria.iter().any(|criterion| matches!(criterion, Criterion::FileContains { .. }));
        if let (true, Some(target)) = (asks, Target::of_payload(payload)) {
            let (github, base) = (self.github()?, Some(target.base.as_str()));
            now.world.files = files(github, criteria, &target.repository, base).await?;
            if now.world.files.iter().any(Option::is_none) {
                is_visible(github, &target.repository).await?;
            }
        }
        Ok(())
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
