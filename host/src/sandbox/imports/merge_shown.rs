//! What an approver sees of a merge: the change itself, from GitHub, not what the role says that it is.
//!
//! Invariant: everything that is merged is bound by the digest, shown or not: the head, the commit where it left the base,
//! each changed path, both sides of each file, and the message of the commit. What can not be shown is said to be there.
//!
//! A base that moved on elsewhere changes nothing of that. Where it touched one of the same files, or renamed any (a
//! merge carries changes along), the outcome depends on it: then its very commit is bound, too.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use sha2::{Digest, Sha256};
use similar::TextDiff;

use super::merge_facts::still;
use crate::approval::exact_digest;
use crate::github::{ChangedFile, Comparison, FileStatus, GitHub, GitHubError, PullRequest};
use crate::policy::action::MergePullRequest;
use crate::repo::{Branch, RepoPath, Repository, Sha};
use crate::sandbox::approval::{Shown, line, quoted};
use crate::sandbox::calls::GuestError;
use crate::text::visible;

/// Files whose content is looked at; the paths of all others are shown.
const FILES_MAX: usize = 100;
/// Largest file that is shown as a diff, and longest diff of one file.
const DIFF_BYTES_MAX: usize = 256 * 1024;
/// Longest text of all diffs; what is beyond it is named with its size and digest.
const DIFFS_BYTES_MAX: usize = 900 * 1024;
/// Then a diff may be longer than it need be. It is right in any case.
const DIFF_TIME_MAX: Duration = Duration::from_millis(200);
/// Files that are fetched at the same time.
const FETCHES: usize = 4;
/// Commits whose messages are repeated.
const MESSAGES_MAX: usize = 20;

/// Shows the merge of exactly the head that was judged, into the task's base.
pub(super) async fn show(github: &GitHub, judged: &MergePullRequest, base: &Branch) -> Result<Shown, GuestError> {
    let repository = &judged.repository;
    let pull_request = github.pull_request(repository, judged.number).await?;
    still(&pull_request, judged, base)?;
    let tip = github.branch_sha(repository, base).await?;
    let comparison = github.compare(repository, tip.as_str(), pull_request.head_sha.as_str()).await?;
    let Some(merge_base) = comparison.merge_base.clone() else {
        return Err(GuestError::Unavailable("GitHub does not say where head and base parted".to_owned()));
    };
    let together = together(github, repository, &tip, &pull_request.head_sha, &comparison).await?;
    let change = Change {
        repository,
        message: &judged.message,
        pull_request: &pull_request,
        tip,
        together,
        merge_base,
        comparison: &comparison,
    };
    let looked: Vec<Looked> = look(github, &change).await?;
    let exact = change.exact(&looked);
    let role_says = role_says(github, &change).await?;
    Ok(Shown { text: change.text(&looked), exact, role_says: Some(role_says) })
}

struct Change<'a> {
    /// Of the commit that the merge makes.
    message: &'a str,
    repository: &'a Repository,
    pull_request: &'a PullRequest,
    /// The base branch's head.
    tip: Sha,
    /// Whether the base's own changes since then meet this one.
    together: bool,
    merge_base: Sha,
    comparison: &'a Comparison,
}

/// One side of a changed file.
enum Side {
    Absent,
    Content {
        bytes: usize,
        sha256: [u8; 32],
    },
    /// A symlink, a submodule, a name that can not be asked for, or too large for GitHub to give it.
    Other(String),
}

/// A changed file, looked at.
struct Looked {
    before: Side,
    after: Side,
    diff: Result<Diff, &'static str>,
}

struct Diff {
    added: usize,
    removed: usize,
    text: String,
}

/// Whether base and head changed the same files, or may have.
async fn together(
    github: &GitHub,
    repository: &Repository,
    tip: &Sha,
    head: &Sha,
    ours: &Comparison,
) -> Result<bool, GitHubError> {
    if ours.behind_by == 0 {
        return Ok(false);
    }
    let theirs = github.compare(repository, head.as_str(), tip.as_str()).await?;
    Ok(meet(ours, &theirs))
}

