use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use secrecy::SecretString;
use serde_json::json;

use super::{Hit, Owner, SECRET_BYTES_MIN, Scanner};

const ROUNDS: usize = 300;
const PRINTABLE: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_.:@!$%&*\\\"'";

fn scanner(secrets: &[(&str, &str)]) -> Scanner {
    let secrets: Vec<_> =
        secrets.iter().map(|(name, secret)| ((*name).to_owned(), SecretString::from(*secret))).collect();
    Scanner::new(&secrets)
}

fn text(random: &mut StdRng, bytes: usize, of: &[u8]) -> String {
    (0..bytes).map(|_| char::from(of[random.random_range(0..of.len())])).collect()
}

fn percent(text: &str, random: &mut StdRng, part: f64) -> String {
    let encode = |byte: u8, random: &mut StdRng| {
        if !random.random_bool(part) {
            return char::from(byte).to_string();
        }
        if random.random_bool(0.5) { format!("%{byte:02x}") } else { format!("%{byte:02X}") }
    };
    text.bytes().map(|byte| encode(byte, random)).collect()
}

fn json_escaped(text: &str, random: &mut StdRng, part: f64) -> String {
    let encode = |byte: u8, random: &mut StdRng| match byte {
        b'/' | b'"' | b'\\' => format!("\\{}", char::from(byte)),
        _ if !random.random_bool(part) => char::from(byte).to_string(),
        _ if random.random_bool(0.5) => format!("\\u{byte:04x}"),
        _ => format!("\\u{byte:04X}"),
    };
    text.bytes().map(|byte| encode(byte, random)).collect()
}

