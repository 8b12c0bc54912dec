//! The guard's table, and the client against a server that wants in.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::client::next_target;
use super::resolver::{Found, Lookup};
use super::*;
use crate::policy::Denied;
use crate::web::{Method, WebTarget};

fn target(url: &str) -> WebTarget {
    WebTarget::parse(url).unwrap()
}

/// None of these is a public host, whatever opens loopback.
const REFUSED: &str = "\
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 100.100.100.200 168.63.129.16 \
    169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 \
    198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: \
    ::2 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808 \
    64:ff9b:1::1 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 \
    2001:db8::1 2002:7f00:1:: 2002:808:808::1 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fd12::1 fe80::1 \
    fec0::1 ff02::1 ffff::1";
/// The nearest neighbours of what is refused, and a few more.
const REACHED: &str = "\
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 169.253.255.255 172.15.255.255 172.32.0.0 \
    192.167.255.255 198.17.255.255 198.20.0.0 223.255.255.255 2001:200::1 2606:4700:4700::1111 2a00:1450::1 \
    2003::1";

#[test]
fn only_public_addresses_are_reached() {
    for loopback in [Loopback::Refused, Loopback::Allowed] {
        let guard = Guard::new(loopback);
        for address in REFUSED.split(' ') {
            let refusal = guard.judge_address(address.parse().unwrap()).expect_err(address);
            assert!(refusal.to_string().contains("is not reached from here: it is"), "{refusal}");
        }
        for address in REACHED.split(' ') {
            guard.judge_address(address.parse().unwrap()).unwrap_or_else(|refusal| panic!("{refusal}"));
        }
        for address in ["127.0.0.1", "127.255.255.255", "::1"] {
            let allowed = guard.judge_address(address.parse().unwrap()).is_ok();
            assert_eq!(allowed, loopback == Loopback::Allowed, "{address}");
        }
    }
}

#[test]
fn names_of_private_networks_are_not_looked_up() {
    let guard = Guard::new(Loopback::Refused);
    for name in [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "localhost.localdomain",
        "postgres.railway.internal",
        "railway.internal",
        "metadata.google.internal",
        "metadata.google.internal.",
        "Host.Docker.Internal",
        "printer.local",
        "router.home.arpa",
        "nas.lan",
        "wiki.intranet",
        "metadata",
        "postgres",
    ] {
        guard.judge_name(name).expect_err(name);
    }
    for name in ["docs.rs", "internal.example", "localhost.example", "notlocal.org", "mylocalhost.org"] {
        guard.judge_name(name).unwrap_or_else(|refusal| panic!("{refusal}"));
    }
    let open = Guard::new(Loopback::Allowed);
    assert!(open.judge_name("localhost").is_ok() && open.judge_name("a.localhost").is_ok());
    assert!(open.judge_name("postgres.railway.internal").is_err() && open.judge_name("postgres").is_err());
    for url in ["https://2852039166/", "https://[::ffff:a9fe:a9fe]/", "https://0x7f.1/", "https://ⓛocalhost/"] {
        guard.judge(&target(url)).expect_err(url);
    }
}

#[test]
fn redirects_are_read_as_strictly_as_urls() {
    let from = target("https://docs.rs/a/b?c");
    for (location, wanted) in [
        ("/x", "https://docs.rs/x"),
        ("x", "https://docs.rs/a/x"),
        ("../x", "https://docs.rs/x"),
        ("?d", "https://docs.rs/a/b?d"),
        ("//other.example/x", "https://other.example/x"),
        ("https://OTHER.example:443/x#y", "https://other.example/x"),
    ] {
        assert_eq!(next_target(&from, location).unwrap().as_str(), wanted, "{location}");
    }
    for location in [
        "http://docs.rs/x",
        "http://127.0.0.1/x",
        "https://u:p@docs.rs/",
        "https://docs.rs\\@evil.example/",
        "/\\evil.example/",
        "https://docs.rs./",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/plain,x",
        "https://docs.rs/%2e%2e%2fx",
        "https://docs.rs/a%252fb",
        "///evil.example//x",
        "https://",
        "/a b",
        "/a\tb",
    ] {
        assert_eq!(next_target(&from, location).expect_err(location).policies, ["redirect"], "{location}");
    }
}

