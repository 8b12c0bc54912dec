//! `juggernaut worker …`

use std::process::ExitCode;

use super::client::Client;
use super::output::{Output, cell, note, time, visible};
use crate::db::workers::WorkerView;
use crate::http::Page;

pub(super) async fn list(client: &Client, output: Output) -> anyhow::Result<ExitCode> {
    let answer = client.get(&["workers"], &[("limit", "200".to_owned())]).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let page: Page<WorkerView> = answer.parse()?;
    let rows = page.items.iter().map(row).collect();
    output.table(&["WORKER", "TYPE", "STATUS", "TASK", "LAST HEARTBEAT", "TASK TYPES"], rows)?;
    if let Some(next) = page.next {
        note(&format!("there are more workers after {}; use the API to page on", visible(&next)));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(worker: &WorkerView) -> Vec<String> {
    let types = worker.capabilities.as_array().map(Vec::as_slice).unwrap_or_default();
    let types: Vec<_> = types.iter().filter_map(|name| name.as_str()).collect();
    vec![
        cell(&worker.worker_id.0),
        cell(&worker.worker_type),
        worker.status.to_string(),
        worker.current_task_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        time(worker.last_heartbeat),
        cell(&types.join(", ")),
    ]
}
