//! The task types, and what each must show.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Db, DbError, rows};
use crate::task::EvidenceKind;

/// A type that a task can have.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskTypeView {
    pub name: String,
    pub evidence: EvidenceKind,
    pub description: String,
}

impl Db {
    /// Types by name, after that name (empty: from the start).
    pub async fn task_types(&self, after: &str, limit: u32) -> Result<Vec<TaskTypeView>, DbError> {
        let types = sqlx::query_as!(
            TaskTypeView,
            r#"select name, evidence as "evidence: EvidenceKind", description
            from task_types where name > $1 order by name limit $2"#,
            after,
            rows(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(types)
    }

    /// Those of the names that are types.
    pub async fn task_types_among(&self, names: &[String]) -> Result<Vec<String>, DbError> {
        let known = sqlx::query_scalar!("select name from task_types where name = any ($1)", names);
        Ok(known.fetch_all(&self.pool).await?)
    }
}
