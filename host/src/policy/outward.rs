//! Questions about what takes effect elsewhere: sending to the web, and deployments.

use super::action::{DispatchWorkflow, SendRequest};
use super::engine::Decision;
use super::question::{Action, Fact, Subject};
use super::{Denied, OwnRun, Ruling, Scope, outside};
use crate::repo::{Branch, Repository};
use crate::task::Risk;
use crate::web::WebTarget;

impl Scope<'_> {
    /// Sends to a place on the web. Host, method and path must be granted by one and the same target of the manifest.
    pub fn send(&self, action: SendRequest) -> Result<Ruling<SendRequest>, Denied> {
        let (target, method) = (action.target.clone(), action.method);
        self.send_with(&target, method.name(), action)
    }

    /// `method` as it is written: `policy test` asks for ones that there are not.
    pub(super) fn send_with<A>(&self, target: &WebTarget, method: &str, granted: A) -> Result<Ruling<A>, Denied> {
        let outside = outside::send(&self.authority.manifest, target, method);
        let decision = self.ask_endpoint(Action::Send, target, method, &outside)?;
        Ok(self.ruling(Action::Send, decision, self.risk.clone(), granted))
    }

    /// Starts a workflow. Of high risk at least: what it runs acts with the repository's own secrets.
    pub fn deploy(&self, action: DispatchWorkflow) -> Result<Ruling<DispatchWorkflow>, Denied> {
        let DispatchWorkflow { repository, workflow, branch, head_sha: _, inputs: _ } = &action;
        let decision = self.may_deploy(repository, workflow, branch)?;
        let mut risk = self.risk.clone();
        risk.raise(Risk::High, format!("workflow {workflow:?} of {repository} runs with authority of its own"));
        Ok(self.ruling(Action::Deploy, decision, risk, action))
    }

    /// What can be said of it before looking at the repository.
    pub fn may_deploy(&self, repository: &Repository, workflow: &str, branch: &Branch) -> Result<Decision, Denied> {
        let outside = outside::deploy(&self.authority.manifest, repository, workflow, branch);
        self.ask_deploy(repository, workflow, branch, &outside)
    }

    /// Whether the run may look at a run of a workflow. `own` is the one that the task dispatched under this id, if so.
    pub fn follow(&self, repository: &Repository, id: u64, own: Option<&OwnRun>) -> Result<Decision, Denied> {
        if let Some(OwnRun { repository, workflow, branch, id: _ }) = own {
            return self.may_deploy(repository, workflow, branch);
        }
        let manifest = &self.authority.manifest;
        let mut outside = outside::Outside::default();
        if manifest.grants.deploy.is_none() {
            outside = outside::Outside::interface(manifest, "deploy");
        }
        outside.add("runs", format!("run {id} of {repository} was not dispatched by a call of this task"));
        let facts = vec![("repository", Fact::Text(repository.to_string())), ("branch", Fact::Text(String::new()))];
        self.ask(Action::Deploy, Subject::workflow(""), &outside, facts, vec![])
    }

    fn ask_deploy(
        &self,
        repository: &Repository,
        workflow: &str,
        branch: &Branch,
        outside: &outside::Outside,
    ) -> Result<Decision, Denied> {
        let facts =
            vec![("repository", Fact::Text(repository.to_string())), ("branch", Fact::Text(branch.to_string()))];
        let words = vec![
            ("repository", repository.to_string()),
            ("workflow", format!("{workflow:?}")),
            ("branch", format!("{:?}", branch.as_str())),
        ];
        self.ask(Action::Deploy, Subject::workflow(workflow), outside, facts, words)
    }
}
