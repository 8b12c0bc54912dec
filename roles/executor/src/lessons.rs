//! What earlier tasks taught, and what this one did.
//!
//! Invariant: nothing here fails a task. What is offered was written by other runs: it is quoted, and never followed.

use juggernaut_guest::learnings::{self, Draft};
use juggernaut_guest::{Assignment, Failure, warn};

const OFFERED_BYTES_MAX: usize = 8 * 1024;
const TITLE_CHARS_MAX: usize = 120;
const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;

/// What fits this task, one in each line; empty if nothing does.
pub fn offered() -> String {
    match learnings::offered() {
        Ok(offered) => {
            let lines = offered.iter().map(|it| format!("{} ({}): {}", it.title, it.category, it.description));
            cut(&lines.collect::<Vec<_>>().join("\n"), OFFERED_BYTES_MAX).to_owned()
        }
        Err(error) => {
            warn!("no learnings are offered: {error:?}");
            String::new()
        }
    }
}

/// Keeps how the task went: the more had to be mended, the more it taught.
pub fn keep(task: &Assignment, summary: &str, troubles: &[String], failure: Option<&Failure>) {
    let (category, ended) = match failure {
        None => ("technique", "It was merged.".to_owned()),
        Some(failure) if failure.retriable => return,
        Some(failure) => ("failure", format!("It failed: {}", failure.reason)),
    };
    let mended: Vec<String> = troubles.iter().map(|it| format!("- {}", cut(it, 500))).collect();
    let mut description = format!("{}\n{ended}", cut(summary, 1_000));
    if !mended.is_empty() {
        description.push_str(&format!("\nWhat stood in the way:\n{}", mended.join("\n")));
    }
    let title: String = task.title.chars().take(TITLE_CHARS_MAX).collect();
    let rounds = u8::try_from(troubles.len()).unwrap_or(u8::MAX).min(4);
    let kept = learnings::capture(&Draft {
        category: category.to_owned(),
        title: format!("{category}: {title}"),
        description: cut(description.trim(), DESCRIPTION_BYTES_MAX).replace('\0', "\u{2400}"),
        impact_score: 0.2 + 0.2 * f32::from(rounds),
        tags: vec![task.task_type.clone(), "executor".to_owned()],
    });
    if let Err(error) = kept {
        warn!("what this task taught is not kept: {error:?}");
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
