//! Percent-encoding and JSON escapes, undone together: a body may have either, in whole or in part.

use super::tokens::TOKEN_REACH_BYTES;

/// Longest escape of one byte of a secret: `\u0067`.
pub(super) const ESCAPED_BYTES_MAX: usize = 6;
/// Bytes that are looked at together for a mark; the compiler makes vector instructions of it.
const BLOCK: usize = 64;

/// Which escapes can hide a secret. Those that no secret needs (`\n`, `\"` for most) do not make a body be decoded.
pub(super) struct Escapes {
    /// By the letter behind the backslash.
    matters: [bool; 256],
    /// Whether letters other than `u`, `x` and `/` matter.
    many_matter: bool,
    /// How far from an escape the secret that it is in can begin or end, as far as no other escape stands between.
    margin: usize,
}

/// An escape, undone: how long it was, and the bytes that it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Undone {
    escaped: usize,
    bytes: [u8; 4],
    length: usize,
}

impl Escapes {
    /// For these spellings of secrets.
    pub(super) fn new<'n>(spellings: impl Iterator<Item = &'n [u8]>) -> Self {
        let (mut matters, mut margin) = ([false; 256], TOKEN_REACH_BYTES);
        for spelling in spellings {
            margin = margin.max(spelling.len());
            for (letter, stands_for) in LETTERS {
                matters[usize::from(*letter)] |= spelling.contains(stands_for);
            }
        }
        let many_matter = LETTERS.iter().any(|(letter, _)| *letter != b'/' && matters[usize::from(*letter)]);
        // These can stand for anything.
        matters[usize::from(b'u')] = true;
        matters[usize::from(b'x')] = true;
        Self { matters, many_matter, margin }
    }

    /// Whether a secret could be hidden behind an escape of this body.
    pub(super) fn any(&self, body: &[u8]) -> bool {
        self.next(body, 0).is_some()
    }

    /// The next escape that could hide a secret.
    fn next(&self, body: &[u8], mut from: usize) -> Option<(usize, Undone)> {
        loop {
            let at = self.next_mark(body, from)?;
            if let Some(undone) = undo(body, at).filter(|_| self.matters_at(body, at)) {
                return Some((at, undone));
            }
            from = at + 1;
        }
    }

    fn matters_at(&self, body: &[u8], at: usize) -> bool {
        let letter = body.get(at + 1).copied().unwrap_or(0);
        body.get(at) == Some(&b'%') || self.matters[usize::from(letter)]
    }

    /// The next place that looks like an escape that matters.
    #[expect(clippy::needless_bitwise_bool, reason = "a branch for each byte would keep it from being vectorised")]
    fn next_mark(&self, body: &[u8], mut from: usize) -> Option<usize> {
        // Where one escape follows another there is nothing to look for.
        if body.get(from).is_some_and(is_mark) && self.matters_at(body, from) {
            return Some(from);
        }
        let slash = self.matters[usize::from(b'/')];
        while let (Some(block), Some(behind)) = (block(body, from), block(body, from + 1)) {
            // Without a branch for each byte.
            let pairs = block.iter().zip(behind);
            let found = pairs.fold(false, |any, (byte, next)| {
                let letter = self.many_matter | (*next == b'u') | (*next == b'x') | (slash & (*next == b'/'));
                any | (*byte == b'%') | ((*byte == b'\\') & letter)
            });
            if found {
                let mut marks = block.iter().enumerate().filter(|(_, byte)| is_mark(byte)).map(|(at, _)| from + at);
                if let Some(at) = marks.find(|at| self.matters_at(body, *at)) {
                    return Some(at);
                }
            }
            from += BLOCK;
        }
        body.get(from..)?.iter().position(is_mark).map(|at| from + at)
    }

    /// What of a body a secret could be hidden in, with one layer of escapes undone: each escape with what is around
    /// it, and a byte that no secret has between pieces that lay apart.
    pub(super) fn decoded_pieces(&self, body: &[u8]) -> Vec<u8> {
        let mut pieces = Vec::new();
        let mut next = self.next(body, 0);
        while let Some((first, _)) = next {
            let start = first.saturating_sub(self.margin);
            let mut end = first;
            while let Some((at, undone)) = next.filter(|(at, _)| at.saturating_sub(end) <= 2 * self.margin) {
                end = at + undone.escaped;
                next = self.next(body, end);
            }
            let end = body.len().min(end.saturating_add(self.margin));
            decode_into(body.get(start..end).unwrap_or_default(), &mut pieces);
            pieces.push(BETWEEN);
        }
        pieces
    }
}

