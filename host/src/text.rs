//! Text that a guest or a stranger wrote, on its way to a reader.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Makes visible what would act on a terminal or deceive a reader: control characters, escapes, and those that
/// reorder or hide text. Line breaks too: split into lines first where there may be some.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            // Writing to a String can not fail.
            write!(shown, "{}", character.escape_unicode()).unwrap_or_default();
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{00AD}' // soft hyphen
                | '\u{034F}' // combining grapheme joiner
                | '\u{061C}' // Arabic letter mark
                | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' // fillers
                | '\u{180E}'
                | '\u{200B}'..='\u{200F}' // zero width, direction marks
                | '\u{2028}'..='\u{202E}' // separators, embeddings, overrides
                | '\u{2060}'..='\u{206F}' // joiners, isolates
                | '\u{FE00}'..='\u{FE0F}' // variation selectors
                | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E0FFF}' // tags, more variation selectors
        )
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_deceives_is_made_visible() {
        assert_eq!(visible("plain Ünïcode – 漢字 🚀"), "plain Ünïcode – 漢字 🚀");
        assert_eq!(visible("a\u{1b}[31m\tb\r\n"), "a\\u{1b}[31m\\u{9}b\\u{d}\\u{a}");
        assert_eq!(visible("x\u{202e}gpj.exe\u{2066}\u{200b}"), "x\\u{202e}gpj.exe\\u{2066}\\u{200b}");
    }
}
