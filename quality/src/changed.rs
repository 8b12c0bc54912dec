//! Which lines a change touches.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

/// After this long the comparison becomes coarser, and calls more lines changed than are.
const TIME_MAX: Duration = Duration::from_secs(2);

/// Lines as Python counts them, without their ends: another line end alone is no change.
pub(crate) fn lines_of(text: &str) -> Vec<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        let whole = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        lines.extend(whole.split('\r'));
    }
    lines
}

/// Lines of the new text, counted from 1, and seams where lines were taken out.
pub(crate) struct Changed {
    lines: Vec<bool>,
    /// The line below which something is gone.
    seams: Vec<u32>,
}

impl Changed {
    pub(crate) fn between(before: Option<&str>, after: &str) -> Self {
        let new = lines_of(after);
        let Some(before) = before else {
            return Self { lines: vec![true; new.len() + 1], seams: Vec::new() };
        };
        let old = lines_of(before);
        let deadline = Instant::now() + TIME_MAX;
        let mut changed = Self { lines: vec![false; new.len()], seams: Vec::new() };
        for operation in capture_diff_slices_deadline(Algorithm::Myers, &old, &new, Some(deadline)) {
            match operation {
                DiffOp::Equal { .. } => {}
                DiffOp::Delete { new_index, .. } => changed.seams.push(u32::try_from(new_index).unwrap_or(u32::MAX)),
                DiffOp::Insert { new_index, new_len, .. } | DiffOp::Replace { new_index, new_len, .. } => {
                    changed.lines[new_index..new_index + new_len].fill(true);
                }
            }
        }
        changed
    }

    /// Whether a change touches these lines: one of them is new, or one between them is gone.
    pub(crate) fn touches(&self, span: &RangeInclusive<u32>) -> bool {
        let (first, last) = (*span.start(), *span.end());
        let from = (first as usize).saturating_sub(1).min(self.lines.len());
        let to = (last as usize).clamp(from, self.lines.len());
        self.lines[from..to].contains(&true) || self.seams.iter().any(|seam| (first..last).contains(seam))
    }
}
