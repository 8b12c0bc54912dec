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
use crate::functions::Functions;
use crate::{FIRST_PARTY_MAX, Finding, nesting};

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

pub(crate) fn findings(code: &str, stub: bool, first_party: &[String], changed: &Changed) -> Vec<Finding> {
    let source_type = if stub { PySourceType::Stub } else { PySourceType::Python };
    let Some(parsed) = nesting::parse(code, source_type) else { return nesting::too_deep().findings };
    let functions = if parsed.has_valid_syntax() { Functions::of(parsed.suite()) } else { Functions::default() };
    let comments = (parsed.tokens().iter()).filter(|token| token.kind() == TokenKind::Comment).map(Ranged::range);
    let masked = without_directives(code, comments);
    drop(parsed);

    let path = Path::new(if stub { "module.pyi" } else { "module.py" });
    let kind = SourceKind::Python { code: masked, is_stub: stub };
    let settings = settings(first_party);
    let result = lint_only(path, None, &settings, flags::Noqa::Disabled, &kind, source_type, ParseSource::None);
    let mut found: Vec<Found> = (result.diagnostics.iter())
        .map(|diagnostic| Found {
            rule: rule_of(diagnostic.secondary_code_or_id()).to_owned(),
            range: diagnostic.range().unwrap_or_default(),
            message: diagnostic.concise_message().to_string(),
        })
        .collect();
    add_lacks(&mut found, &functions);
    if stub {
        found.retain(|found| !is_docstring_rule(&found.rule));
    }
    let index = LineIndex::from_source_text(code);
    found.into_iter().filter_map(|found| judged(found, &functions, &index, changed)).collect()
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

/// A file that does not parse is wrong wherever the change is; of a function all lines count; else the place itself.
fn judged(found: Found, functions: &Functions, index: &LineIndex, changed: &Changed) -> Option<Finding> {
    let Found { rule, range, message } = found;
    let line_of = |offset| u32::try_from(index.line_index(offset).get()).unwrap_or(u32::MAX);
    let around = if is_function_rule(&rule) { functions.innermost(range.start()).unwrap_or(range) } else { range };
    let last = if around.is_empty() { around.end() } else { around.end() - TextSize::from(1) };
    let span = line_of(around.start())..=line_of(last);
    (rule == INVALID_SYNTAX || changed.touches(&span)).then(|| Finding { line: line_of(range.start()), rule, message })
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
