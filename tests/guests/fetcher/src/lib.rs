//! Fetches what its payload names and says what came of each:
//! `{"fetches": [{"url": …, "method": "HEAD", "headers": [[name, value]], "times": 1}], "sleep_ms": 0}`.

use juggernaut_guest::http_fetch::{self, Method, Request};
use juggernaut_guest::{Assignment, Error, Evidence, Failure, info, timer};
use serde_json::Value;

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    let payload: Value = serde_json::from_str(&task.payload).unwrap_or_default();
    let none = Vec::new();
    for fetch in payload["fetches"].as_array().unwrap_or(&none) {
        let times = fetch["times"].as_u64().unwrap_or(1);
        for round in 0..times {
            let said = fetched(fetch);
            if round == 0 {
                info!("{said}");
            }
        }
    }
    if let Some(sleep_ms) = payload["sleep_ms"].as_u64() {
        timer::sleep(std::time::Duration::from_millis(sleep_ms))?;
        info!("slept");
    }
    Err(Failure::final_("fetched everything"))
}

fn fetched(fetch: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let none = Vec::new();
    let headers = fetch["headers"].as_array().unwrap_or(&none);
    let request = Request {
        method: if fetch["method"] == "HEAD" { Method::Head } else { Method::Get },
        url: text(&fetch["url"]),
        headers: headers.iter().map(|header| (text(&header[0]), text(&header[1]))).collect(),
    };
    match http_fetch::fetch(&request) {
        Ok(answer) => format!(
            "{} {} {:?} {} bytes sha256:{} {:?}",
            answer.status,
            answer.url,
            answer.headers,
            answer.body.len(),
            answer.body_sha256,
            String::from_utf8_lossy(&answer.body).chars().take(40).collect::<String>(),
        ),
        Err(Error::Denied(message)) => format!("denied {message}"),
        Err(Error::Invalid(message)) => format!("invalid {message}"),
        Err(Error::Unavailable(message)) => format!("unavailable {message}"),
        Err(error) => format!("{error:?}"),
    }
}
