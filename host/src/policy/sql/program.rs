//! SQL that deletes data, within a program: its words beside each other, as a string holds them.
//!
//! Which strings a program sends to a database is not known, so every place counts where such words stand beside each other
//! with nothing between them but white space, quotes and what joins strings. What a program puts together out of smaller
//! pieces is not seen.

/// What may stand behind DROP.
const DROPPED: &[&str] = &["table", "database", "schema", "column", "owned", "tablespace"];
/// Behind `delete from` these are English, and no table.
const ENGLISH: &[&str] =
    &["an", "any", "each", "every", "here", "it", "its", "our", "that", "the", "their", "there", "this", "your"];
/// Comments that are taken out, so that nothing is hidden behind one.
const COMMENT: (&str, &str) = ("/*", "*/");

/// Each kind once.
pub(super) fn deletions(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let plain = without_escapes(code.as_bytes());
    look(&plain, &mut found);
    // Beside the text as it is: a string may hold the marks of a comment.
    if code.contains(COMMENT.0) {
        look(&without_comments(&plain), &mut found);
    }
    found.sort();
    found.dedup();
    found
}

/// `\n` and the like within a string are white space to whoever reads it.
fn without_escapes(code: &[u8]) -> Vec<u8> {
    let mut plain = code.to_vec();
    let mut at = 0;
    while at + 1 < plain.len() {
        if plain[at] == b'\\' {
            if matches!(plain[at + 1], b'n' | b'r' | b't') {
                plain[at..at + 2].fill(b' ');
            }
            at += 1;
        }
        at += 1;
    }
    plain
}

fn without_comments(code: &[u8]) -> Vec<u8> {
    let mut rest = code;
    let mut plain = Vec::with_capacity(code.len());
    while let Some(begins) = find(rest, COMMENT.0.as_bytes()) {
        plain.extend_from_slice(&rest[..begins]);
        plain.push(b' ');
        let Some(ends) = find(&rest[begins..], COMMENT.1.as_bytes()) else { return plain };
        rest = &rest[begins + ends + COMMENT.1.len()..];
    }
    plain.extend_from_slice(rest);
    plain
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn look(code: &[u8], found: &mut Vec<String>) {
    let mut at = 0;
    while let Some(word) = next_word(code, at) {
        at = word.end;
        let is = |name: &str| word.text(code).eq_ignore_ascii_case(name.as_bytes());
        if is("drop") {
            let dropped = beside(code, &word)
                .and_then(|next| DROPPED.iter().find(|name| next.text(code).eq_ignore_ascii_case(name.as_bytes())));
            found.extend(dropped.map(|name| format!("DROP {}", name.to_uppercase())));
        } else if is("delete") {
            let from = beside(code, &word).filter(|next| next.text(code).eq_ignore_ascii_case(b"from"));
            if from.is_some_and(|from| !is_english(code, &from)) {
                found.push("DELETE FROM".to_owned());
            }
        } else if is("truncate") && truncates(code, &word) {
            found.push("TRUNCATE".to_owned());
        }
    }
}

struct Word {
    start: usize,
    end: usize,
}

impl Word {
    fn text<'a>(&self, code: &'a [u8]) -> &'a [u8] {
        &code[self.start..self.end]
    }
}

fn next_word(code: &[u8], from: usize) -> Option<Word> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let start = from + code.get(from..)?.iter().position(is_part)?;
    let end = code[start..].iter().position(|byte| !is_part(byte)).map_or(code.len(), |length| start + length);
    Some(Word { start, end })
}

/// The word behind another one, where nothing parts them.
fn beside(code: &[u8], word: &Word) -> Option<Word> {
    let next = next_word(code, word.end)?;
    let between = &code[word.end..next.start];
    let spaced = between.iter().all(u8::is_ascii_whitespace);
    let joins = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`+.,\\".contains(byte);
    let joined = between.iter().all(joins) && between.iter().any(|byte| b"\"'`".contains(byte));
    (spaced || joined).then_some(next)
}

/// `delete from the list`.
fn is_english(code: &[u8], from: &Word) -> bool {
    beside(code, from)
        .is_some_and(|next| ENGLISH.iter().any(|word| next.text(code).eq_ignore_ascii_case(word.as_bytes())))
}

/// `TRUNCATE TABLE`, or a string or statement that begins with it and names something: many things are truncated.
fn truncates(code: &[u8], word: &Word) -> bool {
    let next = beside(code, word);
    if next.as_ref().is_some_and(|next| next.text(code).eq_ignore_ascii_case(b"table")) {
        return true;
    }
    let before = code[..word.start].iter().rev().find(|byte| !byte.is_ascii_whitespace());
    let begins = before.is_some_and(|byte| b"\"'`;".contains(byte));
    let spaced = code.get(word.end).is_some_and(u8::is_ascii_whitespace);
    let behind = code[word.end..].iter().find(|byte| !byte.is_ascii_whitespace());
    let names = behind.is_some_and(|byte| byte.is_ascii_alphabetic() || b"_{$%:#[\"`".contains(byte));
    begins && spaced && names
}

#[cfg(test)]
mod tests {
    use super::deletions;

    #[test]
    fn statements_in_strings_are_found() {
        for (code, found) in [
            ("db.execute(\"DROP TABLE users\")", "DROP TABLE"),
            ("db.execute('drop  table if exists users')", "DROP TABLE"),
            ("db.execute(\"drop \" \"table users\")", "DROP TABLE"),
            ("$db->query('DROP ' . 'TABLE users');", "DROP TABLE"),
            ("query(\"ALTER TABLE a DROP\\nCOLUMN b\")", "DROP COLUMN"),
            ("query(\"drop /* x */ schema app\")", "DROP SCHEMA"),
            ("a = \"/*\"; query(\"drop table b\"); c = \"*/\"", "DROP TABLE"),
            ("psql -c 'delete from users'", "DELETE FROM"),
            ("f\"DELETE FROM {table}\"", "DELETE FROM"),
            ("\"\"\"\n  with old as (select 1)\n  delete\n  from a\"\"\"", "DELETE FROM"),
            ("run(\"truncate users\")", "TRUNCATE"),
            ("run(f\"TRUNCATE {table}\")", "TRUNCATE"),
            ("run('truncate table users')", "TRUNCATE"),
        ] {
            assert_eq!(deletions(code), [found], "{code}");
        }
    }

    #[test]
    fn what_only_reads_alike_is_not() {
        for code in [
            "frame.drop(columns=['table'])",
            "df.drop(column)",
            "seen.delete(\"from\")",
            "file.truncate(0)",
            "{{ text | truncate: 20 }}",
            "// delete from the list what is old",
            "fn drop_table() {}",
            "truncate -s 0 file",
            "select(\"select * from users where dropped\")",
            "",
            "drop",
            "delete from",
        ] {
            let expected: &[&str] = if code == "delete from" { &["DELETE FROM"] } else { &[] };
            assert_eq!(deletions(code), expected, "{code}");
        }
    }
}
