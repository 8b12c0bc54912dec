//! What only the role attests, a person accepts where the risk asks for it: the run is over by then, and the task waits.
//! Once accepted, the run is replayed to the same claim, and the acceptance is used up with the completion.

use serde_json::json;

use super::Worker;
use super::ending::{self, Cause};
use crate::approval::{
    ApprovalKind, Asked, Binding, ROLE_SAYS_BYTES_MAX, Request, SHOWN_BYTES_MAX, Use, Versions, cut, exact_digest,
};
use crate::db::DbError;
use crate::db::journal::{Batch, RunKey};
use crate::db::outcomes::Ending;
use crate::evidence::{self, CriterionVerdict, Verified};
use crate::task::Task;

const ACTION: &str = "task.accept";
/// In the place of the policies that ask: the rule is that of the evidence itself.
const RULE: &str = "evidence.attested-at-high-risk";

pub(super) async fn ask(
    worker: &Worker,
    task: &Task,
    key: &RunKey,
    verified: &Verified,
    criteria: &[CriterionVerdict],
) -> Result<(Ending, Batch, Cause), DbError> {
    let request = request(worker, task, verified, criteria);
    let (digest, position) = (request.digest, request.position);
    let asked = worker.db.ask_approval(key, &request).await?;
    let batch = match asked {
        Asked::Waiting(approval) => {
            let reason = format!("{ACTION} waits for approval {approval}: {}", request.reasons.join("; "));
            return Ok((Ending::WaitingApproval { approval, reason }, Batch::default(), Cause::NeedsAcceptance));
        }
        Asked::Approved(approval) => Batch { uses: vec![(position, Use { approval, digest })], ..Batch::default() },
        Asked::Consumed => Batch::default(),
    };
    let (ending, cause) = ending::completed(verified);
    Ok((ending, batch, cause))
}

fn request(worker: &Worker, task: &Task, verified: &Verified, criteria: &[CriterionVerdict]) -> Request {
    let seen = evidence::text(verified);
    let arguments = json!({ "criteria": criteria, "summary": verified.summary });
    let versions = Versions {
        component: worker.role.component_sha256,
        manifest: worker.role.manifest.sha256,
        policy: worker.authority.policies.digest(),
    };
    let binding = Binding {
        task: task.id,
        kind: ApprovalKind::Acceptance,
        action: ACTION,
        arguments: &arguments,
        exact: exact_digest([seen.as_bytes()]),
        versions,
    };
    let numbers: Vec<String> = criteria.iter().map(|criterion| criterion.number.to_string()).collect();
    let numbers = numbers.join(", ");
    Request {
        kind: ApprovalKind::Acceptance,
        position: verified.steps.iter().map(|step| step.position).max().unwrap_or(0),
        unfinished: false,
        action: ACTION.to_owned(),
        risk: task.risk,
        policies: vec![RULE.to_owned()],
        reasons: vec![format!("at {} risk a person accepts what only the role attests: criteria {numbers}", task.risk)],
        digest: binding.digest(),
        versions,
        shown: cut(
            format!("Accept what a role attests\n\ntask       {}\ncriteria   {numbers}\n\n{seen}", task.id),
            SHOWN_BYTES_MAX,
        ),
        role_says: Some(cut(verified.summary.clone(), ROLE_SAYS_BYTES_MAX)),
        arguments,
    }
}
