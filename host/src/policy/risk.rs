//! "Risk Assessment" of the specification: what the host itself makes of a task and of a change.
//!
//! Invariant: risk is only ever raised, whoever asks, and each step up keeps its reason.

use serde_json::Value;

use super::harm::{each_sql, is_meant_as_sql, is_migration, is_program, is_sql, is_way_back};
use super::paths;
use super::sql::Looker;
use crate::task::{Risk, TaskDraft};

/// Reasons that are kept.
const REASONS_MAX: usize = 20;
/// A change of more files than this is a new feature rather than a minor fix.
const FILES_MINOR_MAX: usize = 10;

/// Security changes and financial operations: critical.
const CRITICAL_WORDS: &[&str] = &[
    "acl",
    "auth",
    "authentication",
    "authn",
    "authorization",
    "authz",
    "billing",
    "cert",
    "certificate",
    "certificates",
    "credential",
    "credentials",
    "crypto",
    "cryptography",
    "iam",
    "invoice",
    "invoices",
    "jwt",
    "kms",
    "login",
    "logins",
    "oauth",
    "password",
    "passwords",
    "payment",
    "payments",
    "payroll",
    "permission",
    "permissions",
    "rbac",
    "refund",
    "refunds",
    "saml",
    "secret",
    "secrets",
    "security",
    "session",
    "sessions",
    "ssh",
    "sso",
    "tls",
    "token",
    "tokens",
    "vault",
    "wallet",
    "wallets",
];
/// What production is made of: high.
const HIGH_NAMES: &[&str] = &[
    "compose.yaml",
    "compose.yml",
    "containerfile",
    "deploy",
    "deployment",
    "deployments",
    "docker-compose.yaml",
    "docker-compose.yml",
    "dockerfile",
    "fly.toml",
    "helm",
    "k8s",
    "kubernetes",
    "netlify.toml",
    "procfile",
    "render.yaml",
    "terraform",
    "vercel.json",
];
/// The same with more behind them: `Dockerfile.prod`, `docker-compose.prod.yml`, `deploy-prod`.
const HIGH_BEGINNINGS: &[&str] = &["compose", "containerfile", "deploy", "docker-compose", "dockerfile", "procfile"];
/// Scripts that deploy have a word of these in their names; documents that speak of it do not count.
const DEPLOY_WORDS: &[&str] = &["deploy", "deployment", "deployments", "deployer", "rollout"];
const HIGH_EXTENSIONS: &[&str] = &["containerfile", "dockerfile", "hcl", "tf", "tfvars"];
const DOCUMENT_EXTENSIONS: &[&str] = &["adoc", "md", "rst", "txt"];
/// What a project is built from: medium.
const MEDIUM_NAMES: &[&str] = &[
    "build.gradle",
    "build.rs",
    "cargo.lock",
    "cargo.toml",
    "gemfile",
    "go.mod",
    "makefile",
    "package-lock.json",
    "package.json",
    "pom.xml",
    "pyproject.toml",
    "requirements.txt",
    "setup.cfg",
    "setup.py",
    "uv.lock",
    "yarn.lock",
];

/// A level of risk, and how it came to be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Assessment {
    pub level: Risk,
    pub reasons: Vec<String>,
}

impl Assessment {
    pub fn new(level: Risk, reasons: Vec<String>) -> Self {
        Self { level, reasons }
    }

    /// Raises it; a lower level changes nothing.
    pub fn raise(&mut self, level: Risk, reason: impl Into<String>) {
        let reason = reason.into();
        if level <= Risk::Low || self.reasons.contains(&reason) {
            return;
        }
        if level > self.level {
            self.level = level;
            self.reasons.insert(0, format!("{level}: {reason}"));
        } else if !self.reasons.iter().any(|known| known.ends_with(&reason)) {
            self.reasons.push(format!("{level}: {reason}"));
        }
        self.reasons.truncate(REASONS_MAX);
    }

    /// What writing a file means. `content` is none where nobody has looked.
    pub(super) fn raise_for_file(&mut self, path: &str, content: Option<&[u8]>, looker: &mut Looker) {
        let parts = paths::parts(path);
        let words = paths::words(path);
        if let Some(word) = words.iter().find(|word| CRITICAL_WORDS.contains(&word.as_str())) {
            self.raise(Risk::Critical, format!("{path:?} is about {word}: security or money"));
        }
        let file = parts.last().map_or("", String::as_str);
        let in_production = parts.iter().find(|part| HIGH_NAMES.contains(&part.as_str()));
        if let Some(name) = in_production.map(String::as_str).or_else(|| runs_production(file).then_some(file)) {
            self.raise(Risk::High, format!("{path:?} decides what runs in production ({name})"));
        }
        if let Some(name) = parts.iter().find(|part| MEDIUM_NAMES.contains(&part.as_str())) {
            self.raise(Risk::Medium, format!("{path:?} decides what the project is built from ({name})"));
        }
        if is_sql(path) || is_migration(path) {
            self.raise_for_migration(path, content, looker);
        } else if let Some(content) = content.filter(|content| is_program(path) || is_script(path, content))
            && let Some(what) = looker.program(content).destructive.first()
        {
            self.raise(Risk::High, format!("{path:?} holds {what}: it can delete data when it is run"));
        }
    }

