//! One process of the host.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::Paths;
use crate::cluster::{child_ended, child_started};

const LISTENING: &str = "listening on ";
const START_MAX: Duration = Duration::from_mins(1);
const STOP_MAX: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

/// `juggernaut serve`, killed with this value, by its own process id.
#[derive(Debug)]
pub struct HostProcess {
    child: Child,
    url: String,
    stderr: Arc<Mutex<Vec<String>>>,
}

impl HostProcess {
    /// Starts it with this environment and no other, and waits until it listens.
    pub async fn start(env: &BTreeMap<String, String>) -> Self {
        let mut child = Command::new(Paths::get().juggernaut())
            .arg("serve")
            .env_clear()
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the host");
        child_started(child.id());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (said, address) = oneshot::channel();
        let pipe = child.stderr.take().expect("a pipe");
        let stderr = Arc::clone(&lines);
        std::thread::spawn(move || collect(pipe, &lines, said));
        let mut process = Self { child, url: String::new(), stderr };
        match tokio::time::timeout(START_MAX, address).await {
            Ok(Ok(url)) => process.url = url,
            Ok(Err(_)) => panic!("the host ended instead of listening:\n{}", process.stderr()),
            Err(late) => panic!("the host does not listen within {START_MAX:?} ({late}):\n{}", process.stderr()),
        }
        process
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has said so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, for example `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.expect("kill").success(), "no process {} to send {name} to", self.pid());
    }

    /// SIGKILL, and waits for the end.
    pub fn kill9(&mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("the end");
        child_ended(self.pid());
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let began = std::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                child_ended(self.pid());
                return status;
            }
            assert!(began.elapsed() < STOP_MAX, "the host does not end:\n{}", self.stderr());
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // It may have ended already; then there is nobody to kill, and nothing is sent to a reused process id.
        if self.child.kill().is_ok() {
            self.child.wait().expect("the end of the host");
            child_ended(self.pid());
        }
    }
}

fn collect(pipe: ChildStderr, lines: &Mutex<Vec<String>>, said: oneshot::Sender<String>) {
    let mut said = Some(said);
    for line in BufReader::new(pipe).split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some(url) = line.strip_prefix(LISTENING)
            && let Some(said) = said.take()
        {
            // Nobody listens any more if the test gave up.
            said.send(url.to_owned()).unwrap_or_default();
        }
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}
