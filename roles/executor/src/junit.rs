//! Counts the test cases of a report in JUnit's XML, as the host will.
//!
//! The host counts again and has the last word; what it refuses (a document type, depth, a case in a case) need not be found here.

use juggernaut_guest::TestCounts;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

#[derive(Clone, Copy, PartialEq)]
enum Ended {
    Passed,
    Skipped,
    Failed,
}

pub fn count(report: &[u8]) -> Result<TestCounts, String> {
    let text = std::str::from_utf8(report).map_err(|_| "is not UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut counts = TestCounts::default();
    let mut depth = 0_usize;
    let mut open: Option<(usize, Ended)> = None;
    loop {
        match reader.read_event().map_err(|error| format!("is not XML: {error}"))? {
            Event::Start(element) => {
                enter(&element, depth, &mut open)?;
                depth += 1;
            }
            Event::Empty(element) => {
                enter(&element, depth, &mut open)?;
                leave(depth, &mut open, &mut counts);
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                leave(depth, &mut open, &mut counts);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if counts == TestCounts::default() { Err("has no test case".to_owned()) } else { Ok(counts) }
}

fn enter(element: &BytesStart<'_>, depth: usize, open: &mut Option<(usize, Ended)>) -> Result<(), String> {
    let name = element.local_name();
    let name: &str = name.as_ref();
    match (open.as_mut(), name) {
        (None, "testcase") => {
            let status = element.try_get_attribute("status").map_err(|error| format!("is not XML: {error}"))?;
            let not_run = status.is_some_and(|status| status.value.as_ref() == "notrun");
            *open = Some((depth, if not_run { Ended::Skipped } else { Ended::Passed }));
        }
        (Some((at, ended)), "failure" | "error") if depth == *at + 1 => *ended = Ended::Failed,
        (Some((at, ended)), "skipped") if depth == *at + 1 && *ended == Ended::Passed => *ended = Ended::Skipped,
        _ => {}
    }
    Ok(())
}

fn leave(depth: usize, open: &mut Option<(usize, Ended)>, counts: &mut TestCounts) {
    let Some((at, ended)) = *open else { return };
    if at != depth {
        return;
    }
    *open = None;
    match ended {
        Ended::Passed => counts.passed += 1,
        Ended::Skipped => counts.skipped += 1,
        Ended::Failed => counts.failed += 1,
    }
}
