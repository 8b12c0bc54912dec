//! The HTTP API through the front door: status, content type, problem fields, and what the database says after.

use std::time::Duration;

use reqwest::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Host, Options};

const PROBLEM: &str = "application/problem+json";

/// A host and a client that speaks to it in a role.
struct Api {
    host: Host,
    http: Client,
}

impl Api {
    async fn start() -> Self {
        rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
        Self { host: Host::start(Options::default()).await, http: Client::new() }
    }

    fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let url = self.host.url().to_string();
        self.http.request(method, format!("{}{path}", url.trim_end_matches('/'))).timeout(Duration::from_secs(30))
    }

    async fn as_role(&self, role: &str, method: Method, path: &str) -> RequestBuilder {
        let token = self.host.token(role).await;
        self.bare(method, path).bearer_auth(token)
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.as_role("viewer", Method::GET, path).await.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        response.json().await.unwrap()
    }

    async fn create(&self, draft: Value) -> Value {
        let request = self.as_role("operator", Method::POST, "/api/v1/tasks").await.json(&draft);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED, "{draft}");
        let location = response.headers()["location"].to_str().unwrap().to_owned();
        let task: Value = response.json().await.unwrap();
        assert_eq!(location, format!("/api/v1/tasks/{}", id(&task)));
        task
    }

    async fn change(&self, task: &str, verb: &str) -> Response {
        let path = format!("/api/v1/tasks/{task}/{verb}");
        self.as_role("operator", Method::POST, &path).await.send().await.unwrap()
    }

    async fn tasks(&self) -> i64 {
        sqlx::query_scalar("select count(*) from governance_tasks").fetch_one(&self.host.db()).await.unwrap()
    }

    async fn set(&self, task: &str, assignments: &str) {
        let update = format!("update governance_tasks set {assignments} where id = '{task}'");
        sqlx::query(sqlx::AssertSqlSafe(update)).execute(&self.host.db()).await.unwrap();
    }
}

fn id(task: &Value) -> String {
    task["id"].as_str().unwrap().to_owned()
}

/// A task whose type no role claims, so that it stays where a test puts it.
fn draft(title: &str) -> Value {
    json!({ "title": title, "task_type": "planning" })
}

