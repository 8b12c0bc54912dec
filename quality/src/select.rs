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

/// Tools that run a script with Python, without naming it.
const RUNNERS: [&str; 3] = ["uv", "uvx", "pipx"];

fn names_python(content: &[u8]) -> bool {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let first = content.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let Some(command) = first.strip_prefix(b"#!") else { return false };
    let command = String::from_utf8_lossy(command).to_ascii_lowercase();
    // Wherever it stands: behind `env`, `env -S`, a path, or in quotes.
    command.contains("python")
        || command.contains("pypy")
        || command.split(|character: char| !character.is_alphanumeric()).any(|word| RUNNERS.contains(&word))
        || command.contains("-suv ")
}
