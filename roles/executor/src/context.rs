//! The files of the task's branch: what there is, which of them matter, and what they hold now.

use std::collections::{BTreeMap, BTreeSet};

use juggernaut_guest::{Error, Failure, github_read};

/// What of a repository is shown to a model: files, the bytes of one and of all, and names.
const FILES_MAX: usize = 40;
const FILE_BYTES_MAX: usize = 40 * 1024;
const SHOWN_BYTES_MAX: usize = 100 * 1024;
const NAMES_MAX: usize = 600;
const NAMES_BYTES_MAX: usize = 24 * 1024;
/// Shortest word of the instructions that a path is looked for.
const WORD_CHARS_MIN: usize = 4;
/// What says how a repository is made.
const GUIDES: &[&str] =
    &["readme.md", "contributing.md", "pyproject.toml", "package.json", "cargo.toml", "go.mod", "__init__.py"];
/// Not read unless asked for: generated, or no text.
const DULL: &[&str] = &[
    ".lock",
    "-lock.json",
    ".min.js",
    ".map",
    ".svg",
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".ico",
    ".pdf",
    ".zip",
    ".gz",
    ".woff",
    ".woff2",
    ".ttf",
    ".wasm",
    ".so",
    ".bin",
    ".snap",
];

/// A file as the branch has it.
#[derive(Debug, Clone)]
pub struct File {
    pub text: String,
    pub sha: String,
}

#[derive(Debug)]
pub struct Files {
    repository: String,
    branch: String,
    /// Paths and sizes.
    tree: BTreeMap<String, u64>,
    /// What was read or written; none where there is no such file.
    known: BTreeMap<String, Option<File>>,
    shown: BTreeSet<String>,
}

impl Files {
    pub fn open(repository: &str, branch: &str) -> Result<Self, Failure> {
        let entries = github_read::get_tree(repository, branch)?;
        let blobs = entries.into_iter().filter(|entry| entry.kind == "blob");
        Ok(Self {
            repository: repository.to_owned(),
            branch: branch.to_owned(),
            tree: blobs.map(|entry| (entry.path, entry.size.unwrap_or_default())).collect(),
            known: BTreeMap::new(),
            shown: BTreeSet::new(),
        })
    }

    /// Reads what the words speak of, up to what is shown of a repository.
    pub fn read_what_matters(&mut self, words: &str) -> Result<(), Failure> {
        let words = words.to_lowercase();
        let mut ranked: Vec<(u32, u64, String)> = self
            .tree
            .iter()
            .filter(|(path, size)| **size <= FILE_BYTES_MAX as u64 && !is_dull(path))
            .map(|(path, size)| (score(path, &words), *size, path.clone()))
            .collect();
        // The best first; of those the small ones.
        ranked.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then_with(|| a.2.cmp(&b.2)));
        let mut bytes = 0;
        for (_, size, path) in ranked {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if self.shown.len() == FILES_MAX || bytes + size > SHOWN_BYTES_MAX {
                break;
            }
            bytes += size;
            self.show(&path)?;
        }
        Ok(())
    }

    /// Has a file shown from now on. What can not be read is shown as not there.
    pub fn show(&mut self, path: &str) -> Result<(), Failure> {
        match self.get(path) {
            Ok(Some(_)) => drop(self.shown.insert(path.to_owned())),
            Ok(None) | Err(Error::Invalid(_) | Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The file, if there is one that is text.
    pub fn get(&mut self, path: &str) -> Result<Option<&File>, Error> {
        if !self.known.contains_key(path) {
            let found = match github_read::get_file(&self.repository, path, &self.branch) {
                Ok(file) => {
                    let text = String::from_utf8(file.content)
                        .map_err(|_| Error::Invalid(format!("{path} is no text, so it can not be edited")))?;
                    Some(File { text, sha: file.sha })
                }
                Err(Error::NotFound(_)) => None,
                Err(error) => return Err(error),
            };
            self.known.insert(path.to_owned(), found);
        }
        Ok(self.known.get(path).and_then(Option::as_ref))
    }

    /// What the branch holds after a commit.
    pub fn written(&mut self, path: &str, text: String, sha: String) {
        self.tree.insert(path.to_owned(), text.len() as u64);
        self.shown.insert(path.to_owned());
        self.known.insert(path.to_owned(), Some(File { text, sha }));
    }

    /// All names, one in each line, as far as they are shown.
    pub fn names(&self) -> String {
        let mut names = String::new();
        for (number, (path, size)) in self.tree.iter().enumerate() {
            if number == NAMES_MAX || names.len() > NAMES_BYTES_MAX {
                names.push_str(&format!("… and {} more\n", self.tree.len() - number));
                break;
            }
            names.push_str(&format!("{path} ({size} bytes)\n"));
        }
        names
    }

    /// What is shown, path and text, within the limit for all of it.
    pub fn shown(&self) -> Vec<(&str, &str)> {
        let mut room = SHOWN_BYTES_MAX + FILE_BYTES_MAX;
        let known = self.shown.iter().filter_map(|path| {
            let file = self.known.get(path)?.as_ref()?;
            Some((path.as_str(), file.text.as_str()))
        });
        known
            .filter(|(_, text)| {
                let fits = text.len() <= room;
                room -= if fits { text.len() } else { 0 };
                fits
            })
            .collect()
    }
}

fn is_dull(path: &str) -> bool {
    let path = path.to_lowercase();
    DULL.iter().any(|end| path.ends_with(end))
}

/// How much the words speak of a path.
fn score(path: &str, words: &str) -> u32 {
    let path = path.to_lowercase();
    let name = path.rsplit('/').next().unwrap_or(&path);
    let named = if words.contains(&path) { 100 } else { 0 };
    let name_only = if words.contains(name) { 50 } else { 0 };
    let guide = if GUIDES.contains(&name) { 10 } else { 0 };
    let parts = path.split(|it: char| !it.is_alphanumeric()).filter(|part| part.chars().count() >= WORD_CHARS_MIN);
    let parts = u32::try_from(parts.filter(|part| words.contains(part)).count()).unwrap_or(u32::MAX).min(10);
    named + name_only + guide + parts * 5
}
