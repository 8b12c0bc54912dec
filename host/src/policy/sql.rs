//! Statements that delete data, found in SQL by its tokens: comments, case and white space hide nothing.
//!
//! Which database will run a file is not known, and each has its own comments and quotes. So it is read in every
//! dialect, and what is found in any of them counts.
//!
//! A reader, not a proof: what SQL computes at run time (`EXECUTE 'dr' || 'op …'`) can not be read; that it does so
//! is reported, and raises the risk.

mod executed;
mod looker;
mod program;
mod words;

use sqlparser::dialect::{Dialect, GenericDialect, MsSqlDialect, MySqlDialect, PostgreSqlDialect};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

use executed::{Execution, execution, literal, reads_its_literals};
pub(super) use looker::Looker;
pub(super) use words::in_code;

/// Bodies within bodies that are looked into: functions, `DO` blocks, executed strings.
const DEPTH_MAX: u8 = 4;

/// DELETEs of one statement whose conditions are looked for.
const DELETES_MAX: u32 = 50;

/// What was found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Findings {
    /// Statements that delete data, as `DROP TABLE` and the like.
    pub(super) destructive: Vec<String>,
    /// Statements that change rows: a data migration.
    pub(super) changes_rows: bool,
    /// Whether SQL is put together at run time, or can not be read.
    pub(super) unreadable: bool,
}

fn look(sql: &str) -> Findings {
    // A byte order mark at the beginning of a file is no part of its first word.
    let sql = sql.trim_start_matches('\u{feff}');
    let dialects: [&dyn Dialect; 4] = [&PostgreSqlDialect {}, &MySqlDialect {}, &GenericDialect {}, &MsSqlDialect {}];
    let mut found = Findings::default();
    let mut whole = false;
    for dialect in dialects {
        whole |= Reader { dialect, found: &mut found }.look_into(sql, 0);
    }
    if !whole {
        found.unreadable = true;
        words::in_text(sql, &mut found);
    }
    found.destructive.sort();
    found.destructive.dedup();
    found
}

/// Reads in one dialect, bodies within bodies too: the work grows with their depth, not with its power.
struct Reader<'a> {
    dialect: &'a dyn Dialect,
    found: &'a mut Findings,
}

impl Reader<'_> {
    /// Whether the dialect could split all of it into tokens. What stands before that is looked at in any case: clients
    /// run one statement after the other.
    fn look_into(&mut self, sql: &str, depth: u8) -> bool {
        let mut spanned: Vec<TokenWithSpan> = Vec::new();
        let whole = Tokenizer::new(self.dialect, sql).tokenize_with_location_into_buf(&mut spanned).is_ok();
        if !whole {
            let rest = spanned.last().map_or(sql, |last| from(sql, last.span.end));
            self.found.unreadable |= words::suspicious(rest);
        }
        let mut tokens = Vec::with_capacity(spanned.len());
        for TokenWithSpan { token, .. } in spanned {
            match token {
                // MySQL runs what stands in `/*! … */`.
                Token::Whitespace(Whitespace::MultiLineComment(comment)) => {
                    if let Some(hidden) = comment.strip_prefix('!').or_else(|| comment.strip_prefix("M!")) {
                        self.look_deeper(hidden.trim_start_matches(|char: char| char.is_ascii_digit()), depth);
                    }
                }
                Token::Whitespace(_) => {}
                token => tokens.push(token),
            }
        }
        let mut computed = false;
        let statements: Vec<Statement<'_>> = tokens.split(|token| *token == Token::SemiColon).map(statement).collect();
        for statement in &statements {
            computed |= self.look_at(statement, depth);
        }
        for statement in &statements {
            // Where something is executed that is no literal, any literal beside it may be what is.
            if computed || reads_its_literals(statement) {
                self.look_into_literals(statement, depth);
            }
        }
        whole
    }

    fn look_deeper(&mut self, sql: &str, depth: u8) {
        if depth < DEPTH_MAX {
            self.look_into(sql, depth + 1);
        } else {
            self.found.unreadable = true;
        }
    }

    /// Literals that follow each other are one: PostgreSQL joins them over line breaks, MySQL always.
    fn look_into_literals(&mut self, statement: &Statement<'_>, depth: u8) {
        for run in statement.tokens.chunk_by(|left, right| literal(left).is_some() && literal(right).is_some()) {
            let text: String = run.iter().filter_map(literal).collect();
            if !text.is_empty() {
                self.look_deeper(&text, depth);
            }
        }
    }

    /// Whether it executes what can not be read.
    fn look_at(&mut self, statement: &Statement<'_>, depth: u8) -> bool {
        let Statement { tokens, words } = statement;
        let cascades = words.iter().any(|word| word == "CASCADE");
        let (mut computed, mut deletes, mut altered) = (false, 0, false);
        for (at, token) in tokens.iter().enumerate() {
            let begins = || statement.begins(at);
            match statement.word(at) {
                "ALTER" => altered = statement.word(at + 1) != "TYPE",
                "DROP" => self.found.destructive.extend(drops(statement, at, altered, cascades)),
                "TRUNCATE" if begins() => self.found.destructive.push("TRUNCATE".to_owned()),
                "DELETE" if begins() => {
                    deletes += 1;
                    // Each look reads on to the end: whoever writes thousands into one statement does not want to be read.
                    if deletes <= DELETES_MAX && has_condition(&tokens[at..], &words[at..]) {
                        self.found.changes_rows = true;
                    } else {
                        self.found.destructive.push("DELETE without WHERE".to_owned());
                    }
                }
                "UPDATE" | "INSERT" | "MERGE" | "COPY" if begins() => self.found.changes_rows = true,
                "REPLACE" if statement.word(at + 1) == "INTO" => self.found.changes_rows = true,
                "EXECUTE" | "EXEC" | "PREPARE" => computed |= execution(statement, at) == Execution::Computed,
                "PROGRAM" if matches!(statement.before(at), "FROM" | "TO") => self.found.unreadable = true,
                _ => {}
            }
            match token {
                Token::DollarQuotedString(body) => self.look_deeper(&body.value, depth),
                // What psql runs beside the server: files, programs, what a query answers, its own variables.
                Token::Backslash
                    if matches!(
                        statement.word(at + 1),
                        "GEXEC" | "I" | "IR" | "INCLUDE" | "INCLUDE_RELATIVE" | "G" | "O" | "SET"
                    ) =>
                {
                    self.found.unreadable = true;
                }
                _ => {}
            }
        }
        self.found.unreadable |= computed || executed::joins(statement);
        computed
    }
}

