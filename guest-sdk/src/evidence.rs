//! A claim that the task is done.

use crate::bindings::juggernaut::host::outcomes;

/// Evidence for the host to verify. Prose alone completes nothing.
#[derive(Clone, Debug)]
pub struct Evidence {
    summary: String,
    proof: Option<outcomes::Proof>,
    answers: Vec<(u32, Vec<u32>)>,
}

impl Evidence {
    fn proof(proof: outcomes::Proof) -> Self {
        Self { summary: String::new(), proof: Some(proof), answers: Vec::new() }
    }

    /// For `code` tasks: this pull request of `owner/name` is merged.
    pub fn merged_pull_request(repository: impl Into<String>, number: u64) -> Self {
        let repository = repository.into();
        Self::proof(outcomes::Proof::MergedPullRequest(outcomes::PullRequestName { repository, number }))
    }

    /// For `test` tasks: what ran and how it ended. Red tests are a result, too; the host counts again.
    ///
    /// ```no_run
    /// # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
    /// use juggernaut_guest::{Evidence, TestCounts, TestSuite, github_read, task};
    ///
    /// let report = github_read::get_file("demo/sample", "reports/unit.xml", "main")?;
    /// let step = task::last_step().unwrap_or_default();
    /// let failed = String::from_utf8_lossy(&report.content).matches("<failure").count() as u32;
    /// let counts = TestCounts { passed: 12 - failed, failed, skipped: 0 };
    /// Ok(Evidence::test_results([TestSuite::junit_report("unit", counts, step)]))
    /// # }
    /// ```
    pub fn test_results(suites: impl IntoIterator<Item = TestSuite>) -> Self {
        Self::proof(outcomes::Proof::TestResults(suites.into_iter().map(|suite| suite.0).collect()))
    }

    /// For `verification` tasks: what was looked at, expected and found. The host looks again.
    ///
    /// ```no_run
    /// # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
    /// use juggernaut_guest::{Check, Evidence, github_read, task};
    ///
    /// let found = github_read::find_pull_requests("demo/sample", "feature/x")?;
    /// let step = task::last_step().unwrap_or_default();
    /// let state = if found.is_empty() { "none" } else { "some" };
    /// let readme = github_read::get_file("demo/sample", "README.md", "main")?;
    /// let says = String::from_utf8_lossy(&readme.content).contains("MIT");
    /// let read = task::last_step().unwrap_or_default();
    /// Ok(Evidence::verification_report([Check::body_contains("licence", read, "MIT", true, says)])
    ///     .summary(format!("{state} pull requests by step {step}")))
    /// # }
    /// ```
    pub fn verification_report(checks: impl IntoIterator<Item = Check>) -> Self {
        Self::proof(outcomes::Proof::VerificationReport(checks.into_iter().map(|check| check.0).collect()))
    }

    /// For `research` tasks: what was found (at least 80 characters and 12 different words), and the journal positions
    /// of the calls that fetched its sources. It cites no other URL.
    ///
    /// ```no_run
    /// # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
    /// use juggernaut_guest::{Evidence, github_read, task};
    ///
    /// let notes = github_read::get_file("demo/sample", "NOTES.md", "main")?;
    /// let source = task::last_step().unwrap_or_default();
    /// let summary = format!("The notes of the project, {} bytes, say that …", notes.content.len());
    /// Ok(Evidence::cited_summary(summary, [source]))
    /// # }
    /// ```
    pub fn cited_summary(summary: impl Into<String>, sources: impl Into<Vec<u32>>) -> Self {
        Self::proof(outcomes::Proof::CitedSummary(sources.into())).summary(summary)
    }

    /// For `documentation` tasks: the document that this attempt fetched from this URL.
    ///
    /// ```
    /// let evidence = juggernaut_guest::Evidence::document_url("https://docs.example.org/guide");
    /// ```
    pub fn document_url(url: impl Into<String>) -> Self {
        Self::proof(outcomes::Proof::Document(outcomes::DocumentLocation::Url(url.into())))
    }

    /// For `documentation` tasks: a file at a branch, tag or SHA, and the SHA-256 of its content in lower-case
    /// hexadecimal. A call of this attempt read or wrote it.
    ///
    /// ```
    /// let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    /// let evidence = juggernaut_guest::Evidence::document_file("demo/sample", "docs/guide.md", "main", sha256);
    /// ```
    pub fn document_file(
        repository: impl Into<String>,
        path: impl Into<String>,
        reference: impl Into<String>,
        sha256: impl Into<String>,
    ) -> Self {
        Self::proof(outcomes::Proof::Document(outcomes::DocumentLocation::File(outcomes::DocumentFile {
            repository: repository.into(),
            path: path.into(),
            reference: reference.into(),
            sha256: sha256.into(),
        })))
    }

