//! What an approver sees of a deployment, and how a run says which step it belongs to.
//!
//! Invariant: the digest binds the very commit, so that the workflow's own text, shown or not, is bound with it.

use sha2::{Digest, Sha256};

use crate::approval::exact_digest;
use crate::github::GitHub;
use crate::policy::action::DispatchWorkflow;
use crate::repo::RepoPath;
use crate::sandbox::approval::{Shown, quoted};
use crate::sandbox::calls::GuestError;
use crate::text::visible;

/// Given where the workflow declares it, so that its `run-name` can say which step the run is of.
pub(super) const STEP_INPUT: &str = "juggernaut_step";
/// Largest workflow that is shown whole.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// How the name of a step begins.
const STEP_BEGINS: &str = "juggernaut-";

/// Whether a workflow has such an input: a line that begins with its name. Where that is a mistake GitHub refuses the
/// dispatch.
pub(super) fn declares_step(file: &[u8]) -> bool {
    let text = String::from_utf8_lossy(file);
    text.lines().any(|line| {
        let key = line.trim_start();
        key.len() < line.len() && key.strip_prefix(STEP_INPUT).is_some_and(|rest| rest.trim_start().starts_with(':'))
    })
}

/// Whether a run's title holds the name of a step, whole.
pub(super) fn names_step(title: &str, key: &str) -> bool {
    title.match_indices(key).any(|(at, _)| {
        let after = title[at + key.len()..].chars().next();
        !after.is_some_and(|character| character.is_alphanumeric() || character == '/')
    })
}

/// Whether a run's title holds what looks like the name of a step.
pub(super) fn names_any_step(title: &str) -> bool {
    title.match_indices(STEP_BEGINS).any(|(at, begin)| {
        let id: String = title[at + begin.len()..].chars().take(36).collect();
        uuid::Uuid::try_parse(&id).is_ok()
    })
}

pub(super) async fn show(github: &GitHub, action: &DispatchWorkflow) -> Result<Shown, GuestError> {
    let DispatchWorkflow { repository, workflow, branch: _, head_sha, inputs: _ } = action;
    let path = RepoPath::parse(&format!(".github/workflows/{workflow}"))?;
    let file = github.file(repository, &path, head_sha.as_str()).await?;
    Ok(shown(action, &file.content))
}

fn shown(action: &DispatchWorkflow, file: &[u8]) -> Shown {
    let DispatchWorkflow { repository, workflow, branch, head_sha, inputs } = action;
    let mut text = String::from("Start a workflow of GitHub Actions\n\n");
    let mut field = |name: &str, value: String| text.push_str(&format!("{name:10} {value}\n"));
    field("repository", repository.to_string());
    field("workflow", format!(".github/workflows/{workflow}"));
    field("branch", branch.to_string());
    field("head", head_sha.to_string());
    field("file", format!("{} bytes, SHA-256 {}", file.len(), hex::encode(Sha256::digest(file))));
    for (name, value) in inputs {
        field("input", format!("{name} = \"{}\"", visible(value)));
    }
    if inputs.is_empty() {
        field("inputs", "none".to_owned());
    }
    match std::str::from_utf8(file) {
        Ok(file) if file.len() <= FILE_BYTES_MAX && !file.contains('\0') => {
            text.push_str("\nThe workflow at that commit (a bar begins each line of it):\n");
            text.push_str(&quoted(file));
        }
        Ok(_) | Err(_) => text.push_str("\nNOT SHOWN: the workflow's file is too long, or no text.\n"),
    }
    let (repository, branch) = (repository.to_string(), branch.to_string());
    let mut parts: Vec<&[u8]> =
        vec![repository.as_bytes(), workflow.as_bytes(), branch.as_bytes(), head_sha.as_str().as_bytes()];
    for (name, value) in inputs {
        parts.extend([name.as_bytes(), value.as_bytes()]);
    }
    Shown { text, exact: exact_digest(parts), role_says: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::{Branch, Repository, Sha};

    const KEY: &str = "juggernaut-0198f2d0-0000-7000-8000-000000000000/1/4";

    #[test]
    fn a_step_is_named_whole() {
        assert!(names_step(&format!("Deploy {KEY}"), KEY) && names_step(&format!("{KEY}: x"), KEY));
        assert!(!names_step(&format!("{KEY}2"), KEY) && !names_step(&format!("{KEY}/2"), KEY) && !names_step("x", KEY));
        assert!(names_any_step(KEY) && !names_any_step("juggernaut-deploy") && !names_any_step("Deploy"));
    }

    #[test]
    fn the_hosts_input_is_given_where_it_is_declared() {
        let declared = "on:\n  workflow_dispatch:\n    inputs:\n      juggernaut_step:\n        required: false\n";
        assert!(declares_step(declared.as_bytes()) && declares_step(b"    juggernaut_step : {}"));
        for other in ["juggernaut_step:\n", "  juggernaut_steps:\n", "  # juggernaut_step:\n", "  x: juggernaut_step\n"]
        {
            assert!(!declares_step(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn an_approver_sees_where_what_and_with_what() {
        let action = DispatchWorkflow {
            repository: Repository::parse("demo/sample").unwrap(),
            workflow: "deploy.yml".to_owned(),
            branch: Branch::parse("main").unwrap(),
            head_sha: Sha::parse(&"a".repeat(40)).unwrap(),
            inputs: vec![("target".to_owned(), "prod\u{202e}\nhead x".to_owned())],
        };
        let Shown { text, exact, .. } = shown(&action, b"on: workflow_dispatch\n\x1b[2J\n");
        assert!(
            text.contains("repository demo/sample\nworkflow   .github/workflows/deploy.yml\nbranch     main\n"),
            "{text}"
        );
        assert!(text.contains(&format!("head       {}\n", "a".repeat(40))), "{text}");
        assert!(text.contains("input      target = \"prod<U+202E><U+000A>head x\"\n"), "{text}");
        assert!(text.contains("| on: workflow_dispatch\n| <U+001B>[2J\n"), "{text}");
        let mut moved = action.clone();
        moved.head_sha = Sha::parse(&"b".repeat(40)).unwrap();
        let mut other = action;
        other.inputs[0].1.push('x');
        assert!(shown(&moved, b"").exact != exact && shown(&other, b"").exact != exact);
    }
}
