//! Statements that delete data, found in SQL by its tokens: comments, case and white space hide nothing.
//!
//! A reader, not a proof: what SQL computes at run time (`EXECUTE 'dr' || 'op …'`) can not be read; that it does so
//! is reported, and raises the risk.

use sqlparser::dialect::{Dialect, GenericDialect, MySqlDialect, PostgreSqlDialect};
use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

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

pub(super) fn look(sql: &str) -> Findings {
    let mut found = Findings::default();
    // A byte order mark at the beginning of a file is no part of its first word.
    look_into(sql.trim_start_matches('\u{feff}'), 0, &mut found);
    found.destructive.sort();
    found.destructive.dedup();
    found
}

fn look_into(sql: &str, depth: u8, found: &mut Findings) {
    let dialects: [&dyn Dialect; 3] = [&PostgreSqlDialect {}, &MySqlDialect {}, &GenericDialect {}];
    let tokens = dialects.iter().find_map(|dialect| Tokenizer::new(*dialect, sql).tokenize().ok());
    let Some(tokens) = tokens else {
        found.unreadable = true;
        return words_only(sql, found);
    };
    for token in &tokens {
        // MySQL runs what stands in `/*! … */`.
        if let Token::Whitespace(Whitespace::MultiLineComment(comment)) = token
            && let Some(hidden) = comment.strip_prefix('!').or_else(|| comment.strip_prefix("M!"))
            && depth < DEPTH_MAX
        {
            look_into(hidden.trim_start_matches(|char: char| char.is_ascii_digit()), depth + 1, found);
        }
    }
    let tokens: Vec<Token> = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    for statement in tokens.split(|token| *token == Token::SemiColon) {
        look_at(statement, depth, found);
    }
}

fn word(token: Option<&Token>) -> String {
    match token {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_uppercase(),
        _ => String::new(),
    }
}

fn look_at(statement: &[Token], depth: u8, found: &mut Findings) {
    let first = word(statement.first());
    let has = |wanted: &[&str]| statement.iter().any(|token| wanted.contains(&word(Some(token)).as_str()));
    let executes = has(&["EXECUTE", "EXEC", "PREPARE"]);
    let cascades = has(&["CASCADE"]);
    let mut deletes = 0;
    for (at, token) in statement.iter().enumerate() {
        let next = || word(statement.get(at + 1));
        let called = statement.get(at + 1) == Some(&Token::LParen);
        match word(Some(token)).as_str() {
            "DROP" => found.destructive.extend(drops(&first, statement, at, cascades)),
            "TRUNCATE" if !called => found.destructive.push("TRUNCATE".to_owned()),
            "DELETE" if next() == "FROM" || (at == 0 && !next().is_empty()) => {
                deletes += 1;
                // Each look reads on to the end: whoever writes thousands into one statement does not want to be read.
                if deletes <= DELETES_MAX && has_condition(&statement[at..]) {
                    found.changes_rows = true;
                } else {
                    found.destructive.push("DELETE without WHERE".to_owned());
                }
            }
            "UPDATE" | "INSERT" | "MERGE" | "COPY" if at == 0 || first == "WITH" => found.changes_rows = true,
            _ => {}
        }
        let inside = match token {
            Token::DollarQuotedString(body) => Some(body.value.as_str()),
            Token::SingleQuotedString(text)
            | Token::EscapedStringLiteral(text)
            | Token::NationalStringLiteral(text)
            | Token::UnicodeStringLiteral(text)
                if executes =>
            {
                Some(text.as_str())
            }
            _ => None,
        };
        match inside {
            Some(inside) if depth < DEPTH_MAX => look_into(inside, depth + 1, found),
            Some(_) => found.unreadable = true,
            None => {}
        }
    }
    if executes && statement.iter().any(|token| matches!(token, Token::StringConcat) || word(Some(token)) == "FORMAT") {
        found.unreadable = true;
    }
}

/// What a `DROP` drops, where that takes data with it. In `ALTER TABLE` the word COLUMN may be left out.
fn drops(first: &str, statement: &[Token], at: usize, cascades: bool) -> Option<String> {
    let next = word(statement.get(at + 1));
    match next.as_str() {
        "TABLE" | "DATABASE" | "SCHEMA" | "OWNED" | "TABLESPACE" | "COLUMN" | "PARTITION" => {
            Some(format!("DROP {next}"))
        }
        "FOREIGN" if word(statement.get(at + 2)) == "TABLE" => Some("DROP FOREIGN TABLE".to_owned()),
        "EXTENSION" | "TYPE" | "DOMAIN" if cascades => Some(format!("DROP {next} … CASCADE")),
        "CONSTRAINT" | "DEFAULT" | "NOT" | "EXPRESSION" | "IDENTITY" | "INDEX" | "KEY" | "PRIMARY" | "CHECK"
        | "FOREIGN" => None,
        _ if first == "ALTER" && word(statement.get(1)) != "TYPE" => Some("DROP COLUMN".to_owned()),
        _ => None,
    }
}

