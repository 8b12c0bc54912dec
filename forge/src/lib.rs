//! A local GitHub-compatible REST server over bare git repositories, for development and tests.
//!
//! # What it is
//! Real branches, commits, squash merges and conflicts, in bare repositories `ROOT/<owner>/<name>.git` that plain
//! `git log` can read, behind GitHub's paths, status codes, field names and error texts. What GitHub knows beside git
//! (pull requests, check runs, runs of workflows) lies in `ROOT/<owner>/<name>.git/forge/*.json`; a restarted forge still knows it.
//!
//! # What it is not
//! No workflow is ever run: a run of one is what a test says of it. Not a git host: no push or fetch over HTTP (use the directory as a remote), no forks, reviews, issues, protected
//! branches, webhooks or GraphQL, no conditional requests. Not for anybody but the tests of this machine: it listens on
//! loopback only, and every token may do everything, also write check runs (on GitHub only Apps may). The rate limit is
//! reported and never enforced. A pull request's `mergeable` is known at once, and its base follows the branch.
//! Invariant: nothing but loopback is ever bound; no name from a request leaves the root; no token is stored or shown.
//!
//! # In a test
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut options = forge::ForgeOptions::new("/tmp/forge");
//! options.token = Some("secret".into());
//! let running = forge::Forge::start(options).await?;
//! // … speak HTTP to running.url() …
//! running.stop().await?;
//! # Ok(()) }
//! ```
//!
//! # Test controls
//! All of them need a token. Patterns: `*` stands for any characters. A `target` is
//! `{"method": "PUT", "path": "/repos/*/contents/*", "skip": 0, "times": 1}`; these are about the path as sent (still
//! percent-encoded), and by default the very next request is meant.
//!
//! | request | body |
//! | --- | --- |
//! | `POST /_forge/repos` → 201 | `{"owner": "octo", "name": "hello", "default_branch": "main", "files": {"README.md": "text", "logo": {"base64": "AAEC"}}}`, or `"directory": "/abs/path"` in place of `files` |
//! | `PUT /_forge/repos/{owner}/{name}/check-policies` → 204 | `[{"branches": "feature/*", "name": "ci", "conclusion": "success", "after_ms": 500}]`: every new head commit there gets this check run, queued, then completed |
//! | `PUT /_forge/repos/{owner}/{name}/workflow-policies` → 204 | `[{"workflow": "deploy.yml", "conclusion": "success", "after_ms": 500, "details": true}]`: dispatched runs of it end so, by themselves; without one they stay queued. `"details": false`: the answer to a dispatch is 204 without the run, as of older servers |
//! | `PATCH /_forge/repos/{owner}/{name}/runs/{id}` → 200 | `{"status": "in_progress", "conclusion": null}`: the run from here on |
//! | `POST /_forge/tokens` → 201 | `{"login": "alice", "token": "…"}`: a second user, kept over restarts as a digest |
//! | `GET /_forge/requests?method=&path=` | answers `{"total_count": n, "requests": [{"id", "method", "path", "query", "token": true, "status": 201, "fault": null, "at"}]}`; status is null while a request runs and if it is never answered; the last 20,000 are kept. `DELETE` forgets them |
//! | `POST /_forge/faults` → 201 | `{"target": {…}, "fault": {"kind": "status", "status": 502, "headers": {"retry-after": "1"}, "body": {"message": "…"}}}`; `GET` lists, `DELETE` removes all, `DELETE /_forge/faults/{id}` one |
//! | `POST /_forge/holds` → 201 | `{"target": {…}, "when": "before"}`: matching requests wait, `before` they act or `after`; `GET` lists each hold with the requests `held` so far; `DELETE /_forge/holds/{id}` (or all) releases them |
//!
//! Faults without effect on the repository: `status`; `secondary-rate-limit` (`"retry_after": 60`); `rate-limit`;
//! `hang` (until the forge stops); `drop-request` (connection closed, not acted). Faults after the effect:
//! `lose-response` (connection closed without an answer); `late-status` (`"status": 502`); `late-hang`; `reset` (head and half of the body, then a reset). A request
//! whose body arrived is carried out even if its sender dies meanwhile, also after having been held.

mod api;
mod app;
mod clock;
mod control;
mod error;
mod gate;
mod store;
mod wire;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use store::{BadRepoName, CheckConclusion, CheckPolicy, RepoName};

use app::{App, Rate, Tokens};
use store::Store;
use wire::Loopback;

