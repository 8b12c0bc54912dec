//! Git trees.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use git2::ObjectType;
use serde_json::{Value, json};

use super::links::{Links, repo_name};
use super::page::query;
use super::refs::RefPath;
use crate::app::{App, blocking};
use crate::error::ApiError;

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path((owner, repo, spec)): RefPath,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    // GitHub: any value, even 0 or false, asks for the whole tree.
    let recursive = query(&uri, "recursive").is_some();
    let (sha, entries, truncated) = blocking(&app, move |store| store.repo(&name)?.tree(&spec, recursive)).await?;
    let tree: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut value = json!({
                "path": entry.path,
                "mode": format!("{:06o}", entry.mode),
                "type": entry.kind.str(),
                "sha": entry.sha.to_string(),
            });
            if let Some(size) = entry.size {
                value["size"] = size.into();
            }
            if entry.kind != ObjectType::Commit {
                let path = format!("/git/{}s/{}", entry.kind.str(), entry.sha);
                value["url"] = links.api(&path).into();
            }
            value
        })
        .collect();
    Ok(Json(json!({
        "sha": sha.to_string(),
        "url": links.api(&format!("/git/trees/{sha}")),
        "tree": tree,
        "truncated": truncated,
    })))
}
