//! Blacks secrets out of texts that are kept. Slower than looking, and done only where something was found.

use std::borrow::Cow;

use serde_json::Value;

use super::{ESCAPE_LAYERS_MAX, Owner, Scanner, escapes};

/// Longest text in which places are told apart: that takes memory many times its length, which a guest could use up.
/// A longer one counts as one secret.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// A secret in a text: from where to where, escapes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot<'s> {
    pub start: usize,
    pub end: usize,
    pub what: &'s str,
    /// Whether it is a secret of the host; else something that looks like a token.
    pub hosts_own: bool,
}

/// What stands in place of a secret.
pub fn mark(what: &str) -> String {
    format!("[redacted: {what}]")
}

impl Scanner {
    /// Where secrets stand, in order, none touching another.
    pub fn spots(&self, text: &[u8]) -> Vec<Spot<'_>> {
        let Some(hit) = self.scan(text) else {
            return Vec::new();
        };
        if text.len() > TEXT_BYTES_MAX {
            return vec![Spot { start: 0, end: text.len(), what: hit.what, hosts_own: hit.owner == Owner::Host }];
        }
        let mut spots = Vec::new();
        let (mut layer, mut places) = (Cow::Borrowed(text), None::<Vec<(usize, usize)>>);
        for left in (0..=ESCAPE_LAYERS_MAX).rev() {
            self.spots_of_layer(&layer, places.as_deref(), &mut spots);
            if left == 0 || !self.escapes.any(&layer) {
                break;
            }
            let (next, inner) = escapes::decoded_with_places(&layer);
            places = Some(match places {
                None => inner,
                Some(outer) => inner.iter().map(|(start, end)| source(Some(&outer), *start, *end)).collect(),
            });
            layer = Cow::Owned(next);
        }
        join(spots)
    }

    /// Spots of one layer, as places in the text that it was made from.
    fn spots_of_layer<'s>(&'s self, layer: &[u8], places: Option<&[(usize, usize)]>, spots: &mut Vec<Spot<'s>>) {
        let needles = self.needles.places(layer);
        let needles = needles.into_iter().map(|place| (place.start, place.end, self.host_hit(place.secret).what, true));
        let tokens = self.tokens.places(layer).into_iter().map(|found| (found.start, found.end, found.what, false));
        spots.extend(needles.chain(tokens).map(|(start, end, what, hosts_own)| {
            let (start, end) = source(places, start, end);
            Spot { start, end, what, hosts_own }
        }));
    }

    /// The text with a mark in place of each secret; as it is where there is none.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let spots = self.spots(text.as_bytes());
        if spots.is_empty() {
            return Cow::Borrowed(text);
        }
        let (mut kept, mut from) = (Vec::with_capacity(text.len()), 0);
        for spot in spots {
            kept.extend_from_slice(text.as_bytes().get(from..spot.start).unwrap_or_default());
            kept.extend_from_slice(mark(spot.what).as_bytes());
            from = spot.end;
        }
        kept.extend_from_slice(text.as_bytes().get(from..).unwrap_or_default());
        Cow::Owned(String::from_utf8_lossy(&kept).into_owned())
    }

    /// A JSON value with a mark in place of each secret, in names and numbers too.
    pub fn redact_json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redact(text).into_owned()),
            Value::Array(items) => items.iter().map(|item| self.redact_json(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(key, value)| (self.redact(key).into_owned(), self.redact_json(value))).collect()
            }
            Value::Number(number) => match self.redact(&number.to_string()) {
                Cow::Borrowed(_) => value.clone(),
                Cow::Owned(text) => Value::String(text),
            },
            Value::Null | Value::Bool(_) => value.clone(),
        }
    }
}

fn source(places: Option<&[(usize, usize)]>, start: usize, end: usize) -> (usize, usize) {
    let Some(places) = places else { return (start, end) };
    let from = places.get(start).map_or(start, |place| place.0);
    let to = end.checked_sub(1).and_then(|last| places.get(last)).map_or(end, |place| place.1);
    (from, to)
}

/// Spots that touch become one, under the name of the first.
fn join(mut spots: Vec<Spot<'_>>) -> Vec<Spot<'_>> {
    // A stable sort: where two begin together, the host's own comes first.
    spots.sort_by_key(|spot| spot.start);
    let mut joined: Vec<Spot<'_>> = Vec::new();
    for spot in spots {
        match joined.last_mut() {
            Some(last) if spot.start <= last.end => last.end = last.end.max(spot.end),
            _ => joined.push(spot),
        }
    }
    joined
}
