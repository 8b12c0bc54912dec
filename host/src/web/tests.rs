//! Spellings that try to be two addresses at once.

use super::*;

fn parse(url: &str) -> Result<WebTarget, InvalidTarget> {
    WebTarget::parse(url)
}

fn canonical(url: &str) -> String {
    parse(url).unwrap_or_else(|error| panic!("{error}")).as_str().to_owned()
}

#[test]
fn one_address_has_one_spelling() {
    for (given, kept) in [
        ("https://docs.rs", "https://docs.rs/"),
        ("HTTPS://DOCS.RS:443/Crate/Serde", "https://docs.rs/Crate/Serde"),
        ("https://docs.rs/a%2Db%7ec/%e4%bd%a0", "https://docs.rs/a-b~c/%E4%BD%A0"),
        ("https://docs.rs/%63rate", "https://docs.rs/crate"),
        ("https://docs.rs/你", "https://docs.rs/%E4%BD%A0"),
        ("https://docs.rs/100%25", "https://docs.rs/100%25"),
        ("https://docs.rs/a?b=%2e#part", "https://docs.rs/a?b=%2e"),
        ("https://docs.rs?q", "https://docs.rs/?q"),
        ("https://docs.rs:/a", "https://docs.rs/a"),
        ("https://docs.rs:8443/a", "https://docs.rs:8443/a"),
        ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
        ("https://ⓖⓘthub.com/", "https://github.com/"),
        ("https://docs。rs/", "https://docs.rs/"),
        ("https://２１３０７０６４３３/", "https://127.0.0.1/"),
        ("http://127.1:80/x", "http://127.0.0.1/x"),
        ("http://localhost:8080/", "http://localhost:8080/"),
        ("http://a.localhost/", "http://a.localhost/"),
        ("http://[::1]:9/", "http://[::1]:9/"),
        ("https://docs.rs/a/", "https://docs.rs/a/"),
        ("https://docs.rs/?next=https://evil.example/..//", "https://docs.rs/?next=https://evil.example/..//"),
    ] {
        let target = parse(given).unwrap_or_else(|error| panic!("{given}: {error}"));
        assert_eq!(target.as_str(), kept, "{given}");
        assert_eq!(parse(kept).unwrap(), target, "the canonical form of {given} is its own");
    }
}

/// Whatever is an IP address is one before anything judges it.
#[test]
fn odd_addresses_are_addresses() {
    for (given, ip) in [
        ("https://2130706433/", "127.0.0.1"),
        ("https://0x7f000001/", "127.0.0.1"),
        ("https://0177.0.0.1/", "127.0.0.1"),
        ("https://127.1/", "127.0.0.1"),
        ("https://0/", "0.0.0.0"),
        ("https://0xA9.0xFE.0xA9.0xFE/", "169.254.169.254"),
        ("https://2852039166/", "169.254.169.254"),
        ("https://169.254.43518/", "169.254.169.254"),
        ("https://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1"),
        ("https://[0:0:0:0:0:FFFF:a9fe:a9fe]/", "::ffff:169.254.169.254"),
        ("https://[fd00:ec2::254]/", "fd00:ec2::254"),
        ("https://①②⑦.⓪.⓪.①/", "127.0.0.1"),
    ] {
        let target = parse(given).unwrap_or_else(|error| panic!("{given}: {error}"));
        assert_eq!(target.ip(), Some(ip.parse().unwrap()), "{given}");
        assert!(target.is_ip());
        assert_eq!(target.domains(), [target.host()], "an address has no parent domains");
    }
    for given in ["https://256.1.1.1/", "https://1.2.3.4.5/", "https://0x100000000/", "https://[::1%25eth0]/"] {
        assert!(parse(given).is_err(), "{given}");
    }
}

