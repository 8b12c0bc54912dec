//! What a run is given that does nothing: replays and tests of roles.
//!
//! Invariant: no client of the outside has an address, a token or leave to connect.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::mpsc;

use crate::egress::{Guard, Loopback, WebClient};
use crate::journal::Message;
use crate::sandbox::Services;
use crate::secrets::Scanner;

pub(super) fn services(agent: &str) -> Result<Arc<Services>> {
    let web = WebClient::new(Guard::new(Loopback::Refused), agent)?;
    // Nothing acts, so nothing comes late.
    let (alerts, _) = mpsc::channel(1);
    Ok(Arc::new(Services { github: None, web, models: None, secrets: Arc::new(Scanner::new(&[])), alerts }))
}

/// What the role says; there is nothing else that such a run could send and anybody would look at.
pub(super) async fn listen(mut messages: mpsc::Receiver<Box<Message>>) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(message) = messages.recv().await {
        if let Message::Log(line) = *message {
            said.push(line.message);
        }
    }
    said
}
