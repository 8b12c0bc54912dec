//! `learnings`.

use serde_json::json;

use crate::journal::{Call, Effect};
use crate::manifest::Interface;
use crate::records::{Change, LearningChange, LearningDraft, LearningQuery, LearningSearch, Query, SeenLearning};
use crate::sandbox::bindings::juggernaut::host::learnings::{Draft, Host, Learning};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::state::RunState;

impl Host for RunState {
    async fn offered(&mut self) -> Result<Vec<Learning>, CallError> {
        // A change: that they were offered is recorded.
        let call = Call { interface: "learnings", function: "offered", effect: Effect::Write, arguments: json!({}) };
        let allowed = self.judged(|scope| scope.write_records(Interface::Learnings, "offered", Vec::new())).await;
        let seen: Vec<SeenLearning> = self.change(call, allowed, Change::Learnings(LearningChange::Offer)).await?;
        Ok(seen.into_iter().map(Learning::from).collect())
    }

    async fn search(&mut self, words: String, tags: Vec<String>, limit: u32) -> Result<Vec<Learning>, CallError> {
        let search = LearningSearch { words, tags, limit }.checked().map_err(GuestError::Invalid)?;
        let call = Call {
            interface: "learnings",
            function: "search",
            effect: Effect::Read,
            arguments: json!({ "words": search.words, "tags": search.tags, "limit": search.limit }),
        };
        let allowed = self.judged(|scope| scope.read_records(Interface::Learnings, "search", Vec::new())).await;
        let query = Query::Learnings(LearningQuery::Search(search));
        let seen: Vec<SeenLearning> = self.look(call, allowed, query).await?;
        Ok(seen.into_iter().map(Learning::from).collect())
    }

    async fn capture(&mut self, draft: Draft) -> Result<u64, CallError> {
        let Draft { category, title, description, impact_score, tags } = draft;
        let draft = LearningDraft { category, title, description, impact_score, tags };
        let draft = draft.checked().map_err(GuestError::Invalid)?;
        let LearningDraft { category, title, description, impact_score, tags } = &draft;
        let call = Call {
            interface: "learnings",
            function: "capture",
            effect: Effect::Write,
            arguments: json!({
                "category": category, "title": title, "description": description, "impact_score": impact_score,
                "tags": tags,
            }),
        };
        let allowed = self.judged(|scope| scope.write_records(Interface::Learnings, "capture", Vec::new())).await;
        let grant = self.manifest.grants.learnings.as_ref();
        let learnings_max = grant.map_or(0, |grant| grant.as_ref().learnings_max);
        self.change(call, allowed, Change::Learnings(LearningChange::Capture { draft, learnings_max })).await
    }
}

impl From<SeenLearning> for Learning {
    fn from(seen: SeenLearning) -> Self {
        let SeenLearning { id, category, title, description, impact_score, tags, task, created_at_ms, uses } = seen;
        Self { id, category, title, description, impact_score, tags, task, created_at_ms, uses }
    }
}
