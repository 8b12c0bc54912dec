//! Learnings: look and search.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiState;
use super::access::{May, Read};
use super::cursor::{Page, number};
use super::extract::{ApiQuery, page_limit};
use super::problem::Problem;
use crate::db::learnings::{LearningFilter, LearningView};

const WORDS_BYTES_MAX: usize = 1000;
/// Results that can be paged through.
const SKIPPED_MAX: u32 = 10_000;

/// Which learnings, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListLearnings {
    /// Words that must all occur, `"a phrase"`, `or` between words, `-` before one that must not occur; all learnings if
    /// unset.
    q: Option<String>,
    /// A tag that it must have.
    tag: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200, 50 if unset.
    limit: Option<u32>,
}

/// Search learnings, best first
///
/// Newest first where no words are given. What they say was written by roles.
#[utoipa::path(get, path = "/learnings", tag = "learnings", params(ListLearnings),
    responses((status = 200, description = "A page of learnings", body = Page<LearningView>)))]
pub(super) async fn list_learnings(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ApiQuery(query): ApiQuery<ListLearnings>,
) -> Result<Json<Page<LearningView>>, Problem> {
    let ListLearnings { q, tag, cursor, limit } = query;
    let limit = page_limit(limit)?;
    let words = q.unwrap_or_default();
    if words.len() > WORDS_BYTES_MAX {
        return Err(Problem::invalid_query(format!(
            "q is longer than {WORDS_BYTES_MAX} bytes; search for fewer words"
        )));
    }
    let skip = match cursor {
        None => 0,
        Some(cursor) => number::<u32>(&cursor)?.min(SKIPPED_MAX),
    };
    let filter = LearningFilter { words, tags: tag.into_iter().collect() };
    let found = state.db.find_learnings(&filter, skip, limit + 1).await?;
    let next = skip.saturating_add(limit);
    Ok(Json(Page::cut(found, limit, |_| next.to_string())))
}