/// Checks that a response is this problem, and gives its body.
async fn problem(response: Response, status: StatusCode, kind: &str) -> Value {
    assert_eq!(response.status(), status, "{kind}");
    let headers = response.headers();
    assert_eq!(headers[CONTENT_TYPE], PROBLEM);
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cache-control"], "no-store");
    assert!(headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let request_id = headers["x-request-id"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["type"], format!("urn:juggernaut:problem:{kind}"));
    assert_eq!(body["status"], status.as_u16());
    assert_eq!(body["instance"], format!("urn:uuid:{request_id}"));
    assert!(!body["title"].as_str().unwrap().is_empty());
    assert!(!body["detail"].as_str().unwrap().is_empty());
    body
}

#[tokio::test]
async fn without_a_good_token_nothing_happens() {
    let api = Api::start().await;
    let before = api.tasks().await;
    let none = api.bare(Method::POST, "/api/v1/tasks").json(&draft("a")).send().await.unwrap();
    assert_eq!(none.headers()[WWW_AUTHENTICATE], "Bearer realm=\"juggernaut\"");
    problem(none, StatusCode::UNAUTHORIZED, "token-missing").await;

    let unknown = format!("jgt_{}", "A".repeat(43));
    for token in ["nonsense", unknown.as_str()] {
        let wrong = api.bare(Method::POST, "/api/v1/tasks").bearer_auth(token).json(&draft("a")).send().await.unwrap();
        assert!(wrong.headers()[WWW_AUTHENTICATE].to_str().unwrap().contains("invalid_token"));
        let body = problem(wrong, StatusCode::UNAUTHORIZED, "token-invalid").await;
        assert!(!body.to_string().contains(token));
    }
    assert_eq!(api.tasks().await, before);
}

#[tokio::test]
async fn a_viewer_may_look_but_not_create() {
    let api = Api::start().await;
    let before = api.tasks().await;
    api.get("/api/v1/tasks").await;
    for role in ["viewer", "approver"] {
        let request = api.as_role(role, Method::POST, "/api/v1/tasks").await;
        let body = problem(request.json(&draft("a")).send().await.unwrap(), StatusCode::FORBIDDEN, "forbidden").await;
        assert!(body["detail"].as_str().unwrap().contains(role));
    }
    let tokens = api.as_role("operator", Method::GET, "/api/v1/tokens").await.send().await.unwrap();
    problem(tokens, StatusCode::FORBIDDEN, "forbidden").await;
    assert_eq!(api.tasks().await, before);
}

#[tokio::test]
async fn a_body_that_is_wrong_is_told_where() {
    let api = Api::start().await;
    let before = api.tasks().await;
    let send = async |content_type: &'static str, body: String| {
        let request = api.as_role("operator", Method::POST, "/api/v1/tasks").await;
        request.header(CONTENT_TYPE, content_type).body(body).send().await.unwrap()
    };
    let json_type = "application/json";

    let malformed = send(json_type, "{\"title\": \"a\",\n oops}".into()).await;
    let body = problem(malformed, StatusCode::BAD_REQUEST, "malformed-json").await;
    assert!(body["detail"].as_str().unwrap().contains("line 2 column"));

    let unknown = send(json_type, json!({"title": "a", "task_type": "code", "bogus": 1}).to_string()).await;
    let body = problem(unknown, StatusCode::UNPROCESSABLE_ENTITY, "invalid-body").await;
    assert_eq!(body["errors"][0]["field"], "bogus");

    for (wrong, field) in [
        (json!({"title": "", "task_type": "planning"}), "title"),
        (json!({"title": "a", "task_type": "no-such-type"}), "task_type"),
        (json!({"title": "a", "task_type": "planning", "depends_on": [Uuid::now_v7()]}), "depends_on"),
        (json!({"title": "a", "task_type": "planning", "payload": []}), "payload"),
        (json!({"title": "a", "task_type": "code", "payload": {}}), "payload"),
    ] {
        let body =
            problem(send(json_type, wrong.to_string()).await, StatusCode::UNPROCESSABLE_ENTITY, "invalid-body").await;
        assert_eq!(body["errors"][0]["field"], field, "{wrong}");
    }

    let text = send("text/plain", draft("a").to_string()).await;
    problem(text, StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong-media-type").await;
    let large = send(json_type, "x".repeat(10 * 1024 * 1024)).await;
    problem(large, StatusCode::PAYLOAD_TOO_LARGE, "body-too-large").await;
    assert_eq!(api.tasks().await, before);
}

#[tokio::test]
async fn what_does_not_exist_is_a_problem_too() {
    let api = Api::start().await;
    let unknown = Uuid::now_v7().to_string();
    for task in [unknown.as_str(), "not-a-uuid"] {
        for (method, rest) in [
            (Method::GET, ""),
            (Method::GET, "/logs"),
            (Method::GET, "/logs/stream"),
            (Method::GET, "/steps"),
            (Method::POST, "/cancel"),
            (Method::POST, "/retry"),
        ] {
            let path = format!("/api/v1/tasks/{task}{rest}");
            let response = api.as_role("operator", method, &path).await.send().await.unwrap();
            problem(response, StatusCode::NOT_FOUND, "unknown-id").await;
        }
    }
    for path in ["/", "/api", "/api/v1/nothing", "/api/v2/tasks"] {
        problem(api.bare(Method::GET, path).send().await.unwrap(), StatusCode::NOT_FOUND, "unknown-route").await;
    }
    let wrong = api.as_role("admin", Method::PUT, "/api/v1/tasks").await.send().await.unwrap();
    let allowed = wrong.headers()[ALLOW].to_str().unwrap().to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    problem(wrong, StatusCode::METHOD_NOT_ALLOWED, "wrong-method").await;
}

#[tokio::test]
async fn the_list_filters_and_pages() {
    let api = Api::start().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let mut draft = draft(&format!("task {number}"));
        draft["priority"] = json!(if number % 2 == 0 { "high" } else { "low" });
        draft["assigned_worker"] = json!("nobody");
        ids.push(id(&api.create(draft).await));
    }
    ids.reverse();

    let mut seen = Vec::new();
    let mut cursor = String::new();
    for expected in [2, 2, 1] {
        let page = api.get(&format!("/api/v1/tasks?assigned_worker=nobody&limit=2{cursor}")).await;
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), expected);
        seen.extend(items.iter().map(id));
        cursor = page["next"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
    }
    assert_eq!((seen, cursor.as_str()), (ids.clone(), ""));

    let count = async |query: &str| {
        api.get(&format!("/api/v1/tasks?assigned_worker=nobody&{query}")).await["items"].as_array().unwrap().len()
    };
    assert_eq!(count("priority=high").await, 3);
    assert_eq!(count("type=planning&status=pending").await, 5);
    assert_eq!(count("type=code").await, 0);
    api.change(&ids[0], "cancel").await;
    assert_eq!(count("status=cancelled").await, 1);

    for wrong in ["limit=0", "limit=201", "cursor=!", "statsu=failed", "status=lost"] {
        let path = format!("/api/v1/tasks?{wrong}");
        let response = api.as_role("viewer", Method::GET, &path).await.send().await.unwrap();
        problem(response, StatusCode::BAD_REQUEST, "invalid-query").await;
    }
    let nul = api.as_role("viewer", Method::GET, "/api/v1/tasks?type=%00").await.send().await.unwrap();
    problem(nul, StatusCode::BAD_REQUEST, "bad-request").await;
}

