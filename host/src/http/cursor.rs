//! Pages, and the opaque text that stands for a place in a list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::problem::Problem;

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Give this as `cursor` for the page that follows; null on the last one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// From one row more than the limit, if there is one.
    pub(super) fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}

/// A place in a list that is sorted by time and id. PostgreSQL keeps microseconds, so nothing is lost.
pub(super) fn encode(time: OffsetDateTime, id: Uuid) -> String {
    let micros = time.unix_timestamp_nanos() / 1000;
    URL_SAFE_NO_PAD.encode(format!("{micros}.{id}"))
}

pub(super) fn decode(cursor: &str) -> Result<(OffsetDateTime, Uuid), Problem> {
    parse(cursor).ok_or_else(wrong_cursor)
}

/// A place in a list that is sorted by a number.
pub(super) fn number<N: std::str::FromStr>(cursor: &str) -> Result<N, Problem> {
    cursor.parse().map_err(|_| wrong_cursor())
}

fn wrong_cursor() -> Problem {
    Problem::invalid_query("cursor is not one that this list gave out; leave it out to begin at the start")
}

fn parse(cursor: &str) -> Option<(OffsetDateTime, Uuid)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (micros, id) = text.split_once('.')?;
    let micros: i64 = micros.parse().ok()?;
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()?;
    Some((time, Uuid::try_parse(id).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let time = time::macros::datetime!(2026-11-22 18:49:21.123456 UTC);
        let id = Uuid::now_v7();
        assert_eq!(parse(&encode(time, id)), Some((time, id)));
        for wrong in
            ["", "x", "!!", &URL_SAFE_NO_PAD.encode("1.x"), &URL_SAFE_NO_PAD.encode(format!("{}.{id}", i64::MAX))]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_a_full_page_with_a_row_to_spare_has_a_next_one() {
        let page = Page::cut(vec![1, 2, 3], 2, ToString::to_string);
        assert_eq!((page.items, page.next.as_deref()), (vec![1, 2], Some("2")));
        let page = Page::cut(vec![1, 2], 2, ToString::to_string);
        assert_eq!((page.items, page.next), (vec![1, 2], None));
    }
}
