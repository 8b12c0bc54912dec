//! The registry of names: what each is for, its unit, its default. The documentation and the parser both read it.

/// One name in the environment.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    pub name: &'static str,
    pub purpose: &'static str,
    /// What a value is counted in or looks like, with its limits.
    pub unit: &'static str,
    pub default: Option<&'static str>,
    pub example: &'static str,
    /// Never printed, logged, or shown in an error.
    pub secret: bool,
}

/// Declares the names and the table of all of them together, so that none can be left out of the documentation.
macro_rules! names {
    ($($ident:ident: $purpose:literal, $unit:literal, $default:expr, $example:literal, $secret:literal;)+) => {
        $(pub(super) const $ident: Name = Name {
            name: stringify!($ident),
            purpose: $purpose,
            unit: $unit,
            default: $default,
            example: $example,
            secret: $secret,
        };)+
        /// Every name that the host reads.
        pub const NAMES: &[Name] = &[$($ident),+];
    };
}

names! {
    DATABASE_URL: "The PostgreSQL database that holds the queue, the journal and the logs",
        "postgres:// URL", None, "postgres://juggernaut:PASSWORD@db.example:5432/juggernaut", true;
    PORT: "Port to listen on, on all addresses; set by Railway. `JUGGERNAUT_LISTEN` wins over it",
        "1 to 65535", None, "8080", false;
    JUGGERNAUT_LISTEN: "Address and port to listen on",
        "ADDRESS:PORT", Some("127.0.0.1:8080"), "0.0.0.0:8080", false;
    GITHUB_TOKEN: "Token for GitHub; the host attaches it, no role ever sees it",
        "text", None, "ghp_…", true;
    GITHUB_API_URL: "Where GitHub's API is; it receives the token, so it must be https unless it is this machine",
        "URL", Some("https://api.github.com"), "https://api.github.com", false;
    OPENROUTER_API_KEY: "Key for language models; the host attaches it, no role ever sees it. Without it calls to `llm` answer `unavailable`",
        "text", None, "sk-or-…", true;
    OPENROUTER_BASE_URL: "Where the models' API is; it receives the key, so it must be https unless it is this machine",
        "URL", Some("https://openrouter.ai/api/v1"), "https://openrouter.ai/api/v1", false;
    JUGGERNAUT_LLM_DAY_TOKENS_MAX: "What all hosts of a database may spend on language models in a day (UTC), prompts and answers together; 0 for nothing",
        "tokens, 0 to 1000000000000", Some("20000000"), "20000000", false;
    JUGGERNAUT_LLM_DAY_MICRODOLLARS_MAX: "The same in money; 0 for nothing",
        "millionths of a US dollar, 0 to 1000000000000", Some("20000000"), "20000000", false;
    JUGGERNAUT_LLM_PRICES: "Prices for estimates, and for answers that do not say what they cost: MODEL=PROMPT/ANSWER, separated by commas. A model that is not named counts as 15/75",
        "US dollars for a million tokens", None, "anthropic/claude-sonnet-4.5=3/15,openai/gpt-5-mini=0.25/2", false;
    WORKER_ID: "Name of this host's worker in `worker_registry`; derived from the role if unset",
        "1 to 128 characters", None, "EXECUTOR", false;
    WORKER_TYPE: "The one role to run; all roles of the folder if unset",
        "1 to 128 characters", None, "executor", false;
    JUGGERNAUT_ROLES: "Folder of the roles: one component and one capability manifest each",
        "path", Some("roles"), "/srv/juggernaut/roles", false;
    JUGGERNAUT_POLICIES: "Folder of Cedar policies that replace or add to the shipped ones; the prohibitions can not be replaced",
        "path", None, "/srv/juggernaut/policies", false;
    JUGGERNAUT_CACHE: "Folder for compiled components; compiled anew at each start if unset",
        "path", None, "/var/cache/juggernaut", false;
    JUGGERNAUT_CONCURRENCY: "Tasks that each role of this host runs at the same time",
        "tasks, 1 to 256", Some("16"), "16", false;
    JUGGERNAUT_HEARTBEAT_SECONDS: "Time between two heartbeats; a worker is stale after 300 seconds without one",
        "seconds, 1 to 240", Some("60"), "60", false;
    JUGGERNAUT_LEASE_SECONDS: "How long a claim holds without being renewed; then another host resumes the task",
        "seconds, 5 to 3600", Some("60"), "60", false;
    JUGGERNAUT_POLL_MS: "Time between two looks at the queue while idle",
        "milliseconds, 50 to 60000", Some("500"), "500", false;
    JUGGERNAUT_RETRY_MS: "Pause before a failed task's second attempt, and before a notification is sent again; it doubles with each further one",
        "milliseconds, 10 to 3600000", Some("5000"), "5000", false;
    JUGGERNAUT_GRACE_SECONDS: "How long a stopping host lets its runs finish before it hands them back",
        "seconds, 0 to 3600", Some("30"), "30", false;
    JUGGERNAUT_LOG_RETENTION_DAYS: "How long the execution log is kept",
        "days, 1 to 36500", Some("90"), "90", false;
    JUGGERNAUT_WATCHDOG_CRON: "When this host has monitoring done, if it runs a role for it: a schedule of its own, in UTC",
        "cron expression of five fields, or off", Some("* * * * *"), "*/5 * * * *", false;
    JUGGERNAUT_EGRESS_LOOPBACK: "Whether roles may fetch from this machine and send to it: for development and tests alone, on a server it opens what listens there",
        "allow or refuse", Some("refuse"), "refuse", false;
    JUGGERNAUT_APPROVAL_HOURS: "How long an approval waits for a decision, and for being used after it",
        "hours, 1 to 720", Some("24"), "24", false;
    JUGGERNAUT_SOLO_APPROVALS: "Lets who created a task approve it, and one person approve all of a critical task; for a single operator",
        "on or off", Some("off"), "on", false;
    JUGGERNAUT_ALERT_WEBHOOK_URL: "Where people are told of alerts; nobody is told if unset. https, unless it is this machine and JUGGERNAUT_EGRESS_LOOPBACK allows that",
        "URL", None, "https://hooks.example/alerts", true;
    JUGGERNAUT_ALERT_WEBHOOK_SECRET: "What notifications are signed with (HMAC-SHA256, see OPERATIONS.md); only the format `slack` can do without",
        "text, at least 16 characters", None, "a long random text", true;
    JUGGERNAUT_ALERT_WEBHOOK_FORMAT: "Shape of a notification",
        "json or slack", Some("json"), "slack", false;
    JUGGERNAUT_ALERT_SEVERITY_MIN: "The least severity that people are told of",
        "info, warning or critical", Some("warning"), "critical", false;
    JUGGERNAUT_AUDIT_KEY: "Seed of the key that signs the audit log's checkpoints (`juggernaut audit keygen` makes one); `ephemeral` for a key that is lost with the process, whose checkpoints then prove less. Needed by `serve`; `dev` keeps one in its folder",
        "32 bytes in hexadecimal or base64, or ephemeral", None, "3b6a…", true;
    JUGGERNAUT_AUDIT_CHECKPOINT_SECONDS: "Longest time between two signed checkpoints of an audit log that grows",
        "seconds, 1 to 3600", Some("60"), "60", false;
    JUGGERNAUT_AUDIT_CHECKPOINT_ROWS: "Rows after which the audit log gets a checkpoint before its time",
        "rows, 1 to 1000000", Some("10000"), "10000", false;
    RUST_LOG: "What the host logs about itself",
        "tracing filter", Some("info"), "info,juggernaut=debug", false;
    JUGGERNAUT_LOG_FORMAT: "Shape of the host's own log lines",
        "text or json", Some("text"), "json", false;
    JUGGERNAUT_CRASH_AT: "For tests alone: where the host ends itself, see ARCHITECTURE.md; a build without crash points refuses to start",
        "NAME, NAME:COUNT or NAME:COUNT:stop", None, "before-act:2", false;
    JUGGERNAUT_URL: "For the command line: where the host's API is; else `.juggernaut/client.toml` says it",
        "URL", Some("http://127.0.0.1:8080"), "https://juggernaut.example", false;
    JUGGERNAUT_TOKEN: "For the command line: the API token; else `.juggernaut/client.toml` has it",
        "text", None, "jgt_…", true;
}

