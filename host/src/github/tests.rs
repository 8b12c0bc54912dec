//! The client against a scripted server, over HTTP: what it sends, what it makes of the answer, what it does not do.

mod faults;
mod limits;
mod reads;
mod server;
mod texts;
mod writes;

use serde_json::{Value, json};

use crate::policy::Granted;
use crate::policy::action::{CreateBranch, MergePullRequest, OpenPullRequest, PutFile};
use crate::repo::{Branch, RepoPath, Repository, Sha};

const TOKEN: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

fn repository() -> Repository {
    Repository::parse("octo/hello").unwrap()
}

fn branch() -> Branch {
    Branch::parse("feature/0199-a").unwrap()
}

fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap()
}

/// A sha of one digit, repeated.
fn sha(digit: char) -> Sha {
    Sha::parse(&digit.to_string().repeat(40)).unwrap()
}

fn create_branch() -> Granted<CreateBranch> {
    Granted::for_tests(CreateBranch { repository: repository(), branch: branch(), sha: sha('a') })
}

fn put_file() -> PutFile {
    PutFile {
        repository: repository(),
        branch: branch(),
        path: path("core/ä b?.py"),
        content: b"print(1)\n".to_vec(),
        message: "Add core".to_owned(),
        previous: None,
    }
}

fn open_pull_request() -> Granted<OpenPullRequest> {
    Granted::for_tests(OpenPullRequest {
        repository: repository(),
        head: branch(),
        base: Branch::parse("main").unwrap(),
        title: "Add core".to_owned(),
        body: "For task 0199".to_owned(),
    })
}

fn merge() -> Granted<MergePullRequest> {
    Granted::for_tests(MergePullRequest {
        repository: repository(),
        number: 7,
        head_sha: sha('b'),
        message: "t: A title (#7)\n\nA body\n\nof two parts".to_owned(),
    })
}

fn ref_json() -> Value {
    json!({
        "ref": "refs/heads/feature/0199-a",
        "node_id": "MDM6UmVmcmVmcy9oZWFkcy9mZWF0dXJlQQ==",
        "url": "https://api.github.com/repos/octo/hello/git/refs/heads/feature/0199-a",
        "object": {
            "type": "commit",
            "sha": sha('a'),
            "url": format!("https://api.github.com/repos/octo/hello/git/commits/{}", sha('a')),
        },
    })
}

/// As GitHub answers for a single pull request, less what nobody reads.
fn pull_request_json() -> Value {
    json!({
        "url": "https://api.github.com/repos/octo/hello/pulls/7",
        "id": 1, "node_id": "PR_kwDO", "number": 7, "state": "open", "locked": false,
        "html_url": "https://github.com/octo/hello/pull/7",
        "title": "Add core", "body": "For task 0199",
        "user": {"login": "octocat", "id": 1, "type": "User"},
        "created_at": "2026-01-26T19:01:12Z", "updated_at": "2026-01-26T19:01:12Z",
        "closed_at": null, "merged_at": null, "merge_commit_sha": sha('e'),
        "head": {
            "label": "octo:feature/0199-a", "ref": "feature/0199-a", "sha": sha('b'),
            "user": {"login": "octo"},
            "repo": {"id": 1, "name": "Hello", "full_name": "Octo/Hello", "fork": false},
        },
        "base": {"label": "octo:main", "ref": "main", "sha": sha('a'), "repo": {"full_name": "Octo/Hello"}},
        "draft": false, "merged": false, "mergeable": true, "mergeable_state": "clean", "commits": 1,
    })
}