    /// What a payload calls SQL, and somebody may run.
    fn raise_for_sql(&mut self, payload: &Value, looker: &mut Looker) {
        each_sql(payload, &mut |key, sql| {
            if !is_meant_as_sql(key, sql) {
                return;
            }
            let found = looker.sql(sql.as_bytes());
            if found.changes_rows {
                self.raise(Risk::High, format!("{key:?} of the payload is SQL that changes rows"));
            }
            if found.unreadable {
                self.raise(Risk::High, format!("{key:?} of the payload is SQL that can not be read before it runs"));
            }
        });
    }

    fn raise_for_migration(&mut self, path: &str, content: Option<&[u8]>, looker: &mut Looker) {
        self.raise(Risk::Medium, format!("{path:?} changes a schema"));
        let Some(content) = content else { return };
        // A migration in a programming language keeps its SQL in strings, so its words are all that can be gone by.
        let found = if is_sql(path) { looker.sql(content) } else { looker.code(content) };
        if found.changes_rows {
            self.raise(Risk::High, format!("{path:?} changes rows: a data migration"));
        }
        if found.unreadable {
            self.raise(Risk::High, format!("{path:?} holds SQL that can not be read before it runs"));
        }
        let deletes = !found.destructive.is_empty() || (!is_sql(path) && drops_in_code(content));
        if deletes && (is_way_back(path) || !is_sql(path)) {
            self.raise(Risk::High, format!("{path:?} can delete data when it is run"));
        }
    }

    pub(super) fn raise_for_size(&mut self, files: usize) {
        if files > FILES_MINOR_MAX {
            self.raise(Risk::Medium, format!("{files} files: more than a minor fix"));
        }
    }
}

/// Whether a file decides what runs in production, by more of its name than the list has.
fn runs_production(file: &str) -> bool {
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    if DOCUMENT_EXTENSIONS.contains(&extension) {
        return false;
    }
    let begins = |name: &&str| file.strip_prefix(*name).is_some_and(|rest| rest.starts_with(['.', '-', '_']));
    HIGH_EXTENSIONS.contains(&extension)
        || file.contains(".tf.")
        || HIGH_BEGINNINGS.iter().any(begins)
        || file.split(|char: char| !char.is_alphanumeric()).any(|word| DEPLOY_WORDS.contains(&word))
}

/// A program without an extension says what runs it.
fn is_script(path: &str, content: &[u8]) -> bool {
    let named = paths::parts(path).last().is_some_and(|file| file.trim_start_matches('.').contains('.'));
    !named && content.starts_with(b"#!")
}

/// Migrations that are written in a programming language.
fn drops_in_code(content: &[u8]) -> bool {
    const CALLS: &[&str] = &[
        "drop_table",
        "drop_column",
        "droptable",
        "dropcolumn",
        "deletemodel",
        "removefield",
        "delete_all",
        "truncate",
    ];
    let text = String::from_utf8_lossy(content).to_lowercase();
    CALLS.iter().any(|call| text.contains(call))
}

/// What a task is, as it is asked for: never less than its creator declares.
pub fn assess_task(draft: &TaskDraft) -> Assessment {
    assess(draft, &mut Looker::default())
}

