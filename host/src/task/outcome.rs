//! How a run ends, as the role claims it. Whether it is true is for `evidence` to judge.

use serde::{Deserialize, Serialize, Serializer};

use crate::repo::{Repository, Sha};

/// Longest summary that is stored, in bytes.
pub const SUMMARY_BYTES_MAX: usize = 16 * 1024;
/// Longest reason for a failure, in bytes; what is longer is cut.
pub const REASON_BYTES_MAX: usize = 4 * 1024;

/// A claim that the task is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// For people. Proves nothing.
    pub summary: String,
    pub proof: Option<Proof>,
    pub answers: Vec<Answer>,
}

/// What the host is to verify. As JSON, for tests of roles: `{"merged-pull-request": {"repository": …, "number": …}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// As the role spells it; it may be no repository at all.
    MergedPullRequest {
        #[serde(serialize_with = "as_spelled")]
        repository: Result<Repository, String>,
        number: u64,
    },
    TestResults(Vec<ClaimedSuite>),
    VerificationReport(Vec<ClaimedCheck>),
    /// Journal positions of the sources that the claim's summary stands on.
    CitedSummary(Vec<u32>),
    Document(ClaimedDocument),
    /// Ids of the children of the goal that was closed, as the role spells them.
    TasksCreated(Vec<String>),
    ReportStored {
        id: String,
        sha256: String,
    },
    /// Journal positions of measurements, and ids of the alerts that were raised.
    AlertsEvaluated {
        measurements: Vec<u32>,
        raised: Vec<String>,
    },
    /// The recommendation's id.
    RecommendationFiled(String),
}

/// Tests that are said to have run, and how often each end came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimedSuite {
    pub name: String,
    pub counts: TestCounts,
    pub source: SuiteSource,
}

/// How tests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCounts {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

/// Where counts come from, as the role spells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuiteSource {
    CheckRun {
        #[serde(serialize_with = "as_spelled")]
        repository: Result<Repository, String>,
        #[serde(serialize_with = "as_spelled")]
        sha: Result<Sha, String>,
        name: String,
    },
    /// The journal position at which the report was read.
    JunitReport { step: u32 },
}

/// One thing that is said to have been checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimedCheck {
    pub name: String,
    pub step: u32,
    pub observation: Observation,
    pub expected: String,
    pub actual: String,
}

/// What of a recorded call is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// The value at this JSON pointer in the recorded result.
    Value(String),
    /// Whether the content that came contains this text.
    BodyContains(String),
}

/// Where a document is said to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimedDocument {
    Url(String),
    File {
        #[serde(serialize_with = "as_spelled")]
        repository: Result<Repository, String>,
        path: String,
        reference: String,
        sha256: String,
    },
}

/// A name, or what is wrong with it.
fn as_spelled<T: Serialize, S: Serializer>(name: &Result<T, String>, serializer: S) -> Result<S::Ok, S::Error> {
    match name {
        Ok(name) => name.serialize(serializer),
        Err(problem) => serializer.serialize_str(problem),
    }
}

/// One acceptance criterion, answered with journal positions of this attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub criterion: u32,
    pub steps: Vec<u32>,
}

/// Why a run did not complete its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: String,
    /// Whether it could succeed later without anybody changing the task.
    pub retriable: bool,
}