fn meet(ours: &Comparison, theirs: &Comparison) -> bool {
    let paths: BTreeSet<&str> = ours
        .files
        .iter()
        .flat_map(|file| std::iter::once(file.path.as_str()).chain(file.previous_path.as_deref()))
        .collect();
    ours.truncated
        || theirs.truncated
        || theirs.files.iter().any(|file| file.previous_path.is_some() || paths.contains(file.path.as_str()))
}

async fn look(github: &GitHub, change: &Change<'_>) -> Result<Vec<Looked>, GitHubError> {
    let files = change.comparison.files.iter().take(FILES_MAX);
    let looks: Vec<_> = files.map(|file| look_at(github, change, file)).collect();
    let mut looks = futures_util::stream::iter(looks).buffered(FETCHES);
    let mut looked = Vec::new();
    let mut bytes = 0;
    while let Some(next) = looks.next().await {
        let mut next = next?;
        if let Ok(diff) = &next.diff {
            bytes += diff.text.len();
            if bytes > DIFFS_BYTES_MAX {
                next.diff = Err("there is too much to show it");
            }
        }
        looked.push(next);
    }
    Ok(looked)
}

async fn look_at(github: &GitHub, change: &Change<'_>, file: &ChangedFile) -> Result<Looked, GitHubError> {
    let before = file.previous_path.as_ref().unwrap_or(&file.path);
    let (old, before) = match file.status {
        FileStatus::Added => (Vec::new(), Side::Absent),
        _ => fetch(github, change.repository, before, &change.merge_base).await?,
    };
    let (new, after) = match file.status {
        FileStatus::Removed => (Vec::new(), Side::Absent),
        _ => fetch(github, change.repository, &file.path, &change.pull_request.head_sha).await?,
    };
    let diff = if matches!(before, Side::Other(_)) || matches!(after, Side::Other(_)) {
        Err("it is no file that can be read")
    } else {
        let made = tokio::task::spawn_blocking(move || diff(old, new)).await;
        made.unwrap_or(Err("the diff could not be made"))
    };
    Ok(Looked { before, after, diff })
}

async fn fetch(github: &GitHub, repository: &Repository, path: &str, at: &Sha) -> Result<(Vec<u8>, Side), GitHubError> {
    let Ok(path) = RepoPath::parse(path) else {
        return Ok((Vec::new(), Side::Other("its name can not be asked for".to_owned())));
    };
    match github.file(repository, &path, at.as_str()).await {
        Ok(file) => {
            let side = Side::Content { bytes: file.content.len(), sha256: Sha256::digest(&file.content).into() };
            Ok((file.content, side))
        }
        Err(GitHubError::NotFound(_)) => Ok((Vec::new(), Side::Absent)),
        Err(GitHubError::Invalid(why)) => Ok((Vec::new(), Side::Other(why))),
        Err(error) => Err(error),
    }
}

fn diff(old: Vec<u8>, new: Vec<u8>) -> Result<Diff, &'static str> {
    if old.len().max(new.len()) > DIFF_BYTES_MAX {
        return Err("it is too large to show");
    }
    let (Ok(old), Ok(new)) = (String::from_utf8(old), String::from_utf8(new)) else {
        return Err("it is no text");
    };
    if old.contains('\0') || new.contains('\0') {
        return Err("it is no text");
    }
    let diff = TextDiff::configure().timeout(DIFF_TIME_MAX).diff_lines(&old, &new);
    let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    let (added, removed) = (count(similar::ChangeTag::Insert), count(similar::ChangeTag::Delete));
    let mut text = String::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        text.push_str(&format!("| {}\n", hunk.header()));
        for change in hunk.iter_changes() {
            let value = change.value();
            let value = value.strip_suffix('\n').unwrap_or(value);
            text.push_str(&format!("| {}{}\n", change.tag(), line(value)));
            if change.missing_newline() {
                text.push_str("| \\ No newline at end of file\n");
            }
        }
        if text.len() > DIFF_BYTES_MAX {
            return Err("its diff is too long to show");
        }
    }
    Ok(Diff { added, removed, text })
}

