//! `research`: fetches the sources that the task names, and says what they say, with where it stands.

use juggernaut_guest::{Assignment, Error, Evidence, Failure, http_fetch, info, learnings, task, warn};

use crate::model;
use crate::pages::{self, Page};
use crate::payload::Research;

/// A source that was read.
pub struct Source {
    pub url: String,
    pub step: u32,
    pub page: Page,
}

pub fn run(task: &Assignment) -> Result<Evidence, Failure> {
    let Research { urls, question } = Research::parse(&task.payload).map_err(Failure::final_)?;
    for learning in learnings::offered()? {
        info!("offered learning {}: {}", learning.id, learning.title);
    }
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    for url in &urls {
        match fetch(url) {
            Ok(source) => sources.push(source),
            Err(problem) => {
                warn!("left out: {problem}");
                problems.push(problem);
            }
        }
    }
    if sources.is_empty() {
        return Err(Failure::retriable("none of the sources could be read: ").because(problems.join("; ")));
    }
    let question = question.unwrap_or_else(|| task.title.clone());
    let summary = match model::summarize(&question, &sources) {
        Ok(summary) => summary,
        Err(why) => {
            info!("no model summarizes, so the sources are quoted: {why}");
            extract(&question, &sources, urls.len())
        }
    };
    let steps: Vec<u32> = sources.iter().map(|source| source.step).collect();
    let claim = Evidence::cited_summary(summary, steps.clone());
    Ok(task.criteria.iter().fold(claim, |claim, criterion| claim.answer(criterion.number, steps.clone())))
}

fn fetch(url: &str) -> Result<Source, String> {
    let answer = http_fetch::get(url).map_err(|error| format!("{url}: {}", told(error)))?;
    if !(200..300).contains(&answer.status) || answer.body.is_empty() {
        return Err(format!("{url}: answered with {} and {} bytes", answer.status, answer.body.len()));
    }
    let step = task::last_step().ok_or_else(|| format!("{url}: the fetch left no step"))?;
    info!("read {} ({} bytes, sha256 {})", answer.url, answer.body.len(), answer.body_sha256);
    Ok(Source { url: answer.url, step, page: pages::read(&answer.body) })
}

fn told(error: Error) -> String {
    Failure::from(error).reason
}

/// Honest about what it is: nobody understood the pages, they are quoted.
fn extract(question: &str, sources: &[Source], asked: usize) -> String {
    let mut summary = format!(
        "{}\n\nExtracts, not conclusions: the beginning of each source that could be read ({} of {asked}), quoted as it \
         stands there.\n",
        crate::write::inline(question).replace("://", " "),
        sources.len(),
    );
    for (number, Source { url, page, .. }) in sources.iter().enumerate() {
        let Page { title, excerpt, text: _ } = page;
        let quoted = if excerpt.is_empty() { "(no text)" } else { excerpt };
        summary.push_str(&format!("\n{}. \"{title}\" says: \"{quoted}\" Source: {url} \n", number + 1));
    }
    summary
}