#[test]
fn only_named_headers_are_sent() {
    let check = |name: &str, value: &str| RequestHeaders::check(&[(name.to_owned(), value.to_owned())]);
    assert!(check("Accept", "text/html").is_ok() && check("if-none-match", "\"a\"").is_ok());
    for name in [
        "Authorization",
        "cookie",
        "Host",
        "X-HTTP-Method-Override",
        "x-http-method",
        "X-Method-Override",
        "Proxy-Authorization",
        "X-Forwarded-For",
        "X-Original-URL",
        "Forwarded",
        "Transfer-Encoding",
        "Content-Length",
        "Connection",
        "Accept-Encoding",
        "Metadata-Flavor",
        "X-aws-ec2-metadata-token",
    ] {
        let denied =
            matches!(check(name, "x"), Err(FetchError::Denied(denied)) if denied.policies == ["request-headers"]);
        assert!(denied, "{name:?}");
    }
    let long = "a".repeat(81);
    for name in
        ["accept\r\nx-http-method-override", "accept ", " accept", "accept:", "ａccept", "a\0", ":path", "", &long]
    {
        assert!(matches!(check(name, "x"), Err(FetchError::Invalid(_))), "{name:?}");
    }
    // What is journalled as denied is visible ASCII.
    assert!(matches!(check("cookie", "a\0"), Err(FetchError::Invalid(_))));
    for value in ["a\r\nx: y", "a\n", "a\0", "a\tb", "é", "\u{7f}", " a", "a ", &"a".repeat(1025)] {
        assert!(matches!(check("accept", value), Err(FetchError::Invalid(_))), "{value:?}");
    }
    let twice = [("accept".to_owned(), "a".to_owned()), ("ACCEPT".to_owned(), "b".to_owned())];
    assert!(matches!(RequestHeaders::check(&twice), Err(FetchError::Invalid(_))));
}

/// Answers every connection with these bytes, after a pause; says what it was sent.
async fn server(answer: impl Into<Vec<u8>>) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, sent) = tokio::sync::mpsc::unbounded_channel();
    let answer = answer.into();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let size = socket.read(&mut request).await.unwrap();
            seen.send(String::from_utf8_lossy(&request[..size]).into_owned()).unwrap_or_default();
            socket.write_all(&answer).await.unwrap_or_default();
        }
    });
    (address, sent)
}

fn client(loopback: Loopback, lookup: Lookup) -> WebClient {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    WebClient::with_lookup(Guard::new(loopback), "test", lookup).unwrap()
}

fn fetch(url: &str) -> Fetch {
    Fetch {
        target: target(url),
        method: Method::Get,
        headers: RequestHeaders::default(),
        body_bytes_max: 1024,
        time_max: Duration::from_millis(1500),
    }
}

async fn ask(client: &WebClient, url: &str) -> Result<Fetched, FetchError> {
    client.fetch(fetch(url), |_, _| Ok(())).await
}

fn denied(result: Result<Fetched, FetchError>) -> Denied {
    match result {
        Err(FetchError::Denied(denied)) => denied,
        other => panic!("not denied: {other:?}"),
    }
}

fn found(addresses: &[&str]) -> Found {
    let addresses = addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
    Box::pin(async move { Ok(addresses) })
}