impl Side {
    fn describe(&self) -> String {
        match self {
            Self::Absent => "nothing".to_owned(),
            Self::Content { bytes, sha256 } => format!("{bytes} bytes, SHA-256 {}", hex::encode(sha256)),
            Self::Other(why) => visible(why).into_owned(),
        }
    }

    /// What is no content is pinned by the commits.
    fn bound(&self) -> Vec<u8> {
        match self {
            Self::Absent => b"absent".to_vec(),
            Self::Content { sha256, .. } => sha256.to_vec(),
            Self::Other(_) => b"other".to_vec(),
        }
    }
}

fn status(file: &ChangedFile) -> &'static str {
    match file.status {
        FileStatus::Added => "added",
        FileStatus::Removed => "removed",
        FileStatus::Modified => "modified",
        FileStatus::Renamed => "renamed",
        FileStatus::Copied => "copied",
        FileStatus::Changed => "changed in kind",
        FileStatus::Unchanged => "unchanged",
    }
}

fn named(file: &ChangedFile) -> String {
    match &file.previous_path {
        Some(before) => format!("\"{}\" from \"{}\"", visible(&file.path), visible(before)),
        None => format!("\"{}\"", visible(&file.path)),
    }
}

impl Change<'_> {
    fn exact(&self, looked: &[Looked]) -> [u8; 32] {
        let number = self.pull_request.number.to_be_bytes();
        let mut parts: Vec<Vec<u8>> = vec![
            self.repository.to_string().into_bytes(),
            number.to_vec(),
            self.pull_request.base_branch.clone().into_bytes(),
            if self.together { self.tip.as_str().as_bytes().to_vec() } else { Vec::new() },
            self.merge_base.as_str().as_bytes().to_vec(),
            self.pull_request.head_sha.as_str().as_bytes().to_vec(),
            self.message.as_bytes().to_vec(),
        ];
        for (at, file) in self.comparison.files.iter().enumerate() {
            parts.push(status(file).as_bytes().to_vec());
            parts.push(file.path.clone().into_bytes());
            parts.push(file.previous_path.clone().unwrap_or_default().into_bytes());
            if let Some(looked) = looked.get(at) {
                parts.extend([looked.before.bound(), looked.after.bound()]);
            }
        }
        exact_digest(parts.iter().map(Vec::as_slice))
    }

    fn text(&self, looked: &[Looked]) -> String {
        let Self { repository, message, pull_request, tip, together, merge_base, comparison } = self;
        let mut text = String::from("Squash-merge a pull request\n\n");
        let mut field = |name: &str, value: String| text.push_str(&format!("{name:13} {value}\n"));
        field("repository", repository.to_string());
        field("pull request", format!("#{} {}", pull_request.number, visible(&pull_request.url)));
        field("head", format!("{} of {}", pull_request.head_sha, visible(&pull_request.head_branch)));
        field("base", format!("{tip} of {}", visible(&pull_request.base_branch)));
        field("parted at", merge_base.to_string());
        if *together {
            field(
                "CARE",
                "the base changed the same files since then, or renamed some: look at what a merge makes".into(),
            );
        } else if comparison.behind_by > 0 {
            field("base since", format!("{} commits, which touch none of these files", comparison.behind_by));
        }
        field("commits", comparison.commits.len().to_string());
        let hidden = comparison.files.iter().zip(looked).filter(|(_, looked)| looked.diff.is_err()).count()
            + comparison.files.len().saturating_sub(looked.len());
        if hidden > 0 {
            field("NOT SHOWN", format!("the content of {hidden} of {} files; see below", comparison.files.len()));
        }
        text.push_str(&format!("\nMessage of the commit that the merge makes:\n{}", quoted(message)));
        text.push_str(&format!("\nFiles ({}):\n", comparison.files.len()));
        for (at, file) in comparison.files.iter().enumerate() {
            let about = match looked.get(at) {
                None => format!("content not shown: only the first {FILES_MAX} files are looked at"),
                Some(Looked { diff: Ok(diff), .. }) => format!("+{} -{}", diff.added, diff.removed),
                Some(Looked { before, after, diff: Err(why) }) => {
                    format!("content not shown: {why}; before: {}; after: {}", before.describe(), after.describe())
                }
            };
            // Writing to a String can not fail.
            writeln!(text, "- {} {} ({about})", status(file), named(file)).unwrap_or_default();
        }
        text.push_str("\nDiff from where they parted to the head (a bar begins each line of a file):\n");
        for (file, looked) in comparison.files.iter().zip(looked) {
            if let Ok(diff) = &looked.diff {
                text.push_str(&format!("\n{}\n{}", named(file), diff.text));
            }
        }
        text
    }
}

