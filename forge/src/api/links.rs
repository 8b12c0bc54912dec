//! Addresses and the objects that appear in many answers.

use git2::{Commit, Oid};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use crate::app::App;
use crate::clock;
use crate::error::{ApiError, StoreError};
use crate::store::{FileDiff, Repo, RepoName};

const PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

/// The path of a request without a name that could leave the root: not found, whatever it says.
pub(super) fn repo_name(owner: &str, repo: &str) -> Result<RepoName, ApiError> {
    RepoName::new(owner, repo).map_err(|_| ApiError::not_found())
}

/// Builds what an answer about one repository links to.
#[derive(Clone, Debug)]
pub(super) struct Links {
    pub(super) base: String,
    pub(super) name: RepoName,
}

impl Links {
    pub(super) fn new(app: &App, name: &RepoName) -> Self {
        Self { base: app.base.clone(), name: name.clone() }
    }

    pub(super) fn api(&self, path: &str) -> String {
        format!("{}/repos/{}{}", self.base, self.name, encoded(path))
    }

    pub(super) fn html(&self, path: &str) -> String {
        format!("{}/{}{}", self.base, self.name, encoded(path))
    }

    pub(super) fn user(&self, login: &str) -> Value {
        user(&self.base, login)
    }

    pub(super) fn repository(&self) -> Value {
        let name = &self.name;
        json!({
            "id": number_of(&name.to_string()),
            "node_id": node_id("R", &name.to_string()),
            "name": name.name(),
            "full_name": name.to_string(),
            "private": false,
            "owner": self.user(name.owner()),
            "html_url": self.html(""),
            "description": null,
            "fork": false,
            "url": self.api(""),
            "branches_url": self.api("/branches") + "{/branch}",
            "commits_url": self.api("/commits") + "{/sha}",
            "compare_url": self.api("/compare/") + "{base}...{head}",
            "contents_url": self.api("/contents/") + "{+path}",
            "git_refs_url": self.api("/git/refs") + "{/sha}",
            "pulls_url": self.api("/pulls") + "{/number}",
            "trees_url": self.api("/git/trees") + "{/sha}",
        })
    }

    pub(super) fn commit(&self, repo: &Repo, oid: Oid) -> Result<Value, StoreError> {
        let commit = repo.git.find_commit(oid)?;
        let sha = oid.to_string();
        let parents = self.parents(&commit);
        let mut details = self.git_commit(&commit);
        if let Some(details) = details.as_object_mut() {
            details.shift_remove("sha");
            details.shift_remove("node_id");
            details.shift_remove("html_url");
            details.shift_remove("parents");
        }
        Ok(json!({
            "sha": sha,
            "node_id": node_id("C", &sha),
            "commit": details,
            "url": self.api(&format!("/commits/{sha}")),
            "html_url": self.html(&format!("/commit/{sha}")),
            "comments_url": self.api(&format!("/commits/{sha}/comments")),
            "author": null,
            "committer": null,
            "parents": parents,
        }))
    }

    pub(super) fn commits(&self, repo: &Repo, oids: &[Oid]) -> Result<Vec<Value>, StoreError> {
        oids.iter().map(|oid| self.commit(repo, *oid)).collect()
    }

    /// A commit as the git database shows it.
    pub(super) fn git_commit(&self, commit: &Commit<'_>) -> Value {
        let sha = commit.id().to_string();
        let tree = commit.tree_id().to_string();
        json!({
            "sha": sha,
            "node_id": node_id("C", &sha),
            "url": self.api(&format!("/git/commits/{sha}")),
            "html_url": self.html(&format!("/commit/{sha}")),
            "author": person(&commit.author()),
            "committer": person(&commit.committer()),
            "message": String::from_utf8_lossy(commit.message_bytes()).trim_end(),
            "tree": {"sha": tree, "url": self.api(&format!("/git/trees/{tree}"))},
            "parents": self.parents(commit),
            "comment_count": 0,
            "verification": {
                "verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null,
            },
        })
    }

    fn parents(&self, commit: &Commit<'_>) -> Vec<Value> {
        commit
            .parent_ids()
            .map(|parent| {
                json!({
                    "sha": parent.to_string(),
                    "url": self.api(&format!("/commits/{parent}")),
                    "html_url": self.html(&format!("/commit/{parent}")),
                })
            })
            .collect()
    }

    pub(super) fn file_diff(&self, commit: &str, file: &FileDiff) -> Value {
        let path = &file.filename;
        let mut value = json!({
            "sha": file.sha.to_string(),
            "filename": path,
            "status": file.status,
            "additions": file.additions,
            "deletions": file.deletions,
            "changes": file.additions + file.deletions,
            "blob_url": self.html(&format!("/blob/{commit}/{path}")),
            "raw_url": self.html(&format!("/raw/{commit}/{path}")),
            "contents_url": self.api(&format!("/contents/{path}")) + "?ref=" + commit,
        });
        if let Some(patch) = &file.patch {
            value["patch"] = patch.as_str().into();
        }
        if let Some(previous) = &file.previous_filename {
            value["previous_filename"] = previous.as_str().into();
        }
        value
    }
}

pub(super) fn user(base: &str, login: &str) -> Value {
    let api = format!("{base}/users/{login}");
    json!({
        "login": login,
        "id": number_of(login),
        "node_id": node_id("U", login),
        "avatar_url": format!("{base}/avatars/{login}"),
        "gravatar_id": "",
        "url": api,
        "html_url": format!("{base}/{login}"),
        "followers_url": format!("{api}/followers"),
        "following_url": format!("{api}/following{{/other_user}}"),
        "gists_url": format!("{api}/gists{{/gist_id}}"),
        "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{api}/subscriptions"),
        "organizations_url": format!("{api}/orgs"),
        "repos_url": format!("{api}/repos"),
        "events_url": format!("{api}/events{{/privacy}}"),
        "received_events_url": format!("{api}/received_events"),
        "type": "User",
        "user_view_type": "public",
        "site_admin": false,
    })
}

fn person(signature: &git2::Signature<'_>) -> Value {
    json!({
        "name": String::from_utf8_lossy(signature.name_bytes()),
        "email": String::from_utf8_lossy(signature.email_bytes()),
        "date": clock::from_unix(signature.when().seconds()),
    })
}

pub(super) fn node_id(kind: &str, of: &str) -> String {
    format!("{kind}_{:08x}", number_of(&format!("{kind}:{of}")))
}

/// The same name has the same number in every forge, so that answers can be compared between runs (FNV-1a).
pub(super) fn number_of(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

pub(super) fn encoded(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}