    /// For `decomposition` tasks: this attempt closed the goal as completed, by these children.
    pub fn tasks_created(children: impl Into<Vec<String>>) -> Self {
        Self::proof(outcomes::Proof::TasksCreated(children.into()))
    }

    /// For `analysis` and `report` tasks: this attempt stored the report of this id and digest.
    pub fn report_stored(id: impl Into<String>, sha256: impl Into<String>) -> Self {
        let name = outcomes::ReportName { id: id.into(), sha256: sha256.into() };
        Self::proof(outcomes::Proof::ReportStored(name))
    }

    /// For `monitoring` tasks: the journal positions of what was measured, and the ids of the alerts that were raised.
    pub fn alerts_evaluated(measurements: impl Into<Vec<u32>>, raised: impl Into<Vec<String>>) -> Self {
        let evaluation = outcomes::Evaluation { measurements: measurements.into(), raised: raised.into() };
        Self::proof(outcomes::Proof::AlertsEvaluated(evaluation))
    }

    /// For `planning` tasks: this attempt filed the recommendation of this id.
    pub fn recommendation_filed(id: impl Into<String>) -> Self {
        Self::proof(outcomes::Proof::RecommendationFiled(id.into()))
    }

    /// Words without proof. The host refuses them, whatever they say; they exist so that a role can be honest.
    pub fn statement(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), proof: None, answers: Vec::new() }
    }

    /// Adds a summary for people.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// Answers the acceptance criterion of that number with the journal positions that show it.
    #[must_use]
    pub fn answer(mut self, criterion: u32, steps: impl Into<Vec<u32>>) -> Self {
        self.answers.push((criterion, steps.into()));
        self
    }
}

/// How the tests of a suite ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestCounts {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

/// Tests that ran, and where their counts come from.
#[derive(Clone, Debug)]
pub struct TestSuite(outcomes::TestSuite);

impl TestSuite {
    fn new(name: impl Into<String>, counts: TestCounts, source: outcomes::SuiteSource) -> Self {
        let TestCounts { passed, failed, skipped } = counts;
        Self(outcomes::TestSuite { name: name.into(), passed, failed, skipped, source })
    }

    /// Counts of a JUnit report that the call at this journal position fetched.
    pub fn junit_report(name: impl Into<String>, counts: TestCounts, step: u32) -> Self {
        Self::new(name, counts, outcomes::SuiteSource::JunitReport(step))
    }

    /// A named check run of a commit, whose check runs this attempt listed. It is one: passed, skipped or failed.
    ///
    /// ```
    /// use juggernaut_guest::{TestCounts, TestSuite};
    ///
    /// let green = TestCounts { passed: 1, ..TestCounts::default() };
    /// let sha = "0123456789012345678901234567890123456789";
    /// let suite = TestSuite::check_run("continuous integration", green, "demo/sample", sha, "ci");
    /// ```
    pub fn check_run(
        name: impl Into<String>,
        counts: TestCounts,
        repository: impl Into<String>,
        sha: impl Into<String>,
        check: impl Into<String>,
    ) -> Self {
        let (repository, sha) = (repository.into(), sha.into());
        let run = outcomes::CheckRunName { repository, sha, name: check.into() };
        Self::new(name, counts, outcomes::SuiteSource::CheckRun(run))
    }
}

/// One thing that was looked at, expected and found.
#[derive(Clone, Debug)]
pub struct Check(outcomes::ReportCheck);

impl Check {
    /// The value at a JSON pointer in the recorded result of a call, which is `{"ok": …}` or `{"err": …}`. A string as it
    /// is, anything else as compact JSON.
    ///
    /// ```
    /// let check = juggernaut_guest::Check::value("state", 3, "/ok/state", "merged", "open");
    /// ```
    pub fn value(
        name: impl Into<String>,
        step: u32,
        pointer: impl Into<String>,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> Self {
        let observation = outcomes::Observation::Value(pointer.into());
        let (name, expected, actual) = (name.into(), expected.into(), actual.into());
        Self(outcomes::ReportCheck { name, step, observation, expected, actual })
    }

    /// Whether the content that a call fetched or read contains a text.
    pub fn body_contains(
        name: impl Into<String>,
        step: u32,
        text: impl Into<String>,
        expected: bool,
        actual: bool,
    ) -> Self {
        let observation = outcomes::Observation::BodyContains(text.into());
        let (name, expected, actual) = (name.into(), expected.to_string(), actual.to_string());
        Self(outcomes::ReportCheck { name, step, observation, expected, actual })
    }
}

impl From<Evidence> for outcomes::Evidence {
    fn from(evidence: Evidence) -> Self {
        Self {
            summary: evidence.summary,
            proof: evidence.proof,
            answers: (evidence.answers.into_iter())
                .map(|(criterion, steps)| outcomes::Answer { criterion, steps })
                .collect(),
        }
    }
}