const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What a forge is started with.
#[derive(Clone)]
pub struct ForgeOptions {
    /// Where the repositories are; made if it does not exist.
    pub root: PathBuf,
    /// Loopback only; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Without one, every non-empty token is good.
    pub token: Option<String>,
    /// Whom the token belongs to: the author of pull requests and `merged_by`.
    pub login: String,
    /// For every repository, besides its own policies.
    pub checks: Vec<CheckPolicy>,
    /// Repositories to make from directories, unless they exist.
    pub seeds: Vec<Seed>,
}

/// A repository that is made from a directory.
#[derive(Clone, Debug)]
pub struct Seed {
    /// Its name.
    pub repository: RepoName,
    /// Where its first commit comes from.
    pub directory: PathBuf,
}

impl ForgeOptions {
    /// Any free port of 127.0.0.1, any token, nothing seeded.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            login: "juggernaut".to_owned(),
            checks: Vec::new(),
            seeds: Vec::new(),
        }
    }
}

impl fmt::Debug for ForgeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root, listen, token, login, checks, seeds } = self;
        f.debug_struct("ForgeOptions")
            .field("root", root)
            .field("listen", listen)
            .field("token", &token.as_ref().map(|_| "…"))
            .field("login", login)
            .field("checks", checks)
            .field("seeds", seeds)
            .finish()
    }
}

/// Why a forge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: std::io::Error },
    #[error("cannot use {} as the root of the repositories: {cause}; give a directory that can be written", root.display())]
    Root { root: PathBuf, cause: String },
    #[error("cannot make {repository} from {}: {cause}", directory.display())]
    Seed { repository: RepoName, directory: PathBuf, cause: String },
}

/// The forge ended otherwise than it was told to.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("serving ended with an error: {0}")]
    Serve(#[from] std::io::Error),
    #[error("the serving task ended with an error: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("requests were still running {STOP_WITHIN:?} after the forge was told to stop; they were abandoned")]
    TooSlow,
}

/// Starts forges.
#[derive(Debug)]
pub struct Forge;

/// A forge that accepts requests until it is stopped or dropped.
#[derive(Debug)]
pub struct Running {
    url: String,
    root: PathBuf,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Forge {
    /// Returns once requests are accepted. Needs a tokio runtime.
    pub async fn start(options: ForgeOptions) -> Result<Running, StartError> {
        let ForgeOptions { root, listen, token, login, checks, seeds } = options;
        let unusable = |cause: error::StoreError| StartError::Root { root: root.clone(), cause: cause.to_string() };
        let store = Store::open(&root, checks).map_err(unusable)?;
        let tokens = store.root().join(".forge-tokens.json");
        let tokens = Tokens::open(tokens, token.as_deref(), login).map_err(unusable)?;
        seeds.iter().try_for_each(|seed| plant(&store, seed))?;

        let refused = |cause| StartError::Listen { address: listen, cause };
        let listener = Loopback::bind(listen).await.map_err(refused)?;
        let url = format!("http://{}", listener.local_addr().map_err(refused)?);
        let root = store.root().to_owned();
        let (stop, stopped) = watch::channel(false);
        let app = Arc::new(App {
            store,
            base: url.clone(),
            tokens,
            control: control::Control::default(),
            rate: Rate::new(),
            stop: stopped,
        });
        let service = api::service(&app);
        let serving = tokio::spawn(async move {
            let stopped = async move { app.stopped().await };
            axum::serve(listener, service).with_graceful_shutdown(stopped).await
        });
        Ok(Running { url, root, stop, serving })
    }
}

fn plant(store: &Store, seed: &Seed) -> Result<(), StartError> {
    let Seed { repository, directory } = seed;
    if store.repo(repository).is_ok() {
        return Ok(());
    }
    store.create_from_directory(repository, "main", directory).map_err(|cause| StartError::Seed {
        repository: repository.clone(),
        directory: directory.clone(),
        cause: cause.to_string(),
    })
}

impl Running {
    /// `http://127.0.0.1:PORT`, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the repositories are: `ROOT/<owner>/<name>.git`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Ends once the requests that run have ended. Held and hanging ones are closed without an answer.
    pub async fn stop(self) -> Result<(), StopError> {
        let Self { stop, mut serving, .. } = self;
        stop.send_replace(true);
        let Ok(ended) = tokio::time::timeout(STOP_WITHIN, &mut serving).await else {
            serving.abort();
            return Err(StopError::TooSlow);
        };
        Ok(ended??)
    }
}
