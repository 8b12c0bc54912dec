//! What earlier goals taught, and what this one does. A goal never fails because of it.

use juggernaut_guest::Assignment;
use juggernaut_guest::learnings::Draft;
#[cfg(feature = "learnings")]
use juggernaut_guest::{learnings, warn};

/// Of a title and a reason.
const TITLE_CHARS_MAX: usize = 200;
const REASON_BYTES_MAX: usize = 4096;

/// Lessons that fit this task.
pub fn offered() -> Vec<String> {
    #[cfg(not(feature = "learnings"))]
    return Vec::new();
    #[cfg(feature = "learnings")]
    match learnings::offered() {
        Ok(offered) => (offered.into_iter())
            .map(|learning| format!("{} ({}): {}", learning.title, learning.category, learning.description))
            .collect(),
        Err(error) => {
            warn!("no learnings are offered: {error:?}");
            Vec::new()
        }
    }
}

pub fn completed(task: &Assignment, replans: u32, tasks: usize) {
    let how = if replans == 0 { "as first planned".to_owned() } else { format!("after {replans} new plans") };
    let description = format!("A goal of {tasks} tasks was completed {how}.");
    let impact_score = if replans == 0 { 0.3 } else { 0.6 };
    keep("technique", &format!("Completed: {}", task.title), description, impact_score);
}

pub fn failed(task: &Assignment, reason: &str) {
    let mut reason = reason.to_owned();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    keep("failure", &format!("Given up: {}", task.title), format!("A goal was given up: {reason}"), 0.8);
}

fn keep(category: &str, title: &str, description: String, impact_score: f32) {
    let draft = Draft {
        category: category.to_owned(),
        title: title.chars().take(TITLE_CHARS_MAX).collect(),
        description,
        impact_score,
        tags: vec!["goal".to_owned()],
    };
    #[cfg(not(feature = "learnings"))]
    drop(draft);
    #[cfg(feature = "learnings")]
    if let Err(error) = learnings::capture(&draft) {
        warn!("what was learnt is not kept: {error:?}");
    }
}
