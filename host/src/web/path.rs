//! The path of a URL: decoded once for judgement, refused where servers could read it in two ways.

use percent_encoding::percent_decode_str;

/// The path as a server that decodes once sees it, case kept. `raw` begins with `/`.
pub(super) fn decoded(raw: &str) -> Result<String, &'static str> {
    if !escapes_are_whole(raw) {
        return Err("has a '%' in its path that begins no escape of two hexadecimal digits");
    }
    let path = percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| "has a path that is not UTF-8 once its percent-encoding is undone")?
        .into_owned();
    if path.bytes().filter(|byte| *byte == b'/').count() != raw.bytes().filter(|byte| *byte == b'/').count() {
        return Err("has an encoded '/' in its path");
    }
    if path.contains('\\') {
        return Err("has a backslash in its path");
    }
    if path.chars().any(unfit) {
        return Err("has a control or invisible character in its path");
    }
    if has_escape(&path) {
        return Err("has a path that is percent-encoded more than once");
    }
    if path.chars().any(folds_to_ascii) {
        return Err("has a character in its path that some servers take for an ASCII one");
    }
    if path.contains("//") {
        return Err("has an empty part in its path ('//')");
    }
    if path.split('/').any(is_dots) {
        return Err("has a '.' or '..' part in its path");
    }
    Ok(path)
}

/// The same path in its one spelling: unreserved characters plain, every other escape in upper case (RFC 3986, 6.2.2).
pub(super) fn canonical(encoded: &str) -> String {
    let bytes = encoded.as_bytes();
    let mut path = String::with_capacity(encoded.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match escape(bytes, at) {
            Some(value) if value.is_ascii_alphanumeric() || b"-._~".contains(&value) => path.push(char::from(value)),
            Some(value) => path.push_str(percent_encoding::percent_encode_byte(value)),
            None => path.push(char::from(byte)),
        }
        at += if byte == b'%' { 3 } else { 1 };
    }
    path
}

/// The value of `%XX` at a place.
fn escape(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    if bytes.get(at) != Some(&b'%') {
        return None;
    }
    u8::try_from(digit(at + 1)? * 16 + digit(at + 2)?).ok()
}

fn has_escape(text: &str) -> bool {
    (0..text.len()).any(|at| escape(text.as_bytes(), at).is_some())
}

fn escapes_are_whole(raw: &str) -> bool {
    let bytes = raw.as_bytes();
    (0..bytes.len()).all(|at| bytes[at] != b'%' || escape(bytes, at).is_some())
}

/// Also `..;x` and `.. `: servers that cut parameters or spaces off see `..` there.
fn is_dots(part: &str) -> bool {
    let name = part.split(';').next().unwrap_or_default().trim();
    !name.is_empty() && name.chars().all(|character| character == '.')
}

/// Control, bidirectional and invisible characters: nobody who reads the URL would see them.
pub(super) fn unfit(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{e0000}'..='\u{e0fff}')
}

/// What compatibility normalisation, or a change of case, turns into ASCII: full-width forms, look-alike dots and slashes,
/// letter-like, enclosed and mathematical symbols, ligatures, the long s.
fn folds_to_ascii(character: char) -> bool {
    matches!(character,
        '\u{aa}' | '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{ba}' | '\u{bc}'..='\u{be}' | '\u{130}'..='\u{133}'
        | '\u{13f}'..='\u{140}' | '\u{149}' | '\u{17f}' | '\u{1c4}'..='\u{1cc}' | '\u{1f1}'..='\u{1f3}'
        | '\u{2b0}'..='\u{2b8}' | '\u{2e1}'..='\u{2e3}' | '\u{37e}' | '\u{1d2c}'..='\u{1d6a}' | '\u{1e9b}'
        | '\u{2024}'..='\u{2026}' | '\u{203c}' | '\u{2044}' | '\u{2047}'..='\u{2049}' | '\u{2070}'..='\u{209f}'
        | '\u{20a8}' | '\u{2100}'..='\u{218b}' | '\u{2215}' | '\u{2216}' | '\u{2236}' | '\u{223c}'
        | '\u{2460}'..='\u{24ff}' | '\u{29f8}' | '\u{29f9}' | '\u{2a74}'..='\u{2a76}' | '\u{2c7c}'..='\u{2c7d}'
        | '\u{3000}'..='\u{3002}' | '\u{3250}' | '\u{32cc}'..='\u{32cf}' | '\u{3371}'..='\u{33df}'
        | '\u{a7f2}'..='\u{a7f4}' | '\u{fb00}'..='\u{fb06}' | '\u{fb29}' | '\u{fe10}'..='\u{fe19}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff01}'..='\u{ff65}' | '\u{ffe0}'..='\u{ffee}'
        | '\u{1d400}'..='\u{1d7ff}' | '\u{1f100}'..='\u{1f1ff}' | '\u{1fbf0}'..='\u{1fbf9}')
}
