//! Sends what its payload names and says what came of each:
//! `{"sends": [{"url": …, "method": "PUT", "headers": [[name, value]], "body": …, "body_bytes": 0, "times": 1}],
//!   "sleep_ms": 0, "checks": [{"step": 0, "contains": …, "actual": true}]}`.
//!
//! `body_hex` is a body that is no text, `body_bytes` one of that length. With `checks` it claims a verification.

use juggernaut_guest::http_send::{self, Method, Request};
use juggernaut_guest::{Assignment, Check, Error, Evidence, Failure, info, timer};
use serde_json::Value;

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    let payload: Value = serde_json::from_str(&task.payload).unwrap_or_default();
    let none = Vec::new();
    for send in payload["sends"].as_array().unwrap_or(&none) {
        let times = send["times"].as_u64().unwrap_or(1);
        for round in 0..times {
            let said = sent(send);
            if round == 0 {
                info!("{said}");
            }
        }
    }
    if let Some(sleep_ms) = payload["sleep_ms"].as_u64() {
        timer::sleep(std::time::Duration::from_millis(sleep_ms))?;
        info!("slept");
    }
    match payload["checks"].as_array() {
        Some(checks) => Ok(Evidence::verification_report(checks.iter().map(check))),
        None => Err(Failure::final_("sent everything")),
    }
}

fn check(check: &Value) -> Check {
    let step = check["step"].as_u64().unwrap_or(0) as u32;
    let text = check["contains"].as_str().unwrap_or_default();
    let actual = check["actual"].as_bool().unwrap_or(true);
    Check::body_contains(format!("{text} in {step}"), step, text, true, actual)
}

fn body(send: &Value) -> Vec<u8> {
    if let Some(bytes) = send["body_bytes"].as_u64() {
        return vec![b'x'; bytes as usize];
    }
    if let Some(hex) = send["body_hex"].as_str() {
        let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or("0"));
        return digits.map(|pair| u8::from_str_radix(pair, 16).unwrap_or(0)).collect();
    }
    send["body"].as_str().unwrap_or_default().as_bytes().to_vec()
}

fn sent(send: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let none = Vec::new();
    let headers = send["headers"].as_array().unwrap_or(&none);
    let request = Request {
        method: match send["method"].as_str() {
            Some("PUT") => Method::Put,
            Some("PATCH") => Method::Patch,
            _ => Method::Post,
        },
        url: text(&send["url"]),
        headers: headers.iter().map(|header| (text(&header[0]), text(&header[1]))).collect(),
        body: body(send),
    };
    match http_send::send(&request) {
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.body).chars().take(60).collect::<String>();
            format!("{} {:?} {body:?}", answer.status, answer.headers)
        }
        Err(Error::Denied(message)) => format!("denied {message}"),
        Err(Error::Invalid(message)) => format!("invalid {message}"),
        Err(Error::Unavailable(message)) => format!("unavailable {message}"),
        Err(error) => format!("{error:?}"),
    }
}