/// A URL, and what is said of it.
const REFUSED: &[(&str, &str)] = &[
    ("https://user@docs.rs/", "user name"),
    ("https://@docs.rs/", "user name"),
    ("https://docs.rs:443@evil.example/", "user name"),
    ("https://docs.rs%40evil.example/", "encoded"),
    ("https://docs.rs%2eevil.example/", "encoded"),
    ("https://docs.rs./", "dot at the end"),
    ("https://docs.rs../", "host"),
    ("https://docs..rs/", "host"),
    ("https://.docs.rs/", "host"),
    ("https:///docs.rs/", "no host"),
    ("https:docs.rs/", "begin with"),
    ("//docs.rs/", "begin with"),
    ("docs.rs", "begin with"),
    ("https://", "no host"),
    ("http://docs.rs/", "not https"),
    ("http://localhost.evil.example/", "not https"),
    ("http://[::ffff:127.0.0.1]/", "not https"),
    ("http://10.0.0.1/", "not https"),
    ("ftp://docs.rs/", "not https"),
    ("file:///etc/passwd", "not https"),
    ("gopher://docs.rs/", "not https"),
    ("javascript://docs.rs/%0aalert(1)", "not https"),
    ("https://docs.rs:0/", "port"),
    ("https://docs.rs:65536/", "not a URL"),
    ("https://docs.rs:-1/", "not a URL"),
    ("https://do*cs.rs/", "host"),
    ("https://docs.rs\\@evil.example/", "backslash"),
    ("https://docs.rs/a\\b", "backslash"),
    ("https:\\\\docs.rs/", "backslash"),
    ("https://docs.rs/a%5cb", "backslash"),
    ("https://docs.rs/a%5C..%5Cb", "backslash"),
    ("https://docs.rs/..", "'..'"),
    ("https://docs.rs/a/../b", "'..'"),
    ("https://docs.rs/a/./b", "'..'"),
    ("https://docs.rs/a/%2e%2e/b", "'..'"),
    ("https://docs.rs/a/.%2E/b", "'..'"),
    ("https://docs.rs/a/..;/b", "'..'"),
    ("https://docs.rs/a/..;x=1/b", "'..'"),
    ("https://docs.rs/a/..%20/b", "'..'"),
    ("https://docs.rs/a/.../b", "'..'"),
    ("https://docs.rs/a%2fb", "encoded '/'"),
    ("https://docs.rs/a%2F..%2fb", "encoded '/'"),
    ("https://docs.rs/a%252fb", "more than once"),
    ("https://docs.rs/a/%252e%252e/b", "more than once"),
    ("https://docs.rs/a/%25252e/b", "more than once"),
    ("https://docs.rs/%2567raphql", "more than once"),
    ("https://docs.rs/%2%35e", "begins no escape"),
    ("https://docs.rs//a", "'//'"),
    ("https://docs.rs/a//b", "'//'"),
    ("https://docs.rs/a//", "'//'"),
    ("https://docs.rs/a%", "begins no escape"),
    ("https://docs.rs/a%4", "begins no escape"),
    ("https://docs.rs/a%zz", "begins no escape"),
    ("https://docs.rs/a%u002e", "begins no escape"),
    ("https://docs.rs/a%00b", "control"),
    ("https://docs.rs/a%0d%0ahost:x", "control"),
    ("https://docs.rs/a%c2%85", "control"),
    ("https://docs.rs/a%e2%80%ae", "invisible"),
    ("https://docs.rs/a%c0%af", "UTF-8"),
    ("https://docs.rs/%c0%ae%c0%ae/", "UTF-8"),
    ("https://docs.rs/%ff", "UTF-8"),
    ("https://docs.rs/ｇraphql", "take for an ASCII"),
    ("https://docs.rs/%EF%BC%8E%EF%BC%8E/x", "take for an ASCII"),
    ("https://docs.rs/a%E2%88%95b", "take for an ASCII"),
    ("https://docs.rs/to%E2%84%AAen", "take for an ASCII"),
    ("https://docs.rs/u%C5%BFers", "take for an ASCII"),
    ("https://docs.rs/𝓰raphql", "take for an ASCII"),
    ("https://docs.rs/a b", "white space"),
    (" https://docs.rs/", "white space"),
    ("https://docs.rs/\n", "white space"),
    ("https://do\tcs.rs/", "white space"),
    ("https://docs.rs/\u{0}", "white space"),
    ("https://do\u{ad}cs.rs/", "white space"),
    ("https://docs.rs/\u{202e}", "white space"),
    ("https://xn--/", "URL"),
    ("", "begin with"),
];

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for (given, problem) in REFUSED {
        let error = parse(given).map(|target| target.to_string()).expect_err(given);
        assert!(error.problem.contains(problem), "{given}: {error}");
    }
    let long = format!("https://docs.rs/{}", "a".repeat(URL_BYTES_MAX));
    assert!(parse(&long).unwrap_err().to_string().len() < 300);
    assert!(parse(&format!("https://docs.rs/?{}", "a".repeat(QUERY_BYTES_MAX + 1))).is_err());
    // Short as it is written, long as it is sent.
    assert!(parse(&format!("https://docs.rs/{}", "你".repeat(1000))).is_err());
    assert!(parse(&format!("https://{}.example/", "a".repeat(64))).is_err());
    assert!(parse(&format!("https://{}example/", "a.".repeat(130))).is_err());
}

