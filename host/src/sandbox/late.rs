//! Effects that came when the claim may have been another host's already: GitHub knows no fencing numbers. A second branch,
//! commit or merge the world refuses by itself. A second pull request of a branch whose first one is merged it does not,
//! so whoever opened it closes it again.
//!
//! Invariant: nobody has to wait for it. The run may be stopped meanwhile, and the claim be lost; what is to be said
//! about it goes to people, not into the run's journal.

use std::time::Instant;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::calls::Mutation;
use crate::github::{GitHub, GitHubError, PullRequestState};
use crate::journal::{Alert, Severity};
use crate::policy::{Granted, TakingBack};
use crate::task::TaskId;

/// What has to be known after the effect.
pub(super) struct Late {
    pub(super) task: TaskId,
    pub(super) act_until: watch::Receiver<Instant>,
    pub(super) alerts: mpsc::Sender<Alert>,
}

impl Late {
    /// Acts, and afterwards makes sure that it was not too late for it.
    pub(super) async fn act<M: Mutation>(
        self,
        github: GitHub,
        grant: Granted<M::Action>,
    ) -> Result<M::Output, GitHubError> {
        let taking_back = M::taking_back(&grant);
        let acted = M::act(github.clone(), grant).await;
        let opened = acted.as_ref().ok().and_then(M::opened);
        let is_late = Instant::now() >= *self.act_until.borrow();
        if let Some((taking_back, number)) = taking_back.zip(opened).filter(|_| is_late) {
            self.close_superfluous(&github, taking_back, number).await;
        }
        acted
    }

    /// One that nobody has merged yet is left alone: whoever has the task now finds it, and goes on with it.
    async fn close_superfluous(self, github: &GitHub, taking_back: TakingBack, number: u64) {
        let (repository, branch) = taking_back.place();
        let place = format!("{repository}#{number}");
        let found = github.find_pull_requests(repository, branch).await;
        let merged = found.map(|all| all.iter().any(|it| it.number != number && it.state == PullRequestState::Merged));
        let became = match merged {
            Ok(false) => return,
            Ok(true) => github.close_pull_request(taking_back.close(number)).await.map(|()| "closed again"),
            Err(error) => Err(error),
        };
        let (severity, became) = match became {
            Ok(became) => (Severity::Warning, became.to_owned()),
            Err(error) => (Severity::Critical, format!("perhaps still open: {error}")),
        };
        warn!(task.id = %self.task, place, became, "a pull request was opened after the claim was lost");
        let alert = Alert {
            severity,
            kind: "late-pull-request",
            fingerprint: format!("late-pull-request:{place}"),
            title: format!("Pull request {place} was opened by a host that had lost its claim; it is {became}"),
            details: json!({ "task": self.task, "pull_request": place, "became": became }),
            occurrences: 1,
        };
        if self.alerts.send(alert).await.is_err() {
            warn!("nobody takes alerts any more: the host is shutting down");
        }
    }
}
