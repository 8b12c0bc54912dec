//! Pages of lists, and their `Link` header.

use axum::Json;
use axum::http::header::LINK;
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

const PER_PAGE_DEFAULT: usize = 30;
const PER_PAGE_MAX: usize = 100;

/// What a client asked for. GitHub ignores numbers that make no sense.
#[derive(Clone, Debug)]
pub(super) struct Page {
    number: usize,
    size: usize,
    base: String,
    uri: Uri,
}

impl Page {
    pub(super) fn new(base: &str, uri: &Uri) -> Self {
        Self::with_limits(base, uri, PER_PAGE_DEFAULT, PER_PAGE_MAX)
    }

    pub(super) fn with_limits(base: &str, uri: &Uri, default: usize, max: usize) -> Self {
        let number = |name| query(uri, name).and_then(|it| it.parse::<usize>().ok());
        Self {
            number: number("page").filter(|it| *it > 0).unwrap_or(1),
            size: number("per_page").filter(|it| *it > 0).unwrap_or(default).min(max),
            base: base.to_owned(),
            uri: uri.clone(),
        }
    }

    pub(super) fn skip(&self) -> usize {
        (self.number - 1).saturating_mul(self.size)
    }

    pub(super) fn take(&self) -> usize {
        self.size
    }

    pub(super) fn is_first(&self) -> bool {
        self.number == 1
    }

    pub(super) fn cut<T>(&self, items: Vec<T>) -> Vec<T> {
        items.into_iter().skip(self.skip()).take(self.take()).collect()
    }

    pub(super) fn respond(&self, body: Value, total: usize) -> Response {
        let mut response = Json(body).into_response();
        if let Some(link) = self.link(total)
            && let Ok(link) = HeaderValue::try_from(link)
        {
            response.headers_mut().insert(LINK, link);
        }
        response
    }

    fn link(&self, total: usize) -> Option<String> {
        let last = total.div_ceil(self.size).max(1);
        let mut links = Vec::new();
        if self.number > 1 {
            links.push(self.to((self.number - 1).min(last), "prev"));
        }
        if self.number < last {
            links.push(self.to(self.number + 1, "next"));
            links.push(self.to(last, "last"));
        }
        if self.number > 1 {
            links.push(self.to(1, "first"));
        }
        (!links.is_empty()).then(|| links.join(", "))
    }

    fn to(&self, page: usize, relation: &str) -> String {
        let others = self.uri.query().unwrap_or_default();
        let mut query: Vec<&str> =
            others.split('&').filter(|part| !part.is_empty() && !part.starts_with("page=")).collect();
        let page = format!("page={page}");
        query.push(&page);
        format!("<{}{}?{}>; rel=\"{relation}\"", self.base, self.uri.path(), query.join("&"))
    }
}

/// A parameter of the query, decoded. The last one wins.
pub(super) fn query(uri: &Uri, name: &str) -> Option<String> {
    let text = uri.query()?;
    text.split('&')
        .rev()
        .find_map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (key == name).then_some(value)
        })
        .map(|value| {
            let spaced = value.replace('+', " ");
            percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        })
}