pub(super) fn assess(draft: &TaskDraft, looker: &mut Looker) -> Assessment {
    let mut assessment = Assessment::new(draft.risk, Vec::new());
    if draft.risk > Risk::Low {
        assessment.reasons.push(format!("{}: declared by its creator", draft.risk));
    }
    if draft.payload.get("instructions").is_some_and(Value::is_string) {
        assessment.raise(Risk::Medium, "a language model writes the change");
    }
    let changes = draft.payload.get("changes").and_then(Value::as_array);
    let changes = changes.map(Vec::as_slice).unwrap_or_default();
    for change in changes {
        let text = |key: &str| change.get(key).and_then(Value::as_str);
        if let Some(path) = text("path") {
            assessment.raise_for_file(path, text("content").map(str::as_bytes), looker);
        }
    }
    assessment.raise_for_sql(&draft.payload, looker);
    assessment.raise_for_size(changes.len());
    assessment
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(path: &str, content: &str) -> Risk {
        let mut assessment = Assessment::new(Risk::Low, vec![]);
        assessment.raise_for_file(path, Some(content.as_bytes()), &mut Looker::default());
        assert_eq!(assessment.level > Risk::Low, !assessment.reasons.is_empty(), "{path}");
        assessment.level
    }

    #[test]
    fn the_levels_are_those_of_the_specification() {
        for (path, content, level) in [
            ("README.md", "", Risk::Low),
            ("tests/test_memory.py", "x", Risk::Low),
            ("core/memory.py", "x", Risk::Low),
            ("core/author.py", "x", Risk::Low),
            ("pyproject.toml", "x", Risk::Medium),
            ("db/schema.sql", "create table a (b int)", Risk::Medium),
            ("migrations/0002_x.py", "add_column", Risk::Medium),
            ("migrations/0002_x.sql", "update a set b = 1", Risk::High),
            ("migrations/0002_x.sql", "do $$ begin execute 'dr' || x; end $$", Risk::High),
            ("migrations/0002.down.sql", "drop table a", Risk::High),
            ("alembic/versions/1.py", "op.drop_table('a')", Risk::High),
            ("migrations/2.py", "op.execute(\"DROP TABLE users\")", Risk::High),
            ("migrations/2.py", "op.execute(\"update users set admin = true\")", Risk::High),
            ("Dockerfile", "FROM x", Risk::High),
            ("infra/Terraform/main.tf", "", Risk::High),
            ("core/auth/permissions.py", "", Risk::Critical),
            ("core/auth/handlers.py", "", Risk::Critical),
            ("app/login.py", "", Risk::Critical),
            ("app/session_store.py", "", Risk::Critical),
            ("config/credentials.yml", "", Risk::Critical),
            ("src/main/PaymentService.java", "", Risk::Critical),
            ("src/main/HTTPAuthFilter.java", "", Risk::Critical),
            ("src/apiTokens.ts", "", Risk::Critical),
            ("core/Tokenizer.py", "", Risk::Low),
            ("Dockerfile.prod", "", Risk::High),
            ("api.Dockerfile", "", Risk::High),
            ("docker-compose.prod.yml", "", Risk::High),
            ("scripts/deploy.sh", "", Risk::High),
            ("bin/deploy-prod", "", Risk::High),
            ("ci/prod_deploy.py", "", Risk::High),
            ("infra/main.tf", "", Risk::High),
            ("infra/prod.tf.json", "", Risk::High),
            ("docs/deploy-guide.md", "", Risk::Low),
            ("core/composer.py", "", Risk::Low),
            ("Core/RBAC.py", "", Risk::Critical),
            ("app/payments.py", "", Risk::Critical),
            ("app/sso.py", "", Risk::Critical),
            ("app/JwtVerifier.java", "", Risk::Critical),
            ("infra/vault.py", "", Risk::Critical),
            ("certs/ca.cert", "", Risk::Critical),
            ("billing2/RefundService.kt", "", Risk::Critical),
            ("core/ssh_client.go", "", Risk::Critical),
            ("app/purge.py", "db.execute('DELETE FROM users')", Risk::High),
            ("app/purge.py", "db.execute('select * from users')", Risk::Low),
            ("app/purge.rb", "conn.exec(\"drop table users\")", Risk::High),
            ("bin/purge", "#!/bin/sh\npsql -c 'truncate table users'\n", Risk::High),
            ("bin/purge", "psql -c 'truncate table users'\n", Risk::Low),
            ("src/list.ts", "// delete from the list\nlist.delete(\"from\"); file.truncate(0)", Risk::Low),
            ("docs/purge.md", "`DELETE FROM users` deletes all.", Risk::Low),
            ("docs/notes.txt", "drop table users", Risk::Low),
        ] {
            assert_eq!(of(path, content), level, "{path}: {content}");
        }
    }

    #[test]
    fn sql_of_a_payload_counts() {
        for (payload, level) in [
            (json!({ "sql": "select 1" }), Risk::Low),
            (json!({ "sql": "update users set admin = true where id = 1" }), Risk::High),
            (json!({ "steps": [{ "Queries": ["insert into a values (1)"] }] }), Risk::High),
            (json!({ "sql": "do $$ begin execute 'dr' || x; end $$" }), Risk::High),
            (json!({ "query": "with x as (select 1) update a set b = 2" }), Risk::High),
            (json!({ "query": "-- harmless\nupdate a set b = 2" }), Risk::High),
            (json!({ "query": "What's the best way to update rust?" }), Risk::Low),
            (json!({ "text": "update a set b = 2" }), Risk::Low),
        ] {
            let draft = json!({ "title": "t", "task_type": "analysis", "payload": payload });
            let assessed = assess_task(&serde_json::from_value(draft).unwrap());
            assert_eq!(assessed.level, level, "{payload}: {:?}", assessed.reasons);
        }
    }

    #[test]
    fn nothing_lowers_it() {
        let mut assessment = Assessment::new(Risk::High, vec!["high: declared by its creator".to_owned()]);
        assessment.raise(Risk::Medium, "a small thing");
        assessment.raise(Risk::Low, "nothing");
        assert_eq!(assessment.level, Risk::High);
        assessment.raise(Risk::Critical, "a large thing");
        assert_eq!(assessment.level, Risk::Critical);
        assert_eq!(assessment.reasons[0], "critical: a large thing");
        for number in 0..100 {
            assessment.raise(Risk::Critical, format!("thing {number}"));
        }
        assert_eq!(assessment.reasons.len(), REASONS_MAX);
    }
}
