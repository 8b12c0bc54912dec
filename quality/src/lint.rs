//! Ruff's linter with exactly the rules that the specification's requirements are.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use ruff_linter::linter::{ParseSource, lint_only};
use ruff_linter::registry::Rule;
use ruff_linter::rules::isort::categorize::KnownModules;
use ruff_linter::settings::types::IdentifierPattern;
use ruff_linter::settings::{LinterSettings, flags};
use ruff_linter::source_kind::SourceKind;
use ruff_python_ast::token::TokenKind;
use ruff_python_ast::{PySourceType, PythonVersion};
use ruff_python_stdlib::sys::is_known_standard_library;
use ruff_source_file::LineIndex;
use ruff_text_size::{Ranged, TextRange, TextSize};

use crate::changed::Changed;
use crate::functions::{Functions, Lack};
use crate::{FIRST_PARTY_MAX, Finding, Report, SOURCE_BYTES_MAX, handlers, names, nesting};

/// Each requirement and its rules. Not ANN401: `Any` is a type hint, if a poor one.
pub(crate) const RULES: &[&str] = &[
    // Type hints on every function
    "ANN001", "ANN002", "ANN003", "ANN201", "ANN202", "ANN204", "ANN205", "ANN206",
    // Docstrings on every function
    "D102", "D103", "D105", "D107", // No bare `except:`, catch specific exceptions
    "E722", "BLE001", // No `print()`
    "T201", "T203",    // No magic numbers
    "PLR2004", // Parameterized SQL queries
    "S608",    // Grouped and sorted imports
    "I001",
];

/// What CPython refuses as a syntax error, and ruff's parser leaves to rules.
pub(crate) const SYNTAX_RULES: &[&str] =
    &["F404", "F407", "F622", "F701", "F702", "F704", "F706", "F707", "PLE0115", "PLE0117", "PLE0118"];

/// Something that was found, before it is known whether the change is to blame.
struct Found {
    rule: String,
    range: TextRange,
    message: String,
}

/// All that is wrong with a text.
struct Linted<'a> {
    code: &'a str,
    index: LineIndex,
    functions: Functions,
    found: Vec<Found>,
}

/// What can not be linted before the change excuses nothing.
pub(crate) fn findings(
    (before, after): (Option<&str>, &str),
    stub: bool,
    first_party: &[String],
    changed: &Changed,
) -> Vec<Finding> {
    let settings = settings(first_party);
    let known: HashSet<Place> = (before.and_then(|code| lint(code, stub, &settings).ok()).into_iter())
        .flat_map(|linted| linted.found.iter().map(|found| linted.place(found)).collect::<Vec<_>>())
        .collect();
    match lint(after, stub, &settings) {
        Err(refused) => refused.findings,
        Ok(mut linted) => {
            let found = std::mem::take(&mut linted.found);
            found.into_iter().filter_map(|found| linted.judged(found, changed, &known)).collect()
        }
    }
}

fn lint<'a>(code: &'a str, stub: bool, settings: &LinterSettings) -> Result<Linted<'a>, Report> {
    if code.len() > SOURCE_BYTES_MAX {
        return Err(Report::too_large(code.len()));
    }
    if let Some(refused) = nesting::refused(code) {
        return Err(refused);
    }
    let source_type = if stub { PySourceType::Stub } else { PySourceType::Python };
    let Some(parsed) = nesting::parse(code, source_type) else { return Err(nesting::too_deep()) };
    let valid = parsed.has_valid_syntax();
    // Of what does not parse, the linter looks at no names.
    if valid && !names::are_few(parsed.suite()) {
        return Err(names::too_many());
    }
    let functions = if valid { Functions::of(parsed.suite()) } else { Functions::default() };
    let handlers = if valid { handlers::lacks(parsed.suite()) } else { Vec::new() };
    let comments = (parsed.tokens().iter()).filter(|token| token.kind() == TokenKind::Comment).map(Ranged::range);
    let masked = without_directives(code, comments);
    drop(parsed);

    let path = Path::new(if stub { "module.pyi" } else { "module.py" });
    let kind = SourceKind::Python { code: masked, is_stub: stub };
    let result = lint_only(path, None, settings, flags::Noqa::Disabled, &kind, source_type, ParseSource::None);
    let mut found: Vec<Found> = (result.diagnostics.iter())
        .map(|diagnostic| Found {
            rule: rule_of(diagnostic.secondary_code_or_id()).to_owned(),
            range: diagnostic.range().unwrap_or_default(),
            message: diagnostic.concise_message().to_string(),
        })
        .collect();
    add_lacks(&mut found, &functions);
    add_handlers(&mut found, handlers);
    if stub {
        found.retain(|found| !is_docstring_rule(&found.rule));
    }
    Ok(Linted { code, index: LineIndex::from_source_text(code), functions, found })
}

/// What is wrong, and where: the line, counted from 1, and bytes from its start.
type Place = (String, u32, u32);

