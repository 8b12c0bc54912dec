//! A role of somebody else's, from nothing to a completed task: `role new`, `cargo build`, `role test`, `role run`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::support::{CliOutput, Host, LIMIT, Options, Paths, RolesDir, juggernaut};

/// How long cargo may take for the crate and the SDK below it.
const BUILD_MAX: Duration = Duration::from_mins(10);

/// A crate outside of the repository.
struct Crate {
    folder: TempDir,
    /// Of this one crate: the path of its component.
    component: PathBuf,
}

impl Crate {
    fn path(&self) -> PathBuf {
        self.folder.path().join("greeter")
    }

    async fn run(&self, arguments: &[&str]) -> CliOutput {
        let arguments: Vec<&str> = ["role"].iter().chain(arguments).copied().collect();
        juggernaut(&self.path(), &arguments, &Paths::tool_env()).await
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}:\n{text}");
        fs::write(path, text.replace(from, to)).unwrap();
    }
}

async fn new_role(folder: &Path, arguments: &[&str]) -> CliOutput {
    let arguments: Vec<&str> = ["role", "new"].iter().chain(arguments).copied().collect();
    juggernaut(folder, &arguments, &[]).await
}

/// The component of `role new greeter`, built once with the repository's own versions of what it depends on.
async fn built() -> &'static Path {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT
        .get_or_init(|| async {
            let folder = TempDir::new().unwrap();
            let made = new_role(folder.path(), &["greeter"]).await;
            assert_eq!(made.code, Some(0), "{made:?}");
            assert!(
                made.stdout.contains("juggernaut role run . --task first-task.json --forge-seed demo/sample=sample")
            );
            let role = folder.path().join("greeter");
            let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
            fs::copy(repository.join("Cargo.lock"), role.join("Cargo.lock")).unwrap();
            // Not in the folder, which is removed: what is built once stays built.
            let target = Paths::get().bin_dir.join("it-role-new");
            let target_text = target.to_str().unwrap().to_owned();
            let mut env = Paths::tool_env();
            env.extend([("CARGO_TARGET_DIR", target_text.as_str()), ("CARGO_NET_OFFLINE", "true")]);
            // As its author does; the first time it takes longer than a command of ours may.
            let mut cargo = tokio::process::Command::new("cargo");
            cargo.args(["build", "--release"]).current_dir(&role).env_clear().envs(env.iter().copied());
            let output = tokio::time::timeout(BUILD_MAX, cargo.kill_on_drop(true).output()).await;
            let output = output.expect("cargo build ends").expect("cargo");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let tested = juggernaut(&role, &["role", "test", ".", "--build"], &env).await;
            assert_eq!(tested.code, Some(0), "{tested:?}");
            assert!(tested.stdout.ends_with("1 fixtures, all passed\n"), "{tested:?}");
            target.join("wasm32-wasip2/release/greeter.wasm")
        })
        .await
}

