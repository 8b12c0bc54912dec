//! Counts the test cases of a report in JUnit's XML.
//!
//! Invariant: a report is hostile. Its size, depth and number of cases are bounded, a document type is refused, and no
//! entity is expanded, so that nothing in it can grow or reach out.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::task::TestCounts;

/// Largest report that is read.
pub(super) const REPORT_BYTES_MAX: usize = 4 << 20;
/// Elements within one another; JUnit's own reports need five.
const DEPTH_MAX: usize = 32;
const CASES_MAX: u32 = 200_000;

/// How a test case ended, as far as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Passed,
    Skipped,
    Failed,
}

/// Counts by the test cases themselves: what the suites' own attributes add up to is the report's word.
pub(super) fn count(report: &[u8]) -> Result<TestCounts, String> {
    if report.len() > REPORT_BYTES_MAX {
        return Err(format!("is larger than {REPORT_BYTES_MAX} bytes"));
    }
    let text = std::str::from_utf8(report).map_err(|_| "is not UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut tally = Tally::default();
    loop {
        match reader.read_event().map_err(|error| format!("is not XML: {error}"))? {
            Event::Start(element) => {
                tally.enter(&element)?;
                tally.depth += 1;
                if tally.depth > DEPTH_MAX {
                    return Err(format!("has elements more than {DEPTH_MAX} deep"));
                }
            }
            Event::Empty(element) => {
                tally.enter(&element)?;
                tally.leave();
            }
            Event::End(_) => {
                tally.depth = tally.depth.saturating_sub(1);
                tally.leave();
            }
            Event::DocType(_) => return Err("has a document type declaration, which is not read".to_owned()),
            Event::Eof => break,
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            // Never expanded: no text of the report is looked at.
            | Event::GeneralRef(_) => {}
        }
    }
    tally.finish()
}

#[derive(Debug, Default)]
struct Tally {
    depth: usize,
    rooted: bool,
    /// The case that is open, and the depth that it opened at.
    case: Option<(usize, Ended)>,
    cases: u32,
    counts: TestCounts,
}

impl Tally {
    fn enter(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        let name = element.local_name();
        let name = name.as_ref();
        if self.depth == 0 {
            if self.rooted || !matches!(name, "testsuites" | "testsuite") {
                return Err("is no JUnit report: its one root is not testsuites or testsuite".to_owned());
            }
            self.rooted = true;
        }
        match (&mut self.case, name) {
            (Some(_), "testcase" | "testsuite" | "testsuites") => {
                Err("is no JUnit report: a test case holds another one".to_owned())
            }
            (None, "testcase") => {
                self.cases += 1;
                if self.cases > CASES_MAX {
                    return Err(format!("has more than {CASES_MAX} test cases"));
                }
                let ended = if not_run(element)? { Ended::Skipped } else { Ended::Passed };
                self.case = Some((self.depth, ended));
                Ok(())
            }
            (Some((at, ended)), "failure" | "error") if self.depth == *at + 1 => {
                *ended = Ended::Failed;
                Ok(())
            }
            (Some((at, ended)), "skipped") if self.depth == *at + 1 => {
                if *ended == Ended::Passed {
                    *ended = Ended::Skipped;
                }
                Ok(())
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    fn leave(&mut self) {
        if let Some((at, ended)) = self.case
            && at == self.depth
        {
            self.case = None;
            match ended {
                Ended::Passed => self.counts.passed += 1,
                Ended::Skipped => self.counts.skipped += 1,
                Ended::Failed => self.counts.failed += 1,
            }
        }
    }

    fn finish(self) -> Result<TestCounts, String> {
        if self.depth > 0 {
            return Err("is not whole: an element is not closed".to_owned());
        }
        if self.cases == 0 {
            return Err("has no test case".to_owned());
        }
        Ok(self.counts)
    }
}

/// GoogleTest's way to say that a case is disabled.
fn not_run(element: &BytesStart<'_>) -> Result<bool, String> {
    match element.try_get_attribute("status") {
        Ok(status) => Ok(status.is_some_and(|status| status.value.as_ref() == "notrun")),
        Err(error) => Err(format!("is not XML: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u32, failed: u32, skipped: u32) -> TestCounts {
        TestCounts { passed, failed, skipped }
    }

    #[test]
    fn cases_are_counted_and_not_the_attributes() {
        let report = br#"<?xml version="1.0"?><testsuites tests="99" failures="0">
            <testsuite name="a"><properties><property name="x" value="&lt;"/></properties>
            <testcase name="1"/><testcase name="2"><system-out>a &amp; <![CDATA[</testcase>]]></system-out></testcase>
            <testcase name="3"><failure message="m">no</failure></testcase>
            <testcase name="4"><error/><skipped/></testcase></testsuite>
            <testsuite name="b"><testsuite><testcase name="5"><skipped/></testcase>
            <testcase name="6" status="notrun"/></testsuite></testsuite></testsuites>"#;
        assert_eq!(count(report), Ok(counts(2, 2, 2)));
        assert_eq!(count("\u{feff}<testsuite><testcase/></testsuite>".as_bytes()), Ok(counts(1, 0, 0)));
        // A failure that is no child of the case itself is text of the tested program.
        let nested = b"<testsuite><testcase><system-out><failure/></system-out></testcase></testsuite>";
        assert_eq!(count(nested), Ok(counts(1, 0, 0)));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let laughs = r#"<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;">]><testsuite><testcase/>&b;</testsuite>"#;
        let external = r#"<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite><testcase/></testsuite>"#;
        let deep = format!("<testsuite>{}", "<testsuite>".repeat(DEPTH_MAX));
        let cases = format!("<testsuite>{}</testsuite>", "<testcase/>".repeat(CASES_MAX as usize + 1));
        for (report, because) in [
            (laughs, "document type"),
            (external, "document type"),
            (deep.as_str(), "deep"),
            (cases.as_str(), "more than 200000 test cases"),
            ("", "no test case"),
            ("all tests pass", "no test case"),
            ("<testsuite></testsuite>", "no test case"),
            ("<testsuite><testcase/>", "not whole"),
            ("<testsuite><testcase></testsuite>", "not XML"),
            ("<html><testcase/></html>", "no JUnit report"),
            ("<testsuite><testcase/></testsuite><testsuite><testcase/></testsuite>", "no JUnit report"),
            ("<testsuite><testcase><testcase/></testcase></testsuite>", "holds another"),
        ] {
            let refused = count(report.as_bytes()).unwrap_err();
            assert!(refused.contains(because), "{because}: {refused}");
        }
        assert!(count(&[0xff, 0xfe]).unwrap_err().contains("UTF-8"));
        assert!(count(&vec![b' '; REPORT_BYTES_MAX + 1]).unwrap_err().contains("larger"));
    }
}