fn mixed_case(text: &str, random: &mut StdRng) -> String {
    let fold = |c: char, up: bool| if up { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    text.chars().map(|c| fold(c, random.random_bool(0.5))).collect()
}

/// Every spelling that must be found; base64 with up to two bytes of something else before the secret, and behind it.
fn spellings(secret: &str, random: &mut StdRng) -> Vec<(&'static str, String)> {
    let hex = hex::encode(secret);
    let mut spelled = vec![
        ("plain", secret.to_owned()),
        ("hex", hex.clone()),
        ("HEX", hex.to_uppercase()),
        ("hEx", mixed_case(&hex, random)),
        ("percent", percent(secret, random, 1.0)),
        ("percent of some", percent(secret, random, 0.5)),
        ("percent twice", percent(&percent(secret, random, 1.0), random, 1.0)),
        ("JSON", json_escaped(secret, random, 1.0)),
        ("JSON of some", json_escaped(secret, random, 0.3)),
        ("JSON as it must be", json!(secret).to_string()),
        ("JSON in JSON", json!(json!({ "a": secret }).to_string()).to_string()),
        ("JSON of hex", json_escaped(&hex, random, 0.5)),
    ];
    // The one mixture that is not undone in the right order; see the module.
    if !secret.contains('\\') {
        spelled.push(("percent of JSON", percent(&json_escaped(secret, random, 1.0), random, 0.5)));
    }
    for before in 0..3 {
        let bytes = format!("{}{secret}{}", text(random, before, PRINTABLE), text(random, before, PRINTABLE));
        spelled.push(("base64", STANDARD.encode(&bytes)));
        spelled.push(("base64 without padding", STANDARD_NO_PAD.encode(&bytes)));
        spelled.push(("base64 for URLs", URL_SAFE.encode(&bytes)));
        spelled.push(("base64 for URLs, without padding", URL_SAFE_NO_PAD.encode(&bytes)));
        spelled.push(("percent of base64", percent(&STANDARD.encode(&bytes), random, 0.7)));
        spelled.push(("JSON of base64", json_escaped(&STANDARD.encode(&bytes), random, 0.7)));
    }
    spelled
}

#[test]
fn every_spelling_is_found_at_every_offset_and_is_blacked_out() {
    let mut random = StdRng::seed_from_u64(0x005E_C2E7);
    for round in 0..ROUNDS {
        let bytes = if round % 3 == 0 { SECRET_BYTES_MIN } else { random.random_range(SECRET_BYTES_MIN..120) };
        let secret = text(&mut random, bytes, PRINTABLE);
        let other = text(&mut random, 40, PRINTABLE);
        // Several secrets: the steps of the search go by the shortest one.
        let scanner = scanner(&[("OTHER", &other), ("SECRET", &secret)]);
        for (kind, spelled) in spellings(&secret, &mut random) {
            let before = random.random_range(0..70);
            let behind = random.random_range(0..70);
            let (before, behind) = (text(&mut random, before, b" ,;()\n"), text(&mut random, behind, b" ,;()\n"));
            let body = format!("{before}{spelled}{behind}");
            let hit = scanner.scan(body.as_bytes());
            assert_eq!(hit, Some(Hit { what: "SECRET", owner: Owner::Host }), "{kind} in {body:?} of {secret:?}");
            let redacted = scanner.redact(&body);
            assert!(redacted.contains("[redacted: SECRET]"), "{kind}: {redacted:?}");
            assert_eq!(scanner.scan(redacted.as_bytes()), None, "{kind}: {redacted:?}");
            assert!(redacted.starts_with(&before) && redacted.ends_with(&behind), "{kind}: {redacted:?} of {body:?}");
            // What base64 and its neighbours left over, escaped at worst; nothing of the secret itself.
            let over = redacted.len() - before.len() - behind.len() - "[redacted: SECRET]".len();
            assert!(over <= 8 * 6 && (kind.contains("base64") || over <= 16), "{kind}: {redacted:?}");
        }
    }
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let mut random = StdRng::seed_from_u64(7);
    let secret = text(&mut random, SECRET_BYTES_MIN, b"abcdefghijklmnopqrstuvwxyz0123456789");
    let scanner = scanner(&[("A", &secret), ("B", &text(&mut random, 40, PRINTABLE))]);
    for _ in 0..200 {
        let mut bytes = vec![0_u8; random.random_range(0..20_000)];
        random.fill_bytes(&mut bytes);
        assert_eq!(scanner.scan(&bytes), None);
        let body = STANDARD.encode(&bytes);
        assert_eq!(scanner.scan(body.as_bytes()), None);
        assert!(matches!(scanner.redact(&body), Cow::Borrowed(_)));
        assert_eq!(scanner.scan(hex::encode(&bytes).as_bytes()), None);
    }
    // One byte short of it, or one byte off, is not it.
    for cut in [&secret[1..], &secret[..secret.len() - 1], &secret.to_uppercase()] {
        assert_eq!(scanner.scan(cut.as_bytes()), None);
    }
}

#[test]
fn short_and_missing_secrets_are_no_needles() {
    let scanner = scanner(&[("EMPTY", ""), ("SHORT", "1234567"), ("LONG", "12345678")]);
    assert_eq!(scanner.too_short(), ["EMPTY", "SHORT"]);
    for body in ["", "1", "123", "1234567", "\\", "%", "%4", "\\u", "\\u00", "%%", "\\\\", "\\u00e", "sk-", "eyJ"] {
        assert_eq!(scanner.scan(body.as_bytes()), None, "{body:?}");
        assert_eq!(scanner.redact(body), body);
    }
    assert_eq!(scanner.scan(b"12345678").unwrap().what, "LONG");
    assert_eq!(Scanner::new(&[]).scan(b"12345678"), None);
    assert!(!format!("{scanner:?}").contains("12345678"));
}

#[test]
fn secrets_of_one_letter_and_within_each_other_are_found() {
    let scanner = scanner(&[("SAME", "aaaaaaaaaaaa"), ("INNER", "password1"), ("OUTER", "x://u:password1@h/d")]);
    assert_eq!(scanner.redact("baaaaaaaaaaaab aaaaaaaaaaa"), "b[redacted: SAME]b aaaaaaaaaaa");
    assert_eq!(scanner.redact("at x://u:password1@h/d!"), "at [redacted: OUTER]!");
    assert_eq!(scanner.redact("it is password1, password1"), "it is [redacted: INNER], [redacted: INNER]");
    // Overlapping ones leave nothing of either.
    assert_eq!(scanner.redact(&"a".repeat(1000)), "[redacted: SAME]");
}

#[test]
fn a_very_long_text_with_a_secret_is_blacked_out_whole() {
    let scanner = scanner(&[("A", "correct-horse")]);
    assert_eq!(scanner.redact(&format!("{} correct-horse", "x".repeat(1 << 20))), "[redacted: A]");
    let clean = "x".repeat(1 << 20);
    assert_eq!(scanner.redact(&clean), clean);
}

#[test]
fn a_secret_beyond_ascii_is_found() {
    let scanner = scanner(&[("PASSWORD", "пароль-密码")]);
    for body in
        ["пароль-密码", "%D0%BF%D0%B0%D1%80%D0%BE%D0%BB%D1%8C-%e5%af%86%e7%a0%81", "\\u043fароль-\\u5bc6\\u7801"]
    {
        assert_eq!(scanner.redact(&format!("é{body}é")), "é[redacted: PASSWORD]é");
    }
}

fn tokens() -> Vec<(&'static str, String)> {
    let mut random = StdRng::seed_from_u64(11);
    let mut of = |beginning: &str, bytes: usize| format!("{beginning}{}7", text(&mut random, bytes - 1, b"aB3dE5gH"));
    vec![
        ("github-token", of("ghp_", 36)),
        ("github-token", of("gho_", 36)),
        ("github-token", of("ghu_", 36)),
        ("github-token", of("ghs_", 36)),
        ("github-token", of("ghr_", 36)),
        ("github-token", of("github_pat_", 82)),
        ("juggernaut-token", of("jgt_", 43)),
        ("model-api-key", of("sk-", 48)),
        ("model-api-key", of("sk-proj-", 120)),
        ("model-api-key", of("sk-or-v1-", 64)),
        ("aws-access-key", "AKIAIOSFODNN7EXAMPLE".to_owned()),
        ("aws-access-key", "ASIAIOSFODNN7EXAMPLE".to_owned()),
        ("google-api-key", of("AIza", 35)),
        ("slack-token", of("xoxb-1234-", 24)),
        ("slack-token", of("xoxp-1234-", 24)),
        ("stripe-key", of("sk_live_", 24)),
        ("stripe-key", of("rk_live_", 24)),
        ("npm-token", of("npm_", 36)),
        ("gitlab-token", of("glpat-", 20)),
        ("json-web-token", format!("{}.{}.{}", of("eyJ", 30), of("eyJ", 5000), of("", 43))),
        ("private-key", "-----BEGIN PRIVATE KEY-----\nMIIE/x+y=\n-----END PRIVATE KEY-----".to_owned()),
        ("private-key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----".to_owned()),
        ("private-key", "-----BEGIN RSA PRIVATE KEY-----\\nMIIE\\n".to_owned()),
    ]
}

#[test]
fn tokens_of_well_known_kinds_are_found_whoever_owns_them() {
    let mut random = StdRng::seed_from_u64(12);
    let scanner = Scanner::new(&[]);
    for (what, token) in tokens() {
        for body in [
            token.clone(),
            format!("a = \"{token}\"; b"),
            format!("{}({token})", "x ".repeat(500)),
            percent(&token, &mut random, 0.5),
            json_escaped(&token, &mut random, 0.5),
        ] {
            assert_eq!(scanner.scan(body.as_bytes()), Some(Hit { what, owner: Owner::Unknown }), "{body}");
        }
        let redacted = scanner.redact(&format!("a = \"{token}\"")).into_owned();
        assert_eq!(redacted, format!("a = \"[redacted: {what}]\""), "{token}");
    }
}

#[test]
fn what_only_begins_like_a_token_is_none() {
    let scanner = Scanner::new(&[]);
    assert!(super::tokens::Tokens::new().works());
    for body in [
        "ghp_short",
        "the prefix ghp_ and jgt_… in a text",
        "sk-fading-circle sk-learn",
        "task-0123456789012345678901234567890123456789",
        "AKIA is a prefix",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJIUzI1NiJ9.not.one",
        "BEGIN TRANSACTION; -----BEGIN CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "npm_config_cache_and_something_with_underscores",
        "-------------------------------------------------",
    ] {
        assert_eq!(scanner.scan(body.as_bytes()), None, "{body}");
    }
}

#[test]
fn hosts_own_name_comes_before_the_kind_of_token() {
    let token = format!("ghp_{}", "a1B2".repeat(9));
    let scanner = scanner(&[("GITHUB_TOKEN", &token)]);
    assert_eq!(scanner.scan(token.as_bytes()).unwrap().what, "GITHUB_TOKEN");
    assert_eq!(scanner.redact(&format!("x {token}")), "x [redacted: GITHUB_TOKEN]");
}

#[test]
fn json_is_searched_with_its_names_and_numbers() {
    let scanner = scanner(&[("A", "se\"cret/1"), ("N", "1234567890")]);
    let value = json!({ "plain": [1, true, null, "x"], "list": ["a se\"cret/1"], "se\"cret/1": 1_234_567_890_u64 });
    assert!(scanner.scan_json(&value).is_some());
    let redacted = scanner.redact_json(&value);
    assert_eq!(
        redacted,
        json!({ "plain": [1, true, null, "x"], "list": ["a [redacted: A]"], "[redacted: A]": "[redacted: N]" })
    );
    assert_eq!(scanner.scan_json(&redacted), None);
    assert_eq!(scanner.scan_json(&json!({ "number": 1_234_567_890_u64 })).unwrap().what, "N");
}

#[test]
fn a_beginning_that_may_go_on_is_known() {
    let scanner = scanner(&[("A", "correct-horse-battery")]);
    for end in ["say correct-horse", "correct-horse-batter", "636f72726563742d", "say Y29ycmVjdC", "636F72726563742D"] {
        assert!(scanner.may_go_on(end.as_bytes()), "{end}");
    }
    for end in ["", "corre", "correct-horse-battery", "correct-house", "horse-battery"] {
        assert!(!scanner.may_go_on(end.as_bytes()), "{end}");
    }
}

#[test]
fn bodies_made_to_be_slow_are_not() {
    let mut random = StdRng::seed_from_u64(3);
    let secret = text(&mut random, 40, PRINTABLE);
    let scanner = scanner(&[("A", &secret), ("B", "aaaaaaaaaaaaaaaa")]);
    let all = 1 << 18;
    for piece in [
        "%41",
        "%25",
        "\\u0041",
        "\\",
        "%",
        "sk-",
        "eyJ",
        "eyJeyJ.",
        "ghp_",
        "-----BEGIN ",
        "AKIA-",
        &secret[..39],
        "aaaaaaaaaaaaaaab",
        "-",
    ] {
        let body = piece.repeat(all / piece.len());
        let began = std::time::Instant::now();
        assert_eq!(scanner.scan(body.as_bytes()), None, "{piece}");
        // Without optimisation; what is quadratic would take minutes.
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{piece}: {:?}", began.elapsed());
    }
}