/// A crate as `role new` makes it, with its component where it is handed over.
async fn greeter() -> Crate {
    let built = built().await;
    let folder = TempDir::new().unwrap();
    let made = new_role(folder.path(), &["greeter"]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let component = folder.path().join("greeter/greeter.wasm");
    fs::copy(built, &component).unwrap();
    Crate { folder, component }
}

#[tokio::test]
async fn a_new_role_holds_together_and_passes_its_test() {
    let role = greeter().await;
    let checked = role.run(&["check", "."]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert_eq!(checked.stdout, "greeter: ok; ./wit/world.wit; grants github-read\n");
    let tested = role.run(&["test", "."]).await;
    assert_eq!(tested.code, Some(0), "{tested:?}");
    assert!(
        tested.stdout.contains("  ok     ./tests/first.toml: 1 calls, completed: looked at README.md"),
        "{tested:?}"
    );

    let again = new_role(role.folder.path(), &["greeter"]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("is not empty, and nothing is overwritten"), "{again:?}");
    let wrong = new_role(role.folder.path(), &["x", "--grant", "github-everything"]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("there are github-read, github-write"), "{wrong:?}");
}

#[tokio::test]
async fn a_fixture_that_does_not_fit_says_what_to_write() {
    let role = greeter().await;
    let failing = async |fixture: &str| {
        fs::write(role.path().join("tests/first.toml"), fixture).unwrap();
        let tested = role.run(&["test", "."]).await;
        assert_eq!(tested.code, Some(1), "{tested:?}");
        format!("{}{}", tested.stdout, tested.stderr)
    };
    let fixture = fs::read_to_string(role.path().join("tests/first.toml")).unwrap();
    let (without, _) = fixture.split_once("[[call]]").unwrap();
    let (_, expect) = fixture.split_once("[expect]").unwrap();

    // No call is expected: the block that would answer it can be copied, and does.
    let said = failing(&format!("{without}[expect]{expect}")).await;
    let block = said.split_once("[[call]]\n").unwrap().1;
    let block: String = block.lines().take(3).map(|line| format!("{}\n", line.trim())).collect();
    assert!(said.contains("problem: no [[call]] answers call 0, github-read.get-file {\"repository\":\"demo/sample\""));
    assert!(block.starts_with("call = \"github-read.get-file\"\narguments = { "), "{said}");
    let pasted = format!("{without}[[call]]\n{block}[expect]{expect}").replace("# Sample", "hello");
    fs::write(role.path().join("tests/first.toml"), &pasted).unwrap();
    let tested = role.run(&["test", "."]).await;
    assert_eq!(tested.code, Some(0), "{pasted}\n{tested:?}");

    for (from, to, because) in [
        (
            "path = \"README.md\" }\nanswer",
            "path = \"x\" }\nanswer",
            "arguments.path is \"README.md\", and \"x\" is expected",
        ),
        ("answer = { ok = { text", "times = 2\nanswer = { ok = { text", "line 10 expects 2 calls, and there was 1"),
        ("says hello", "says nothing", "proof.verification-report[0].actual is \"false\", and \"true\" is expected"),
        ("{ ok = { text = \"This line says hello.\\n\" } }", "{ ok = { tree = 1 } }", "missing field `base64`"),
        (
            "{ ok = { text = \"This line says hello.\\n\" } }",
            "{ err = { not-found = \"gone\" } }",
            "it failed, and was to complete: not found: gone",
        ),
        ("log_contains = \"contains\"", "log_contains = \"sings\"", "no line of the log holds \"sings\""),
        ("outcome = \"completed\"", "outcome = \"completed\"\nreason_contains = \"x\"", "write outcome = \"failed\""),
        ("call = \"github-read.get-file\"", "call = \"github-merge.merge\"", "github-merge.merge is not granted"),
        ("call = \"github-read.get-file\"", "call = \"github-red.get\"", "\"github-red\" is no capability"),
        ("task_type = \"verification\"", "task_type = \"code\"", "changes"),
        ("task_type = \"verification\"", "task_type = \"research\"", "the role claims verification"),
        ("title = ", "tilte = ", "tilte"),
    ] {
        assert!(fixture.contains(from), "{from}");
        let said = failing(&fixture.replace(from, to)).await;
        assert!(said.contains(because), "{to}: {because} is not in\n{said}");
    }
}

/// The run is the sandbox's: limits and grants are those of the manifest.
#[tokio::test]
async fn a_test_has_the_limits_of_the_manifest() {
    let role = greeter().await;
    role.edit("capabilities.toml", "memory_mib = 32 ", "memory_mib = 1 ");
    let tested = role.run(&["test", "."]).await;
    assert_eq!(tested.code, Some(1), "{tested:?}");
    assert!(tested.stdout.contains("limits.memory_mib"), "{tested:?}");
    role.edit("capabilities.toml", "memory_mib = 1 ", "memory_mib = 32 ");
    role.edit(
        "capabilities.toml",
        "[grants.github-read]\nrepositories",
        "[grants.github-merge]\nbases = [\"main\"]\nrepositories",
    );
    role.edit("tests/first.toml", "github-read.get-file", "github-merge.merge");
    let tested = role.run(&["test", "."]).await;
    assert_eq!(tested.code, Some(1), "{tested:?}");
    assert!(tested.stderr.contains("add a section [grants.github-read] or remove the call"), "{tested:?}");

    fs::remove_file(&role.component).unwrap();
    let tested = role.run(&["test", "."]).await;
    assert_eq!(tested.code, Some(1), "{tested:?}");
    assert!(tested.stderr.contains("the role has no component") && tested.stderr.contains("--build"), "{tested:?}");
}

#[tokio::test]
async fn a_new_role_completes_a_task_and_what_it_did_can_be_tested() {
    let role = greeter().await;
    let seed = "demo/sample=sample";
    let run = ["run", ".", "--task", "first-task.json", "--forge-seed", seed, "--record", "tests/recorded.toml"];
    let ran = role.run(&run).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("github-read.get-file"), "{ran:?}");
    let recorded = fs::read_to_string(role.path().join("tests/recorded.toml")).unwrap();
    assert!(recorded.contains("This line says hello."), "{recorded}");
    let tested = role.run(&["test", "."]).await;
    assert_eq!(tested.code, Some(0), "{recorded}\n{tested:?}");
    assert!(tested.stdout.contains("tests/recorded.toml: 1 calls, completed"), "{tested:?}");

    let again = role.run(&run).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("exists, and is not overwritten"), "{again:?}");
    role.edit("first-task.json", "README.md", "NOTHING.md");
    let failed = role.run(&["run", ".", "--task", "first-task.json", "--forge-seed", seed]).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stdout.contains("not found"), "{failed:?}");
    role.edit("first-task.json", "verification", "research");
    let refused = role.run(&["run", ".", "--task", "first-task.json"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("the role claims verification"), "{refused:?}");
}

/// `serve` runs it like one of ours, from a folder with the component and the manifest.
#[tokio::test]
async fn a_directory_with_component_and_manifest_is_enough() {
    let role = greeter().await;
    let roles = RolesDir::with(&[]);
    fs::create_dir(roles.role("greeter")).unwrap();
    fs::copy(&role.component, roles.component("greeter")).unwrap();
    fs::copy(role.path().join("capabilities.toml"), roles.manifest("greeter")).unwrap();
    let host = Host::start(Options::default().roles(roles)).await;
    let draft = json!({
        "title": "Look", "task_type": "verification", "acceptance_criteria": [{ "type": "checks-pass" }],
        "payload": { "repository": "demo/sample", "path": "README.md", "contains": "a" },
    });
    let task = host.create_task(draft).await;
    host.wait_for(&task, "completed", LIMIT).await;
}

/// A role of ours, with writes: what each of its calls is answered stands in the fixture.
#[tokio::test]
async fn a_role_that_writes_is_tested_without_a_forge() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("fixture.toml"), include_str!("role_new/executor.toml")).unwrap();
    let role = Paths::get().roles.join("executor");
    let arguments = ["role", "test", role.to_str().unwrap(), "--fixture", "fixture.toml"];
    let tested = juggernaut(folder.path(), &arguments, &[]).await;
    assert_eq!(tested.code, Some(0), "{tested:?}");
    let json = juggernaut(folder.path(), &[&arguments[..], &["--json"]].concat(), &[]).await.json();
    assert_eq!((&json["passed"], &json["role"]), (&json!(true), &json!("executor")), "{json}");
    assert!(json["fixtures"][0]["calls"].as_u64().unwrap() >= 6, "{json}");
}
