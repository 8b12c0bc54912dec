//! What GitHub itself says of a pull request, for the decision to merge it: not what the role says that it changed.

use futures_util::StreamExt as _;

use crate::github::{ChangedFile, FileStatus, GitHub, GitHubError, PullRequest, PullRequestState};
use crate::policy::action::MergePullRequest;
use crate::policy::{self, MergeFacts};
use crate::repo::{Branch, RepoPath, Repository};
use crate::sandbox::calls::GuestError;

/// SQL files and migrations of one change that are looked into.
const JUDGED_FILES_MAX: usize = 50;
/// Programs of one change that are looked into beside them.
const PROGRAMS_MAX: usize = 50;
/// Files that are fetched at the same time.
const FETCHES: usize = 4;
/// Files of one change that are looked into because GitHub does not show what they gained.
const BLANK_LOOKS_MAX: usize = 20;
/// The blob of a file without content.
const EMPTY_BLOB: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

pub(super) async fn gather(github: &GitHub, repository: &Repository, number: u64) -> Result<MergeFacts, GuestError> {
    let pull_request = github.pull_request(repository, number).await?;
    match pull_request.state {
        PullRequestState::Open => {}
        PullRequestState::Closed => return Err(GuestError::Conflict(format!("pull request #{number} is closed"))),
        PullRequestState::Merged => {
            return Err(GuestError::Conflict(format!("pull request #{number} is merged already")));
        }
    }
    let head = pull_request.head_sha;
    let comparison = github.compare(repository, &pull_request.base_branch, head.as_str()).await?;
    // A three-way merge follows renames: what we changed in `ci/` lands where the base has moved `ci/` to.
    let mut truncated = comparison.truncated;
    let mut base_renames = Vec::new();
    if comparison.behind_by > 0 {
        let since = github.compare(repository, head.as_str(), &pull_request.base_branch).await?;
        truncated |= since.truncated;
        if let Some(path) = merged_unseen(&comparison.files, &since.files) {
            let message = format!(
                "the base changed {path:?} since the branch left it, so nobody can say what SQL a merge would make of it; \
                 make a fresh branch from the base, in another task"
            );
            return Err(GuestError::Conflict(message));
        }
        base_renames.extend(since.files.into_iter().filter(|file| file.previous_path.is_some()).map(|file| file.path));
    }
    let mut contents = contents(github, repository, &comparison.files, head.as_str()).await?;
    let programs = programs(github, repository, &comparison.files, head.as_str()).await?;
    contents.extend(programs.read);
    let files_removed = files_removed(github, repository, &comparison.files, head.as_str()).await?;
    let (mut paths, mut gone) = (Vec::new(), Vec::new());
    for file in comparison.files {
        if file.status == FileStatus::Removed {
            gone.push(file.path.clone());
        }
        paths.push(file.path);
        gone.extend(file.previous_path.clone().filter(|_| file.status == FileStatus::Renamed));
        paths.extend(file.previous_path);
    }
    Ok(MergeFacts {
        head_repository: pull_request.head_repository,
        head_branch: pull_request.head_branch,
        base_branch: pull_request.base_branch,
        head: head.to_string(),
        commits: comparison.commits,
        truncated,
        paths,
        gone,
        own_commits: Vec::new(),
        base_renames,
        files_removed,
        contents,
        unread: programs.unread,
    })
}

/// Between the decision and this look somebody may have pushed, or pointed the pull request elsewhere.
pub(super) fn still(seen: &PullRequest, judged: &MergePullRequest, base: &Branch) -> Result<(), GuestError> {
    if seen.head_sha == judged.head_sha && seen.base_branch == base.as_str() {
        return Ok(());
    }
    let PullRequest { number, head_sha, base_branch, .. } = seen;
    Err(GuestError::Conflict(format!(
        "pull request #{number} is {head_sha} into {base_branch:?} now, not {} into {:?}; look again",
        judged.head_sha,
        base.as_str(),
    )))
}

fn is_judged(path: &str) -> bool {
    policy::is_sql(path) || policy::is_migration(path)
}

/// A file of ours whose content after the merge is not the one at the head, where that content decides: the base changed
/// it too, or has made SQL of it by moving it, or the folder that it is in.
fn merged_unseen<'a>(ours: &'a [ChangedFile], theirs: &[ChangedFile]) -> Option<&'a str> {
    let mut there = ours.iter().filter(|our| our.status != FileStatus::Removed);
    there.find(|our| theirs.iter().any(|their| is_unseen(our, their))).map(|our| our.path.as_str())
}

