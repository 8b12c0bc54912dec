//! `learnings`.

use serde::{Deserialize, Serialize};

use super::words::{self, storable};

/// Most that a run is offered at once.
pub const OFFERED_MAX: u32 = 10;
/// Most that a search returns.
pub const FOUND_MAX: u32 = 50;
const TAGS_MAX: usize = 16;
const TAG_BYTES_MAX: usize = 64;
const WORDS_BYTES_MAX: usize = 1000;

/// A learning as a role sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenLearning {
    pub id: u64,
    pub category: String,
    pub title: String,
    pub description: String,
    pub impact_score: f32,
    pub tags: Vec<String>,
    pub task: Option<String>,
    pub created_at_ms: u64,
    pub uses: u64,
}

/// What a run wants to be known by those after it. Its own words.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningDraft {
    pub category: String,
    pub title: String,
    pub description: String,
    pub impact_score: f32,
    pub tags: Vec<String>,
}

impl LearningDraft {
    /// Within the limits of the capability, and fit to be stored; a tag that comes twice is kept once.
    pub fn checked(self) -> Result<Self, String> {
        let Self { category, title, description, impact_score, tags } = self;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=64).contains(&category.len()) || !category.bytes().all(plain) {
            return Err("category must be 1 to 64 letters, digits, '_' or '-'".to_owned());
        }
        words::chars("title", &title, 1..=200)?;
        words::bytes("description", &description, 1..=8 * 1024)?;
        if !(0.0..=1.0).contains(&impact_score) {
            return Err("impact-score must be a number from 0 to 1".to_owned());
        }
        let tags = checked_tags(tags)?;
        Ok(Self { category, title: storable(&title), description: storable(&description), impact_score, tags })
    }
}

fn checked_tags(tags: Vec<String>) -> Result<Vec<String>, String> {
    words::within("tags", tags.len(), 0..=TAGS_MAX, "entries")?;
    let mut kept: Vec<String> = Vec::new();
    for tag in tags {
        words::bytes("a tag", &tag, 1..=TAG_BYTES_MAX)?;
        let tag = storable(&tag);
        if !kept.contains(&tag) {
            kept.push(tag);
        }
    }
    Ok(kept)
}

/// A search: all words and all tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearningSearch {
    pub words: String,
    pub tags: Vec<String>,
    pub limit: u32,
}

impl LearningSearch {
    pub fn checked(self) -> Result<Self, String> {
        let Self { words, tags, limit } = self;
        words::bytes("words", &words, 0..=WORDS_BYTES_MAX)?;
        if !(1..=FOUND_MAX).contains(&limit) {
            return Err(format!("limit is {limit}; it must be 1 to {FOUND_MAX}"));
        }
        Ok(Self { words: storable(&words), tags: checked_tags(tags)?, limit })
    }
}

/// A look at learnings.
#[derive(Clone, Debug)]
pub enum LearningQuery {
    Search(LearningSearch),
}

/// A change of learnings.
#[derive(Clone, Debug)]
pub enum LearningChange {
    /// Answers with those that fit the run's task, and records that it was offered them.
    Offer,
    /// `learnings_max` is the attempt's.
    Capture { draft: LearningDraft, learnings_max: u32 },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> LearningDraft {
        LearningDraft {
            category: "technique".to_owned(),
            title: "t".to_owned(),
            description: "d".to_owned(),
            impact_score: 0.5,
            tags: vec!["a".to_owned()],
        }
    }

    #[test]
    fn a_draft_within_its_limits_is_kept_without_nul() {
        let tags = ["a\0", "b", "b"].map(str::to_owned).to_vec();
        let given = LearningDraft { title: "t\0".to_owned(), tags, ..draft() };
        let kept = given.checked().unwrap();
        assert_eq!((kept.title.as_str(), kept.tags), ("t␀", vec!["a␀".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn a_draft_beyond_them_is_refused() {
        for odd in [
            LearningDraft { category: String::new(), ..draft() },
            LearningDraft { category: "a b".to_owned(), ..draft() },
            LearningDraft { category: "a".repeat(65), ..draft() },
            LearningDraft { title: String::new(), ..draft() },
            LearningDraft { title: "t".repeat(201), ..draft() },
            LearningDraft { description: String::new(), ..draft() },
            LearningDraft { description: "d".repeat(8193), ..draft() },
            LearningDraft { impact_score: f32::NAN, ..draft() },
            LearningDraft { impact_score: 1.1, ..draft() },
            LearningDraft { impact_score: -0.1, ..draft() },
            LearningDraft { tags: vec![String::new()], ..draft() },
            LearningDraft { tags: vec!["a".repeat(65)], ..draft() },
            LearningDraft { tags: (0..17).map(|tag| tag.to_string()).collect(), ..draft() },
        ] {
            assert!(odd.clone().checked().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_search_has_a_limit() {
        let search = |limit| LearningSearch { words: "a".to_owned(), tags: Vec::new(), limit }.checked();
        assert!(search(1).is_ok() && search(50).is_ok());
        assert!(search(0).is_err() && search(51).is_err());
    }
}
