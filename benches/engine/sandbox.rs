//! What the sandbox costs a task, without queue and database.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use juggernaut::sandbox::RunError;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::quantiles::quantile;
use super::stage::{Parked, Stage};
use super::{number, text};

/// Runs at once where threads are compared.
const TOGETHER: usize = 16;
const GUESTS_MAX: u32 = 64;
/// Runs that are not counted.
const WARM_UP_RUNS: usize = 200;
/// Host calls of one run.
const CALLS: u64 = 100_000;
/// Of the manifest of an endless loop.
const LOOP_WALL_MS: u64 = 100;
const LOOPS: usize = 20;
/// Parked runs may wait this long for the last of them.
const PARKED_WALL_MS: u64 = 600_000;

pub(super) async fn measure(asked: &Value) -> Value {
    let (role, cache) = (Path::new(text(asked, "role")), Path::new(text(asked, "cache")));
    let runs = number(asked, "runs");
    let stage = |threads| Stage::new(role, cache, threads, GUESTS_MAX, None);
    let (one, two) = (Arc::new(stage(1)), Arc::new(stage(2)));
    let nothing = json!({ "reads": 0 });
    let cost = quantile(&mut on_guest_thread(&one, &nothing, runs).await, 0.5);
    let cost_with_read = quantile(&mut on_guest_thread(&one, &json!({}), runs).await, 0.5);
    let alone = quantile(&mut each(&two, &nothing, runs).await, 0.5);
    let alone_with_read = quantile(&mut each(&two, &json!({}), runs).await, 0.5);
    let calls = json!({ "reads": 0, "calls": CALLS });
    let with_calls = quantile(&mut each(&two, &calls, LOOPS).await, 0.5);
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let call_ns = with_calls.saturating_sub(alone).as_secs_f64() * 1e9 / CALLS as f64;
    // Turn by turn, so that whatever else the machine does meets both.
    let (mut of_one, mut of_two) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..4 {
        of_one += together(&one, &nothing, runs).await;
        of_two += together(&two, &nothing, runs).await;
    }
    let per_second = |took: Duration| 4.0 * runs_f64(runs) / took.as_secs_f64();
    json!({
        "runs": runs, "cost_us": micros(cost), "cost_with_read_us": micros(cost_with_read),
        "alone_us": micros(alone), "alone_with_read_us": micros(alone_with_read), "host_call_ns": call_ns,
        "runs_per_second_1_thread": per_second(of_one), "runs_per_second_2_threads": per_second(of_two),
        "loop_overrun_ms": overruns(role, cache).await,
    })
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
fn runs_f64(runs: usize) -> f64 {
    runs as f64
}

/// What a run takes of the guests' thread: one follows the other, and whoever waits for them waits on that same thread, so
/// that no other has to be woken.
async fn on_guest_thread(stage: &Arc<Stage>, payload: &Value, runs: usize) -> Vec<Duration> {
    let (there, payload) = (Arc::clone(stage), payload.clone());
    stage.guest_threads().spawn(async move { each(&there, &payload, runs).await }).await.expect("the runs")
}

/// One after the other, each waited for by another thread: on a machine with nothing else to do.
async fn each(stage: &Stage, payload: &Value, runs: usize) -> Vec<Duration> {
    for _ in 0..WARM_UP_RUNS.min(runs) {
        stage.completed(payload).await;
    }
    let mut took = Vec::with_capacity(runs);
    for _ in 0..runs {
        took.push(stage.completed(payload).await);
    }
    took
}

/// Some at once, always the same number.
async fn together(stage: &Arc<Stage>, payload: &Value, runs: usize) -> Duration {
    let began = Instant::now();
    let mut lanes = JoinSet::new();
    for lane in 0..TOGETHER {
        let (stage, payload) = (Arc::clone(stage), payload.clone());
        let share = runs / TOGETHER + usize::from(lane < runs % TOGETHER);
        lanes.spawn(async move {
            for _ in 0..share {
                stage.completed(&payload).await;
            }
        });
    }
    lanes.join_all().await;
    began.elapsed()
}

/// How long after its limit an endless loop is stopped.
async fn overruns(role: &Path, cache: &Path) -> Value {
    let stage = Stage::new(role, cache, 2, GUESTS_MAX, Some(LOOP_WALL_MS));
    let mut over = Vec::with_capacity(LOOPS);
    for _ in 0..LOOPS {
        let (ended, took) = stage.run(&json!({ "loop": true })).await;
        assert!(matches!(ended, Err(RunError::OutOfTime { .. })), "an endless loop ended otherwise: {ended:?}");
        over.push(took.saturating_sub(Duration::from_millis(LOOP_WALL_MS)));
    }
    json!({ "p50": micros(quantile(&mut over, 0.5)) / 1e3, "worst": micros(quantile(&mut over, 1.0)) / 1e3 })
}

/// Memory of instances that wait in a host call, all at once.
pub(super) async fn parked(asked: &Value) -> Value {
    let (role, cache) = (Path::new(text(asked, "role")), Path::new(text(asked, "cache")));
    let instances = number(asked, "instances");
    let guests_max = u32::try_from(instances).expect("a size") + GUESTS_MAX;
    let stage = Arc::new(Stage::new(role, cache, 2, guests_max, Some(PARKED_WALL_MS)));
    let payload = Arc::new(json!({ "park": true }));
    // The first ones bring in what all share.
    for _ in 0..GUESTS_MAX {
        drop(Arc::clone(&stage).parked(Arc::clone(&payload)).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (before, resident_before) = (memory_bytes("Pss"), memory_bytes("Rss"));
    let mut live: Vec<Parked> = Vec::with_capacity(instances);
    for _ in 0..instances {
        live.push(Arc::clone(&stage).parked(Arc::clone(&payload)).await);
    }
    let bytes = memory_bytes("Pss").saturating_sub(before);
    let resident = memory_bytes("Rss").saturating_sub(resident_before);
    assert!(live.iter().all(Parked::is_alive), "an instance ended before it was counted");
    json!({ "instances": instances, "bytes": bytes, "resident_bytes": resident })
}

/// What this process holds in memory, as the kernel counts it. `Rss` counts a page of the component's image once for each
/// instance that has it mapped, although it is in memory once; `Pss` counts it once.
fn memory_bytes(which: &str) -> usize {
    let sums = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux");
    let sum = sums.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
    let kib: usize = sum.expect("a sum").trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}
