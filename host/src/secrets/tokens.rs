//! Tokens of well-known kinds, by their form.
//!
//! A vectorised search finds the few bytes that each kind begins with; what follows them decides. Each decision looks
//! at a bounded number of bytes, or at a run of them that is not looked at again.

use aho_corasick::packed::{self, Searcher};
use aho_corasick::{AhoCorasick, Input, Span};

/// How far a token reaches behind what it begins with before it is certain to be one; enough to join two pieces.
pub(super) const TOKEN_REACH_BYTES: usize = 128;
/// Longest token, for blacking out; a private key is longer than any other.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Each part of a JSON web token.
const JWT_PART_BYTES_MIN: usize = 10;

/// Which bytes a token consists of behind its beginning.
#[derive(Clone, Copy)]
enum Class {
    Alphanumeric,
    /// With `_` and `-`.
    Word,
    /// Capital letters and digits.
    Capital,
}

impl Class {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-',
            Self::Capital => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        }
    }
}

/// What must follow the beginning.
#[derive(Clone, Copy)]
enum Form {
    /// At least so many bytes of the class.
    Run(Class, usize),
    /// The same, with a digit among the first of them, and no letter or digit before the beginning: the beginning is
    /// the end of many words.
    Word(usize),
    Jwt,
    /// The beginning is `BEGIN ` here: a search for dashes would stop at every ruler.
    PrivateKey,
}

const KINDS: &[(&str, &str, Form)] = &[
    ("ghp_", "github-token", Form::Run(Class::Alphanumeric, 36)),
    ("gho_", "github-token", Form::Run(Class::Alphanumeric, 36)),
    ("ghu_", "github-token", Form::Run(Class::Alphanumeric, 36)),
    ("ghs_", "github-token", Form::Run(Class::Alphanumeric, 36)),
    ("ghr_", "github-token", Form::Run(Class::Alphanumeric, 36)),
    ("github_pat_", "github-token", Form::Run(Class::Word, 36)),
    ("jgt_", "juggernaut-token", Form::Run(Class::Word, 43)),
    ("sk-", "model-api-key", Form::Word(32)),
    ("AKIA", "aws-access-key", Form::Run(Class::Capital, 16)),
    ("ASIA", "aws-access-key", Form::Run(Class::Capital, 16)),
    ("AIza", "google-api-key", Form::Run(Class::Word, 35)),
    ("xoxa-", "slack-token", Form::Word(10)),
    ("xoxb-", "slack-token", Form::Word(10)),
    ("xoxp-", "slack-token", Form::Word(10)),
    ("xoxr-", "slack-token", Form::Word(10)),
    ("xoxs-", "slack-token", Form::Word(10)),
    ("sk_live_", "stripe-key", Form::Run(Class::Alphanumeric, 16)),
    ("rk_live_", "stripe-key", Form::Run(Class::Alphanumeric, 16)),
    ("npm_", "npm-token", Form::Run(Class::Alphanumeric, 36)),
    ("glpat-", "gitlab-token", Form::Run(Class::Word, 20)),
    ("eyJ", "json-web-token", Form::Jwt),
    ("BEGIN ", "private-key", Form::PrivateKey),
];

/// What a token looks like, found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) what: &'static str,
}

enum Search {
    Packed(Box<Searcher>),
    /// On a processor without the instructions.
    Automaton(AhoCorasick),
}

/// None where not even the automaton could be built from our own constants; a test holds that it can.
pub(super) struct Tokens(Option<Search>);

impl Tokens {
    pub(super) fn new() -> Self {
        let beginnings = || KINDS.iter().map(|(beginning, _, _)| beginning);
        let packed = packed::Config::new().builder().extend(beginnings()).build();
        Self(match packed {
            Some(searcher) => Some(Search::Packed(Box::new(searcher))),
            None => AhoCorasick::new(beginnings()).ok().map(Search::Automaton),
        })
    }

    #[cfg(test)]
    pub(super) fn works(&self) -> bool {
        self.0.is_some()
    }