/// Stands in no token, and in no text at all.
const BETWEEN: u8 = 0xFF;

#[expect(clippy::needless_bitwise_bool, reason = "the same: it is used for each byte of a block")]
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that iterators over bytes take")]
fn is_mark(byte: &u8) -> bool {
    (*byte == b'%') | (*byte == b'\\')
}

fn block(body: &[u8], from: usize) -> Option<&[u8; BLOCK]> {
    body.get(from..from + BLOCK)?.first_chunk()
}

const LETTERS: &[(u8, u8)] =
    &[(b'n', b'\n'), (b'r', b'\r'), (b't', b'\t'), (b'b', 8), (b'f', 12), (b'"', b'"'), (b'\\', b'\\'), (b'/', b'/')];

/// Undoes the escape at a mark, if it is one.
fn undo(body: &[u8], at: usize) -> Option<Undone> {
    let one = |escaped, byte| Some(Undone { escaped, bytes: [byte, 0, 0, 0], length: 1 });
    match (body.get(at)?, body.get(at + 1)?) {
        (b'%', _) => one(3, hex_pair(body, at + 1)?),
        (b'\\', b'x') => one(4, hex_pair(body, at + 2)?),
        (b'\\', b'u') => {
            let unit = u32::from(hex_pair(body, at + 2)?) << 8 | u32::from(hex_pair(body, at + 4)?);
            // Half of a pair stands for nothing that a secret has.
            let character = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
            let mut bytes = [0; 4];
            let length = character.encode_utf8(&mut bytes).len();
            Some(Undone { escaped: 6, bytes, length })
        }
        (b'\\', letter) => one(2, LETTERS.iter().find(|(escape, _)| escape == letter)?.1),
        _ => None,
    }
}

fn hex_pair(body: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| body.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    u8::try_from(digit(at)? << 4 | digit(at + 1)?).ok()
}

/// A body with one layer of escapes undone.
pub(super) fn decoded(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len());
    decode_into(body, &mut text);
    text
}

fn decode_into(body: &[u8], text: &mut Vec<u8>) {
    text.reserve(body.len());
    let mut rest = body;
    while let Some(byte) = rest.first() {
        let undone = if is_mark(byte) { undo(rest, 0) } else { None };
        let taken = match undone {
            Some(Undone { escaped, bytes, length: 1 }) => {
                text.push(bytes[0]);
                escaped
            }
            Some(Undone { escaped, bytes, length }) => {
                text.extend_from_slice(&bytes[..length]);
                escaped
            }
            None => {
                // Up to the next mark, not this one.
                let plain = rest.iter().skip(1).position(is_mark).map_or(rest.len(), |at| at + 1);
                text.extend_from_slice(&rest[..plain]);
                plain
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
}

/// The same with the place in `body` that each byte of the result comes from: where it begins, and where it ends.
pub(super) fn decoded_with_places(body: &[u8]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut text, mut places) = (Vec::with_capacity(body.len()), Vec::with_capacity(body.len()));
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        match if is_mark(byte) { undo(body, at) } else { None } {
            Some(undone) => {
                for byte in &undone.bytes[..undone.length] {
                    text.push(*byte);
                    places.push((at, at + undone.escaped));
                }
                at += undone.escaped;
            }
            None => {
                text.push(*byte);
                places.push((at, at + 1));
                at += 1;
            }
        }
    }
    (text, places)
}
