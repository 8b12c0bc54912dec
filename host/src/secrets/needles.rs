//! The host's own secrets, spelled out, and one pass that finds any of them.
//!
//! Four bytes are looked at every `step` bytes. A spelling of at least `step + 3` bytes can not lie between two looks,
//! so one of the first `step` groups of four in its window must be met; a filter of bits says which groups those are.
//! What passes the filter is compared.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use super::{ESCAPE_LAYERS_MAX, SECRET_BYTES_MIN, escapes};

const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, NO_PAD);
/// Bytes of a group.
const GROUP: usize = 4;
/// More would fill the filter; fewer looks than this gain nothing.
const STEP_MAX: usize = 16;
/// The filter has a bit for each value of a hash this wide.
const FILTER_BITS: u32 = 16;
const FILTER_WORDS: usize = (1 << FILTER_BITS) / 64;
/// What may be the beginning of a secret by accident: fewer bytes say nothing.
const BEGINNING_BYTES_MIN: usize = 6;

/// How a spelling is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Plain,
    /// The characters that the secret alone decides; the ones beside them hold a few of its bits as well.
    Base64,
    Hex,
}

struct Needle {
    bytes: Vec<u8>,
    spelling: Spelling,
    secret: usize,
}

/// A group of four bytes of a needle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    key: u32,
    needle: usize,
    offset: usize,
}

/// A place where a secret stands, with every character that tells something of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) secret: usize,
}

pub(super) struct Needles {
    all: Vec<Needle>,
    /// By key.
    groups: Vec<Group>,
    filter: Box<[u64; FILTER_WORDS]>,
    step: usize,
}

/// Without the case of letters, so that hexadecimal of any case meets the same groups; the comparison is exact.
fn key(group: [u8; GROUP]) -> u32 {
    u32::from_le_bytes(group) | 0x2020_2020
}

fn hash(key: u32) -> usize {
    (key.wrapping_mul(0x9E37_79B1) >> (u32::BITS - FILTER_BITS)) as usize
}

/// A secret that itself looks like it had escapes is also met without them, where those around it were undone.
fn spell_all(secret: usize, value: &[u8]) -> Vec<Needle> {
    let mut needles = spell(secret, value);
    let mut value = value.to_vec();
    for _ in 0..ESCAPE_LAYERS_MAX {
        let plainer = escapes::decoded(&value);
        if plainer == value || plainer.len() < SECRET_BYTES_MIN {
            break;
        }
        needles.extend(spell(secret, &plainer));
        value = plainer;
    }
    needles
}

fn spell(secret: usize, value: &[u8]) -> Vec<Needle> {
    let mut needles = vec![Needle { bytes: value.to_vec(), spelling: Spelling::Plain, secret }];
    needles.push(Needle { bytes: hex::encode(value).into_bytes(), spelling: Spelling::Hex, secret });
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(value);
        let encoded = BASE64.encode(&bytes).into_bytes();
        let (from, to) = ((before * 8).div_ceil(6), (bytes.len() * 8) / 6);
        let standard = encoded.get(from..to).unwrap_or_default().to_vec();
        let url_safe = standard.iter().map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        });
        let url_safe: Vec<u8> = url_safe.collect();
        if url_safe != standard {
            needles.push(Needle { bytes: url_safe, spelling: Spelling::Base64, secret });
        }
        needles.push(Needle { bytes: standard, spelling: Spelling::Base64, secret });
    }
    needles
}