    /// The kind of the first token.
    pub(super) fn first(&self, body: &[u8]) -> Option<&'static str> {
        self.next(body, 0, false).map(|found| found.what)
    }

    /// All of them, none within another.
    pub(super) fn places(&self, body: &[u8]) -> Vec<Found> {
        let mut places = Vec::new();
        let mut from = 0;
        while let Some(found) = self.next(body, from, true) {
            from = found.end;
            places.push(found);
        }
        places
    }

    fn next(&self, body: &[u8], mut from: usize, whole: bool) -> Option<Found> {
        // Up to here nothing can be a JSON web token: the run of its characters that ends here has no dot behind it.
        let mut no_jwt_until = 0;
        while let Some((kind, start, behind)) = self.beginning(body, from) {
            let (_, what, form) = *KINDS.get(kind)?;
            let found = match form {
                Form::Run(class, bytes_min) => run(body, behind, class, bytes_min),
                Form::Word(bytes_min) => word(body, start, behind, bytes_min),
                Form::Jwt if start < no_jwt_until => None,
                Form::Jwt => jwt(body, start).map_err(|dead_end| no_jwt_until = dead_end).ok(),
                Form::PrivateKey => private_key(body, start, behind, whole),
            };
            if let Some(end) = found {
                let start = if matches!(form, Form::PrivateKey) { start.saturating_sub(DASHES.len()) } else { start };
                return Some(Found { start, end: if whole { rest(body, end, form) } else { end }, what });
            }
            from = start + 1;
        }
        None
    }

    fn beginning(&self, body: &[u8], from: usize) -> Option<(usize, usize, usize)> {
        let span = Span { start: from, end: body.len() };
        if span.start >= span.end {
            return None;
        }
        let found = match self.0.as_ref()? {
            Search::Packed(searcher) => searcher.find_in(body, span),
            Search::Automaton(automaton) => automaton.find(Input::new(body).span(span)),
        }?;
        Some((found.pattern().as_usize(), found.start(), found.end()))
    }
}

/// The end of the shortest token of this form.
fn run(body: &[u8], from: usize, class: Class, bytes_min: usize) -> Option<usize> {
    let end = from + bytes_min;
    body.get(from..end)?.iter().all(|byte| class.has(*byte)).then_some(end)
}

fn word(body: &[u8], start: usize, from: usize, bytes_min: usize) -> Option<usize> {
    let before = start.checked_sub(1).and_then(|at| body.get(at));
    if before.is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let end = run(body, from, Class::Word, bytes_min)?;
    body.get(from..end)?.iter().any(u8::is_ascii_digit).then_some(end)
}

/// Head, content and signature with dots between them; else how far no other one can begin.
fn jwt(body: &[u8], start: usize) -> Result<usize, usize> {
    let part = |from: usize| from + run_bytes(body, from, Class::Word, usize::MAX);
    let dot = |at: usize| body.get(at) == Some(&b'.');
    let head = part(start);
    if !dot(head) || head - start < JWT_PART_BYTES_MIN {
        return Err(head);
    }
    if !body.get(head + 1..).is_some_and(|rest| rest.starts_with(b"eyJ")) {
        return Err(head);
    }
    let content = part(head + 1);
    if !dot(content) || content - head <= JWT_PART_BYTES_MIN {
        return Err(if dot(content) { head } else { content });
    }
    let signature = part(content + 1);
    if signature - content > JWT_PART_BYTES_MIN { Ok(signature) } else { Err(head) }
}

const DASHES: &[u8] = b"-----";
/// `BEGIN `, what kind of key, ` PRIVATE KEY`, and ` BLOCK` for OpenPGP.
const KEY_HEAD_BYTES_MAX: usize = 64;
const KEY_MARK: &[u8] = b"PRIVATE KEY";

fn private_key(body: &[u8], start: usize, from: usize, whole: bool) -> Option<usize> {
    if !body.get(..start)?.ends_with(DASHES) {
        return None;
    }
    let head = body.get(from..body.len().min(from + KEY_HEAD_BYTES_MAX))?;
    let head = head.get(..place_of(head, DASHES)?)?;
    place_of(head, KEY_MARK)?;
    let end = from + head.len() + DASHES.len();
    Some(if whole { key_end(body, end) } else { end })
}

/// Behind the line that ends the key; without one, behind whatever could belong to it.
fn key_end(body: &[u8], from: usize) -> usize {
    let rest = body.get(from..body.len().min(from + TOKEN_BYTES_MAX)).unwrap_or_default();
    let length = place_of(rest, b"-----END").map(|at| {
        let line = rest.get(at + DASHES.len()..).unwrap_or_default();
        at + DASHES.len() + place_of(line, DASHES).map_or(line.len(), |dashes| dashes + DASHES.len())
    });
    let could_belong =
        |byte: &u8| byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/=\\:,-".contains(byte);
    from + length.unwrap_or_else(|| rest.iter().take_while(|byte| could_belong(byte)).count())
}

fn place_of(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn run_bytes(body: &[u8], from: usize, class: Class, bytes_max: usize) -> usize {
    let rest = body.get(from..).unwrap_or_default();
    rest.iter().take(bytes_max).take_while(|byte| class.has(**byte)).count()
}

/// Where the token really ends: what else is of its class may be of its secret.
fn rest(body: &[u8], end: usize, form: Form) -> usize {
    match form {
        Form::Run(class, _) => end + run_bytes(body, end, class, TOKEN_BYTES_MAX),
        Form::Word(_) | Form::Jwt => end + run_bytes(body, end, Class::Word, TOKEN_BYTES_MAX),
        Form::PrivateKey => end,
    }
}
