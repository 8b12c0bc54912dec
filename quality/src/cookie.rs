//! Encodings that a file declares for itself (PEP 263): with another one Python reads other code than is checked.

/// What Python calls UTF-8, in lower case and with hyphens; `utf-8-` and anything is UTF-8 too.
const UTF8: [&str; 4] = ["utf-8", "utf8", "u8", "utf"];

/// The line that declares another encoding than UTF-8. Stricter than Python where its readers differ on line ends.
pub(crate) fn foreign(code: &str) -> Option<u32> {
    let code = code.strip_prefix('\u{feff}').unwrap_or(code);
    let declares = |line: &str| {
        // As a whole for readers to whom a lone carriage return is no line end, in pieces for the others.
        line.split('\r').chain([line]).any(is_foreign)
    };
    (1..).zip(code.split('\n').take(2)).find(|(_, line)| declares(line)).map(|(number, _)| number)
}

fn is_foreign(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '\t', '\x0c']);
    line.starts_with('#')
        && line.split("coding").skip(1).any(|rest| {
            let Some(rest) = rest.strip_prefix([':', '=']) else { return false };
            let name: String = (rest.trim_start_matches([' ', '\t']).chars())
                .take_while(|character| character.is_ascii_alphanumeric() || ['-', '_', '.'].contains(character))
                .map(|character| if character == '_' { '-' } else { character.to_ascii_lowercase() })
                .collect();
            !name.is_empty() && !UTF8.contains(&name.as_str()) && !name.starts_with("utf-8-")
        })
}
