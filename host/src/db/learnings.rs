//! Learnings as people see them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;

use super::{Db, DbError, rows};
use crate::task::TaskId;

/// What a role kept for those after it: its own words.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LearningView {
    pub id: i64,
    pub task_id: Option<TaskId>,
    pub worker_id: String,
    pub category: String,
    pub title: String,
    pub description: String,
    /// 0 to 1; none where it was written by hand without one.
    pub impact_score: Option<f32>,
    #[schema(value_type = Vec<String>)]
    pub tags: Value,
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
    /// How many attempts were offered it.
    pub uses: i64,
}

/// Which learnings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearningFilter {
    /// All of these words; stop words and endings do not matter. Any learning, if there are none.
    pub words: String,
    /// All of these tags.
    pub tags: Vec<String>,
}

impl Db {
    /// Learnings that match, best first; newest first where no word is looked for. `skip` is how many came before.
    pub async fn find_learnings(
        &self,
        filter: &LearningFilter,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<LearningView>, DbError> {
        let LearningFilter { words, tags } = filter;
        let found = sqlx::query_as!(
            LearningView,
            r#"select l.id, l.task_id as "task_id: TaskId", l.worker_id, l.category, l.title, l.description,
                l.impact_score, l.tags, l.created_at,
                (select count(*) from learning_uses as u where u.learning_id = l.id) as "uses!"
            from learnings as l, websearch_to_tsquery('english', $1) as wanted
            where (numnode(wanted) = 0 or l.search @@ wanted) and l.tags @> $2
            order by case when numnode(wanted) = 0 then 0 else ts_rank(l.search, wanted) end desc, l.id desc
            offset $3 limit $4"#,
            words,
            json!(tags),
            i64::from(skip),
            rows(limit)
        )
        .fetch_all(self.pool())
        .await?;
        Ok(found)
    }
}
