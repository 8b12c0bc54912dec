//! A language model writes the change: it is shown the instructions and files, and answers with edits. What the host, the repository's
//! checks or the files themselves say against them, it is told.
//!
//! Invariant: whatever comes from the repository, or from anybody but the payload's instructions, is quoted. Edits are applied all
//! or not at all, and committed only to the task's own branch.

use std::collections::BTreeMap;

use juggernaut_guest::github_read::{self, CheckRun};
use juggernaut_guest::llm::{self, Finish, Message, Part, Request};
use juggernaut_guest::{Assignment, Error, Failure, Finding, info, task};

use crate::branch;
use crate::change::{self, Job};
use crate::context::{File, Files};
use crate::edits::{self, Answer, EDITS_MAX, Edit, SCHEMA, WANTS_MAX};
use crate::lessons;
use crate::payload::Change;

const ANSWER_TOKENS_MAX: u32 = 16_000;
/// Of the answer that is shown again with what was wrong with it.
const REPEATED_BYTES_MAX: usize = 48 * 1024;
const TROUBLE_BYTES_MAX: usize = 8 * 1024;
/// Of the task's description, and of why the attempt before failed.
const DESCRIPTION_BYTES_MAX: usize = 8 * 1024;

const RULES: &str = "\
You change files of one repository, as the instructions of the first message say, and answer with JSON alone.
`summary`: one or two sentences on what you change and why.
`edits`: the changes. Action `replace` puts `content` in the place of `search`, which must stand in the file exactly once, copied \
with all its white space; several edits of a file are applied in order. Action `write` makes `content` the whole file, and `search` is \
empty then; take it for new files. Leave alone what the instructions do not call for. Files can not be deleted or renamed.
`read`: paths that you must see before you can decide; leave `edits` empty then. Empty if you have seen enough.
Paths are relative to the repository's root. What configures CI, ownership or this system (such as .github/) is refused.
New and changed Python is linted: modules, classes and functions have docstrings, signatures have type annotations, names follow \
PEP 8, functions are short and not deeply nested, errors are never swallowed, nothing secret is written down.";

/// What a model proposes.
pub struct Proposal {
    pub edits: Vec<Edit>,
    /// Paths that it wants to see.
    pub wants: Vec<String>,
}

pub struct Author<'a> {
    instructions: &'a str,
    only: Option<&'a str>,
    description: String,
    last_error: Option<String>,
    /// What earlier tasks taught.
    lessons: String,
    /// What the model says of its newest change, and what stood in its way before.
    summary: String,
    troubles: Vec<String>,
    files: Files,
    /// Whether an earlier attempt left something on the branch.
    found_changes: bool,
    /// What the model said last, and what was wrong with it.
    said: Option<String>,
    trouble: Option<String>,
}

impl<'a> Author<'a> {
    pub fn begin(
        assignment: &Assignment,
        job: &'a Job,
        instructions: &'a str,
        only: Option<&'a str>,
    ) -> Result<Self, Failure> {
        let found = github_read::compare(&job.repository, &job.base, &assignment.branch)?;
        let mut files = Files::open(&job.repository, &assignment.branch)?;
        for path in only.into_iter().chain(found.paths.iter().map(String::as_str)).take(WANTS_MAX) {
            files.show(path)?;
        }
        files.read_what_matters(&format!("{instructions} {}", assignment.title))?;
        Ok(Self {
            instructions,
            only,
            description: format!("{}\n\n{}", assignment.title, cut(&assignment.description, DESCRIPTION_BYTES_MAX)),
            last_error: assignment.last_error.clone(),
            lessons: lessons::offered(),
            summary: String::new(),
            troubles: Vec::new(),
            files,
            found_changes: found.ahead_by > 0,
            said: None,
            trouble: None,
        })
    }

    pub fn found_changes(&self) -> bool {
        self.found_changes
    }

