//! The command line, as a person or a script calls it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::Paths;

const RUN_MAX: Duration = Duration::from_mins(2);

/// What a command printed, and its exit status.
#[derive(Debug, Clone)]
pub struct CliOutput {
    /// None if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CliOutput {
    /// Its standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs `juggernaut` in `folder` with these arguments, this environment and no other.
pub async fn juggernaut(folder: &Path, arguments: &[&str], env: &[(&str, &str)]) -> CliOutput {
    let running = tokio::process::Command::new(Paths::get().juggernaut())
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(RUN_MAX, running).await;
    let output = output.unwrap_or_else(|_| panic!("juggernaut {arguments:?} does not end")).expect("juggernaut");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    CliOutput { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
