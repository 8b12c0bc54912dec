//! Files and directories.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use git2::ObjectType;
use serde_json::{Value, json};

use super::body::Fields;
use super::links::{Links, encoded, repo_name};
use super::page::query;
use super::refs::RefPath;
use crate::app::{App, blocking};
use crate::clock;
use crate::error::{ApiError, StoreError};
use crate::store::{Entry, FileWrite, Found, Signer, WrittenFile};

const INLINE_BYTES_MAX: usize = 1024 * 1024;
const BLOB_BYTES_MAX: usize = 100 * 1024 * 1024;
const BASE64_LINE: usize = 60;
const LINK_MODE: u32 = 0o120_000;

pub(super) async fn root(
    state: State<Arc<App>>,
    Path((owner, repo)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    get(state, Path((owner, repo, String::new())), uri, headers).await
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path((owner, repo, path)): RefPath,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let spec = query(&uri, "ref").filter(|spec| !spec.is_empty());
    let raw = wants_raw(&headers);
    blocking(&app, move |store| {
        let repo = store.repo(&name)?;
        let commit = repo.commit_for_contents(spec.as_deref())?;
        let reference = match spec {
            Some(spec) => spec,
            None => repo.meta()?.default_branch,
        };
        match repo.find(&commit, path.trim_end_matches('/'))? {
            Found::Directory(entries) => {
                let listed = entries.iter().map(|it| describe(&links, it, &reference));
                Ok(Json(listed.collect::<Value>()).into_response())
            }
            Found::File(entry) => {
                let size = entry.size.unwrap_or_default();
                if size > BLOB_BYTES_MAX {
                    return Err(StoreError::TooLarge);
                }
                let bytes = match entry.kind {
                    ObjectType::Blob => repo.blob(entry.sha)?,
                    _ => Vec::new(),
                };
                if raw {
                    return Ok(raw_response(bytes));
                }
                Ok(Json(file(&links, &entry, &reference, &bytes)).into_response())
            }
        }
    })
    .await
}

fn wants_raw(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.contains("application/vnd.github.raw") || accept.contains("application/vnd.github.v3.raw")
}

fn raw_response(bytes: Vec<u8>) -> Response {
    let headers = [
        (CONTENT_TYPE.as_str(), "application/vnd.github.raw+json; charset=utf-8"),
        ("x-github-media-type", "github.v3; param=raw; format=json"),
    ];
    (headers, bytes).into_response()
}

fn file(links: &Links, entry: &Entry, reference: &str, bytes: &[u8]) -> Value {
    let mut value = describe(links, entry, reference);
    if entry.kind != ObjectType::Blob {
        value["type"] = "submodule".into();
        return value;
    }
    if entry.mode == LINK_MODE {
        value["target"] = String::from_utf8_lossy(bytes).into();
        return value;
    }
    let (content, encoding) =
        if bytes.len() > INLINE_BYTES_MAX { (String::new(), "none") } else { (wrapped_base64(bytes), "base64") };
    value["content"] = content.into();
    value["encoding"] = encoding.into();
    value
}

fn describe(links: &Links, entry: &Entry, reference: &str) -> Value {
    let Entry { path, mode, kind, sha, size } = entry;
    let (kind, git, page) = match (kind, *mode) {
        (ObjectType::Tree, _) => ("dir", "trees", "tree"),
        (_, LINK_MODE) => ("symlink", "blobs", "blob"),
        // In listings a submodule is a "file", for compatibility with what GitHub once did.
        _ => ("file", "blobs", "blob"),
    };
    let url = format!("{}?ref={}", links.api(&format!("/contents/{path}")), encoded(reference));
    let git_url = links.api(&format!("/git/{git}/{sha}"));
    let html_url = links.html(&format!("/{page}/{reference}/{path}"));
    let download_url = (kind != "dir").then(|| links.html(&format!("/raw/{reference}/{path}")));
    json!({
        "name": entry.name(),
        "path": path,
        "sha": sha.to_string(),
        "size": size.unwrap_or_default(),
        "url": url,
        "html_url": html_url,
        "git_url": git_url,
        "download_url": download_url,
        "type": kind,
        "_links": {"self": url, "git": git_url, "html": html_url},
    })
}

/// As GitHub writes it: a newline after every 60 characters and at the end.
fn wrapped_base64(bytes: &[u8]) -> String {
    let encoded = STANDARD.encode(bytes);
    let mut wrapped = String::with_capacity(encoded.len() + encoded.len() / BASE64_LINE + 1);
    for (at, c) in encoded.chars().enumerate() {
        if at > 0 && at % BASE64_LINE == 0 {
            wrapped.push('\n');
        }
        wrapped.push(c);
    }
    if !wrapped.is_empty() {
        wrapped.push('\n');
    }
    wrapped
}

pub(super) async fn put(
    State(app): State<Arc<App>>,
    Path((owner, repo, path)): RefPath,
    bytes: Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let write = parse_write(path, &bytes)?;
    blocking(&app, move |store| {
        store.locked(&name, |repo| {
            let written = repo.write_file(&write)?;
            let WrittenFile { entry, branch, commit, created } = &written;
            let status = if *created { StatusCode::CREATED } else { StatusCode::OK };
            let commit = repo.git.find_commit(*commit)?;
            let body = json!({
                "content": describe(&links, entry, branch),
                "commit": links.git_commit(&commit),
            });
            Ok((status, Json(body)))
        })
    })
    .await
}

fn parse_write(path: String, bytes: &Bytes) -> Result<FileWrite, ApiError> {
    let fields = Fields::parse(bytes)?;
    fields.require(&["message", "content"])?;
    // Clients send wrapped and unpadded forms; GitHub takes both.
    let mut content = fields.required_text("content")?;
    content.retain(|c| !matches!(c, '\n' | '\r' | ' '));
    let lenient = GeneralPurpose::new(
        &ALPHABET,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let bytes = lenient.decode(content).map_err(|_| ApiError::unprocessable("content is not valid Base64"))?;
    if bytes.len() > BLOB_BYTES_MAX {
        return Err(StoreError::TooLarge.into());
    }
    Ok(FileWrite {
        path,
        message: fields.required_text("message")?,
        bytes,
        branch: fields.text("branch")?,
        sha: fields.text("sha")?,
        author: signer(&fields, "author")?,
        committer: signer(&fields, "committer")?,
    })
}

fn signer(fields: &Fields, name: &str) -> Result<Option<Signer>, ApiError> {
    let Some(person) = fields.object(name)? else {
        return Ok(None);
    };
    person.require(&["name", "email"])?;
    let unix = match person.text("date")? {
        Some(date) => Some(clock::parse_unix(&date).ok_or_else(|| {
            ApiError::unprocessable(format!(
                "Invalid request.\n\nFor 'properties/date', {date} is not a valid date-time."
            ))
        })?),
        None => None,
    };
    Ok(Some(Signer { name: person.required_text("name")?, email: person.required_text("email")?, unix }))
}
