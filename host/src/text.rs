//! Text that a guest or a stranger wrote, made safe to show to a person.
//!
//! Invariant: what comes out of here moves no cursor, changes no colour, and shows its characters in the order in which
//! they stand; nothing of the text is dropped, and what can't be seen is named.

use std::borrow::Cow;
use std::fmt::Write as _;

/// One line: control characters, line breaks and tabs too, escapes, and what reorders or hides text are shown as
/// `<U+202E>`.
pub fn visible(text: &str) -> Cow<'_, str> {
    shown(text, is_hidden)
}

/// Text of several lines, such as a diff: as [`visible`], but `\n` and `\t` stay. Whoever prints it marks each line as
/// not its own.
pub fn visible_block(text: &str) -> Cow<'_, str> {
    shown(text, |character| is_hidden(character) && !matches!(character, '\n' | '\t'))
}

fn shown(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    let Some(first) = text.find(&hidden) else {
        return Cow::Borrowed(text);
    };
    let (plain, rest) = text.split_at(first);
    let mut shown = String::with_capacity(text.len() + 16);
    shown.push_str(plain);
    for character in rest.chars() {
        if hidden(character) {
            // Writing to a string does not fail.
            write!(shown, "<U+{:04X}>", u32::from(character)).unwrap_or_default();
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// A JSON document with what is hidden as `\u202e`: the same document to a program, and safe to print.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    // Outside of strings JSON has no such character but line breaks and tabs.
    let hidden = |character| is_hidden(character) && !matches!(character, '\n' | '\t');
    if !json.contains(hidden) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(shown, "\\u{unit:04x}").unwrap_or_default();
            }
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// C0 and C1 controls, and what Unicode calls default-ignorable, bidirectional, or a separator of lines.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{00AD}' // soft hyphen
                | '\u{034F}' // combining grapheme joiner
                | '\u{061C}' // Arabic letter mark
                | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' // fillers
                | '\u{17B4}' | '\u{17B5}' // inherent vowels
                | '\u{180B}'..='\u{180F}' // Mongolian selectors and separator
                | '\u{200B}'..='\u{200F}' // zero width, direction marks
                | '\u{2028}'..='\u{202E}' // separators, embeddings, overrides
                | '\u{2060}'..='\u{206F}' // joiners, isolates
                | '\u{FE00}'..='\u{FE0F}' // variation selectors
                | '\u{FEFF}'
                | '\u{FFF0}'..='\u{FFFB}'
                | '\u{1BCA0}'..='\u{1BCA3}' // shorthand controls
                | '\u{1D173}'..='\u{1D17A}' // musical controls
                | '\u{E0000}'..='\u{E0FFF}' // tags, more variation selectors
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_touched() {
        for plain in ["", "plain Ünïcode – 漢字 🚀", "עברית", "<U+202E>"] {
            assert!(matches!(visible(plain), Cow::Borrowed(same) if same == plain), "{plain}");
        }
    }

    #[test]
    fn what_acts_on_a_terminal_or_deceives_is_named() {
        for (text, wanted) in [
            ("a\u{1b}[31mb", "a<U+001B>[31mb"),
            ("a\r\nb\tc\u{7f}\u{9b}\0", "a<U+000D><U+000A>b<U+0009>c<U+007F><U+009B><U+0000>"),
            ("x\u{202e}gpj.exe\u{2066}", "x<U+202E>gpj.exe<U+2066>"),
            ("\u{200e}\u{200f}\u{61c}", "<U+200E><U+200F><U+061C>"),
            ("a\u{200b}\u{feff}\u{e0041}", "a<U+200B><U+FEFF><U+E0041>"),
            ("\u{2028}\u{3164}", "<U+2028><U+3164>"),
        ] {
            assert_eq!(visible(text), wanted);
        }
    }

    /// Each character of the ranges that matter, not a sample.
    #[test]
    fn no_control_or_bidirectional_character_comes_through() {
        let controls = (0..0x20).chain(0x7f..0xa0).chain(0x202a..=0x202e).chain(0x2066..=0x2069);
        for character in controls.filter_map(char::from_u32) {
            let shown = visible(&format!("a{character}b")).into_owned();
            assert_eq!(shown, format!("a<U+{:04X}>b", u32::from(character)));
        }
    }

    #[test]
    fn json_stays_the_same_document() {
        let value = serde_json::json!({"a\u{202e}": ["\u{9b}31m", "\u{e0041}", "\u{1b}", "plain ü"]});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = visible_json(&text);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        assert!(shown.chars().all(|character| character == '\n' || !is_hidden(character)), "{shown}");
        assert!(shown.contains(r"\u009b31m") && shown.contains("plain ü"), "{shown}");
    }

    #[test]
    fn a_block_keeps_its_lines() {
        assert_eq!(visible_block("+ a\tb\n- c\r\n\u{202e}"), "+ a\tb\n- c<U+000D>\n<U+202E>");
    }
}
