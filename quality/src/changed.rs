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
///
/// A hostile file has as many findings as lines, each about all of them: the answer to one takes no walk over lines.
pub(crate) struct Changed {
    /// How many of the lines before this one are changed.
    before: Vec<u32>,
    /// Lines below which something is gone, ascending.
    seams: Vec<u32>,
    /// Runs of lines that are as before, ascending: the first of them now and before, counted from 0, and how many.
    same: Vec<(usize, usize, usize)>,
}

impl Changed {
    pub(crate) fn between(before: Option<&str>, after: &str) -> Self {
        let new = lines_of(after);
        let Some(before) = before else {
            // With the empty line after the last line end.
            return Self::new(&vec![true; new.len() + 1], Vec::new(), Vec::new());
        };
        let old = lines_of(before);
        let deadline = Instant::now() + TIME_MAX;
        let (mut lines, mut seams, mut same) = (vec![false; new.len()], Vec::new(), Vec::new());
        for operation in capture_diff_slices_deadline(Algorithm::Myers, &old, &new, Some(deadline)) {
            match operation {
                DiffOp::Equal { old_index, new_index, len } => same.push((new_index, old_index, len)),
                DiffOp::Delete { new_index, .. } => seams.push(u32::try_from(new_index).unwrap_or(u32::MAX)),
                DiffOp::Insert { new_index, new_len, .. } | DiffOp::Replace { new_index, new_len, .. } => {
                    lines[new_index..new_index + new_len].fill(true);
                }
            }
        }
        Self::new(&lines, seams, same)
    }

    fn new(lines: &[bool], seams: Vec<u32>, same: Vec<(usize, usize, usize)>) -> Self {
        let mut before = vec![0];
        let mut count = 0;
        for changed in lines {
            count += u32::from(*changed);
            before.push(count);
        }
        Self { before, seams, same }
    }

    /// Where a line, counted from 1, was before; None if it is changed.
    pub(crate) fn line_before(&self, line: u32) -> Option<u32> {
        let line = (line as usize).checked_sub(1)?;
        let begun = self.same.partition_point(|(first, _, _)| *first <= line);
        let (first, before, length) = *self.same.get(begun.checked_sub(1)?)?;
        if line - first >= length {
            return None;
        }
        u32::try_from(before + line - first + 1).ok()
    }

    /// Whether a change touches these lines: one of them is new, or one between them is gone.
    pub(crate) fn touches(&self, span: &RangeInclusive<u32>) -> bool {
        let (first, last) = (*span.start(), *span.end());
        let before = |line: usize| self.before[line.min(self.before.len() - 1)];
        let seam = self.seams.get(self.seams.partition_point(|seam| *seam < first));
        before(last as usize) > before((first as usize).saturating_sub(1)) || seam.is_some_and(|seam| *seam < last)
    }
}