impl Needles {
    /// Each value has at least `SECRET_BYTES_MIN` bytes.
    pub(super) fn new(values: &[&[u8]]) -> Self {
        let needles: Vec<Needle> =
            values.iter().enumerate().flat_map(|(secret, value)| spell_all(secret, value)).collect();
        let shortest = needles.iter().map(|needle| needle.bytes.len()).min().unwrap_or(GROUP);
        let step = (shortest.saturating_sub(GROUP) + 1).clamp(1, STEP_MAX);
        let mut groups = Vec::new();
        let mut filter = Box::new([0_u64; FILTER_WORDS]);
        for (number, needle) in needles.iter().enumerate() {
            // From the middle: what a secret begins with (`ghp_`, `postgres://`) stands in many texts.
            let window = (needle.bytes.len().saturating_sub(step + GROUP - 1)) / 2;
            for (offset, bytes) in needle.bytes.array_windows::<GROUP>().enumerate().skip(window).take(step) {
                let key = key(*bytes);
                filter[hash(key) / 64] |= 1 << (hash(key) % 64);
                groups.push(Group { key, needle: number, offset });
            }
        }
        groups.sort_unstable();
        Self { all: needles, groups, filter, step }
    }

    /// The secret that is met first.
    pub(super) fn first(&self, body: &[u8]) -> Option<usize> {
        let mut met = None;
        self.look(body, |place| {
            met = Some(place.secret);
            true
        });
        met
    }

    /// Every place, in no order, perhaps more than once.
    pub(super) fn places(&self, body: &[u8]) -> Vec<Place> {
        let mut places = Vec::new();
        self.look(body, |place| {
            places.push(place);
            false
        });
        places
    }

    /// Calls `found` for each place until it says that this is enough.
    fn look(&self, body: &[u8], mut found: impl FnMut(Place) -> bool) {
        if self.all.is_empty() {
            return;
        }
        for (number, window) in body.windows(GROUP).step_by(self.step).enumerate() {
            let [a, b, c, d] = *window else { continue };
            let key = key([a, b, c, d]);
            let bit = hash(key);
            if self.filter[bit / 64] >> (bit % 64) & 1 == 1 && self.compare(body, number * self.step, key, &mut found) {
                return;
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn compare(&self, body: &[u8], at: usize, key: u32, found: &mut impl FnMut(Place) -> bool) -> bool {
        let from = self.groups.partition_point(|group| group.key < key);
        let same = self.groups.iter().skip(from).take_while(|group| group.key == key);
        for group in same {
            let (Some(needle), Some(start)) = (self.all.get(group.needle), at.checked_sub(group.offset)) else {
                continue;
            };
            let end = start + needle.bytes.len();
            if body.get(start..end).is_some_and(|text| needle.is(text)) && found(needle.place(body, start, end)) {
                return true;
            }
        }
        false
    }

    /// What is compared, and nothing beside it.
    pub(super) fn spellings(&self) -> impl Iterator<Item = &[u8]> {
        self.all.iter().map(|needle| needle.bytes.as_slice())
    }

    pub(super) fn may_go_on(&self, text: &[u8]) -> bool {
        self.all.iter().any(|needle| {
            let longest = needle.bytes.len().saturating_sub(1).min(text.len());
            (BEGINNING_BYTES_MIN..=longest).any(|bytes| {
                let (end, beginning) = (&text[text.len() - bytes..], &needle.bytes[..bytes]);
                match needle.spelling {
                    Spelling::Plain | Spelling::Base64 => end == beginning,
                    Spelling::Hex => end.eq_ignore_ascii_case(beginning),
                }
            })
        })
    }
}

impl Needle {
    fn is(&self, text: &[u8]) -> bool {
        match self.spelling {
            Spelling::Plain | Spelling::Base64 => text == self.bytes,
            Spelling::Hex => text.eq_ignore_ascii_case(&self.bytes),
        }
    }

    fn place(&self, body: &[u8], start: usize, end: usize) -> Place {
        let secret = self.secret;
        if self.spelling != Spelling::Base64 {
            return Place { start, end, secret };
        }
        let is_base64 =
            |at: usize| body.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte));
        let before = usize::from(start.checked_sub(1).is_some_and(is_base64));
        let behind = usize::from(is_base64(end));
        Place { start: start - before, end: end + behind, secret }
    }
}