/// Title, description and commit messages: by the role, or by whoever could edit them.
async fn role_says(github: &GitHub, change: &Change<'_>) -> Result<String, GitHubError> {
    let written = github.pull_request_text(change.repository, change.pull_request.number).await?;
    let mut text = format!("Title of the pull request:\n{}", quoted(&written.title));
    text.push_str(&format!("Description:\n{}", quoted(written.body.as_deref().unwrap_or_default())));
    for sha in change.comparison.commits.iter().take(MESSAGES_MAX) {
        let commit = github.commit(change.repository, sha.as_str()).await?;
        text.push_str(&format!("Message of {sha}:\n{}", quoted(&commit.message)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_deceives_and_keeps_to_its_bar() {
        let shown = diff(b"a\n\tkept\n--- x\n".to_vec(), "a\u{202e}b\n\tkept\n\u{1b}[2J".into()).unwrap();
        assert_eq!((shown.added, shown.removed), (2, 2));
        assert!(shown.text.contains("| +a<U+202E>b\n"), "{}", shown.text);
        assert!(shown.text.contains("|  \tkept\n"), "{}", shown.text);
        assert!(shown.text.contains("| ---- x\n"), "{}", shown.text);
        assert!(shown.text.contains("| +<U+001B>[2J\n| \\ No newline at end of file\n"), "{}", shown.text);
        assert!(shown.text.lines().all(|line| line.starts_with("| ")), "{}", shown.text);
    }

    #[test]
    fn a_base_that_moved_elsewhere_does_not_meet_the_change() {
        let file = |path: &str, previous: Option<&str>| ChangedFile {
            path: path.to_owned(),
            previous_path: previous.map(str::to_owned),
            status: FileStatus::Modified,
            deletions: 0,
            written_lines: Some(1),
            blob: None,
        };
        let of = |files: Vec<ChangedFile>, truncated: bool| Comparison {
            ahead_by: 1,
            behind_by: 1,
            commits: vec![],
            files,
            merge_base: None,
            truncated,
        };
        let ours = of(vec![file("a", None), file("c", Some("b"))], false);
        assert!(!meet(&ours, &of(vec![file("d", None)], false)));
        for path in ["a", "b", "c"] {
            assert!(meet(&ours, &of(vec![file("d", None), file(path, None)], false)), "{path}");
        }
        assert!(meet(&ours, &of(vec![file("e", Some("d"))], false)), "a rename may carry a folder along");
        assert!(meet(&ours, &of(vec![], true)));
    }

    #[test]
    fn what_is_no_text_or_too_large_is_not_shown() {
        assert_eq!(diff(vec![0xff], vec![]).err(), Some("it is no text"));
        assert_eq!(diff(vec![], b"a\0b".to_vec()).err(), Some("it is no text"));
        assert_eq!(diff(vec![], vec![b'a'; DIFF_BYTES_MAX + 1]).err(), Some("it is too large to show"));
        // Made visible, it is seven times as long.
        let grows = "\u{200b}\n".repeat(DIFF_BYTES_MAX / 8);
        assert_eq!(diff(vec![], grows.into_bytes()).err(), Some("its diff is too long to show"));
    }

    #[test]
    fn a_hostile_pair_of_files_does_not_hold_up_the_host() {
        let lines =
            |odd: u32| (0..40_000_u32).map(|n| format!("{}\n", n.wrapping_mul(7919 + odd) % 1000)).collect::<String>();
        let began = std::time::Instant::now();
        let (old, new) = (lines(0), lines(2));
        diff(old.into_bytes(), new.into_bytes()).map(drop).unwrap_or_default();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