/// The text from a place on, which counts from 1.
fn from(sql: &str, place: Location) -> &str {
    let mut lines = sql.split_inclusive('\n');
    let before = usize::try_from(place.line.saturating_sub(1)).unwrap_or(usize::MAX);
    let passed: usize = lines.by_ref().take(before).map(str::len).sum();
    let column = usize::try_from(place.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let within = lines.next().and_then(|line| line.char_indices().nth(column)).map_or(0, |(at, _)| at);
    sql.get(passed + within..).unwrap_or_default()
}

/// Tokens without white space, and beside each its word in capitals, empty where it is none or quoted.
struct Statement<'a> {
    tokens: &'a [Token],
    words: Vec<String>,
}

fn statement(tokens: &[Token]) -> Statement<'_> {
    let word = |token: &Token| match token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
        _ => String::new(),
    };
    Statement { tokens, words: tokens.iter().map(word).collect() }
}

impl Statement<'_> {
    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    fn before(&self, at: usize) -> &str {
        at.checked_sub(1).map_or("", |before| self.word(before))
    }

    fn is_name(&self, at: usize) -> bool {
        matches!(self.tokens.get(at), Some(Token::Word(_)))
    }

    /// Whether a verb stands where it does something, rather than in a grant, a trigger's events, a policy, a foreign
    /// key or a lock.
    fn begins(&self, at: usize) -> bool {
        let speaks_of_it =
            matches!(self.before(at), "AFTER" | "BEFORE" | "FOR" | "GRANT" | "KEY" | "OF" | "ON" | "OR" | "REVOKE");
        let listed = at > 0 && self.tokens.get(at - 1) == Some(&Token::Comma);
        let of_nothing = matches!(self.word(at + 1), "CASCADE" | "OF" | "ON" | "OR" | "TO" | "WHEN");
        self.is_name(at + 1) && !speaks_of_it && !listed && !of_nothing
    }
}

/// What a `DROP` drops, where that takes data with it. In `ALTER TABLE` the word COLUMN may be left out.
fn drops(statement: &Statement<'_>, at: usize, altered: bool, cascades: bool) -> Option<String> {
    let next = statement.word(at + 1);
    match next {
        "TABLE" | "DATABASE" | "SCHEMA" | "OWNED" | "TABLESPACE" | "COLUMN" | "PARTITION" => {
            Some(format!("DROP {next}"))
        }
        "FOREIGN" if statement.word(at + 2) == "TABLE" => Some("DROP FOREIGN TABLE".to_owned()),
        "EXTENSION" | "TYPE" | "DOMAIN" if cascades => Some(format!("DROP {next} … CASCADE")),
        "CONSTRAINT" | "DEFAULT" | "NOT" | "EXPRESSION" | "IDENTITY" | "INDEX" | "KEY" | "PRIMARY" | "CHECK"
        | "FOREIGN" | "ON" => None,
        _ if altered && statement.is_name(at + 1) => Some("DROP COLUMN".to_owned()),
        _ => None,
    }
}

/// Whether a DELETE has a WHERE of its own that speaks of a column.
fn has_condition(tokens: &[Token], words: &[String]) -> bool {
    let mut depth = 0_i32;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
        if depth == 0 && words[at] == "WHERE" {
            return tokens[at + 1..].iter().zip(&words[at + 1..]).any(|(token, word)| {
                matches!(token, Token::Word(_))
                    && !matches!(
                        word.as_str(),
                        "TRUE"
                            | "FALSE"
                            | "AND"
                            | "OR"
                            | "NOT"
                            | "IS"
                            | "NULL"
                            | "RETURNING"
                            | "IN"
                            | "BETWEEN"
                            | "LIKE"
                    )
            });
        }
    }
    false
}

#[cfg(test)]
mod tests;
