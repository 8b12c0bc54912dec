//! What SQL executes that is given as a string, and whether that can be read.

use sqlparser::tokenizer::Token;

use super::Statement;

/// Functions that run SQL which they are given.
const RUN_SQL: &[&str] = &[
    "CURSOR_TO_XML",
    "DBLINK",
    "DBLINK_EXEC",
    "DBLINK_SEND_QUERY",
    "QUERY_TO_XML",
    "QUERY_TO_XML_AND_XMLSCHEMA",
    "QUERY_TO_XMLSCHEMA",
    "SP_EXECUTESQL",
];

/// What `EXECUTE`, `EXEC` and `PREPARE` mean where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Execution {
    /// Nothing is executed: a grant, a trigger's function, a statement that stands there itself.
    None,
    /// One literal, which can be read.
    Literal,
    /// Anything else.
    Computed,
}

/// A string in quotes of any kind, but for dollars: those are always looked into.
pub(super) fn literal(token: &Token) -> Option<&str> {
    match token {
        Token::SingleQuotedString(text)
        | Token::DoubleQuotedString(text)
        | Token::EscapedStringLiteral(text)
        | Token::NationalStringLiteral(text)
        | Token::UnicodeStringLiteral(text)
        | Token::SingleQuotedRawStringLiteral(text)
        | Token::TripleSingleQuotedString(text)
        | Token::TripleDoubleQuotedString(text) => Some(text),
        Token::QuoteDelimitedStringLiteral(text) | Token::NationalQuoteDelimitedStringLiteral(text) => {
            Some(&text.value)
        }
        _ => None,
    }
}

fn is_literal(token: &Token) -> bool {
    literal(token).is_some() || matches!(token, Token::DollarQuotedString(_))
}

/// Whether the statement's strings are code: `DO '…'`, `CREATE FUNCTION … AS '…'`, and what is executed.
pub(super) fn reads_its_literals(statement: &Statement<'_>) -> bool {
    (0..statement.tokens.len()).any(|at| match statement.word(at) {
        "EXECUTE" | "EXEC" | "PREPARE" => execution(statement, at) != Execution::None,
        "DO" => {
            statement.word(at + 1) == "LANGUAGE"
                || statement.tokens.get(at + 1).is_some_and(|next| literal(next).is_some())
        }
        "FUNCTION" | "PROCEDURE" => {
            let created = |back: usize| at.checked_sub(back).map_or("", |before| statement.word(before));
            (1..=3).any(|back| matches!(created(back), "CREATE" | "ALTER"))
        }
        word => RUN_SQL.contains(&word),
    })
}

/// Whether what it executes is joined from parts, or spelled with an escape of its own.
pub(super) fn joins(statement: &Statement<'_>) -> bool {
    let runs = |at: usize| match statement.word(at) {
        "EXECUTE" | "EXEC" | "PREPARE" => execution(statement, at) != Execution::None,
        word => RUN_SQL.contains(&word),
    };
    (0..statement.tokens.len()).any(runs)
        && (0..statement.tokens.len()).any(|at| {
            statement.tokens[at] == Token::StringConcat
                || matches!(statement.word(at), "CONCAT" | "CONCAT_WS" | "FORMAT" | "UESCAPE")
        })
}

pub(super) fn execution(statement: &Statement<'_>, at: usize) -> Execution {
    let next = statement.tokens.get(at + 1);
    if next.is_none() {
        return Execution::None;
    }
    if statement.word(at) == "PREPARE" {
        return prepared(statement, at);
    }
    match statement.word(at + 1) {
        // GRANT EXECUTE ON FUNCTION …
        "ON" => Execution::None,
        "FUNCTION" | "PROCEDURE" if statement.is_name(at + 2) && names_trigger(statement, at) => Execution::None,
        "IMMEDIATE" => operand(statement, at + 2),
        _ if next == Some(&Token::Comma) && matches!(statement.word(0), "GRANT" | "REVOKE") => Execution::None,
        "SP_EXECUTESQL" => operand(statement, at + 2),
        _ => operand(statement, at + 1),
    }
}

fn names_trigger(statement: &Statement<'_>, at: usize) -> bool {
    statement.words[..at].iter().any(|word| word == "TRIGGER")
}

/// `PREPARE name AS statement` stands there to be read; MySQL's `PREPARE name FROM string` executes the string.
fn prepared(statement: &Statement<'_>, at: usize) -> Execution {
    if statement.is_name(at + 1) && statement.word(at + 2) == "FROM" {
        return operand(statement, at + 3);
    }
    Execution::None
}

/// One literal, in brackets or not, and nothing joined to it.
fn operand(statement: &Statement<'_>, at: usize) -> Execution {
    let after = |at: usize, wanted: fn(&Token) -> bool| {
        let rest = statement.tokens.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|token| wanted(token)).count()
    };
    let begins = after(at, |token| *token == Token::LParen);
    let ends = after(begins, is_literal);
    let closed = after(ends, |token| *token == Token::RParen);
    let alone = match statement.tokens.get(closed) {
        None | Some(Token::Comma) => true,
        Some(_) => matches!(statement.word(closed), "AS" | "AT" | "END" | "GO" | "INTO" | "LOOP" | "USING" | "WITH"),
    };
    if ends > begins && alone { Execution::Literal } else { Execution::Computed }
}
