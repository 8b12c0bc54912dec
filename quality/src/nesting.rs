//! Keeps away what would need more stack than there is.
//!
//! The parser grows its stack, but what walks and drops its tree does not. So before a file is parsed its tokens are
//! counted, by ruff's own lexer, which does not recurse: no tree is deeper than the tokens that stand between two
//! commas or line ends, in all open brackets together.

use ruff_python_ast::token::TokenKind;
use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{Expr, Mod, ModModule, PySourceType};
use ruff_python_parser::{Mode, ParseOptions, Parsed, lexer, parse_unchecked};

use crate::Report;

/// Brackets in each other and levels of indentation: as many as CPython accepts.
const BRACKETS_MAX: usize = 200;
const INDENTS_MAX: usize = 100;
/// Tokens of one expression that could stand in each other.
const CHAIN_TOKENS_MAX: usize = 2000;
/// Annotations in strings in annotations in strings.
pub(crate) const STRINGS_MAX: usize = 3;
/// A file that is no Python is parsed, to say where, up to this size.
const BROKEN_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    Fine,
    TooDeep,
    /// No Python: what its depth is depends on how the parser recovers.
    Broken,
}

/// The answer to a file that must not be parsed.
pub(crate) fn refused(code: &str) -> Option<Report> {
    match depth(code, Mode::Module) {
        Depth::Broken if code.len() > BROKEN_BYTES_MAX => Some(Report::whole_file(
            "invalid-syntax",
            "this is no Python: a string or a bracket is not closed".to_owned(),
        )),
        Depth::TooDeep => Some(too_deep()),
        Depth::Fine | Depth::Broken => None,
    }
}

pub(crate) fn too_deep() -> Report {
    let message = format!(
        "expressions are nested too deeply: at most {BRACKETS_MAX} brackets, {INDENTS_MAX} indentations, and \
         {CHAIN_TOKENS_MAX} tokens of an expression without a comma"
    );
    Report::whole_file("too-deep", message)
}

pub(crate) fn depth(code: &str, mode: Mode) -> Depth {
    let mut lexer = lexer::lex(code, mode);
    let mut scan = Scan { open: vec![0], total: 0, indents: 0, operand: false, broken: false };
    loop {
        let kind = lexer.next_token();
        if kind == TokenKind::EndOfFile {
            break;
        }
        scan.token(kind);
        if scan.open.len() > BRACKETS_MAX || scan.indents > INDENTS_MAX || scan.total > CHAIN_TOKENS_MAX {
            return Depth::TooDeep;
        }
    }
    if scan.broken || scan.open.len() != 1 { Depth::Broken } else { Depth::Fine }
}

struct Scan {
    /// Tokens since the last boundary, for each open bracket.
    open: Vec<usize>,
    total: usize,
    indents: usize,
    /// The last token was one that can not stand before another operand.
    operand: bool,
    broken: bool,
}

impl Scan {
    fn token(&mut self, kind: TokenKind) {
        match kind {
            TokenKind::Unknown => self.broken = true,
            TokenKind::Comment | TokenKind::NonLogicalNewline => {}
            TokenKind::Indent => self.indents += 1,
            TokenKind::Dedent => self.indents = self.indents.saturating_sub(1),
            TokenKind::Newline | TokenKind::Semi | TokenKind::Comma => self.boundary(),
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => {
                self.count();
                self.open.push(0);
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => self.close(),
            // Strings in a row are one.
            TokenKind::String => self.operand = true,
            TokenKind::Name | TokenKind::Int | TokenKind::Float | TokenKind::Complex => {
                // Two operands in a row are no expression: this is prose in a string.
                if self.operand {
                    self.boundary();
                }
                self.count();
                self.operand = true;
            }
            _ => self.count(),
        }
    }

    fn count(&mut self) {
        self.operand = false;
        self.total += 1;
        if let Some(last) = self.open.last_mut() {
            *last += 1;
        }
    }

    fn boundary(&mut self) {
        self.operand = false;
        if let Some(last) = self.open.last_mut() {
            self.total -= *last;
            *last = 0;
        }
    }

    fn close(&mut self) {
        if self.open.len() == 1 {
            self.broken = true;
            return;
        }
        self.boundary();
        self.open.pop();
        self.count();
    }
}

/// Parses a file whose depth is known to be fine; None where a string in it, which could be an annotation, is too deep.
pub(crate) fn parse(code: &str, source_type: PySourceType) -> Option<Parsed<ModModule>> {
    let parsed = parse_unchecked(code, ParseOptions::from(source_type)).try_into_module()?;
    let mut strings = Strings { level: 0, too_deep: false };
    if parsed.has_valid_syntax() {
        strings.visit_body(parsed.suite());
    }
    (!strings.too_deep).then_some(parsed)
}

/// A string as an annotation, as the linter reads the widest of them: with line ends in it.
pub(crate) fn parse_text(text: &str) -> Option<Parsed<Mod>> {
    ruff_python_parser::parse(text, ParseOptions::from(Mode::ParenthesizedExpression)).ok()
}

/// Looks into strings: the linter parses those that stand where a type can stand.
struct Strings {
    level: usize,
    too_deep: bool,
}

impl<'a> Visitor<'a> for Strings {
    fn visit_expr(&mut self, expr: &'a Expr) {
        let Expr::StringLiteral(literal) = expr else {
            walk_expr(self, expr);
            return;
        };
        let text = literal.value.to_str();
        match depth(text, Mode::ParenthesizedExpression) {
            Depth::TooDeep => self.too_deep = true,
            Depth::Fine if text.contains(['"', '\'']) => self.look_into(text),
            Depth::Fine | Depth::Broken => {}
        }
    }
}

impl Strings {
    fn look_into(&mut self, text: &str) {
        let Some(parsed) = parse_text(text) else { return };
        let Mod::Expression(parsed) = parsed.syntax() else { return };
        if self.level == STRINGS_MAX {
            self.too_deep = true;
            return;
        }
        let mut inner = Strings { level: self.level + 1, too_deep: false };
        inner.visit_expr(&parsed.body);
        self.too_deep |= inner.too_deep;
    }
}