fn is_unseen(our: &ChangedFile, their: &ChangedFile) -> bool {
    let from = their.previous_path.as_deref();
    let mut names = std::iter::once(our.path.as_str()).chain(our.previous_path.as_deref());
    let touched = names.any(|name| name == their.path || Some(name) == from);
    if is_judged(&our.path) {
        return touched;
    }
    let lands = from.and_then(|from| moved(&our.path, from, &their.path));
    (touched && is_judged(&their.path)) || lands.is_some_and(|landed| is_judged(&landed))
}

/// Where git takes a path when it finds that the base moved the folder of another file.
fn moved(path: &str, from: &str, to: &str) -> Option<String> {
    let (mut old, mut new) = (folder(from)?, folder(to).unwrap_or_default());
    // The folders that both end in have kept their names.
    loop {
        if let Some(rest) = path.strip_prefix(old).and_then(|rest| rest.strip_prefix('/')) {
            let landed = if new.is_empty() { rest.to_owned() } else { format!("{new}/{rest}") };
            return Some(landed);
        }
        let (above_old, name) = old.rsplit_once('/')?;
        let (above_new, other) = new.rsplit_once('/').unwrap_or(("", new));
        if name != other {
            return None;
        }
        (old, new) = (above_old, above_new);
    }
}

fn folder(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}

/// What the changed SQL and migrations hold: it decides on the risk.
async fn contents(
    github: &GitHub,
    repository: &Repository,
    files: &[ChangedFile],
    head: &str,
) -> Result<Vec<(String, Vec<u8>)>, GuestError> {
    let mut contents = Vec::new();
    for file in files.iter().filter(|file| file.status != FileStatus::Removed && is_judged(&file.path)) {
        if contents.len() == JUDGED_FILES_MAX {
            let message = format!("the change holds more than {JUDGED_FILES_MAX} SQL files and migrations; split it");
            return Err(GuestError::Invalid(message));
        }
        let path = RepoPath::parse(&file.path)?;
        contents.push((file.path.clone(), github.file(repository, &path, head).await?.content));
    }
    Ok(contents)
}

/// Programs, as the change leaves them.
#[derive(Default)]
struct Programs {
    read: Vec<(String, Vec<u8>)>,
    unread: Vec<String>,
}

/// What the changed programs hold: SQL in them raises the risk. One that can not be looked into stops nothing, and counts as
/// such.
async fn programs(
    github: &GitHub,
    repository: &Repository,
    files: &[ChangedFile],
    head: &str,
) -> Result<Programs, GuestError> {
    let is_one = |file: &&ChangedFile| {
        file.status != FileStatus::Removed && policy::is_program(&file.path) && !is_judged(&file.path)
    };
    let mut programs = Programs::default();
    let (looked, beyond): (Vec<_>, Vec<_>) =
        files.iter().filter(is_one).enumerate().partition(|(at, _)| *at < PROGRAMS_MAX);
    programs.unread.extend(beyond.into_iter().map(|(_, file)| file.path.clone()));
    let looks = looked.into_iter().map(|(_, file)| async move {
        let Ok(path) = RepoPath::parse(&file.path) else { return Ok((file, None)) };
        match github.file(repository, &path, head).await {
            Ok(read) => Ok((file, Some(read.content))),
            Err(GitHubError::Invalid(_) | GitHubError::NotFound(_)) => Ok((file, None)),
            Err(error) => Err(error),
        }
    });
    let looks: Vec<_> = looks.collect();
    let mut looks = futures_util::stream::iter(looks).buffered(FETCHES);
    while let Some(look) = looks.next().await {
        match look? {
            (file, Some(content)) => programs.read.push((file.path.clone(), content)),
            (file, None) => programs.unread.push(file.path.clone()),
        }
    }
    Ok(programs)
}

/// How a change leaves a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// With something new in it.
    Written,
    /// Removed, or with less than before and nothing new: emptied.
    Deleted,
    /// Only its content tells.
    Unknown,
}

fn left(file: &ChangedFile) -> Left {
    match file.status {
        FileStatus::Removed => Left::Deleted,
        FileStatus::Added | FileStatus::Copied | FileStatus::Unchanged => Left::Written,
        FileStatus::Modified | FileStatus::Renamed | FileStatus::Changed => {
            if file.blob.as_ref().is_some_and(|blob| blob.as_str() == EMPTY_BLOB) {
                return Left::Deleted;
            }
            match file.written_lines {
                _ if file.deletions == 0 => Left::Written,
                Some(0) => Left::Deleted,
                Some(_) => Left::Written,
                None => Left::Unknown,
            }
        }
    }
}

