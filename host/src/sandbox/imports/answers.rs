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
    ("timer.sleep", r#""ok""#),
    ("task.raise-risk", r#""ok""#),
];

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use time::OffsetDateTime;

    use super::super::github_read::JournalledFile;
    use super::super::http_fetch::JournalledResponse;
    use super::EXAMPLES;
    use crate::github::{CheckRun, CommittedFile, Comparison, Merged, PullRequest, TreeEntry};
    use crate::journal::{Call, Effect};
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
                "github-write.create-branch" | "timer.sleep" | "task.raise-risk" => read::<()>(ok),
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
