//! The command line, and when the process ends.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use clap::Parser;
use forge::{CheckPolicy, Forge, ForgeOptions, RepoName, Seed};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// A local GitHub-compatible server over bare git repositories, for development and tests.
#[derive(Parser)]
#[command(name = "forge", version)]
pub(crate) struct Args {
    /// Where the repositories are: DIR/<owner>/<name>.git
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// A loopback address; port 0 takes any free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The token that requests must bear; without one every non-empty token is good
    #[arg(long, env = "FORGE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Whom the token belongs to
    #[arg(long, default_value = "juggernaut")]
    login: String,
    /// Make this repository from a directory, unless it exists
    #[arg(long = "seed", value_name = "OWNER/NAME=DIR")]
    seeds: Vec<SeedArg>,
    /// Give every new head commit this check run, e.g. ci=success@500
    #[arg(long = "check", value_name = "NAME=CONCLUSION@MS")]
    checks: Vec<CheckArg>,
    /// The branches that --check is about; `*` stands for any characters
    #[arg(long, value_name = "PATTERN", default_value = "feature/*")]
    check_branches: String,
    /// End when standard input ends, so as not to outlive the process that started this one
    #[arg(long)]
    exit_with_stdin: bool,
}

#[derive(Clone)]
struct SeedArg(Seed);

impl FromStr for SeedArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, directory) = text.split_once('=').ok_or("write OWNER/NAME=DIR, e.g. octo/hello=./fixtures/hello")?;
        let repository: RepoName = name.parse().map_err(|bad| format!("{bad}"))?;
        let directory = PathBuf::from(directory);
        Ok(Self(Seed { repository, directory }))
    }
}

#[derive(Clone)]
struct CheckArg(CheckPolicy);

impl FromStr for CheckArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = "write NAME=CONCLUSION@MS, e.g. ci=success@500";
        let (name, rest) = text.rsplit_once('=').ok_or(usage)?;
        let (conclusion, after_ms) = rest.split_once('@').ok_or(usage)?;
        let conclusion: StrDeserializer<'_, ValueError> = conclusion.into_deserializer();
        Ok(Self(CheckPolicy {
            branches: String::new(),
            name: name.to_owned(),
            conclusion: Deserialize::deserialize(conclusion).map_err(|bad| format!("{bad}; {usage}"))?,
            after_ms: after_ms.parse().map_err(|bad| format!("{bad}; {usage}"))?,
        }))
    }
}

/// Serves until a signal, or the end of standard input if that was asked for.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let with_stdin = args.exit_with_stdin;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?;
    let running = Forge::start(options(args)).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", running.url())
        .and_then(|()| stdout.flush())
        .context("cannot say on standard output where the forge listens")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_ended(), if with_stdin => {}
    }
    running.stop().await?;
    Ok(())
}

fn options(args: Args) -> ForgeOptions {
    let Args { root, listen, token, login, seeds, checks, check_branches, exit_with_stdin: _ } = args;
    let policy = |CheckArg(policy)| CheckPolicy { branches: check_branches.clone(), ..policy };
    ForgeOptions {
        root,
        listen,
        token: token.filter(|token| !token.is_empty()),
        login,
        checks: checks.into_iter().map(policy).collect(),
        seeds: seeds.into_iter().map(|SeedArg(seed)| seed).collect(),
    }
}

/// On a thread of its own: tokio's standard input would keep the runtime from ending.
async fn stdin_ended() {
    let (ended, wait) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        let mut stdin = std::io::stdin();
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "standard input cannot be read; ending");
                    break;
                }
            }
        }
        drop(ended);
    });
    // The sender is only ever dropped.
    if wait.await.is_err() {
        tracing::debug!("standard input ended");
    }
}
