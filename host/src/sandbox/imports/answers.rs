//! What an answer of each call looks like in a fixture of `role test`: for its report, and for docs/WRITING_A_ROLE.md.

/// Calls and an answer of each, as TOML. `text` stands for bytes; what else the journal holds of them is filled in.
pub(in crate::sandbox) const EXAMPLES: &[(&str, &str)] = &[
    ("github-read.get-branch", r#"{ ok = "1111111111111111111111111111111111111111" }"#),
    ("github-read.get-file", r##"{ ok = { text = "# Sample\n" } }"##),
    (
        "github-read.get-tree",
        r#"{ ok = [{ path = "README.md", kind = "blob", sha = "2222222222222222222222222222222222222222", size = 9 }] }"#,
    ),
    (
        "github-read.get-pull-request",
        r#"{ ok = { number = 1, state = "open", title = "A title", url = "https://github.com/demo/sample/pull/1", head_branch = "{branch}", head_sha = "3333333333333333333333333333333333333333", base_branch = "main" } }"#,
    ),
    ("github-read.find-pull-requests", "{ ok = [] }"),
    ("github-read.list-check-runs", r#"{ ok = [{ name = "ci", status = "completed", conclusion = "success" }] }"#),
    (
        "github-read.compare",
        r#"{ ok = { ahead_by = 1, behind_by = 0, commits = ["3333333333333333333333333333333333333333"], files = [{ path = "README.md", status = "modified" }], truncated = false } }"#,
    ),
    ("github-write.create-branch", r#""ok""#),
    (
        "github-write.put-file",
        r#"{ ok = { commit = "3333333333333333333333333333333333333333", file = "4444444444444444444444444444444444444444" } }"#,
    ),
    (
        "github-write.open-pull-request",
        r#"{ ok = { number = 1, state = "open", title = "A title", url = "https://github.com/demo/sample/pull/1", head_branch = "{branch}", head_sha = "3333333333333333333333333333333333333333", base_branch = "main" } }"#,
    ),
    ("github-merge.merge", r#"{ ok = { sha = "5555555555555555555555555555555555555555" } }"#),
    ("http-fetch.fetch", r#"{ ok = { status = 200, text = "hello\n" } }"#),
    ("http-send.send", r#"{ ok = { status = 201, text = "taken" } }"#),
    (
        "deploy.dispatch",
        r#"{ ok = { id = 1, status = "queued", url = "https://github.com/demo/sample/actions/runs/1", head_sha = "3333333333333333333333333333333333333333" } }"#,
    ),
    (
        "deploy.get-run",
        r#"{ ok = { id = 1, status = "completed", conclusion = "success", url = "https://github.com/demo/sample/actions/runs/1", head_sha = "3333333333333333333333333333333333333333" } }"#,
    ),
    (
        "llm.ask",
        r#"{ ok = { model = "vendor/model", said = { text = "{\"risky\": false}", tool_calls = [], finish = "stop" }, usage = { prompt_tokens = 120, answer_tokens = 8, microdollars = 90 } } }"#,
    ),
    ("llm.remaining", "{ ok = { tokens = 50000, microdollars = 100000 } }"),
    (
        "tasks-read.get",
        r#"{ ok = { id = "01900000-0000-7000-8000-000000000001", title = "A task", description = "", task_type = "code", status = "failed", priority = "medium", risk = "low", attempt = 3, depends_on = [], error_message = "the check ci failed", created_at_ms = 1767225600000 } }"#,
    ),
    ("tasks-read.list-tasks", "{ ok = [] }"),
    ("tasks-write.create", r#"{ ok = [{ key = "first", id = "01900000-0000-7000-8000-000000000002" }] }"#),
    ("tasks-write.set-priority", r#""ok""#),
    ("tasks-write.assign", r#""ok""#),
    ("tasks-write.cancel", r#""ok""#),
    ("tasks-write.retry", r#""ok""#),
    (
        "goals.given",
        r#"{ ok = { id = "01900000-0000-7000-8000-000000000003", title = "A goal", description = "", acceptance_criteria = [], state = "open", replans_left = 1 } }"#,
    ),
    (
        "goals.get-progress",
        r#"{ ok = { children = [{ id = "01900000-0000-7000-8000-000000000002", title = "A task", task_type = "code", status = "completed", depends_on = [], replaced = false }], ended = 1 } }"#,
    ),
    ("goals.wait", r#""ok""#),
    ("goals.replan", r#""ok""#),
    (
        "goals.complete",
        r#"{ ok = { goal = "01900000-0000-7000-8000-000000000003", children = ["01900000-0000-7000-8000-000000000002"] } }"#,
    ),
    ("goals.fail", r#""ok""#),
    (
        "workers-read.list-workers",
        r#"{ ok = [{ id = "EXECUTOR-1", worker_type = "EXECUTOR", status = "active", task_types = ["code"], silent_seconds = 12 }] }"#,
    ),
    ("metrics-read.measure", r#"{ ok = { columns = ["task-type", "count"], rows = [["code", "3"]] } }"#),
    (
        "logs-read.list-lines",
        r#"{ ok = [{ worker = "EXECUTOR-1", action = "task_error", level = "error", message = "the check ci failed", at_ms = 1767225600000 }] }"#,
    ),
    (
        "alerts.list-open",
        r#"{ ok = [{ id = "1", severity = "warning", kind = "disk-full", fingerprint = "volume-1", title = "Volume 1 is nearly full", acknowledged = false, occurrences = 2, first_seen_ms = 1767225600000, last_seen_ms = 1767225660000 }] }"#,
    ),
    ("alerts.raise", r#"{ ok = "1" }"#),
    ("alerts.resolve", r#""ok""#),
    (
        "learnings.offered",
        r#"{ ok = [{ id = 1, category = "technique", title = "Long windows are slow", description = "A day is enough.", impact_score = 0.4, tags = ["analysis"], created_at_ms = 1767225600000, uses = 2 }] }"#,
    ),
    ("learnings.search", "{ ok = [] }"),
    ("learnings.capture", "{ ok = 2 }"),
    (
        "reports.store",
        r#"{ ok = { id = "01900000-0000-7000-8000-000000000004", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" } }"#,
    ),
    ("recommendations.file", r#"{ ok = "01900000-0000-7000-8000-000000000005" }"#),
    ("timer.sleep", r#""ok""#),
    ("task.raise-risk", r#""ok""#),
];

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use time::OffsetDateTime;

    use super::super::deploy::JournalledRun;
    use super::super::github_read::JournalledFile;
    use super::super::http_fetch::JournalledResponse;
    use super::super::http_send::JournalledAnswer;
    use super::super::llm_ask;
    use super::EXAMPLES;
    use crate::github::{CheckRun, CommittedFile, Comparison, Merged, PullRequest, TreeEntry};
    use crate::journal::{Call, Effect};
    use crate::records::{
        Figures, GoalClosed, GoalGiven, GoalProgress, OpenAlert, Remaining, SeenLearning, SeenLine, SeenWorker,
        StoredAs, TaskMade, TaskSeen,
    };
    use crate::repo::Sha;
    use crate::sandbox::{Script, ScriptedCall, Times};

    /// As a run reads it.
    fn read<T: DeserializeOwned>(value: &Value) -> Result<(), String> {
        T::deserialize(value).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn each_example_is_what_its_call_gives() {
        for (name, example) in EXAMPLES {
            let table: toml::Table = toml::from_str(&format!("answer = {example}")).unwrap();
            let answer = serde_json::to_value(&table["answer"]).unwrap();
            let answer = if answer == "ok" { json!({ "ok": null }) } else { answer };
            let (interface, function) = name.split_once('.').unwrap();
            let entry =
                ScriptedCall { call: (*name).to_owned(), arguments: Value::Null, answer, times: Times::Exactly(1) };
            let script = Script::new(vec![entry], OffsetDateTime::UNIX_EPOCH);
            let arguments = json!({ "url": "https://x.test/" });
            let outcome = script.answer(&Call { interface, function, effect: Effect::Read, arguments }).unwrap();
            let ok = outcome.ok().unwrap();
            let read = match *name {
                "github-read.get-branch" => read::<Sha>(ok),
                "github-read.get-file" => read::<JournalledFile>(ok),
                "github-read.get-tree" => read::<Vec<TreeEntry>>(ok),
                "github-read.get-pull-request" | "github-write.open-pull-request" => read::<PullRequest>(ok),
                "github-read.find-pull-requests" => read::<Vec<PullRequest>>(ok),
                "github-read.list-check-runs" => read::<Vec<CheckRun>>(ok),
                "github-read.compare" => read::<Comparison>(ok),
                "github-write.put-file" => read::<CommittedFile>(ok),
                "github-merge.merge" => read::<Merged>(ok),
                "http-fetch.fetch" => read::<JournalledResponse>(ok),
                "http-send.send" => read::<JournalledAnswer>(ok),
                "deploy.dispatch" | "deploy.get-run" => read::<JournalledRun>(ok),
                "llm.ask" => read::<llm_ask::Journalled>(ok),
                "llm.remaining" => read::<Remaining>(ok),
                "tasks-read.get" => read::<TaskSeen>(ok),
                "tasks-read.list-tasks" => read::<Vec<TaskSeen>>(ok),
                "tasks-write.create" => read::<Vec<TaskMade>>(ok),
                "goals.given" => read::<GoalGiven>(ok),
                "goals.get-progress" => read::<GoalProgress>(ok),
                "goals.complete" => read::<GoalClosed>(ok),
                "workers-read.list-workers" => read::<Vec<SeenWorker>>(ok),
                "metrics-read.measure" => read::<Figures>(ok),
                "logs-read.list-lines" => read::<Vec<SeenLine>>(ok),
                "alerts.list-open" => read::<Vec<OpenAlert>>(ok),
                "learnings.offered" | "learnings.search" => read::<Vec<SeenLearning>>(ok),
                "learnings.capture" => read::<u64>(ok),
                "reports.store" => read::<StoredAs>(ok),
                "alerts.raise" | "recommendations.file" => read::<String>(ok),
                "github-write.create-branch"
                | "timer.sleep"
                | "task.raise-risk"
                | "tasks-write.set-priority"
                | "tasks-write.assign"
                | "tasks-write.cancel"
                | "tasks-write.retry"
                | "goals.wait"
                | "goals.replan"
                | "goals.fail"
                | "alerts.resolve" => read::<()>(ok),
                other => panic!("say here what {other} gives"),
            };
            assert_eq!(read, Ok(()), "{name}");
        }
    }

    #[test]
    fn each_example_stands_in_the_guide() {
        let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/WRITING_A_ROLE.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        for (name, example) in EXAMPLES {
            let row = format!("| `{name}` | `{example}` |");
            assert!(guide.contains(&row), "docs/WRITING_A_ROLE.md lacks {row}");
        }
    }
}