/// A public name whose owner points it at us.
#[tokio::test]
async fn a_name_that_resolves_to_a_refused_address_is_refused() {
    let inward = client(Loopback::Refused, |_| found(&["127.0.0.1", "10.0.0.1", "::ffff:127.0.0.1"]));
    let denied = denied(ask(&inward, "https://rebind.example/").await);
    assert_eq!(denied.policies, ["egress-guard"]);
    assert!(denied.message.contains("rebind.example (::ffff:127.0.0.1)"), "{denied}");
    // The setting for tests opens loopback, and nothing besides.
    let inward = client(Loopback::Allowed, |_| found(&["10.0.0.1"]));
    assert_eq!(self::denied(ask(&inward, "https://rebind.example/").await).policies, ["egress-guard"]);
    let nowhere = client(Loopback::Refused, |_| found(&[]));
    assert!(matches!(ask(&nowhere, "https://a.example/").await, Err(FetchError::Unavailable(_))));
}

/// The host's own messages leave by the same door, and no error shows where they go.
#[tokio::test]
async fn a_message_of_the_hosts_own_is_guarded_and_never_redirected() {
    let message = |target| Delivery {
        target,
        body: b"{}".to_vec(),
        headers: vec![("x-a", "b".to_owned())],
        time_max: Duration::from_millis(1500),
        answer_bytes_max: 4,
    };
    let inward = client(Loopback::Allowed, |_| found(&["10.0.0.1"]));
    let hook = target("https://hook.example/hidden?hidden");
    let refused = inward.deliver(message(&hook)).await.unwrap_err();
    assert!(matches!(refused, DeliveryError::Refused(_)) && !refused.to_string().contains("hidden"), "{refused}");
    let nobody = client(Loopback::Allowed, |_| found(&["127.0.0.1"]));
    let unheard = target("http://a.localhost:1/hidden");
    let unheard = nobody.deliver(message(&unheard)).await.unwrap_err().to_string();
    assert!(unheard.contains("refused") && !unheard.contains("hidden"), "{unheard}");
    let (address, mut sent) =
        server("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 9\r\n\r\nmoved it!").await;
    let hook = target(&format!("http://a.localhost:{}/hook", address.port()));
    let answer = nobody.deliver(message(&hook)).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (302, &b"move"[..]));
    let request = sent.recv().await.unwrap().to_lowercase();
    assert!(request.starts_with("post /hook http/1.1\r\n") && request.contains("x-a: b\r\n"), "{request}");
}

/// One look-up for one connection, and only what it gave that is permitted is connected to.
#[tokio::test]
async fn what_was_judged_is_what_is_connected_to() {
    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
    let (address, mut sent) = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let client = client(Loopback::Allowed, |name| {
        assert_eq!(name, "a.localhost");
        LOOKUPS.fetch_add(1, Ordering::SeqCst);
        found(&["10.255.255.1", "127.0.0.1"])
    });
    for round in 1..=3 {
        let fetched = ask(&client, &format!("http://a.localhost:{}/x", address.port())).await.unwrap();
        assert_eq!((fetched.status, &fetched.body[..]), (200, &b"ok"[..]));
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), round);
        let request = sent.recv().await.unwrap().to_lowercase();
        assert!(request.starts_with("get /x http/1.1\r\n"), "{request}");
        assert!(request.contains("accept-encoding: identity\r\n") && !request.contains("authorization"), "{request}");
    }
}

#[tokio::test]
async fn an_address_in_a_url_needs_no_resolver_to_be_refused() {
    let client = client(Loopback::Refused, |name| panic!("{name} was looked up"));
    let (address, mut sent) = server("HTTP/1.1 200 OK\r\n\r\n").await;
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "localhost"] {
        let result = ask(&client, &format!("http://{host}:{}/", address.port())).await;
        assert_eq!(denied(result).policies, ["egress-guard"], "{host}");
    }
    for url in ["https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/", "https://10.0.0.1/"] {
        assert_eq!(denied(ask(&client, url).await).policies, ["egress-guard"], "{url}");
    }
    assert!(sent.try_recv().is_err(), "nothing was connected to");
}

