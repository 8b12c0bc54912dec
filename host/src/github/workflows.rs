//! Runs of workflows of GitHub Actions.

use std::time::Duration;

use reqwest::Method;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::GitHub;
use super::error::GitHubError;
use super::read::{CONTENTS_BODY_BYTES_MAX, LIST_BODY_BYTES_MAX};
use super::transport::Page;
use super::types::WorkflowRun;
use super::wire::{Dispatched, NewDispatch, WireUser, WireWorkflowRun, WorkflowRunPage};
use crate::policy::Granted;
use crate::policy::action::DispatchWorkflow;
use crate::repo::{Branch, Repository};

/// What a dispatched run says of its beginning.
pub(super) const DISPATCHED: &str = "workflow_dispatch";
/// Looks at a run that GitHub has named and may not show yet, and the pause before the second, which doubles.
const LOOKS_MAX: u32 = 4;
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// GitHub's largest page. More dispatches of one workflow on one branch since a call began than this nobody can tell
/// apart.
const RUNS_MAX: u64 = 100;

impl GitHub {
    /// Starts a workflow on a branch, whose head has to be the one that was judged. `Unknown` also where the run can not be
    /// shown yet.
    pub async fn dispatch_workflow(&self, grant: Granted<DispatchWorkflow>) -> Result<WorkflowRun, GitHubError> {
        let DispatchWorkflow { repository, workflow, branch, head_sha, inputs } = grant.into_action();
        let url = self.repo_url(&repository, ["actions", "workflows", &workflow, "dispatches"]);
        let call = self.transport.call(&Method::POST, &url);
        // A dispatch names no commit, so it is looked at as late as can be.
        let head = self.branch_sha(&repository, &branch).await?;
        if head != head_sha {
            return Err(call.conflict(format!("the head of {branch} is {head} now, not {head_sha}; decide anew")));
        }
        let inputs = inputs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = NewDispatch { branch: branch.as_str(), inputs, return_run_details: true };
        let told: Option<Dispatched> =
            self.transport.mutate_maybe(Method::POST, url, &body, CONTENTS_BODY_BYTES_MAX).await?;
        let Some(Dispatched { workflow_run_id }) = told else {
            return Err(call.unknown("it was accepted, without the name of a run"));
        };
        let mut pause = LOOK_PAUSE;
        let mut looked = self.workflow_run(&repository, workflow_run_id).await;
        for _ in 1..LOOKS_MAX {
            if looked.is_ok() {
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            looked = self.workflow_run(&repository, workflow_run_id).await;
        }
        looked.map_err(|error| call.unknown(format!("run {workflow_run_id} can not be looked at: {error}")))
    }

    pub async fn workflow_run(&self, repository: &Repository, id: u64) -> Result<WorkflowRun, GitHubError> {
        let url = self.repo_url(repository, ["actions", "runs", &id.to_string()]);
        let wire: WireWorkflowRun = self.transport.get(url, CONTENTS_BODY_BYTES_MAX).await?;
        Ok(wire.into())
    }

    /// Runs of a workflow on a branch that somebody dispatched since, newest first.
    pub async fn dispatched_runs(
        &self,
        repository: &Repository,
        workflow: &str,
        branch: &Branch,
        since: OffsetDateTime,
    ) -> Result<Vec<WorkflowRun>, GitHubError> {
        let mut url = self.repo_url(repository, ["actions", "workflows", workflow, "runs"]);
        let call = self.transport.call(&Method::GET, &url);
        let from = since.replace_nanosecond(0).unwrap_or(since);
        let created = from.format(&Rfc3339).map_err(|error| call.invalid(format!("{since} is no time: {error}")))?;
        url.query_pairs_mut()
            .append_pair("event", DISPATCHED)
            .append_pair("branch", branch.as_str())
            .append_pair("created", &format!(">={created}"))
            .append_pair("per_page", &RUNS_MAX.to_string());
        let page: Page<WorkflowRunPage> = self.transport.get_page(url, LIST_BODY_BYTES_MAX).await?;
        let WorkflowRunPage { total_count, workflow_runs } = page.value;
        if total_count > RUNS_MAX {
            return Err(call.invalid(format!("there are more than {RUNS_MAX} such runs since {created}")));
        }
        let mut runs: Vec<WorkflowRun> = workflow_runs.into_iter().map(Into::into).collect();
        // Filters that a server does not know are ignored.
        runs.retain(|run| {
            run.event == DISPATCHED
                && run.head_branch.as_deref() == Some(branch.as_str())
                && run.created_at >= from.unix_timestamp()
        });
        Ok(runs)
    }

    /// Whose token this is. None for a token of an application, which GitHub does not tell.
    pub async fn login(&self) -> Result<Option<String>, GitHubError> {
        let url = self.transport.url(["user"]);
        match self.transport.get::<WireUser>(url, CONTENTS_BODY_BYTES_MAX).await {
            Ok(WireUser { login }) => Ok(Some(login)),
            Err(GitHubError::Denied(_) | GitHubError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