    pub fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }

    /// What the model said of its change, and what it had to mend.
    pub fn told(&self) -> (&str, &[String]) {
        (&self.summary, &self.troubles)
    }

    pub fn propose(&mut self) -> Result<Proposal, Failure> {
        let request = Request::new(self.messages()).schema(SCHEMA).answer_tokens_max(ANSWER_TOKENS_MAX);
        let answer = llm::ask(&request).map_err(|error| match error {
            Error::Invalid(message) => Failure::final_(format!(
                "the model gives no answer that can be used: {message}; give `changes` instead, or other instructions"
            )),
            error => Failure::from(error),
        })?;
        if answer.finish == Finish::Refused {
            return Err(Failure::final_(format!("the model {} refuses: {}", answer.model, cut(&answer.text, 500))));
        }
        info!("{} answered with {} tokens", answer.model, answer.answer_tokens);
        self.trouble = None;
        let Answer { summary, read, edits } = serde_json::from_str(&answer.text)
            .map_err(|error| Failure::final_(format!("the model's answer is no set of edits: {error}")))?;
        info!("the model says: {}", cut(&summary, 500));
        self.summary = summary;
        self.said = Some(answer.text);
        let wants = read.into_iter().take(WANTS_MAX).collect();
        Ok(Proposal { edits: edits.into_iter().take(EDITS_MAX).collect(), wants })
    }

    /// Shows the model more files.
    pub fn fetch(&mut self, paths: &[String]) -> Result<(), Failure> {
        for path in paths {
            self.files.show(path)?;
        }
        self.said = None;
        Ok(())
    }

    /// What is wrong, for the next answer.
    pub fn hear(&mut self, trouble: &str) {
        let trouble = cut(trouble, TROUBLE_BYTES_MAX).to_owned();
        self.troubles.push(trouble.clone());
        self.trouble = Some(trouble);
    }

    pub fn hear_checks(&mut self, red: &CheckRun) {
        self.hear(&format!(
            "Your change was committed, and then {}. Find out why, and mend it.",
            change::describe(red, "it")
        ));
    }

    /// Commits the edits that the host takes, and keeps what it says against the others. Returns paths with their commits.
    pub fn write(
        &mut self,
        assignment: &Assignment,
        job: &Job,
        edits: &[Edit],
        steps: &mut Vec<u32>,
    ) -> Result<Vec<(String, String)>, Failure> {
        let mut trouble = Vec::new();
        let after = self.applied(edits, &mut trouble)?;
        let mut written = Vec::new();
        // Half of what belongs together is worse than nothing.
        let after = if trouble.is_empty() { after } else { BTreeMap::new() };
        for (path, (before, content)) in after {
            if before.as_ref().is_some_and(|file| file.text == content) {
                continue;
            }
            let change = Change { path: path.clone(), content };
            match branch::put(assignment, job, &change, before.as_ref().map(|file| file.sha.as_str())) {
                Ok(commit) => {
                    steps.extend(task::last_step());
                    info!("committed {path} as {}", commit.sha);
                    self.files.written(&path, change.content, commit.file_sha);
                    written.push((path, commit.sha));
                }
                Err(Error::Findings(findings)) => trouble.extend(findings.iter().map(describe)),
                Err(Error::Denied(message) | Error::Invalid(message)) => {
                    trouble.push(format!("{path} is refused: {message}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        if !trouble.is_empty() {
            self.hear(&trouble.join("\n"));
        }
        Ok(written)
    }

    /// What each file is after all edits of it, with what it was before.
    fn applied(
        &mut self,
        edits: &[Edit],
        trouble: &mut Vec<String>,
    ) -> Result<BTreeMap<String, (Option<File>, String)>, Failure> {
        let mut after: BTreeMap<String, (Option<File>, String)> = BTreeMap::new();
        for edit in edits {
            let path = &edit.path;
            if let Some(only) = self.only.filter(|only| only != path) {
                trouble.push(format!("{path} is not the file that is asked for; write {only} alone"));
                continue;
            }
            let before = match after.get(path) {
                Some((before, text)) => Ok((before.clone(), Some(text.clone()))),
                None => self.files.get(path).map(|file| (file.cloned(), file.map(|file| file.text.clone()))),
            };
            match before {
                Ok((file, text)) => match edits::apply(edit, text.as_deref()) {
                    Ok(text) => drop(after.insert(path.clone(), (file, text))),
                    Err(problem) => trouble.push(problem),
                },
                Err(Error::Invalid(message) | Error::Denied(message)) => {
                    trouble.push(format!("{path} is refused: {message}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(after)
    }

    fn messages(&self) -> Vec<Message> {
        let mut parts = vec![Part::text(format!("Instructions:\n{}", self.instructions))];
        if let Some(only) = self.only {
            parts.push(Part::text("You write one file and no other, this one:"));
            parts.push(Part::quoted("path", only));
        }
        parts.push(Part::text("The task that they belong to, for orientation:"));
        parts.push(Part::quoted("task", self.description.as_str()));
        if let Some(last) = &self.last_error {
            parts.push(Part::text("An attempt before this one ended with:"));
            parts.push(Part::quoted("last error", cut(last, DESCRIPTION_BYTES_MAX)));
        }
        if !self.lessons.is_empty() {
            parts.push(Part::text("What earlier tasks taught, where it fits:"));
            parts.push(Part::quoted("learnings", self.lessons.as_str()));
        }
        parts.push(Part::text("All files of the repository:"));
        parts.push(Part::quoted("tree", self.files.names()));
        parts.push(Part::text("Files as they are now, those that may matter:"));
        parts.extend(self.files.shown().into_iter().map(|(path, text)| Part::quoted(cut(path, 200), text)));
        let mut messages = vec![Message::system([Part::text(RULES)]), Message::user(parts)];
        if let (Some(said), Some(trouble)) = (&self.said, &self.trouble) {
            messages.push(Message::assistant([Part::text(cut(said, REPEATED_BYTES_MAX))]));
            messages.push(Message::user([
                Part::text("That is not good yet. The files above are as they are now. What was found:"),
                Part::quoted("findings", trouble.as_str()),
                Part::text("Answer again with what is still to be changed."),
            ]));
        }
        messages
    }
}

fn describe(finding: &Finding) -> String {
    let Finding { path, rule, line, message } = finding;
    format!("{path}:{line} {rule} {message}")
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