#[tokio::test]
async fn answers_are_bounded() {
    let client = client(Loopback::Allowed, resolver::system);
    for (answer, expected) in [
        (format!("HTTP/1.1 200 OK\r\ncontent-length: 1025\r\n\r\n{}", "x".repeat(1025)), "over 1 KiB"),
        (format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(1_000_000)), "over 1 KiB"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\n".to_owned(), "over 1 KiB"),
        ("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx".to_owned(), "encodes its answer"),
        ("HTTP/1.1 200 OK\r\ncontent-encoding: identity, br\r\ncontent-length: 2\r\n\r\nxx".to_owned(), "encodes"),
        (format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "h".repeat(40_000)), "headers are over"),
        ("HTTP/1.1 302 Found\r\nlocation: /a\r\nlocation: /b\r\n\r\n".to_owned(), "two places"),
        ("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_owned(), "more than 5 times"),
    ] {
        let (address, _sent) = server(answer.clone()).await;
        let error = ask(&client, &format!("http://{address}/")).await.expect_err(expected);
        assert!(matches!(error, FetchError::Invalid(_)), "{expected}: {error:?}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
    let many = "x: y\r\n".repeat(200);
    for broken in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort".to_owned(),
        "no http at all\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{many}content-length: 0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "h".repeat(1_000_000)),
    ] {
        let (address, _sent) = server(broken).await;
        let error = ask(&client, &format!("http://{address}/")).await.expect_err("a broken answer");
        assert!(matches!(error, FetchError::Unavailable(_)), "{error:?}");
    }
}

/// One byte each 100 ms, without end.
#[tokio::test]
async fn a_slow_answer_ends_with_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        assert!(socket.read(&mut [0; 8192]).await.unwrap() > 0);
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while socket.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let client = client(Loopback::Allowed, resolver::system);
    let began = Instant::now();
    let error = ask(&client, &format!("http://{address}/")).await.unwrap_err();
    assert!(error.to_string().contains("1500 ms (http-fetch.timeout_ms_max)"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

/// Policy is asked for every hop; headers stay with the host that they were meant for.
#[tokio::test]
async fn each_hop_is_judged_and_gets_no_headers_of_another_host() {
    let (last, mut sent_to_last) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: http://{last}/graphql\r\ncontent-length: 0\r\n\r\n");
    let (first, mut sent_to_first) = server(answer).await;
    let client = client(Loopback::Allowed, resolver::system);
    let mut with_headers = fetch(&format!("http://{first}/"));
    with_headers.headers = RequestHeaders::check(&[("if-none-match".to_owned(), "\"secret\"".to_owned())]).unwrap();
    let fetched = client.fetch(with_headers.clone(), |_, _| Ok(())).await.unwrap();
    assert_eq!(fetched.target.as_str(), format!("http://{last}/graphql"));
    assert_eq!(fetched.redirected_from, [target(&format!("http://{first}/"))]);
    assert!(sent_to_first.recv().await.unwrap().contains("\"secret\""));
    assert!(!sent_to_last.recv().await.unwrap().contains("secret"));

    let no_graphql = |target: &WebTarget, _| {
        let found = target.path_words().iter().any(|word| word == "graphql");
        if found { Err(Denied { policies: vec!["test".to_owned()], message: "no".to_owned() }) } else { Ok(()) }
    };
    let denied = denied(client.fetch(with_headers, no_graphql).await);
    assert_eq!(denied.policies, ["test"]);
    assert!(denied.message.contains("redirects to") && denied.message.ends_with(": no"), "{denied}");
    assert!(sent_to_last.try_recv().is_err(), "what is denied is not asked for");
}

/// The metadata service behind a redirect, by every road.
#[tokio::test]
async fn a_redirect_to_a_refused_address_is_refused() {
    let client = client(Loopback::Allowed, |_| found(&["169.254.169.254"]));
    for location in
        ["https://169.254.169.254/latest/", "https://[::ffff:169.254.169.254]/", "https://innocent.example/"]
    {
        let answer = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let (address, _sent) = server(answer).await;
        let denied = denied(ask(&client, &format!("http://{address}/")).await);
        assert_eq!(denied.policies, ["egress-guard"], "{location}: {denied}");
    }
}
