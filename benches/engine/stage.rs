//! The no-op role, loaded, with what its runs need. Nothing of it leaves this process: the recorder is a channel.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use juggernaut::egress::{Guard, Loopback, WebClient};
use juggernaut::journal::Message;
use juggernaut::policy::{Authority, Policies};
use juggernaut::sandbox::{
    LoadedRole, RoleFiles, RunEnd, RunError, RunInput, RunMode, Sandbox, SandboxConfig, Services,
};
use juggernaut::secrets::Scanner;
use juggernaut::task::{Attempt, EvidenceKind, Priority, Risk, Task, TaskId};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

/// As many as the worker's recorder lets wait.
const RECORDER_QUEUE_MAX: usize = 16;
const HOUR: Duration = Duration::from_hours(1);

pub(super) struct Stage {
    sandbox: Sandbox,
    role: Arc<LoadedRole>,
    authority: Arc<Authority>,
    services: Arc<Services>,
}

impl Stage {
    /// `wall_ms` stands in the manifest instead of its own.
    pub(super) fn new(role: &Path, cache: &Path, threads: usize, guests_max: u32, wall_ms: Option<u64>) -> Self {
        let config = SandboxConfig { cache_dir: Some(cache.to_owned()), guests_max, threads };
        let sandbox = Sandbox::new(&config).expect("a sandbox");
        let copy = tempfile::tempdir().expect("a folder");
        for file in ["noop.wasm", "capabilities.toml"] {
            std::fs::copy(role.join(file), copy.path().join(file)).expect("the no-op role");
        }
        if let Some(wall_ms) = wall_ms {
            let manifest = copy.path().join("capabilities.toml");
            let text = std::fs::read_to_string(&manifest).expect("a manifest");
            let limit = text.lines().find(|line| line.starts_with("wall_ms = ")).expect("a limit in the manifest");
            std::fs::write(&manifest, text.replace(limit, &format!("wall_ms = {wall_ms}"))).expect("a manifest");
        }
        let files = RoleFiles::read(copy.path()).expect("the no-op role");
        let role = Arc::new(LoadedRole::load(&sandbox, files).expect("the no-op role"));
        let policies = Arc::new(Policies::shipped().expect("our own policies"));
        let authority = Authority::new(policies, Arc::clone(&role.manifest)).expect("the no-op role");
        let services = Services {
            github: None,
            models: None,
            web: WebClient::new(Guard::new(Loopback::Refused), "bench").expect("a client"),
            secrets: Arc::new(Scanner::new(&[])),
            alerts: mpsc::channel(1).0,
        };
        Self { sandbox, role, authority: Arc::new(authority), services: Arc::new(services) }
    }

    pub(super) fn guest_threads(&self) -> &Handle {
        self.sandbox.guest_threads().expect("a sandbox that is not being dropped")
    }

    /// A run of its own task; its recorder is the caller's.
    fn input(&self, payload: &Value) -> (RunInput, mpsc::Receiver<Box<Message>>) {
        let task = Task {
            id: TaskId::generate(),
            title: "bench".to_owned(),
            description: String::new(),
            task_type: "verification".to_owned(),
            evidence_kind: EvidenceKind::VerificationReport,
            priority: Priority::Medium,
            risk: Risk::Low,
            risk_reasons: Vec::new(),
            payload: payload.clone(),
            criteria: Vec::new(),
            attempt: Attempt(1),
            attempts_max: 1,
            last_error: None,
            goal: None,
        };
        let (recorder, messages) = mpsc::channel(RECORDER_QUEUE_MAX);
        let input = RunInput {
            task: Arc::new(task),
            authority: Arc::clone(&self.authority),
            steps: Vec::new(),
            log_lines: 0,
            started_at: time::OffsetDateTime::now_utc(),
            own_commits: Vec::new(),
            own_runs: Vec::new(),
            recorder,
            act_until: watch::channel(Instant::now() + HOUR).1,
            mode: RunMode::Live,
        };
        (input, messages)
    }

    /// One run and how long it took, from nothing to nothing.
    pub(super) async fn run(&self, payload: &Value) -> (Result<RunEnd, RunError>, Duration) {
        let (input, messages) = self.input(payload);
        let began = Instant::now();
        let ended = self.sandbox.run(&self.role, &self.services, input).await;
        let took = began.elapsed();
        drop(messages);
        (ended, took)
    }

    /// The same, for a run that has to complete.
    pub(super) async fn completed(&self, payload: &Value) -> Duration {
        let (ended, took) = self.run(payload).await;
        assert!(matches!(ended, Ok(RunEnd::Completed(_))), "the no-op role ended otherwise: {ended:?}");
        took
    }

    /// A run that waits in a host call for an answer that the caller has: the message, unanswered.
    pub(super) async fn parked(self: Arc<Self>, payload: Arc<Value>) -> Parked {
        let (input, mut messages) = self.input(&payload);
        let run = tokio::spawn(async move { self.sandbox.run(&self.role, &self.services, input).await });
        // What comes before it needs no answer.
        loop {
            match messages.recv().await {
                Some(message) if matches!(*message, Message::Done { reply: Some(_), .. }) => {
                    return Parked { run, _unanswered: message, _messages: messages };
                }
                Some(_) => {}
                None => panic!("the no-op role ended instead of parking: {:?}", run.await),
            }
        }
    }
}

/// A live instance; it ends with this value.
pub(super) struct Parked {
    run: tokio::task::JoinHandle<Result<RunEnd, RunError>>,
    _unanswered: Box<Message>,
    _messages: mpsc::Receiver<Box<Message>>,
}

impl Parked {
    pub(super) fn is_alive(&self) -> bool {
        !self.run.is_finished()
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.run.abort();
    }
}
