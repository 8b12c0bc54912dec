//! Which files are Python.

/// By its name, or by the interpreter that a script without an extension names.
pub fn is_python(path: &str, content: &[u8]) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.trim_start_matches('.').rsplit_once('.') {
        Some((_, extension)) => ["py", "pyi", "pyw"].iter().any(|python| extension.eq_ignore_ascii_case(python)),
        None => names_python(content),
    }
}

/// Stubs describe functions, and have no docstrings.
pub(crate) fn is_stub(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("pyi"))
}

fn names_python(content: &[u8]) -> bool {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let first = content.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    first.starts_with(b"#!") && first.to_ascii_lowercase().windows(6).any(|word| word == b"python")
}