#[tokio::test]
async fn risk_and_dependencies_decide_where_a_task_begins() {
    let api = Api::start().await;
    let first = api.create(draft("first")).await;
    assert_eq!((&first["status"], &first["blocked_by"]), (&json!("pending"), &json!(0)));
    let mut second = draft("second");
    second["depends_on"] = json!([first["id"], first["id"]]);
    let second = api.create(second).await;
    assert_eq!((&second["status"], &second["blocked_by"]), (&json!("suspended"), &json!(1)));
    let shown = api.get(&format!("/api/v1/tasks/{}", id(&second))).await;
    assert_eq!(shown["depends_on"], json!([{"id": first["id"], "title": "first", "status": "pending"}]));
    for (risk, status, waits) in [("high", "pending", false), ("critical", "waiting_approval", true)] {
        let mut risky = draft("risky");
        risky["risk"] = json!(risk);
        let risky = api.create(risky).await;
        assert_eq!((&risky["status"], &risky["requires_approval"]), (&json!(status), &json!(waits)));
        let reason = waits.then(|| {
            format!("a task of {risk} risk waits for a person before it runs; {risk}: declared by its creator")
        });
        assert_eq!(risky["approval_reason"], json!(reason));
    }
}

#[tokio::test]
async fn cancel_and_retry_follow_the_statuses() {
    let api = Api::start().await;
    let task = id(&api.create(draft("a")).await);
    problem(api.change(&task, "retry").await, StatusCode::CONFLICT, "wrong-status").await;

    // A run is under way: with its task it loses its lease.
    api.set(&task, "status = 'in_progress', assigned_worker = 'W', started_at = now()").await;
    let lease = async || -> i64 {
        let query = sqlx::query_scalar("select lease from governance_tasks where id = $1");
        query.bind(Uuid::parse_str(&task).unwrap()).fetch_one(&api.host.db()).await.unwrap()
    };
    let held = lease().await;
    let cancelled = api.change(&task, "cancel").await;
    assert_eq!(cancelled.status(), StatusCode::OK);
    assert_eq!(cancelled.json::<Value>().await.unwrap()["status"], "cancelled");
    assert!(lease().await > held);
    problem(api.change(&task, "cancel").await, StatusCode::CONFLICT, "wrong-status").await;

    api.set(&task, "error_message = 'the last error', attempt = 3, leases_lost = 2").await;
    let retried: Value = api.change(&task, "retry").await.json().await.unwrap();
    assert_eq!((&retried["status"], &retried["attempt"]), (&json!("pending"), &json!(4)));
    assert_eq!((&retried["attempts_max"], &retried["error_message"]), (&json!(4), &json!("the last error")));
    assert_eq!((&retried["assigned_worker"], &retried["completed_at"]), (&Value::Null, &Value::Null));

    let log = api.get(&format!("/api/v1/tasks/{task}/logs")).await;
    let actions: Vec<_> = log["items"].as_array().unwrap().iter().map(|line| line["action"].clone()).collect();
    assert_eq!(actions, ["task_created", "task_cancelled", "task_retried"]);
    assert!(log["items"][0]["metadata"]["principal"].is_string());
}

