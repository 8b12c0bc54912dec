//! Paths whose content acts with somebody else's authority: a push there runs with the CI's secrets before any merge,
//! or changes who may approve.

/// Folders and files that other CI services and deployment platforms read from whatever is pushed or merged.
const CI_NAMES: &[&str] = &[
    ".buildkite",
    ".circleci",
    ".drone.yml",
    ".gitlab-ci.yml",
    ".travis.yml",
    ".woodpecker",
    ".woodpecker.yml",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "jenkinsfile",
    "railway.json",
    "railway.toml",
];

/// Why no role may write the path, if so. Compared without regard to case: GitHub's own readers, and checkouts on
/// case-insensitive disks, treat `.GitHub/` as `.github/`.
pub(super) fn runs_elsewhere(path: &str) -> Option<&'static str> {
    let lower = path.to_lowercase();
    let parts: Vec<&str> = lower.split('/').map(|part| part.trim_end_matches([' ', '.'])).collect();
    let file = parts.last().copied().unwrap_or_default();
    let folder = |name: &str| parts.contains(&name);
    if folder(".github") || folder(".git") {
        return Some("configures GitHub or git itself");
    }
    if parts.iter().any(|part| CI_NAMES.contains(part)) {
        return Some("configures what runs with a CI's or a platform's secrets");
    }
    if file == "codeowners" {
        return Some("decides who must approve");
    }
    if file == ".gitmodules" || file == ".gitattributes" {
        return Some("changes what other files are");
    }
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    if file == "capabilities.toml" || file == "roles.lock" || extension == "cedar" || extension == "cedarschema" {
        return Some("is a manifest or policy of this system");
    }
    None
}