const REFERENCE_HEAD: &str = "\
# Configuration

<!-- Made from host/src/config/names.rs; `cargo test -p juggernaut write_reference -- --ignored` writes it anew. -->

Everything is set in the environment and read once, when a command starts. An empty variable counts as unset. A
missing or wrong value stops the command with one line that names the variable and shows an example; values of
secrets are never shown.

| name | what for | unit | default | secret |
| --- | --- | --- | --- | --- |
";

const REFERENCE_FOOT: &str = "
## Command line

Commands that talk to a host take its address and token from `JUGGERNAUT_URL` and `JUGGERNAUT_TOKEN`, or else from
`.juggernaut/client.toml` in the current folder or the nearest one above:

```toml
url = \"http://127.0.0.1:8080\"
token = \"jgt_…\"
```

The file holds a secret: it is refused unless its mode is 0600.
";

/// The text of `docs/CONFIGURATION.md`.
pub fn reference() -> String {
    let rows = NAMES.iter().map(|name| {
        let default = name.default.map_or_else(|| "–".to_owned(), |value| format!("`{value}`"));
        let secret = if name.secret { "yes" } else { "no" };
        format!("| `{}` | {} | {} | {default} | {secret} |\n", name.name, name.purpose, name.unit)
    });
    let table: String = rows.collect();
    format!("{REFERENCE_HEAD}{table}{REFERENCE_FOOT}")
}
