//! What `cargo xtask bench` measures from within: with a database driver, an HTTP client, or the engine itself.
//!
//! `engine WHAT JSON` measures one thing and prints what it found as JSON. Run by itself (`cargo bench`) it does nothing:
//! the servers that it needs are the xtask's.

#![allow(clippy::expect_used, reason = "a bench that can not be set up has to end")]
#![allow(clippy::print_stdout, reason = "what it found goes to the xtask")]

mod enqueue;
mod latency;
mod quantiles;
mod sandbox;
mod stage;

use serde_json::Value;

/// As the host's own binary does it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, asked] = arguments.as_slice() else { return };
    rustls::crypto::ring::default_provider().install_default().expect("one TLS backend");
    let asked: Value = serde_json::from_str(asked).expect("JSON of what to measure");
    let found = match what.as_str() {
        "enqueue" => enqueue::measure(&asked).await,
        "latency" => latency::measure(&asked).await,
        "parked" => sandbox::parked(&asked).await,
        "sandbox" => sandbox::measure(&asked).await,
        other => panic!("there is nothing to measure called {other}"),
    };
    println!("{found}");
}

/// A text that the xtask has to give.
fn text<'a>(asked: &'a Value, key: &str) -> &'a str {
    asked[key].as_str().unwrap_or_else(|| panic!("what to measure lacks {key}"))
}

fn number(asked: &Value, key: &str) -> usize {
    let number = asked[key].as_u64().unwrap_or_else(|| panic!("what to measure lacks {key}"));
    usize::try_from(number).expect("a size")
}
