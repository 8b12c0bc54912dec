//! The Python quality gate: what the executor writes is checked before it is written.

use serde_json::{Value, json};

use crate::support::{Host, LIMIT, Options, RolesDir, code_task};

const GOOD: &str = "\"\"\"A module.\"\"\"\n\nimport logging\n\nfrom core.notes import Note\n\nLOGGER = logging.getLogger(__name__)\n\n\n\
    def tell(note: Note) -> None:\n    \"\"\"Tell of a note.\"\"\"\n    LOGGER.info(\"%s\", note)\n";
const LEGACY: &str = "import os\nimport json\n\ndef old(a):\n    print(a)\n\n\ndef other(a):\n    print(a)\n";

fn writing(path: &str, content: &str) -> Value {
    let mut draft = code_task(path);
    draft["payload"]["changes"][0]["content"] = json!(content);
    draft
}

async fn refused(host: &Host, draft: Value) -> String {
    let task = host.create_task(draft).await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    assert_eq!(failed["attempt"], 1, "it is final: {failed}");
    let commits = host.forge().git(&["log", "--format=%s", &format!("main..feature/{task}")]);
    assert_eq!(commits, "", "nothing was written");
    failed["error_message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_requirement_stops_a_file_and_says_where() {
    let host = Host::start(Options::default()).await;
    for (content, wanted) in [
        ("def f(a) -> None:\n    \"\"\"Do.\"\"\"\n", "a.py:1 ANN001 Missing type annotation for function argument `a`"),
        ("def _f() -> None:\n    pass\n", "a.py:1 D103 Missing docstring in function `_f`"),
        ("try:\n    f()\nexcept:\n    pass\n", "a.py:3 E722 Do not use bare `except`"),
        ("x = 1\nprint(x)  # noqa\n", "a.py:2 T201 `print` found"),
        ("ok = size > 42\n", "a.py:1 PLR2004 Magic value"),
        ("q = f\"SELECT * FROM t WHERE id = {x}\"\n", "a.py:1 S608 Possible SQL injection"),
        ("import os\nimport json\n", "a.py:1 I001 Import block is un-sorted"),
        ("def f(:\n", "a.py:1 invalid-syntax"),
        ("try:\n    f()\nexcept:\n    g()\n    raise\n", "a.py:3 E722 Do not use bare `except`"),
        ("# coding: utf-7\n# +AAo-print(1)\n", "a.py:1 invalid-encoding"),
    ] {
        let reason = refused(&host, writing("a.py", content)).await;
        assert!(reason.contains(wanted), "{content}\n{reason}");
    }
    let reason = refused(&host, writing("bin/tool", &format!("#!/usr/bin/python3\n{}", "print(1)\n".repeat(15)))).await;
    assert!(reason.contains("bin/tool:11 T201") && reason.contains("and 5 more"), "{reason}");
    assert!(!reason.contains("bin/tool:12"), "{reason}");
    let reason = refused(&host, writing("deep.py", &"(".repeat(500_000))).await;
    assert!(reason.contains("deep.py:1 too-deep"), "{reason}");
    let reason = refused(&host, writing("names.py", &"f=f\n".repeat(100_000))).await;
    assert!(reason.contains("names.py:1 too-large"), "{reason}");
}

#[tokio::test]
async fn what_is_good_or_no_python_is_merged() {
    let host = Host::start(Options::default()).await;
    // `core` is the repository's own because the file is in it.
    for (path, content) in [("core/memory.py", GOOD), ("a.md", "print(1)\n"), ("tool", "#!/bin/sh\nprint 1\n")] {
        let task = host.create_task(writing(path, content)).await;
        host.wait_for(&task, "completed", LIMIT).await;
    }
    // Now it is because the tree says so; without it the import would stand with third parties.
    let task = host.create_task(writing("main.py", GOOD)).await;
    host.wait_for(&task, "completed", LIMIT).await;
    let mixed = GOOD.replace("from core.notes import Note", "from core.notes import Note\nfrom requests import get");
    let reason = refused(&host, writing("mixed.py", &mixed)).await;
    assert!(reason.contains("mixed.py:3 I001"), "{reason}");
}

#[tokio::test]
async fn of_a_legacy_file_only_what_changed_counts() {
    let host = Host::start(Options::default()).await;
    host.forge().commit_to_main("old.py", LEGACY).await;
    let task = host.create_task(writing("old.py", &format!("{LEGACY}\n\nX = 1\n"))).await;
    host.wait_for(&task, "completed", LIMIT).await;
    let reason = refused(&host, writing("old.py", &LEGACY.replacen("print(a)", "print(a, a)", 1))).await;
    for wanted in ["old.py:4 ANN001", "old.py:4 ANN201", "old.py:4 D103", "old.py:5 T201"] {
        assert!(reason.contains(wanted), "{wanted}: {reason}");
    }
    assert!(!reason.contains("old.py:8") && !reason.contains("old.py:9") && !reason.contains("I001"), "{reason}");
}

#[tokio::test]
async fn what_was_in_a_string_is_judged_when_it_is_code() {
    let host = Host::start(Options::default()).await;
    host.forge().commit_to_main("hidden.py", "\"\"\"\nprint(1)\n\"\"\"\n").await;
    let reason = refused(&host, writing("hidden.py", "print(1)\n")).await;
    assert!(reason.contains("hidden.py:1 T201"), "{reason}");
}

#[tokio::test]
async fn only_the_manifest_exempts_a_repository() {
    let roles = RolesDir::with(&["executor"]);
    roles.edit(
        "executor",
        "bases = [\"main\"]\n\n[grants.github-merge]",
        "bases = [\"main\"]\npython_quality_off = [\"Demo/Sample\"]\n\n[grants.github-merge]",
    );
    let host = Host::start(Options::default().roles(roles)).await;
    let task = host.create_task(writing("a.py", "print(1)\n")).await;
    host.wait_for(&task, "completed", LIMIT).await;
}