/// Whether a DELETE has a WHERE of its own that speaks of a column.
fn has_condition(statement: &[Token]) -> bool {
    let mut depth = 0_i32;
    for (at, token) in statement.iter().enumerate() {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
        if depth == 0 && word(Some(token)) == "WHERE" {
            return statement[at + 1..].iter().any(|token| match token {
                Token::Word(word) => {
                    word.quote_style.is_some()
                        || !matches!(
                            word.value.to_uppercase().as_str(),
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
                }
                _ => false,
            });
        }
    }
    false
}

/// For what no dialect can split into tokens: words alone, comments included.
fn words_only(sql: &str, found: &mut Findings) {
    let upper = sql.to_uppercase();
    let words: Vec<&str> =
        upper.split(|char: char| !char.is_alphanumeric() && char != '_').filter(|it| !it.is_empty()).collect();
    for pair in words.windows(2) {
        match pair {
            ["DROP", "TABLE" | "DATABASE" | "SCHEMA" | "COLUMN"] | ["TRUNCATE", _] | ["DELETE", "FROM"] => {
                found.destructive.push(pair.join(" "));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::look;

    #[test]
    fn what_deletes_data_is_found_however_it_is_written() {
        for sql in [
            "DROP TABLE users",
            "drop\n\ttable if exists users cascade;",
            "DROP/* */TABLE users",
            "-- nothing\nDrOp -- x\n TaBlE users",
            "select 1; truncate users",
            "TRUNCATE TABLE only users",
            "delete from users",
            "DELETE FROM users WHERE true",
            "delete from users where 1=1",
            "delete from users where not (1 = 2) returning *",
            "delete from users using (select id from x where y) z",
            "with gone as (delete from users returning *) select * from gone where id = 1",
            "alter table users drop column email",
            "alter table users drop email",
            "alter table users add x int, drop if exists email",
            "drop schema public cascade",
            "drop owned by app",
            "do $$ begin drop table users; end $$",
            "do $$ begin execute 'drop table users'; end $$",
            "create function f() returns void language plpgsql as $f$ begin delete from users; end $f$",
            "/*!50000 DROP TABLE users */",
            "drop table `users`",
            "'unfinished DROP TABLE users",
            "\u{feff}drop table users",
        ] {
            assert!(!look(sql).destructive.is_empty(), "{sql}");
        }
    }

    #[test]
    fn hostile_sql_is_read_in_moments() {
        let began = std::time::Instant::now();
        for (repeated, tail) in [
            ("delete from a ", "where x = 1"),
            ("delete from a;", ""),
            ("drop type t ", "cascade"),
            ("execute '", ""),
            ("$a$ $b$ ", ""),
            ("/*! ", ""),
            ("((((", ""),
            ("'", ""),
            ("-- x\n", ""),
            ("with x as (delete from a where b = 1) ", ""),
        ] {
            look(&format!("{}{tail}", repeated.repeat((1 << 20) / repeated.len())));
        }
        assert!(began.elapsed() < std::time::Duration::from_mins(2), "{:?}", began.elapsed());
    }

    #[test]
    fn what_deletes_nothing_is_let_through() {
        for sql in [
            "create table dropped (truncate_at int)",
            "select 'drop table users'",
            "-- drop table users",
            "/* truncate users */ select 1",
            "comment on table users is 'delete from users'",
            "alter table users drop constraint users_check",
            "alter table users alter column email drop not null",
            "drop index users_email",
            "drop view active_users",
            "select truncate(1.5, 0)",
            "delete from users where id = 1",
            "grant select, delete on users to app",
            "create table a (b int references c on delete cascade)",
            "create trigger t after delete on a execute function f()",
        ] {
            assert_eq!(look(sql).destructive, Vec::<String>::new(), "{sql}");
        }
        assert!(look("delete from users where id = 1").changes_rows);
        assert!(look("update users set a = 1").changes_rows);
        assert!(look("do $$ begin execute 'dr' || 'op table users'; end $$").unreadable);
    }
}
