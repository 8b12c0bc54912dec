//! Paths as policies see them: as the most forgiving reader of a repository would take them. GitHub's own readers, and
//! checkouts on case-insensitive disks, treat `.GitHub/` as `.github/`; Windows drops trailing dots and spaces.

use std::collections::BTreeSet;

use super::question::Fact;

/// Paths that a message names.
const NAMED_MAX: usize = 5;

/// How the short names begin that Windows gives to names which policies look for; such a name stands for the long one.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("appvey", ".appveyor.yml"),
    ("azure-", "azure-pipelines.yml"),
    ("bitbuc", "bitbucket-pipelines.yml"),
    ("buildk", ".buildkite"),
    ("builds", "buildspec.yml"),
    ("capabi", "capabilities.toml"),
    ("circle", ".circleci"),
    ("cirrus", ".cirrus.yml"),
    ("cloudb", "cloudbuild.yaml"),
    ("codeow", "codeowners"),
    ("drone", ".drone.yml"),
    ("forgej", ".forgejo"),
    ("git", ".git"),
    ("gitatt", ".gitattributes"),
    ("gitea", ".gitea"),
    ("github", ".github"),
    ("gitlab", ".gitlab-ci.yml"),
    ("gitmod", ".gitmodules"),
    ("husky", ".husky"),
    ("jenkin", "jenkinsfile"),
    ("pre-co", ".pre-commit-config.yaml"),
    ("railwa", "railway.json"),
    ("roles", "roles.lock"),
    ("travis", ".travis.yml"),
    ("woodpe", ".woodpecker.yml"),
];

/// `PathFacts` of the schema.
pub(super) fn facts<'a>(paths: impl IntoIterator<Item = &'a str>) -> Fact {
    let (mut names, mut files, mut extensions) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for path in paths {
        let parts = parts(path);
        if let Some(file) = parts.last() {
            files.insert(file.clone());
            extensions.extend(file.rsplit_once('.').map(|(_, extension)| extension.to_owned()));
        }
        names.extend(parts);
    }
    let set = |values: BTreeSet<String>| Fact::Set(values.into_iter().collect());
    Fact::Record(vec![("names", set(names)), ("files", set(files)), ("extensions", set(extensions))])
}

/// The parts of a path, folded.
pub(super) fn parts(path: &str) -> Vec<String> {
    // Characters that file systems ignore when they compare names (HFS+ drops them) must not hide one either.
    let visible: String = path.to_lowercase().chars().filter(|char| !is_ignorable(*char)).collect();
    visible
        .split(['/', '\\'])
        // NTFS: a name and its stream, `.git::$INDEX_ALLOCATION`; and short names, `GIT~1`.
        .map(|part| part.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']))
        .map(long_name)
        .filter(|part| !part.is_empty())
        .collect()
}

/// What a short name stands for, as far as policies look for it: `github~1`, `gitlab~1.yml`, `rules~1.ced`.
fn long_name(part: &str) -> String {
    let (stem, extension) = part.rsplit_once('.').unwrap_or((part, ""));
    let Some((begins, number)) = stem.rsplit_once('~') else { return part.to_owned() };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return part.to_owned();
    }
    if extension == "ced" {
        return format!("{stem}.cedar");
    }
    let known = SHORT_NAMES.iter().find(|(beginning, _)| *beginning == begins);
    known.map_or(part, |(_, long)| *long).to_owned()
}

/// The words that a path is made of, folded: between separators, and as `camelCase` has them.
pub(super) fn words(path: &str) -> Vec<String> {
    let visible: String = path.chars().filter(|char| !is_ignorable(*char)).collect();
    let mut words = Vec::new();
    for name in visible.split(|char: char| !char.is_alphanumeric()).filter(|name| !name.is_empty()) {
        words.push(name.to_lowercase());
        let chars: Vec<char> = name.chars().collect();
        let mut word = String::new();
        for (at, char) in chars.iter().enumerate() {
            let before = at.checked_sub(1).map(|at| chars[at]);
            let humps = before.is_some_and(|before| {
                // `apiToken`, and the last capital of `HTTPAuth`; digits stand alone.
                (char.is_uppercase()
                    && (!before.is_uppercase() || chars.get(at + 1).is_some_and(|next| next.is_lowercase())))
                    || char.is_numeric() != before.is_numeric()
            });
            if humps {
                words.push(std::mem::take(&mut word));
            }
            word.extend(char.to_lowercase());
        }
        words.push(word);
    }
    words
}

fn is_ignorable(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{ad}')
}

/// For a message: the first paths, and how many more.
pub(super) fn named(paths: &[&str]) -> String {
    let first: Vec<String> = paths.iter().take(NAMED_MAX).map(|path| format!("{path:?}")).collect();
    match paths.len().saturating_sub(NAMED_MAX) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_long_ones() {
        for (path, last) in [
            ("GIT~1/config", "config"),
            ("GITHUB~1", ".github"),
            ("a/gitlab~1.yml", ".gitlab-ci.yml"),
            ("CODEOW~2", "codeowners"),
            ("PRE-CO~1.YAM", ".pre-commit-config.yaml"),
            ("rules~1.CED", "rules~1.cedar"),
            ("notes~1.txt", "notes~1.txt"),
            ("github~", "github~"),
            ("github~x", "github~x"),
        ] {
            assert_eq!(parts(path).last().map(String::as_str), Some(last), "{path}");
        }
        assert_eq!(parts("GIT~1/config")[0], ".git");
    }
}
