//! `deploy`: starting a workflow of GitHub Actions that the manifest names, and following it.
//!
//! Invariant: dispatched once at most. Where the answer is lost the run is looked for; where it can not be told from the
//! runs of others, or does not appear, a person finds out.

use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use super::deploy_shown::{self, STEP_INPUT};
use crate::github::{CheckStatus, GitHub, GitHubError, WorkflowRun};
use crate::journal::{Alert, Call, Effect, Severity};
use crate::policy::action::DispatchWorkflow;
use crate::policy::{Granted, OwnRun, Ruling};
use crate::repo::{Branch, RepoPath, Repository, Sha};
use crate::sandbox::approval::Shown;
use crate::sandbox::bindings::juggernaut::host::deploy::{Host, WorkflowRun as WitRun};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::errors::ActError;
use crate::sandbox::late::Late;
use crate::sandbox::mutations::{Mutation, StepName};
use crate::sandbox::state::RunState;

const INPUTS_MAX: usize = 10;
const INPUT_BYTES_MAX: usize = 1024;
const INPUT_NAME_BYTES_MAX: usize = 100;
const WORKFLOW_BYTES_MAX: usize = 128;
/// How far GitHub's clock may be behind ours.
const SKEW: time::Duration = time::Duration::seconds(10);
/// How long after its beginning a dispatch may still appear. Then only a person can say whether it will.
const APPEARS_WITHIN: time::Duration = time::Duration::minutes(2);

/// A dispatch, and what is known of others.
#[derive(Clone)]
struct Dispatching {
    repository: Repository,
    workflow: String,
    branch: Branch,
    inputs: Vec<(String, String)>,
    /// Runs that other calls of the task dispatched.
    known: Vec<u64>,
}

/// A run as the journal holds it: in the words of `wit/outward.wit`, so that evidence can name what the role was given.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct JournalledRun {
    id: u64,
    status: String,
    #[serde(default)]
    conclusion: Option<String>,
    url: String,
    head_sha: Sha,
    /// The head that was judged and approved. None where the run was found again after its answer was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    judged_sha: Option<Sha>,
}

impl JournalledRun {
    fn of(run: WorkflowRun, judged_sha: Option<Sha>) -> Self {
        let WorkflowRun { id, status, conclusion, url, head_sha, .. } = run;
        let status = match status {
            CheckStatus::Queued => "queued",
            CheckStatus::InProgress => "in-progress",
            CheckStatus::Completed => "completed",
        };
        let conclusion = conclusion.map(|conclusion| conclusion.replace('_', "-"));
        Self { id, status: status.to_owned(), conclusion, url, head_sha, judged_sha }
    }
}

impl From<JournalledRun> for WitRun {
    fn from(run: JournalledRun) -> Self {
        let JournalledRun { id, status, conclusion, url, head_sha, judged_sha: _ } = run;
        Self { id, status, conclusion, url, head_sha: head_sha.into() }
    }
}

#[derive(Debug, thiserror::Error)]
enum DispatchError {
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    /// It may still appear.
    #[error("{0}")]
    NotYet(String),
    /// Looking again would tell no more.
    #[error("{0}")]
    Unclear(String),
}

impl From<DispatchError> for ActError {
    fn from(error: DispatchError) -> Self {
        match error {
            DispatchError::GitHub(error) => error.into(),
            DispatchError::NotYet(cause) => Self::Unknown(cause),
            DispatchError::Unclear(cause) => Self::Lost(cause),
        }
    }
}

fn call(function: &'static str, effect: Effect, arguments: serde_json::Value) -> Call {
    Call { interface: "deploy", function, effect, arguments }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, CallError> {
    Err(GuestError::Invalid(message.into()).into())
}

/// A file's name, and nothing that a path could make more of.
fn workflow_name(workflow: &str) -> Result<(), CallError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_name = (1..=WORKFLOW_BYTES_MAX).contains(&workflow.len())
        && workflow.bytes().all(plain)
        && !workflow.starts_with('.')
        && !workflow.contains("..");
    if is_name { Ok(()) } else { invalid("the workflow is no file name below .github/workflows/, such as deploy.yml") }
}

