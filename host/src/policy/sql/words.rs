//! Words alone, comments included: for what can not be split into tokens.

use super::Findings;

/// Words between UPDATE and SET: a table's name with its schema and alias.
const UPDATE_WORDS_MAX: usize = 4;

fn words(text: &str) -> Vec<String> {
    let words = text.split(|char: char| !char.is_alphanumeric() && char != '_').filter(|word| !word.is_empty());
    words.map(str::to_uppercase).collect()
}

fn deletes(pair: &[String]) -> bool {
    let [first, second] = pair else { return false };
    matches!(
        (first.as_str(), second.as_str()),
        ("DROP", "TABLE" | "DATABASE" | "SCHEMA" | "COLUMN") | ("TRUNCATE", _) | ("DELETE", "FROM")
    )
}

/// For SQL that no dialect can split.
pub(super) fn in_text(sql: &str, found: &mut Findings) {
    let words = words(sql);
    found.destructive.extend(words.windows(2).filter(|pair| deletes(pair)).map(|pair| pair.join(" ")));
    found.destructive.sort();
    found.destructive.dedup();
}

/// Whether the rest of what one dialect could not split deserves a person's look.
pub(super) fn suspicious(rest: &str) -> bool {
    let words = words(rest);
    words.windows(2).any(deletes) || words.iter().any(|word| matches!(word.as_str(), "EXECUTE" | "EXEC" | "PREPARE"))
}

/// SQL within a migration that is written in a programming language.
pub(in crate::policy) fn in_code(code: &str) -> Findings {
    let mut found = Findings::default();
    in_text(code, &mut found);
    let words = words(code);
    found.changes_rows = words.iter().enumerate().any(|(at, word)| match word.as_str() {
        "UPDATE" => words[at + 1..].iter().skip(1).take(UPDATE_WORDS_MAX).any(|word| word == "SET"),
        "INSERT" | "MERGE" | "REPLACE" => words.get(at + 1).is_some_and(|next| next == "INTO"),
        "DELETE" => words.get(at + 1).is_some_and(|next| next == "FROM"),
        _ => false,
    });
    found
}

#[cfg(test)]
mod tests {
    use super::in_code;

    #[test]
    fn sql_in_code_is_found_by_its_words() {
        for code in [
            "op.execute(\"DROP TABLE users\")",
            "op.execute('drop ' 'table users')",
            "execute(\"\"\"\ndelete\n from a\"\"\")",
        ] {
            assert!(!in_code(code).destructive.is_empty(), "{code}");
        }
        for code in ["op.execute(\"update app.users as u set admin = true\")", "run('INSERT INTO a VALUES (1)')"] {
            assert!(in_code(code).changes_rows, "{code}");
        }
        assert_eq!(in_code("op.add_column('a', sa.Column('updated', sa.Boolean))"), super::Findings::default());
    }
}
