//! How fast bodies are searched for secrets: `cargo bench -p juggernaut --bench leak_scan`. The first three are what
//! guests send; at least 500 MB/s of each per core is what the design asks for. The others are made to be slow.

#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use juggernaut::secrets::Scanner;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use secrecy::SecretString;

const BODY_BYTES: usize = 1 << 20;
const WORDS: &[&str] = &[
    "the",
    "task",
    "of",
    "a_role",
    "def",
    "return self",
    "print(x)",
    "import os",
    "-> None:",
    "\n    ",
    "disk-usage",
    "=",
];

fn scanner() -> Scanner {
    let secrets = [
        ("GITHUB_TOKEN", "ghp_abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"),
        ("OPENROUTER_API_KEY", "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        ("DATABASE_URL", "postgres://juggernaut:c0rrect-h0rse-battery@db.internal:5432/juggernaut"),
        ("DATABASE_URL", "c0rrect-h0rse-battery"),
        ("AUDIT_SIGNING_KEY", "MC4CAQAwBQYDK2VwBCIEIPXz1p7oD3rJv0m2b3n4"),
    ];
    let secrets: Vec<_> = secrets.map(|(name, secret)| (name.to_owned(), SecretString::from(secret))).into();
    Scanner::new(&secrets)
}

fn repeated(piece: &str) -> Vec<u8> {
    piece.repeat(BODY_BYTES / piece.len()).into_bytes()
}

fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = StdRng::seed_from_u64(1);
    let mut bytes = vec![0; BODY_BYTES];
    random.fill_bytes(&mut bytes);
    let (mut text, mut json) = (String::new(), String::new());
    while text.len() < BODY_BYTES {
        text.push_str(WORDS[random.random_range(0..WORDS.len())]);
        text.push(' ');
    }
    while json.len() < BODY_BYTES {
        let (id, word) = (random.random_range(0..1_000_000), WORDS[random.random_range(0..WORDS.len())]);
        let item = serde_json::json!({ "id": id, "name": word, "url": format!("https://x/{id}"), "note": "a\n\"b\"" });
        json.push_str(&item.to_string());
    }
    let mut some_percent = text.clone();
    for at in (0..text.len() - 1000).step_by(1000) {
        some_percent.replace_range(at..at + 3, "%20");
    }
    vec![
        ("text", text.into_bytes()),
        ("base64", STANDARD.encode(&bytes[..BODY_BYTES / 4 * 3]).into_bytes()),
        ("json", json.into_bytes()),
        ("random", bytes),
        ("percent-some", some_percent.into_bytes()),
        ("percent-all", repeated("%41")),
        ("percent-twice", repeated("%2541")),
        ("json-escapes", repeated("\\u0041")),
        ("beginnings", repeated("sk-")),
    ]
}

fn leak_scan(criterion: &mut Criterion) {
    let scanner = scanner();
    let mut group = criterion.benchmark_group("leak_scan");
    for (name, body) in bodies() {
        assert_eq!(scanner.scan(&body), None, "{name}");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| scanner.scan(black_box(&body)).is_some()));
    }
    group.finish();
}

criterion_group!(benches, leak_scan);
criterion_main!(benches);
