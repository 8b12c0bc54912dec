//! Makes the calls that its payload lists, and says what came of each:
//! `{"calls": [{"call": "raise", "times": 1, …}]}`. Texts may be asked for by their length: `{"length": 5000}`; U+2400 stands
//! for a NUL.

use juggernaut_guest::metrics_read::Metric;
use juggernaut_guest::{
    Assignment, Error, Evidence, Failure, alerts, info, learnings, logs_read, metrics_read, reports, timer,
    workers_read,
};
use serde_json::Value;

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    let payload: Value = serde_json::from_str(&task.payload).unwrap_or_default();
    for call in list(&payload["calls"]) {
        let times = call["times"].as_u64().unwrap_or(1);
        for _ in 0..times {
            match make(call) {
                Ok(answer) => info!("ok {answer}"),
                Err(Error::Denied(message)) => info!("denied {message}"),
                Err(Error::Invalid(message)) => info!("invalid {message}"),
                Err(Error::NotFound(message)) => info!("not-found {message}"),
                Err(error) => info!("{error:?}"),
            }
        }
    }
    Err(Failure::final_("made all calls"))
}

fn make(call: &Value) -> Result<String, Error> {
    let of = |key: &str| text(&call[key]);
    match of("call").as_str() {
        "workers" => workers_read::list_workers().map(|workers| format!("{workers:?}")),
        "measure" => metrics_read::measure(metric(&of("metric")), call["window"].as_u64().unwrap_or(60))
            .map(|table| format!("{} {:?}", table.columns.join(","), table.rows)),
        "lines" => logs_read::list_lines(&logs_read::Filter {
            task: call["task"].as_str().map(str::to_owned),
            level: if of("level") == "debug" { logs_read::Level::Debug } else { logs_read::Level::Error },
            window_seconds: call["window"].as_u64().unwrap_or(60),
            limit: call["limit"].as_u64().unwrap_or(1) as u32,
        })
        .map(|lines| format!("{:?}", lines.iter().map(|line| &line.message).collect::<Vec<_>>())),
        "raise" => alerts::raise(&alerts::Draft {
            severity: if of("severity") == "critical" { alerts::Severity::Critical } else { alerts::Severity::Info },
            kind: of("kind"),
            fingerprint: of("fingerprint"),
            title: of("title"),
            details: if call["details"].is_object() && call["details"].get("length").is_none() {
                call["details"].to_string().replace('\u{2400}', "\\u0000")
            } else {
                of("details")
            },
        }),
        "open" => alerts::list_open().map(|open| format!("{open:?}")),
        "resolve" => alerts::resolve(&of("kind"), &of("fingerprint")).map(|()| "resolved".to_owned()),
        "offered" => learnings::offered().map(|offered| told(&offered)),
        "search" => learnings::search(&of("words"), &texts(&call["tags"]), call["limit"].as_u64().unwrap_or(10) as u32)
            .map(|found| told(&found)),
        "capture" => learnings::capture(&learnings::Draft {
            category: of("category"),
            title: of("title"),
            description: of("description"),
            impact_score: call["impact"].as_f64().map_or(f32::NAN, |impact| impact as f32),
            tags: texts(&call["tags"]),
        })
        .map(|id| id.to_string()),
        "store" => reports::store(&reports::Draft {
            title: of("title"),
            markdown: of("markdown"),
            series: list(&call["series"]).iter().map(series).collect(),
        })
        .map(|stored| format!("{} {}", stored.id, stored.sha256)),
        "sleep" => timer::sleep(std::time::Duration::from_millis(call["ms"].as_u64().unwrap_or(0)))
            .map(|()| "slept".to_owned()),
        other => Err(Error::Invalid(format!("no such call: {other:?}"))),
    }
}

fn told(learnings: &[learnings::Learning]) -> String {
    learnings.iter().map(|it| format!("{} ({} uses)", it.title, it.uses)).collect::<Vec<_>>().join("; ")
}

fn series(series: &Value) -> reports::Series {
    let values = list(&series["values"]).iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect();
    reports::Series {
        name: text(&series["name"]),
        unit: text(&series["unit"]),
        kind: text(&series["kind"]),
        labels: texts(&series["labels"]),
        values,
    }
}

fn metric(name: &str) -> Metric {
    match name {
        "completion" => Metric::Completion,
        "duration" => Metric::Duration,
        "queue" => Metric::Queue,
        "throughput" => Metric::Throughput,
        "errors" => Metric::Errors,
        "cost" => Metric::Cost,
        "running" => Metric::Running,
        _ => Metric::Budget,
    }
}

fn text(value: &Value) -> String {
    match value["length"].as_u64() {
        Some(length) => "x".repeat(length as usize),
        // No payload can hold a NUL; its picture stands for it.
        None => value.as_str().unwrap_or_default().replace('\u{2400}', "\0"),
    }
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(text).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