impl Linted<'_> {
    fn line_of(&self, offset: TextSize) -> u32 {
        u32::try_from(self.index.line_index(offset).get()).unwrap_or(u32::MAX)
    }

    fn place(&self, found: &Found) -> Place {
        let start = found.range.start();
        let mut column = start - self.index.line_start(self.index.line_index(start), self.code);
        if let (1, Some(mark)) = (self.line_of(start), self.code.strip_prefix(MARK)) {
            let mark = TextSize::of(self.code) - TextSize::of(mark);
            column = column.checked_sub(mark).unwrap_or_default();
        }
        (kind_of(&found.rule).to_owned(), self.line_of(start), column.to_u32())
    }

    /// A file that does not parse is wrong wherever the change is; of a function all lines count; else the place
    /// itself. On lines that are as before only that counts which was not wrong there: it was in a string, or fine.
    fn judged(&self, found: Found, changed: &Changed, known: &HashSet<Place>) -> Option<Finding> {
        let line = self.line_of(found.range.start());
        let whole = is_function_rule(&found.rule).then(|| self.functions.innermost(found.range.start())).flatten();
        let around = whole.unwrap_or(found.range);
        let last = if around.is_empty() { around.end() } else { around.end() - TextSize::from(1) };
        let span = self.line_of(around.start())..=self.line_of(last);
        let was_wrong = || {
            let (kind, line, column) = self.place(&found);
            changed.line_before(line).is_some_and(|before| known.contains(&(kind, before, column)))
        };
        let counts = found.rule == INVALID_SYNTAX || changed.touches(&span) || !was_wrong();
        counts.then_some(Finding { line, rule: found.rule, message: found.message })
    }
}

const MARK: char = '\u{feff}';

/// Rules that say the same of the same place, and differ by what stands elsewhere in the file.
fn kind_of(rule: &str) -> &str {
    match rule {
        "D102" | "D103" | "D105" | "D107" => "D1",
        "ANN201" | "ANN202" | "ANN204" | "ANN205" | "ANN206" => "ANN2",
        _ => rule,
    }
}

fn rule_of(code: &str) -> &str {
    if SYNTAX_RULES.contains(&code) { INVALID_SYNTAX } else { code }
}

/// What ruff has said of the same place stays as it is.
fn add_lacks(found: &mut Vec<Found>, functions: &Functions) {
    let known: HashSet<(bool, TextSize)> = found
        .iter()
        .filter(|found| is_function_rule(&found.rule))
        .map(|found| place(&found.rule, found.range))
        .collect();
    for lack in &functions.lacks {
        if !known.contains(&place(lack.rule, lack.range)) {
            found.push(Found { rule: lack.rule.to_owned(), range: lack.range, message: lack.message.clone() });
        }
    }
}

/// What ruff says of the same handler stays as it is.
fn add_handlers(found: &mut Vec<Found>, handlers: Vec<Lack>) {
    let known: HashSet<(String, TextSize)> =
        found.iter().map(|found| (found.rule.clone(), found.range.start())).collect();
    for Lack { rule, range, message } in handlers {
        if !known.contains(&(rule.to_owned(), range.start())) {
            found.push(Found { rule: rule.to_owned(), range, message });
        }
    }
}

fn place(rule: &str, range: TextRange) -> (bool, TextSize) {
    (is_docstring_rule(rule), range.start())
}

fn is_docstring_rule(rule: &str) -> bool {
    rule.starts_with("D1")
}

/// Rules that are about a function as a whole.
fn is_function_rule(rule: &str) -> bool {
    is_docstring_rule(rule) || rule.starts_with("ANN")
}

const INVALID_SYNTAX: &str = "invalid-syntax";

fn settings(first_party: &[String]) -> LinterSettings {
    let rules = RULES.iter().chain(SYNTAX_RULES).filter_map(|code| Rule::from_code(code).ok());
    let mut settings = LinterSettings::for_rules(rules);
    // Nothing of this machine's files decides.
    settings.src = Vec::new();
    let plain = |root: &&String| root.chars().all(|character| character.is_alphanumeric() || character == '_');
    // As for ruff itself, a module of the standard library is never the repository's.
    let own = |root: &&String| !is_known_standard_library(PythonVersion::latest().minor, root);
    let patterns = first_party.iter().filter(plain).filter(own).take(FIRST_PARTY_MAX);
    let patterns = patterns.filter_map(|root| IdentifierPattern::new(root).ok()).collect();
    settings.isort.known_modules = KnownModules::new(patterns, Vec::new(), Vec::new(), Vec::new(), HashMap::default());
    settings
}

/// The code with the comments overwritten that tell a linter what not to look at. No place in it moves.
fn without_directives(code: &str, comments: impl Iterator<Item = TextRange>) -> String {
    let mut masked = String::with_capacity(code.len());
    let mut at = 0;
    for range in comments {
        let (start, end) = (range.start().to_usize(), range.end().to_usize());
        let comment = code[start..end].to_ascii_lowercase();
        if ["isort", "ruff", "noqa", "type:", "nosec", "yapf", "fmt"].iter().any(|word| comment.contains(word)) {
            masked.push_str(&code[at..start]);
            masked.push('#');
            masked.extend(std::iter::repeat_n('x', end - start - 1));
            at = end;
        }
    }
    masked.push_str(&code[at..]);
    masked
}
