//! The host under test: one process or several over one database and one forge.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use juggernaut::db::tokens::{Maker, TokenRole};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::cluster::temporary_home;
use crate::{Database, HostProcess, Options, Paths, RolesDir, TestForge, show};

const POLL: Duration = Duration::from_millis(50);
/// A host that is stopped or dead answers nothing more.
const CRASH_ANSWER_MAX: Duration = Duration::from_secs(3);
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// What every host of the tests signs its audit log's checkpoints with.
pub const AUDIT_KEY: &str = "4a75676765726e617574207369676e7320697473206175646974206c6f672e2e";

/// A running host. Its processes are killed when it is dropped.
#[derive(Debug)]
pub struct Host {
    processes: Vec<HostProcess>,
    env: BTreeMap<String, String>,
    http: reqwest::Client,
    tokens: Mutex<HashMap<String, String>>,
    database: Arc<Database>,
    forge: Arc<TestForge>,
    /// Locked before each start of a process, as they are then: a test that changes them makes a new release.
    roles: Arc<RolesDir>,
}

impl Host {
    pub async fn start(options: Options) -> Self {
        rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
        let Options { roles, checks, env: changes, database, forge, hosts } = options;
        let database = match database {
            Some(database) => database,
            None => Arc::new(Database::create().await),
        };
        let forge = match forge {
            Some(forge) => forge,
            None => Arc::new(TestForge::start(checks).await),
        };
        let roles = roles.unwrap_or_else(|| Arc::new(RolesDir::with(&["executor"])));
        roles.lock();
        let mut env = environment(database.url(), &forge, &roles);
        env.extend(changes);
        let mut processes = Vec::new();
        for _ in 0..hosts {
            processes.push(HostProcess::start(&env).await);
        }
        let http = reqwest::Client::new();
        Self { processes, env, http, tokens: Mutex::default(), database, forge, roles }
    }

    /// `http://127.0.0.1:PORT` of the first process.
    pub fn url(&self) -> &str {
        self.processes[0].url()
    }

    /// The processes, in the order of their start.
    pub fn processes(&mut self) -> &mut [HostProcess] {
        &mut self.processes
    }

    pub fn db(&self) -> PgPool {
        self.database.pool().clone()
    }

