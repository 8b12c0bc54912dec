//! Paths whose content acts with somebody else's authority: a push there runs with the CI's secrets before any merge,
//! or changes who may approve.

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
