//! Looks for secrets in what leaves a run: the host's own in every spelling that a guest can use without decoding
//! anything itself, and tokens of well-known kinds, whoever they belong to.
//!
//! The host's secrets are found plain, in base64 (three alignments, both alphabets, padded or not) and in hexadecimal
//! (any case); all of that also behind percent-encoding and JSON escapes, in whole or in part, up to
//! [`ESCAPE_LAYERS_MAX`] layers of them. Tokens of well-known kinds are found plain and behind the same layers.
//!
//! Both kinds of escapes are undone together, so one kind around the other can hide a secret that has a backslash itself; so
//! can escapes in part of a secret that looks like an escape itself and is shorter than [`SECRET_BYTES_MIN`] without it.
//!
//! Invariant: pure, and linear in the length of the body. No value here prints any part of a secret.
//!
//! This is a second line. A guest is given no secret; one that had it could always invent another spelling.

mod escapes;
mod needles;
mod redact;
#[cfg(test)]
mod tests;
mod tokens;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use escapes::Escapes;
pub use redact::{Spot, mark};

use needles::Needles;
use tokens::Tokens;

/// A shorter secret is not looked for: it would be found everywhere.
pub const SECRET_BYTES_MIN: usize = 8;
/// Percent-encoding or JSON escapes around each other that are undone.
pub const ESCAPE_LAYERS_MAX: u32 = 3;

/// Whose secret was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It is one of this host's own.
    Host,
    /// It has the form of a well-known kind of token.
    Unknown,
}

/// What was found; never the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit<'s> {
    /// The secret's name in the configuration, or the kind of token.
    pub what: &'s str,
    pub owner: Owner,
}

/// Looks for the secrets that it was made from. Made once; shared by all runs.
pub struct Scanner {
    names: Vec<String>,
    too_short: Vec<String>,
    needles: Needles,
    tokens: Tokens,
    escapes: Escapes,
    reach: usize,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Scanner {
    /// From the host's own secrets, each with the name that people know it by. The same name may come twice.
    pub fn new(secrets: &[(String, SecretString)]) -> Self {
        Self::of_bytes(secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose_secret().as_bytes())))
    }

    /// The same of secrets that need not be text.
    pub fn of_bytes<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let (mut names, mut too_short, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (name, secret) in secrets {
            if secret.len() < SECRET_BYTES_MIN {
                too_short.push(name.to_owned());
            } else {
                names.push(name.to_owned());
                values.push(secret);
            }
        }
        let needles = Needles::new(&values);
        let longest = values.iter().map(|secret| secret.len()).max().unwrap_or(0);
        Self {
            escapes: Escapes::new(needles.spellings()),
            needles,
            tokens: Tokens::new(),
            reach: longest.saturating_mul(escapes::ESCAPED_BYTES_MAX).max(tokens::TOKEN_REACH_BYTES),
            names,
            too_short,
        }
    }

    /// Names of secrets that are too short to be looked for.
    pub fn too_short(&self) -> &[String] {
        &self.too_short
    }

    /// How far back a secret may begin that ends at some place, for who scans a text piece by piece.
    pub fn reach_bytes(&self) -> usize {
        self.reach
    }

    /// The first secret that is found, none if there is none.
    pub fn scan(&self, body: &[u8]) -> Option<Hit<'_>> {
        if let Some(hit) = self.scan_layer(body) {
            return Some(hit);
        }
        if !self.escapes.any(body) {
            return None;
        }
        let mut layer = self.escapes.decoded_pieces(body);
        for _ in 1..ESCAPE_LAYERS_MAX {
            if let Some(hit) = self.scan_layer(&layer) {
                return Some(hit);
            }
            if !self.escapes.any(&layer) {
                return None;
            }
            layer = self.escapes.decoded_pieces(&layer);
        }
        self.scan_layer(&layer)
    }

    /// The same over a JSON value, names and numbers included.
    pub fn scan_json(&self, value: &Value) -> Option<Hit<'_>> {
        self.scan(value.to_string().as_bytes())
    }

    /// Whether what follows could make a secret of the end of this text. Only the host's own secrets count, and only
    /// where more than a few bytes of one stand there.
    pub fn may_go_on(&self, text: &[u8]) -> bool {
        self.needles.may_go_on(text)
    }

    fn scan_layer(&self, body: &[u8]) -> Option<Hit<'_>> {
        if let Some(secret) = self.needles.first(body) {
            return Some(self.host_hit(secret));
        }
        self.tokens.first(body).map(|what| Hit { what, owner: Owner::Unknown })
    }

    fn host_hit(&self, secret: usize) -> Hit<'_> {
        Hit { what: self.names.get(secret).map_or("", String::as_str), owner: Owner::Host }
    }
}
