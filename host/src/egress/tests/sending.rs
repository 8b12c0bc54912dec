//! Sending: what is known of a request that was not answered, and what goes out with one.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::{client, found, server, target};
use crate::egress::resolver;
use crate::egress::{Answered, Loopback, RequestHeaders, SendError, SendLimits, WebClient};
use crate::policy::Granted;
use crate::policy::action::SendRequest;
use crate::web::Method;

async fn send(client: &WebClient, url: &str) -> Result<Answered, SendError> {
    let action = SendRequest {
        target: target(url),
        method: Method::Post,
        headers: vec![("Content-Type".to_owned(), "text/plain".to_owned())],
        body: b"hello".to_vec(),
        key: "juggernaut-t/1/0".to_owned(),
    };
    let limits = SendLimits { body_bytes_max: 1024, time_max: Duration::from_millis(1500) };
    client.send(Granted::for_tests(action), limits).await
}

#[tokio::test]
async fn what_is_sent_is_what_was_granted_and_a_redirect_is_an_answer() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: /x\r\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\nok";
    let (address, mut sent) = server(answer).await;
    let client = client(Loopback::Allowed, resolver::system);
    let answered = send(&client, &format!("http://{address}/a?b=c")).await.unwrap();
    assert_eq!((answered.status, &answered.body[..]), (302, &b"ok"[..]));
    assert_eq!(answered.headers, [("location".to_owned(), "/x".to_owned())]);
    let request = sent.recv().await.unwrap().to_lowercase();
    assert!(request.starts_with("post /a?b=c http/1.1\r\n"), "{request}");
    for header in [
        "idempotency-key: juggernaut-t/1/0",
        "content-type: text/plain",
        "content-length: 5",
        "accept-encoding: identity",
    ] {
        assert!(request.contains(&format!("\r\n{header}\r\n")), "{header}: {request}");
    }
    assert!(!request.contains("authorization") && !request.contains("cookie"), "{request}");
    assert!(sent.try_recv().is_err(), "sent once");
}

#[tokio::test]
async fn what_never_left_is_told_from_what_may_have_arrived() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let open = client(Loopback::Allowed, resolver::system);
    let error = send(&open, &format!("http://{closed}/")).await.unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)), "{error:?}");
    let inward = client(Loopback::Allowed, |_| found(&["10.0.0.1"]));
    for url in ["https://rebind.example/", "https://10.0.0.1/", "https://169.254.169.254/"] {
        let error = send(&inward, url).await.unwrap_err();
        assert!(matches!(&error, SendError::Denied(denied) if denied.policies == ["egress-guard"]), "{error:?}");
    }
    for lost in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", "no http at all\r\n\r\n"] {
        let (address, mut sent) = server(lost).await;
        let error = send(&open, &format!("http://{address}/")).await.unwrap_err();
        assert!(matches!(error, SendError::Unknown(_)), "{lost}: {error:?}");
        assert!(sent.recv().await.is_some() && sent.try_recv().is_err(), "{lost}: sent once");
    }
    let (address, _sent) = server(format!("HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n{}", "x".repeat(2000))).await;
    let error = send(&open, &format!("http://{address}/")).await.unwrap_err();
    assert!(matches!(&error, SendError::Unfit(why) if why.contains("answered with 200")), "{error:?}");
}

#[tokio::test]
async fn no_answer_in_time_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        while socket.read(&mut [0; 8192]).await.is_ok_and(|bytes| bytes > 0) {}
    });
    let client = client(Loopback::Allowed, resolver::system);
    let error = send(&client, &format!("http://{address}/")).await.unwrap_err();
    assert!(
        matches!(&error, SendError::Unknown(why) if why.contains("1500 ms (http-send.timeout_ms_max)")),
        "{error:?}"
    );
}

#[test]
fn a_role_names_what_it_sends_and_nothing_else() {
    let check = |name: &str| RequestHeaders::check_sent(&[(name.to_owned(), "x".to_owned())]);
    for name in ["accept", "Content-Type", "if-match"] {
        assert!(check(name).is_ok(), "{name}");
    }
    for name in [
        "idempotency-key",
        "authorization",
        "cookie",
        "host",
        "accept-language",
        "x-http-method-override",
        "content-length",
    ] {
        assert!(check(name).is_err(), "{name}");
    }
}
