//! Learnings, as runs see and change them.

use serde_json::{Value, json};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::bounds::{looked, one_more, reading};
use super::metrics::milliseconds;
use super::{Applied, RecordError};
use crate::audit::{Event, EventKind, short};
use crate::db::Db;
use crate::db::journal::RunKey;
use crate::records::{LearningChange, LearningDraft, LearningQuery, LearningSearch, OFFERED_MAX, SeenLearning};

/// Newest matches that are ranked for an offer.
const RANKED_MAX: i64 = 2000;
/// Words of a task that are looked for.
const WORDS_MAX: i64 = 100;

#[derive(FromRow)]
struct Row {
    id: i64,
    category: String,
    title: String,
    description: String,
    impact_score: f32,
    tags: Value,
    task_id: Option<Uuid>,
    created_at: OffsetDateTime,
    uses: i64,
}

impl From<Row> for SeenLearning {
    fn from(row: Row) -> Self {
        let tags = row.tags.as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            id: u64::try_from(row.id).unwrap_or(0),
            category: row.category,
            title: row.title,
            description: row.description,
            impact_score: row.impact_score,
            tags: tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            task: row.task_id.map(|id| id.to_string()),
            created_at_ms: milliseconds(row.created_at),
            uses: u64::try_from(row.uses).unwrap_or(0),
        }
    }
}

fn seen(rows: Vec<Row>) -> Value {
    json!(rows.into_iter().map(SeenLearning::from).collect::<Vec<_>>())
}

pub(super) async fn look(db: &Db, _key: &RunKey, query: &LearningQuery) -> Result<Value, RecordError> {
    let LearningQuery::Search(LearningSearch { words, tags, limit }) = query;
    let mut tx = reading(db).await?;
    let rows = sqlx::query_as!(
        Row,
        r#"select l.id, left(l.category, 64) as "category!", left(l.title, 200) as "title!",
                  left(l.description, 8192) as "description!", coalesce(l.impact_score, 0) as "impact_score!", l.tags,
                  l.task_id, l.created_at,
                  (select count(*) from learning_uses as u where u.learning_id = l.id) as "uses!"
           from learnings as l, plainto_tsquery('english', $1) as wanted
           where (numnode(wanted) = 0 or l.search @@ wanted) and l.tags @> $2
           order by ts_rank(l.search, wanted) desc, l.impact_score desc nulls last, l.id desc limit $3"#,
        words,
        json!(tags),
        i64::from(*limit),
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(looked)?;
    Ok(seen(rows))
}

pub(super) async fn apply(
    tx: &mut PgConnection,
    key: &RunKey,
    change: &LearningChange,
) -> Result<Applied, RecordError> {
    match change {
        LearningChange::Offer => offer(tx, key).await,
        LearningChange::Capture { draft, learnings_max } => {
            one_more(tx, key, ("learnings", "capture"), ("learnings_max", *learnings_max)).await?;
            capture(tx, key, draft).await
        }
    }
}

/// Those that share words with the task, those tagged with its type first. Each is noted as used, once for the attempt.
async fn offer(tx: &mut PgConnection, key: &RunKey) -> Result<Applied, RecordError> {
    let rows = sqlx::query_as!(
        Row,
        r#"with task as (
               select task_type, setweight(to_tsvector('english', task_type || ' ' || title), 'A')
                   || to_tsvector('english', left(description, 20000)) as words
               from governance_tasks where id = $1
           ), wanted as (
               -- Any of its words, each quoted. Those of type and title first, where there are many.
               select string_agg('''' || replace(replace(word.lexeme, '\', '\\'), '''', '''''') || '''', ' | ')::tsquery as words
               from task, lateral (
                   select lexeme from unnest(task.words) where lexeme <> ''
                   order by 'A' = any (weights) desc, positions[1], lexeme limit $2
               ) as word
           ), found as (
               select l.* from learnings as l, wanted where l.search @@ wanted.words order by l.id desc limit $3
           )
           select l.id as "id!", left(l.category, 64) as "category!", left(l.title, 200) as "title!",
                  left(l.description, 8192) as "description!", coalesce(l.impact_score, 0) as "impact_score!",
                  l.tags as "tags!", l.task_id, l.created_at as "created_at!",
                  (select count(*) from learning_uses as u where u.learning_id = l.id) as "uses!"
           from found as l, wanted, task
           order by l.tags ? task.task_type desc,
               ts_rank(l.search, wanted.words) * (0.5 + coalesce(l.impact_score, 0.5)) desc, l.id desc
           limit $4"#,
        key.task.0,
        WORDS_MAX,
        RANKED_MAX,
        i64::from(OFFERED_MAX),
    )
    .fetch_all(&mut *tx)
    .await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    sqlx::query!(
        "insert into learning_uses (learning_id, task_id, attempt) select id, $2, $3 from unnest($1::bigint[]) as id
         on conflict do nothing",
        &ids,
        key.task.0,
        key.attempt.0,
    )
    .execute(tx)
    .await?;
    Ok(Applied::new(seen(rows)))
}

async fn capture(tx: &mut PgConnection, key: &RunKey, draft: &LearningDraft) -> Result<Applied, RecordError> {
    let LearningDraft { category, title, description, impact_score, tags } = draft;
    let id = sqlx::query_scalar!(
        "insert into learnings (task_id, worker_id, category, title, description, impact_score, tags)
         values ($1, $2, $3, $4, $5, $6, $7) returning id",
        key.task.0,
        key.worker.0.as_str(),
        category,
        title,
        description,
        *impact_score,
        json!(tags),
    )
    .fetch_one(tx)
    .await?;
    let mut applied = Applied::new(json!(id));
    let details = json!({ "learning": id, "category": category, "title": short(title) });
    applied.events.push(Event::new(EventKind::LearningCaptured, &key.worker.0, details).of(key.task));
    Ok(applied)
}