    pub fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database)
    }

    pub fn forge(&self) -> Arc<TestForge> {
        Arc::clone(&self.forge)
    }

    /// A token of the role `viewer`, `operator`, `approver` or `admin`; the same one each time.
    pub async fn token(&self, role: &str) -> String {
        let mut tokens = self.tokens.lock().await;
        if let Some(token) = tokens.get(role) {
            return token.clone();
        }
        let kind = match role {
            "viewer" => TokenRole::Viewer,
            "operator" => TokenRole::Operator,
            "approver" => TokenRole::Approver,
            "admin" => TokenRole::Admin,
            _ => panic!("there is no role {role}"),
        };
        let principal = format!("{role}@example.org");
        let (_, secret) =
            self.database.db().create_token(&principal, kind, None, Maker::Database("tests")).await.expect("a token");
        tokens.insert(role.to_owned(), secret.expose_secret().to_owned());
        secret.expose_secret().to_owned()
    }

    /// One request to the first process. `Value::Null` where the answer is no JSON.
    pub async fn api(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> (StatusCode, HeaderMap, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.url())).timeout(REQUEST_MAX);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.stderr()));
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.expect("a body");
        (status, headers, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Creates a task as an operator; returns its id.
    pub async fn create_task(&self, draft: Value) -> String {
        let token = self.token("operator").await;
        let (status, _, task) = self.api(Method::POST, "/api/v1/tasks", Some(&token), Some(&draft)).await;
        assert_eq!(status, StatusCode::CREATED, "{draft}: {task}");
        task["id"].as_str().expect("an id").to_owned()
    }

    /// A token of somebody else, with a role of those above.
    pub async fn token_of(&self, principal: &str, role: TokenRole) -> String {
        let (_, secret) =
            self.database.db().create_token(principal, role, None, Maker::Database("tests")).await.expect("a token");
        secret.expose_secret().to_owned()
    }

    /// Waits until the task has an approval in this state; returns the newest as the API shows it.
    pub async fn approval(&self, task: &str, state: &str) -> Value {
        let began = Instant::now();
        loop {
            let found = items(self.get(&format!("/api/v1/approvals?task={task}&state={state}")).await);
            if let Some(newest) = found.first() {
                let id = newest["id"].as_str().expect("an id");
                return self.get(&format!("/api/v1/approvals/{id}")).await;
            }
            if began.elapsed() > crate::LIMIT {
                let shown = show(&self.db(), task.parse().expect("an id")).await;
                panic!("no approval of {task} is {state}\n{shown}host:\n{}", self.stderr());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Approves or denies; `verb` is the path's last part.
    pub async fn decide(&self, approval: &Value, verb: &str, token: &str) -> (StatusCode, Value) {
        let path = format!("/api/v1/approvals/{}/{verb}", approval["id"].as_str().expect("an id"));
        let body = serde_json::json!({ "note": format!("{verb} for a test") });
        let (status, _, answer) = self.api(Method::POST, &path, Some(token), Some(&body)).await;
        (status, answer)
    }

    /// The task as the API shows it.
    pub async fn task(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/tasks/{id}")).await
    }

    /// Lines of its execution log, oldest first, at most a page.
    pub async fn logs(&self, id: &str) -> Vec<Value> {
        items(self.get(&format!("/api/v1/tasks/{id}/logs?limit=200")).await)
    }

    /// Its journal's newest attempt, in order, at most a page.
    pub async fn steps(&self, id: &str) -> Vec<Value> {
        items(self.get(&format!("/api/v1/tasks/{id}/steps?limit=200")).await)
    }

    /// A GET as a viewer, which must succeed.
    pub async fn get(&self, path: &str) -> Value {
        let token = self.token("viewer").await;
        let (status, _, answer) = self.api(Method::GET, path, Some(&token), None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// Waits until the task has the status; returns it as the database has it. Panics with all there is to see where
    /// it does not come so far, or ends otherwise. Asks the database: the host may be dead meanwhile.
    pub async fn wait_for(&self, id: &str, status: &str, limit: Duration) -> Value {
        let began = Instant::now();
        loop {
            let task = self.row(id).await;
            let now = task["status"].as_str().expect("a status");
            if now == status {
                return task;
            }
            let ended = ["completed", "failed", "cancelled", "dead_letter"].contains(&now);
            if ended || began.elapsed() > limit {
                let shown = show(&self.db(), id.parse().expect("an id")).await;
                panic!("task is {now}, not {status}, after {:?}\n{shown}host:\n{}", began.elapsed(), self.stderr());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The task's row, as JSON.
    pub async fn row(&self, id: &str) -> Value {
        let id: Uuid = id.parse().expect("an id");
        sqlx::query_scalar("select row_to_json(t) from governance_tasks t where id = $1")
            .bind(id)
            .fetch_one(&self.db())
            .await
            .expect("a task")
    }

    /// What all processes have said.
    pub fn stderr(&self) -> String {
        self.processes.iter().map(HostProcess::stderr).collect::<Vec<_>>().join("\n---\n")
    }

    /// SIGKILL to the first process.
    pub fn kill9(&mut self) {
        self.processes[0].kill9();
    }

    /// SIGTERM to the first process; returns how it ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.processes[0].terminate().await
    }

    /// Starts the first process anew, after its end; its address is another one then.
    pub async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// The same with another environment, which stays.
    pub async fn restart_with(&mut self, changes: &[(&str, &str)]) {
        for (name, value) in changes {
            self.set_env(name, value);
        }
        self.restart_process(0).await;
    }

    /// Starts one of the processes anew, after its end.
    pub async fn restart_process(&mut self, number: usize) {
        self.roles.lock();
        self.processes[number] = HostProcess::start(&self.env).await;
    }

    /// For processes that are started from now on; an empty value counts as unset.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// A request whose answer may not come, because the host may end meanwhile.
    pub async fn api_or_crash(&self, path: &str, token: &str, body: &Value) {
        let request = self.http.post(format!("{}{path}", self.url())).bearer_auth(token).json(body);
        match request.timeout(CRASH_ANSWER_MAX).send().await {
            Ok(response) => assert!(response.status().is_success(), "{path}: {}", response.status()),
            Err(error) => assert!(!error.is_connect(), "{path}: {error}\n{}", self.stderr()),
        }
    }

    /// Creates a task where the host may end before it answers; returns the id of the only task.
    pub async fn create_only_task(&self, draft: &Value) -> String {
        let token = self.token("operator").await;
        self.api_or_crash("/api/v1/tasks", &token, draft).await;
        let query = sqlx::query_scalar::<_, Uuid>("select id from governance_tasks");
        query.fetch_one(&self.db()).await.expect("the one task").to_string()
    }

    /// One more process.
    pub async fn add_process(&mut self) -> &mut HostProcess {
        self.roles.lock();
        self.processes.push(HostProcess::start(&self.env).await);
        self.processes.last_mut().expect("the new one")
    }
}

fn items(mut page: Value) -> Vec<Value> {
    match page["items"].take() {
        Value::Array(items) => items,
        other => panic!("no page: {other}"),
    }
}

fn environment(database: &str, forge: &TestForge, roles: &RolesDir) -> BTreeMap<String, String> {
    let paths = Paths::get();
    let text = |path: &std::path::Path| path.to_str().expect("a path in UTF-8").to_owned();
    [
        ("DATABASE_URL", database.to_owned()),
        ("TMPDIR", text(temporary_home())),
        ("JUGGERNAUT_LISTEN", "127.0.0.1:0".to_owned()),
        ("GITHUB_API_URL", forge.url().to_owned()),
        ("GITHUB_TOKEN", forge.token().to_owned()),
        ("JUGGERNAUT_ROLES", text(roles.path())),
        ("JUGGERNAUT_CACHE", text(&paths.component_cache())),
        ("JUGGERNAUT_POLL_MS", "50".to_owned()),
        // Tests say themselves when there is something to watch.
        ("JUGGERNAUT_WATCHDOG_CRON", "off".to_owned()),
        ("JUGGERNAUT_RETRY_MS", "20".to_owned()),
        ("JUGGERNAUT_LEASE_SECONDS", "5".to_owned()),
        ("JUGGERNAUT_GRACE_SECONDS", "2".to_owned()),
        ("JUGGERNAUT_AUDIT_KEY", AUDIT_KEY.to_owned()),
        ("RUST_LOG", "info,juggernaut=debug".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
