//! What the host itself can see of a claim.

use std::collections::BTreeSet;

use super::{document, files, found};
use crate::evidence::World;
use crate::github::{GitHub, GitHubError, PullRequest};
use crate::policy::Denied;
use crate::repo::{Repository, Sha};
use crate::task::{Claim, ClaimedDocument, ClaimedSuite, Criterion, EvidenceKind, Proof, SuiteSource, Task};

/// Commits that one claim's suites may name: each is a request or several.
const COMMITS_MAX: usize = 10;

/// What came of asking.
#[derive(Debug)]
pub enum Gathered {
    World(Box<World>),
    /// The claim asks the host to look where the role may not.
    Denied(Denied),
    /// The outside did not answer.
    Unanswered(String),
}

/// Why asking ended early.
enum Stop {
    Denied(Denied),
    Unanswered(String),
}

impl From<GitHubError> for Stop {
    fn from(error: GitHubError) -> Self {
        Self::Unanswered(error.to_string())
    }
}

/// Completes `world`, which has what the database knows. The host asks about no repository on a role's word that
/// `may_read` refuses to the role.
pub async fn gather(
    github: Option<&GitHub>,
    may_read: &(dyn Fn(&Repository) -> Result<(), Denied> + Sync),
    task: &Task,
    claim: &Claim,
    world: World,
) -> Gathered {
    let looking = Looking { github, may_read, task };
    match looking.all(claim, world).await {
        Ok(world) => Gathered::World(Box::new(world)),
        Err(Stop::Denied(denied)) => Gathered::Denied(denied),
        Err(Stop::Unanswered(cause)) => Gathered::Unanswered(cause),
    }
}

struct Looking<'a> {
    github: Option<&'a GitHub>,
    may_read: &'a (dyn Fn(&Repository) -> Result<(), Denied> + Sync),
    task: &'a Task,
}

impl Looking<'_> {
    async fn all(&self, claim: &Claim, mut world: World) -> Result<World, Stop> {
        match (self.task.evidence_kind, &claim.proof) {
            (
                EvidenceKind::MergedPullRequest,
                Some(Proof::MergedPullRequest { repository: Ok(repository), number }),
            ) => self.merge(repository, *number, &mut world).await?,
            (EvidenceKind::TestResults, Some(Proof::TestResults(suites))) => {
                self.check_runs(suites, &mut world).await?;
                self.target_files(&mut world).await?;
            }
            (EvidenceKind::Document, Some(Proof::Document(claimed))) => {
                self.document(claimed, &mut world).await?;
                self.target_files(&mut world).await?;
            }
            (EvidenceKind::VerificationReport, Some(Proof::VerificationReport(_)))
            | (EvidenceKind::CitedSummary, Some(Proof::CitedSummary(_))) => self.target_files(&mut world).await?,
            // Refused by the judge, whatever the world says.
            (_, _) => {}
        }
        Ok(world)
    }

    fn github(&self, repository: &Repository) -> Result<&GitHub, Stop> {
        (self.may_read)(repository).map_err(Stop::Denied)?;
        self.github.ok_or_else(|| Stop::Unanswered("this host has no GitHub token".to_owned()))
    }

    async fn merge(&self, repository: &Repository, number: u64, world: &mut World) -> Result<(), Stop> {
        let github = self.github(repository)?;
        let Some(pull_request) = found(github.pull_request(repository, number).await)? else {
            return Ok(());
        };
        if self.task.criteria.iter().any(|criterion| matches!(criterion, Criterion::CheckGreen { .. })) {
            world.checks = github.check_runs(repository, &pull_request.head_sha).await?;
        }
        world.files = files(github, &self.task.criteria, repository, merge_of(&pull_request)).await?;
        world.pull_request = Some(pull_request);
        Ok(())
    }

    async fn check_runs(&self, suites: &[ClaimedSuite], world: &mut World) -> Result<(), Stop> {
        let named: BTreeSet<(Repository, Sha)> = suites
            .iter()
            .filter_map(|suite| match &suite.source {
                SuiteSource::CheckRun { repository: Ok(repository), sha: Ok(sha), .. } => {
                    Some((repository.clone(), sha.clone()))
                }
                SuiteSource::CheckRun { .. } | SuiteSource::JunitReport { .. } => None,
            })
            .collect();
        if named.len() > COMMITS_MAX {
            let message = format!("the suites name check runs of {} commits; the limit is {COMMITS_MAX}", named.len());
            return Err(Stop::Denied(Denied { policies: vec!["evidence-limit".to_owned()], message }));
        }
        for (repository, sha) in named {
            let runs = found(self.github(&repository)?.check_runs(&repository, &sha).await)?;
            world.suites.extend(runs.map(|runs| ((repository, sha), runs)));
        }
        Ok(())
    }

    async fn document(&self, claimed: &ClaimedDocument, world: &mut World) -> Result<(), Stop> {
        // How a URL answered, the journal shows. A look of the host's own would go here, into the world.
        if let ClaimedDocument::File { repository: Ok(repository), path, reference, .. } = claimed {
            world.document = document(self.github(repository)?, repository, path, reference).await?;
        }
        Ok(())
    }

    /// `file-contains` of a task without a merge is about the branch that its payload names.
    async fn target_files(&self, world: &mut World) -> Result<(), Stop> {
        let asked = self.task.criteria.iter().any(|criterion| matches!(criterion, Criterion::FileContains { .. }));
        if let (true, Some(target)) = (asked, self.task.target()) {
            let github = self.github(&target.repository)?;
            let base = Some(target.base.as_str());
            world.files = files(github, &self.task.criteria, &target.repository, base).await?;
        }
        Ok(())
    }
}

pub(super) fn merge_of(pull_request: &PullRequest) -> Option<&str> {
    pull_request.merge_sha.as_ref().map(Sha::as_str)
}