#[test]
fn facts_ignore_case_and_punctuation() {
    let target = parse("https://API.Stripe.com/V1/Payment_Intents/GraphQL.;x?Dry-Run=Off&%5fMethod=delete").unwrap();
    assert_eq!(target.host(), "api.stripe.com");
    assert_eq!(target.domains(), ["api.stripe.com", "stripe.com", "com"]);
    assert_eq!((target.port(), target.is_default_port(), target.is_ip()), (443, true, false));
    assert_eq!(target.path(), "/V1/Payment_Intents/GraphQL.;x");
    assert_eq!(target.path_segments(), ["v1", "payment_intents", "graphql.;x"]);
    assert_eq!(target.path_words(), ["v1", "payment", "intents", "graphql", "x"]);
    assert_eq!(target.query_keys(), ["dry-run", "_method"]);
    assert_eq!(target.query_words(), ["dry", "run", "off", "method", "delete"]);
    assert_eq!(target.method_override(), Some("_method"));
    for query in ["a;_method=x", "%24httpHeaders=x", "X-HTTP-Method-Override=PUT", "+_method", "_METHOD"] {
        assert!(parse(&format!("https://docs.rs/?{query}")).unwrap().method_override().is_some(), "{query}");
    }
    assert_eq!(parse("https://docs.rs/_method?method=x&my_method=y").unwrap().method_override(), None);
}

#[test]
fn an_origin_is_scheme_host_and_port() {
    let same = |a: &str, b: &str| parse(a).unwrap().same_origin(&parse(b).unwrap());
    assert!(same("https://docs.rs/a", "https://DOCS.rs:443/b"));
    assert!(!same("https://docs.rs/a", "https://docs.rs:8443/a"));
    assert!(!same("https://localhost/", "http://localhost/"));
    assert!(!same("https://docs.rs/", "https://a.docs.rs/"));
}

#[test]
fn what_is_sent_decodes_to_what_was_judged() {
    for path in ["/a;b=c", "/wiki/C%23", "/a%3Fb", "/é", "/a'b(c)!*", "/%7Buser%7D", "/a@b:c", "/a%20b", "/\"<>`|^"] {
        let target = parse(&format!("https://docs.rs{path}")).unwrap();
        let sent = percent_encoding::percent_decode_str(target.url().path()).decode_utf8().unwrap().into_owned();
        assert_eq!(sent, target.path(), "{path}");
    }
    assert_eq!(canonical("https://docs.rs/a%3fb"), "https://docs.rs/a%3Fb");
}