/// In order of their names.
fn checked_inputs(mut inputs: Vec<(String, String)>) -> Result<Vec<(String, String)>, CallError> {
    if inputs.len() > INPUTS_MAX {
        return invalid(format!("at most {INPUTS_MAX} inputs are sent"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    for (name, value) in &inputs {
        if !(1..=INPUT_NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(plain) {
            return invalid("an input's name consists of 1 to 100 letters, digits, '_' and '-'");
        }
        if name.eq_ignore_ascii_case(STEP_INPUT) {
            return invalid(format!("input {STEP_INPUT} is the host's own"));
        }
        if value.len() > INPUT_BYTES_MAX || value.contains('\0') {
            return invalid(format!("input {name} is over {INPUT_BYTES_MAX} bytes, or holds a NUL"));
        }
    }
    inputs.sort();
    if inputs.windows(2).any(|pair| pair[0].0.eq_ignore_ascii_case(&pair[1].0)) {
        return invalid("an input is given twice");
    }
    Ok(inputs)
}

impl Host for RunState {
    async fn dispatch(
        &mut self,
        repository: String,
        workflow: String,
        reference: String,
        inputs: Vec<(String, String)>,
    ) -> Result<WitRun, CallError> {
        let (repository, branch) = (Repository::parse(&repository)?, Branch::parse(&reference)?);
        workflow_name(&workflow)?;
        let inputs = checked_inputs(inputs)?;
        let arguments =
            json!({ "repository": repository, "workflow": workflow, "reference": branch, "inputs": inputs });
        let known = self.own_runs.iter().filter(|run| run.repository == repository).map(|run| run.id).collect();
        let dispatching = Dispatching { repository, workflow, branch, inputs, known };
        let own = dispatching.clone();
        let run: JournalledRun = self.mutate(call("dispatch", Effect::Write, arguments), dispatching).await?;
        let Dispatching { repository, workflow, branch, .. } = own;
        self.own_runs.push(OwnRun { repository, workflow, branch, id: run.id });
        Ok(run.into())
    }

    async fn get_run(&mut self, repository: String, id: u64) -> Result<WitRun, CallError> {
        let repository = Repository::parse(&repository)?;
        let call = call("get-run", Effect::Read, json!({ "repository": repository, "id": id }));
        let own = self.own_runs.iter().find(|run| run.repository == repository && run.id == id).cloned();
        let asked = repository.clone();
        let allowed = self.judged(move |scope| scope.follow(&asked, id, own.as_ref())).await;
        let run: JournalledRun = self
            .read(call, allowed, |github| async move {
                Ok::<_, GitHubError>(JournalledRun::of(github.workflow_run(&repository, id).await?, None))
            })
            .await?;
        Ok(run.into())
    }
}

impl Mutation for Dispatching {
    type Action = DispatchWorkflow;
    type Output = JournalledRun;
    type Client = GitHub;
    type Error = DispatchError;

    fn client(state: &RunState) -> Result<GitHub, GuestError> {
        state.github()
    }

    async fn decide(&self, state: &mut RunState, step: &StepName) -> Result<Ruling<DispatchWorkflow>, GuestError> {
        // The grant before any look at the world: a role without it learns nothing of the repository.
        let asked = self.clone();
        let may = state.judged(move |s| s.may_deploy(&asked.repository, &asked.workflow, &asked.branch)).await;
        state.ruled(may)?;
        let github = state.github()?;
        let Self { repository, workflow, branch, mut inputs, known: _ } = self.clone();
        let path = RepoPath::parse(&format!(".github/workflows/{workflow}"))?;
        let looked = {
            let (repository, branch) = (repository.clone(), branch.clone());
            state.outside(async move {
                let head_sha = github.branch_sha(&repository, &branch).await?;
                let file = github.file(&repository, &path, head_sha.as_str()).await?;
                Ok::<_, GitHubError>((head_sha, file.content))
            })
        };
        let (head_sha, file) = looked.await.map_err(|error| GuestError::Unavailable(error.to_string()))??;
        if deploy_shown::declares_step(&file) {
            inputs.push((STEP_INPUT.to_owned(), step.key()));
        }
        let action = DispatchWorkflow { repository, workflow, branch, head_sha, inputs };
        let ruling = state.judged(move |scope| scope.deploy(action)).await;
        state.ruled(ruling)
    }

    async fn show(&self, state: &mut RunState, _: &Call, action: &DispatchWorkflow) -> Result<Shown, GuestError> {
        let (github, action) = (state.github()?, action.clone());
        let seen = state.outside(async move { deploy_shown::show(&github, &action).await }).await;
        seen.map_err(|error| GuestError::Unavailable(error.to_string()))?
    }

    async fn act(github: GitHub, grant: Granted<DispatchWorkflow>, _: Late) -> Result<JournalledRun, DispatchError> {
        let judged = grant.action().head_sha.clone();
        Ok(JournalledRun::of(github.dispatch_workflow(grant).await?, Some(judged)))
    }

    async fn find(&self, github: GitHub, step: StepName) -> Result<Option<JournalledRun>, DispatchError> {
        let Self { repository, workflow, branch, inputs: _, known } = self;
        let since = step.intended_at - SKEW;
        let runs = github.dispatched_runs(repository, workflow, branch, since).await?;
        let login = github.login().await?;
        let Some(run) = the_one(runs, &step.key(), known, login.as_deref())? else {
            let since = step.intended_at;
            if OffsetDateTime::now_utc() - since < APPEARS_WITHIN {
                return Err(DispatchError::NotYet(format!("no run of {workflow} on {branch} has appeared yet")));
            }
            return Err(DispatchError::Unclear(format!(
                "no run of {workflow} on {branch} of {repository} has appeared since {since}"
            )));
        };
        Ok(Some(JournalledRun::of(run, None)))
    }

    /// A dispatch names a branch. What was pushed to it in the last moment runs instead of what was judged. Of a run that was
    /// found again after a lost answer, nobody has compared the two.
    fn alert(&self, step: &StepName, run: &JournalledRun) -> Option<Alert> {
        let judged = run.judged_sha.as_ref();
        let (severity, title) = match judged {
            Some(judged) if *judged == run.head_sha => return None,
            Some(_) => (Severity::Critical, "A workflow runs on another commit than the one that was approved"),
            None => (Severity::Warning, "A workflow's run was found again: see whether its commit is the approved one"),
        };
        Some(Alert {
            severity,
            kind: "deployed-other-commit",
            fingerprint: format!("deployed-other-commit/{step}"),
            title: title.to_owned(),
            details: json!({ "run": run.id, "approved": judged, "runs": run.head_sha }),
            occurrences: 1,
        })
    }
}

/// The run of this very step, among those that were dispatched since it began.
fn the_one(
    runs: Vec<WorkflowRun>,
    key: &str,
    known: &[u64],
    login: Option<&str>,
) -> Result<Option<WorkflowRun>, DispatchError> {
    let ours = |run: &WorkflowRun| {
        !known.contains(&run.id)
            && match (login, run.actor.as_deref()) {
                (Some(login), Some(actor)) => login.eq_ignore_ascii_case(actor),
                // Nobody knows who that is: then only its own name tells a run.
                (None, _) | (_, None) => deploy_shown::names_step(&run.title, key),
            }
    };
    let (named, others): (Vec<_>, Vec<_>) =
        runs.into_iter().filter(ours).partition(|run| deploy_shown::names_step(&run.title, key));
    let mut candidates = if named.is_empty() {
        // Those of other steps say so.
        others.into_iter().filter(|run| !deploy_shown::names_any_step(&run.title)).collect()
    } else {
        named
    };
    if candidates.len() > 1 {
        let ids: Vec<_> = candidates.iter().map(|run| run.id.to_string()).collect();
        return Err(DispatchError::Unclear(format!("runs {} could each be its own", ids.join(", "))));
    }
    Ok(candidates.pop())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "juggernaut-0198f2d0-0000-7000-8000-000000000000/1/4";

    fn run(id: u64, title: &str, actor: &str) -> WorkflowRun {
        WorkflowRun {
            id,
            status: CheckStatus::Queued,
            conclusion: None,
            url: String::new(),
            head_sha: Sha::parse(&"a".repeat(40)).unwrap(),
            head_branch: Some("main".to_owned()),
            event: "workflow_dispatch".to_owned(),
            created_at: 0,
            title: title.to_owned(),
            actor: Some(actor.to_owned()),
        }
    }

    fn found(runs: Vec<WorkflowRun>) -> Result<Option<u64>, String> {
        found_by(Some("bot"), runs)
    }

    fn found_by(login: Option<&str>, runs: Vec<WorkflowRun>) -> Result<Option<u64>, String> {
        let found = the_one(runs, KEY, &[9], login);
        found.map(|run| run.map(|run| run.id)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_run_is_told_from_the_runs_of_others_or_not_at_all() {
        assert_eq!(found(vec![]), Ok(None));
        assert_eq!(found(vec![run(1, "Deploy", "bot")]), Ok(Some(1)));
        assert_eq!(found(vec![run(1, "Deploy", "Bot"), run(9, "Deploy", "bot"), run(2, "Deploy", "ann")]), Ok(Some(1)));
        assert_eq!(found(vec![run(2, "Deploy", "ann")]), Ok(None));
        let named = format!("Deploy by {KEY}");
        assert_eq!(found(vec![run(1, "Deploy", "bot"), run(2, &named, "bot")]), Ok(Some(2)));
        // Of another step, whose name begins with ours.
        assert_eq!(found(vec![run(1, &format!("{KEY}2"), "bot")]), Ok(None));
        let unclear = found(vec![run(1, "Deploy", "bot"), run(2, "Deploy", "bot")]).unwrap_err();
        assert_eq!(unclear, "runs 1, 2 could each be its own");
        assert!(found(vec![run(1, &named, "bot"), run(2, &named, "bot")]).is_err());
        // A token that does not say whose it is.
        assert_eq!(found_by(None, vec![run(1, "Deploy", "ann")]), Ok(None));
        assert_eq!(found_by(None, vec![run(1, "Deploy", "ann"), run(2, &named, "bot")]), Ok(Some(2)));
    }

    #[test]
    fn only_file_names_and_plain_inputs_are_sent() {
        for bad in ["", ".", "..", "../x.yml", "a/b.yml", "a%2fb", ".yml", "a b.yml", "a\u{202e}.yml"] {
            assert!(workflow_name(bad).is_err(), "{bad}");
        }
        assert!(workflow_name("deploy-2.prod_x.yml").is_ok());
        let inputs = |given: &[(&str, &str)]| {
            checked_inputs(given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(inputs(&[("b", "1"), ("a", "2")]).unwrap()[0].0, "a");
        let long = "x".repeat(INPUT_BYTES_MAX + 1);
        for bad in [
            &[("juggernaut_step", "x")][..],
            &[("Juggernaut_Step", "x")],
            &[("a", "1"), ("A", "2")],
            &[("", "x")],
            &[("a b", "x")],
            &[("a", "\0")],
            &[("a", long.as_str())],
        ] {
            assert!(inputs(bad).is_err(), "{bad:?}");
        }
        assert!(inputs(&[("a", "1"); 11]).is_err());
    }
}