#[tokio::test]
async fn a_retried_task_waits_for_what_it_waited_for() {
    let api = Api::start().await;
    let first = api.create(draft("first")).await;
    let mut blocked = draft("blocked");
    blocked["depends_on"] = json!([first["id"]]);
    let mut risky = draft("risky");
    risky["risk"] = json!("critical");
    for (draft, status) in [(blocked, "suspended"), (risky, "waiting_approval")] {
        let task = id(&api.create(draft).await);
        api.change(&task, "cancel").await;
        let retried: Value = api.change(&task, "retry").await.json().await.unwrap();
        assert_eq!((&retried["status"], &retried["attempt"]), (&json!(status), &json!(2)));
    }
}

#[tokio::test]
async fn the_stream_gives_what_there_is_and_what_comes_and_ends() {
    let api = Api::start().await;
    let task = id(&api.create(draft("a")).await);
    let path = format!("/api/v1/tasks/{task}/logs/stream");
    let mut stream = api.as_role("viewer", Method::GET, &path).await.send().await.unwrap();
    assert_eq!(stream.headers()[CONTENT_TYPE], "text/event-stream");
    let mut text = String::new();
    while !text.contains("task_created") {
        text.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
    }
    api.change(&task, "cancel").await;
    while let Some(chunk) = stream.chunk().await.unwrap() {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let created = text.find("task_created").unwrap();
    let cancelled = text.find("task_cancelled").unwrap();
    let end = text.find("event: end\ndata: {\"status\":\"cancelled\"}").unwrap();
    assert!(created < cancelled && cancelled < end, "{text}");

    let last = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    let resumed = api.as_role("viewer", Method::GET, &path).await.header("last-event-id", last).send().await.unwrap();
    let rest = resumed.text().await.unwrap();
    assert!(!rest.contains("task_created") && rest.contains("task_cancelled"), "{rest}");
    let wrong = api.as_role("viewer", Method::GET, &path).await.header("last-event-id", "x").send().await.unwrap();
    problem(wrong, StatusCode::BAD_REQUEST, "invalid-query").await;
}

#[tokio::test]
async fn a_token_lives_from_its_creation_to_its_revocation() {
    let api = Api::start().await;
    let draft = json!({"principal": "bob@example.org", "role": "viewer", "expires_days": 1});
    let request = api.as_role("admin", Method::POST, "/api/v1/tokens").await.json(&draft);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let created: Value = response.json().await.unwrap();
    let secret = created["secret"].as_str().unwrap();
    assert!(secret.starts_with("jgt_") && secret.len() == 47);
    let look = async || api.bare(Method::GET, "/api/v1/workers").bearer_auth(secret).send().await.unwrap();
    assert_eq!(look().await.status(), StatusCode::OK);

    let list = api.as_role("admin", Method::GET, "/api/v1/tokens?limit=200").await.send().await.unwrap();
    let list = list.text().await.unwrap();
    assert!(list.contains(&id(&created)) && !list.contains("secret"));

    let path = format!("/api/v1/tokens/{}", id(&created));
    let revoked = api.as_role("admin", Method::DELETE, &path).await.send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::OK);
    problem(look().await, StatusCode::UNAUTHORIZED, "token-invalid").await;
    let wrong = json!({"principal": "no spaces", "role": "viewer"});
    let request = api.as_role("admin", Method::POST, "/api/v1/tokens").await.json(&wrong);
    let body = problem(request.send().await.unwrap(), StatusCode::UNPROCESSABLE_ENTITY, "invalid-body").await;
    assert_eq!(body["errors"][0]["field"], "principal");
}

#[tokio::test]
async fn health_needs_no_token() {
    let api = Api::start().await;
    for path in ["/healthz", "/readyz"] {
        let response = api.bare(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.json::<Value>().await.unwrap(), json!({"status": "ok"}));
    }
}

#[tokio::test]
async fn the_document_is_the_reviewed_one() {
    let api = Api::start().await;
    let document: Value = api.bare(Method::GET, "/api/v1/openapi.json").send().await.unwrap().json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    insta::assert_json_snapshot!("openapi", document);
}
