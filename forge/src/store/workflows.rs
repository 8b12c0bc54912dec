//! Runs of workflows that were dispatched. Nothing is run: policies and tests say how they end.
//!
//! Invariant: as with checks, a planned end comes by the clock when somebody looks, so a restart loses nothing.

use git2::Oid;
use serde::{Deserialize, Serialize};

use super::checks::CheckConclusion;
use super::{Repo, names};
use crate::clock;
use crate::error::StoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunStatus {
    Queued,
    InProgress,
    Completed,
}

/// How dispatched runs of a workflow go.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkflowPolicy {
    /// A pattern of file names: `*` stands for any characters.
    pub(crate) workflow: String,
    /// None: it stays queued.
    #[serde(default)]
    pub(crate) conclusion: Option<CheckConclusion>,
    #[serde(default)]
    pub(crate) after_ms: u64,
    /// Whether the answer to a dispatch names the run, where that is asked for.
    #[serde(default = "yes")]
    pub(crate) details: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Plan {
    conclusion: CheckConclusion,
    at_unix_ms: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WorkflowRun {
    pub(crate) id: u64,
    /// The file's name.
    pub(crate) workflow: String,
    pub(crate) branch: String,
    pub(crate) head_sha: String,
    pub(crate) title: String,
    pub(crate) actor: String,
    pub(crate) inputs: Vec<(String, String)>,
    pub(crate) created_at: String,
    pub(crate) status: RunStatus,
    pub(crate) conclusion: Option<CheckConclusion>,
    plan: Option<Plan>,
}

/// What a test sets.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunChange {
    pub(crate) status: RunStatus,
    #[serde(default)]
    pub(crate) conclusion: Option<CheckConclusion>,
}

/// A dispatch as it was asked for.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) workflow: String,
    pub(crate) reference: String,
    pub(crate) inputs: Vec<(String, String)>,
    pub(crate) actor: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    last_id: u64,
    runs: Vec<WorkflowRun>,
}

impl WorkflowRun {
    fn come_due(&mut self) {
        if let Some(Plan { conclusion, at_unix_ms }) = self.plan
            && clock::now_unix_ms() >= at_unix_ms
        {
            self.plan = None;
            self.status = RunStatus::Completed;
            self.conclusion = Some(conclusion);
        }
    }
}

impl Repo {
    /// The run, and whether its dispatch is answered with it.
    pub(crate) fn dispatch(&self, dispatch: Dispatch) -> Result<(WorkflowRun, bool), StoreError> {
        let Dispatch { workflow, reference, inputs, actor } = dispatch;
        let default_branch = self.meta()?.default_branch;
        let branch = reference.strip_prefix("refs/heads/").unwrap_or(&reference).to_owned();
        // A workflow is known once the default branch has it.
        self.workflow_file(&default_branch, &workflow)?.ok_or(StoreError::NotFound)?;
        let unknown = || StoreError::Unprocessable(format!("No ref found for: {reference}"));
        let head = self.branch_tip(&branch)?.ok_or_else(unknown)?.id();
        let text = self.workflow_file(&branch, &workflow)?.ok_or(StoreError::NotFound)?;
        check_inputs(&text, &inputs)?;
        let meta = self.meta()?;
        let policy = meta.workflow_policies.iter().find(|policy| names::matches(&policy.workflow, &workflow));
        let mut document: Document = self.read("workflow_runs")?;
        document.last_id += 1;
        let plan = policy.and_then(|policy| {
            let delay_ms = i64::try_from(policy.after_ms).unwrap_or(i64::MAX);
            let at_unix_ms = clock::now_unix_ms().saturating_add(delay_ms);
            policy.conclusion.map(|conclusion| Plan { conclusion, at_unix_ms })
        });
        let run = WorkflowRun {
            id: document.last_id,
            title: title(&text, &workflow, &inputs),
            workflow,
            branch,
            head_sha: head.to_string(),
            actor,
            inputs,
            created_at: clock::now(),
            status: RunStatus::Queued,
            conclusion: None,
            plan,
        };
        document.runs.push(run.clone());
        self.write("workflow_runs", &document)?;
        Ok((run, policy.is_none_or(|policy| policy.details)))
    }

    /// Newest first.
    pub(crate) fn workflow_runs(&self, workflow: &str) -> Result<Vec<WorkflowRun>, StoreError> {
        let default_branch = self.meta()?.default_branch;
        self.workflow_file(&default_branch, workflow)?.ok_or(StoreError::NotFound)?;
        let document: Document = self.read("workflow_runs")?;
        let mut runs: Vec<_> = document.runs.into_iter().rev().filter(|run| run.workflow == workflow).collect();
        runs.iter_mut().for_each(WorkflowRun::come_due);
        Ok(runs)
    }

    pub(crate) fn workflow_run(&self, id: u64) -> Result<WorkflowRun, StoreError> {
        let document: Document = self.read("workflow_runs")?;
        let mut run = document.runs.into_iter().find(|run| run.id == id).ok_or(StoreError::NotFound)?;
        run.come_due();
        Ok(run)
    }

    pub(crate) fn change_workflow_run(&self, id: u64, change: RunChange) -> Result<WorkflowRun, StoreError> {
        let RunChange { status, conclusion } = change;
        let mut document: Document = self.read("workflow_runs")?;
        let run = document.runs.iter_mut().find(|run| run.id == id).ok_or(StoreError::NotFound)?;
        run.plan = None;
        run.status = status;
        run.conclusion = conclusion;
        let run = run.clone();
        self.write("workflow_runs", &document)?;
        Ok(run)
    }

    /// The text of a workflow at a branch.
    fn workflow_file(&self, branch: &str, workflow: &str) -> Result<Option<String>, StoreError> {
        let Some(tip) = self.branch_tip(branch)? else { return Ok(None) };
        let path = format!(".github/workflows/{workflow}");
        match tip.tree()?.get_path(std::path::Path::new(&path)) {
            Ok(entry) => Ok(Some(self.blob_text(entry.id())?)),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn blob_text(&self, id: Oid) -> Result<String, StoreError> {
        Ok(String::from_utf8_lossy(self.git.find_blob(id)?.content()).into_owned())
    }
}

/// By the lines of the file: GitHub parses it, and says the same.
fn check_inputs(text: &str, inputs: &[(String, String)]) -> Result<(), StoreError> {
    if !text.contains("workflow_dispatch") {
        return Err(StoreError::Unprocessable("Workflow does not have 'workflow_dispatch' trigger".to_owned()));
    }
    let declared =
        |name: &str| text.lines().any(|line| line.trim().strip_prefix(name).is_some_and(|it| it.starts_with(':')));
    let unexpected: Vec<_> =
        inputs.iter().filter(|(name, _)| !declared(name)).map(|(name, _)| format!("\"{name}\"")).collect();
    if unexpected.is_empty() {
        return Ok(());
    }
    Err(StoreError::Unprocessable(format!("Unexpected inputs provided: [{}]", unexpected.join(", "))))
}

/// `run-name` with its inputs, or the file's name.
fn title(text: &str, workflow: &str, inputs: &[(String, String)]) -> String {
    let Some(name) = text.lines().find_map(|line| line.strip_prefix("run-name:")) else {
        return workflow.to_owned();
    };
    inputs
        .iter()
        .fold(name.trim().to_owned(), |title, (name, value)| title.replace(&format!("${{{{ inputs.{name} }}}}"), value))
}
