//! What needs a person, what nobody may do, and the log that shows tampering.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::scenario::{OPEN_STATUSES, Scenario, TASK_MAX, TITLE_PREFIX, text};
use super::show::{Row, heading, item, line};
use super::{REPOSITORY, interrupt};

/// Lines of what the approver sees that the demo shows.
const SHOWN_LINES: usize = 14;
const APPROVER: &str = "demo-approver";

impl Scenario<'_> {
    /// A task of high risk stops at its merge; somebody else approves exactly that.
    pub(super) fn approved_task(&self) -> Result<Row> {
        heading("4. A high-risk task stops before its merge, until another person approves exactly that merge")?;
        let path = format!("docs/run-{}.md", self.stamp()?);
        let content = format!("# Run {}\n\nApproved by a person before it was merged.\n", self.run);
        let title = format!("{TITLE_PREFIX}{}: change what only a person may let pass", self.run);
        let id = self.create_change(&title, &path, &content, "high")?;
        let task = self.wait_for(&id, "waiting_approval")?;
        ensure!(task["requires_approval"] == true, "task {id} waits and requires no approval");
        item("waits", text(&task, "approval_reason"))?;
        let page = self.cli.json(&["approval", "list", "--task", &id])?;
        let approval = text(&page["items"][0], "id").to_owned();
        ensure!(!approval.is_empty(), "task {id} waits and there is nothing to approve");

        let own = self.cli.json(&["approval", "approve", &approval]);
        let refusal = own.err().context("who created the task could approve it")?.to_string();
        ensure!(refusal.contains("created this task"), "the creator was refused, but for another reason: {refusal}");
        item("refused", "the task's creator may not approve it")?;

        let other = self.cli.with_token(self.token_of(APPROVER)?);
        let shown = other.json(&["approval", "show", &approval])?;
        let shown = text(&shown, "shown");
        line(&format!("   $ juggernaut approval show {approval}"))?;
        shown.lines().take(SHOWN_LINES).try_for_each(|shown| item("", shown))?;
        ensure!(content.lines().all(|line| shown.contains(line)), "the approver does not see the change:\n{shown}");
        other.json(&["approval", "approve", &approval, "--note", "as shown"])?;
        item("approved", &format!("by {APPROVER}"))?;

        let task = self.wait_for(&id, "completed")?;
        let head = text(&task["evidence"]["pull_request"], "head_sha");
        ensure!(shown.contains(head) && !head.is_empty(), "another head than the approved one was merged: {head}");
        ensure!(self.repository.file_on_main(&path)? == content, "{path} on main is not what was approved");
        let used = other.json(&["approval", "show", &approval])?;
        ensure!(used["state"] == "consumed", "the approval is {} after its merge", used["state"]);
        item("merged", &format!("head {}, byte for byte what was approved", &head[..head.len().min(10)]))?;
        let evidence = format!("approved by {APPROVER}, then merged");
        Ok(Row { task: id, role: "executor".to_owned(), status: "completed".to_owned(), evidence })
    }

    /// What is prohibited is denied, by a policy with a name.
    pub(super) fn prohibited(&self) -> Result<Row> {
        heading("5. Prohibited actions are denied, whoever asks for them")?;
        let payload = json!({"repository": REPOSITORY, "changes": [
            {"path": "migrations/0002_tidy.sql", "content": "DROP /* tidy */ TABLE notes;\n"},
        ]});
        let title = format!("{TITLE_PREFIX}{}: tidy the database up", self.run);
        let file = self.payload(&payload)?;
        let created = self.cli.json(&["task", "create", "--type", "code", "--title", &title, "--payload", &file]);
        let refusal = created.err().context("a task that drops a table was created")?.to_string();
        ensure!(refusal.contains("prohibited.delete-production-data"), "refused for another reason: {refusal}");
        item("task", "one that drops a table is not even created: prohibited.delete-production-data")?;

        let title = format!("{TITLE_PREFIX}{}: speed the build up", self.run);
        let id = self.create_change(&title, ".github/workflows/build.yml", "on: push\n", "low")?;
        let task = self.ended_task(&id)?;
        let reason = text(&task, "error_message").to_owned();
        ensure!(task["status"] == "failed", "task {id} is {}, and should have failed: {reason}", task["status"]);
        ensure!(reason.contains("prohibited.modify-rbac"), "task {id} failed for another reason: {reason}");
        ensure!(self.repository.commits_of(&id)?.is_empty(), "task {id} was denied, and main has a commit of it");
        item("denied", &reason)?;
        let evidence = "none: prohibited.modify-rbac".to_owned();
        Ok(Row { task: id, role: "executor".to_owned(), status: "failed".to_owned(), evidence })
    }

    /// One changed row of the audit log is found.
    pub(super) fn audit_log(&self) -> Result<()> {
        heading("8. The audit log shows tampering, even by the database's superuser")?;
        let verified = self.offline(&["audit", "verify"])?;
        ensure!(verified.status.success(), "the audit log does not verify: {}", said(&verified));
        line("   $ juggernaut audit verify")?;
        item("verified", first_line(&String::from_utf8_lossy(&verified.stdout)))?;
        let newest = "(chain, seq) = (select chain, seq from audit_log where kind = 'approval_approved' order by at desc limit 1)";
        let before = self.sql(&format!("select actor from audit_log where {newest}"))?;
        ensure!(before.trim() == APPROVER, "the audit log says that {before:?} approved");
        let change = |actor: &str| {
            self.sql(&format!(
                "set session_replication_role = replica; update audit_log set actor = '{actor}' where {newest}"
            ))
        };
        change("somebody-else")?;
        item("tampered", "a superuser writes another name to the approval, past the triggers")?;
        let broken = self.offline(&["audit", "verify"])?;
        // Whatever it says, the row is as it was before anything else happens.
        change(APPROVER)?;
        ensure!(broken.status.code() == Some(1), "a changed row was not found: {}", said(&broken));
        item("found", first_line(&said(&broken)))?;
        let mended = self.offline(&["audit", "verify"])?;
        ensure!(mended.status.success(), "the mended audit log does not verify: {}", said(&mended));
        item("mended", "and verified again")
    }

    fn create_change(&self, title: &str, path: &str, content: &str, risk: &str) -> Result<String> {
        let payload = json!({"repository": REPOSITORY, "changes": [{"path": path, "content": content}]});
        let file = self.payload(&payload)?;
        let arguments = [
            "task",
            "create",
            "--type",
            "code",
            "--title",
            title,
            "--worker",
            "executor",
            "--attempts-max",
            "1",
            "--risk",
            risk,
            "--payload",
            &file,
            "--criterion",
            "{\"type\": \"merged\"}",
        ];
        let task = self.cli.json(&arguments)?;
        let id = text(&task, "id").to_owned();
        ensure!(!id.is_empty(), "the new task has no id");
        line(&format!("   $ juggernaut task create --type code --risk {risk} --title {title:?} …"))?;
        item("task", &id)?;
        Ok(id)
    }

    fn payload(&self, payload: &Value) -> Result<String> {
        let file = self.places.home.join("demo-payload.json");
        fs::write(&file, payload.to_string()).with_context(|| format!("could not write {}", file.display()))?;
        Ok(file.to_string_lossy().into_owned())
    }

    fn wait_for(&self, id: &str, status: &str) -> Result<Value> {
        let task = interrupt::wait(&format!("task {id} to be {status}"), TASK_MAX, || {
            let task = self.cli.task(id)?;
            let there = text(&task, "status") == status || !OPEN_STATUSES.contains(&text(&task, "status"));
            Ok(there.then_some(task))
        })?;
        ensure!(task["status"] == status, "task {id} is {}: {}", task["status"], task["error_message"]);
        Ok(task)
    }

    fn ended_task(&self, id: &str) -> Result<Value> {
        interrupt::wait(&format!("the end of task {id}"), TASK_MAX, || {
            let task = self.cli.task(id)?;
            Ok((!OPEN_STATUSES.contains(&text(&task, "status"))).then_some(task))
        })
    }

    /// A command that works on the database itself.
    fn offline(&self, arguments: &[&str]) -> Result<Output> {
        let key = fs::read_to_string(self.places.home.join("audit.key")).context("`dev` made no audit key")?;
        Command::new(&self.places.juggernaut)
            .args(arguments)
            .env("DATABASE_URL", &self.database)
            .env("JUGGERNAUT_AUDIT_KEY", key.trim())
            .output()
            .with_context(|| format!("{} does not run", self.places.juggernaut.display()))
    }

    fn token_of(&self, principal: &str) -> Result<String> {
        let arguments =
            ["--json", "token", "create", "--principal", principal, "--role", "approver", "--expires-days", "1"];
        let output = self.offline(&arguments)?;
        ensure!(output.status.success(), "no token for {principal}: {}", said(&output));
        let token: Value = serde_json::from_slice(&output.stdout).context("`token create` printed no JSON")?;
        let secret = text(&token, "secret").to_owned();
        ensure!(!secret.is_empty(), "`token create` told no secret");
        Ok(secret)
    }

    /// As the database's superuser.
    fn sql(&self, statements: &str) -> Result<String> {
        let output = Command::new(psql())
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--command"])
            .arg(statements)
            .arg(&self.database)
            .output()
            .context("could not run psql; it comes with PostgreSQL")?;
        ensure!(output.status.success(), "psql: {}", said(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// On the PATH, or where Debian keeps it beside the server.
fn psql() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|entry| entry.path().join("bin/psql")).filter(|path| path.is_file()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| Path::new("psql").to_owned())
}

fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{} {}", out.trim(), err.trim()).trim().to_owned()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