/// Files that the change removes or empties.
async fn files_removed(
    github: &GitHub,
    repository: &Repository,
    files: &[ChangedFile],
    head: &str,
) -> Result<usize, GuestError> {
    let (mut deleted, mut looks) = (0, 0);
    for file in files {
        deleted += match left(file) {
            Left::Written => 0,
            Left::Unknown if looks < BLANK_LOOKS_MAX => {
                looks += 1;
                let path = RepoPath::parse(&file.path)?;
                let content = github.file(repository, &path, head).await?.content;
                usize::from(content.iter().all(u8::is_ascii_whitespace))
            }
            // Whoever hides so many files is not believed.
            Left::Deleted | Left::Unknown => 1,
        };
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::repo::Sha;

    fn file(path: &str, previous: Option<&str>) -> ChangedFile {
        ChangedFile {
            path: path.to_owned(),
            previous_path: previous.map(str::to_owned),
            status: if previous.is_some() { FileStatus::Renamed } else { FileStatus::Modified },
            deletions: 0,
            written_lines: Some(1),
            blob: None,
        }
    }

    #[test]
    fn sql_that_the_base_changed_or_made_is_not_the_heads() {
        for (ours, theirs) in [
            (file("db/x.sql", None), file("db/x.sql", None)),
            (file("db/x.sql", None), file("db/y.sql", Some("db/x.sql"))),
            (file("notes.txt", None), file("db/x.sql", Some("notes.txt"))),
            (file("db/x.sql", Some("notes.txt")), file("notes.txt", None)),
            (file("steps/new.py", None), file("migrations/old.py", Some("steps/old.py"))),
            (file("a/steps/new.py", None), file("migrations/steps/b/old.py", Some("a/steps/b/old.py"))),
        ] {
            let unseen = merged_unseen(std::slice::from_ref(&ours), std::slice::from_ref(&theirs));
            assert_eq!(unseen, Some(ours.path.as_str()), "{ours:?} {theirs:?}");
        }
        for (ours, theirs) in [
            (file("a.py", None), file("a.py", None)),
            (file("db/x.sql", None), file("db/y.sql", None)),
            (file("a.py", None), file("db/y.sql", Some("db/z.sql"))),
            (file("a.py", None), file("b.py", Some("a.py"))),
            (file("other/new.py", None), file("migrations/old.py", Some("steps/old.py"))),
        ] {
            assert_eq!(merged_unseen(from_ref(&ours), from_ref(&theirs)), None, "{ours:?} {theirs:?}");
        }
        let removed = ChangedFile { status: FileStatus::Removed, ..file("db/x.sql", None) };
        assert_eq!(merged_unseen(&[removed], &[file("db/x.sql", None)]), None, "a merge keeps it or conflicts");
    }

    #[test]
    fn a_file_that_only_loses_counts_as_deleted() {
        let of = |deletions, written_lines| ChangedFile { deletions, written_lines, ..file("a", None) };
        for (file, expected) in [
            (of(0, Some(3)), Left::Written),
            (of(5, Some(3)), Left::Written),
            (of(5, Some(0)), Left::Deleted),
            (of(5, None), Left::Unknown),
            (of(0, None), Left::Written),
            (ChangedFile { blob: Sha::parse(EMPTY_BLOB).ok(), ..of(0, Some(0)) }, Left::Deleted),
            (ChangedFile { status: FileStatus::Removed, ..of(0, Some(0)) }, Left::Deleted),
            (
                ChangedFile { status: FileStatus::Added, blob: Sha::parse(EMPTY_BLOB).ok(), ..of(0, Some(0)) },
                Left::Written,
            ),
        ] {
            assert_eq!(left(&file), expected, "{file:?}");
        }
    }

    #[test]
    fn what_is_shown_is_what_was_judged() {
        let sha = |digit: &str| Sha::parse(&digit.repeat(40)).unwrap();
        let repository = Repository::parse("demo/sample").unwrap();
        let judged =
            MergePullRequest { repository: repository.clone(), number: 1, head_sha: sha("a"), message: String::new() };
        let seen = |head: &str, base: &str| PullRequest {
            number: 1,
            state: PullRequestState::Open,
            title: String::new(),
            url: String::new(),
            head_repository: Some(repository.clone()),
            head_branch: "feature/x".to_owned(),
            head_sha: sha(head),
            base_branch: base.to_owned(),
            mergeable: None,
            merge_sha: None,
        };
        let base = Branch::parse("main").unwrap();
        assert!(still(&seen("a", "main"), &judged, &base).is_ok());
        for (head, branch) in [("b", "main"), ("a", "release")] {
            assert!(
                matches!(still(&seen(head, branch), &judged, &base), Err(GuestError::Conflict(_))),
                "{head} {branch}"
            );
        }
    }
}
