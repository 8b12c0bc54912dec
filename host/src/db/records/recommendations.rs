//! What runs recommend.
//!
//! Invariant: filing changes no task. The approval is asked for in the same transaction, and binds exactly what is stored.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::bounds::one_more;
use super::recommendation_shown::{Named, shown};
use super::{Applied, RecordError};
use crate::approval::{ApprovalId, ApprovalKind, Request, SHOWN_BYTES_MAX, Versions};
use crate::audit::{Event, EventKind, short};
use crate::db::approvals::{APPLY_RECOMMENDATION, BoundRecommendation, ask, changed};
use crate::db::journal::RunKey;
use crate::db::{Db, DbError};
use crate::records::{Filing, RecommendationChange, RecommendationDraft, Recommended, Refused, changes_sha256};
use crate::task::{Priority, Risk, TaskId, TaskStatus};

/// The rule that asks for the approval, for the approver.
const RULE: &str = "approve-recommendation";

pub(super) async fn apply(
    db: &Db,
    tx: &mut PgConnection,
    key: &RunKey,
    position: u32,
    change: &RecommendationChange,
) -> Result<Applied, RecordError> {
    let RecommendationChange::File(filing) = change;
    let Filing { draft, recommendations_max, component, manifest, policy } = &**filing;
    one_more(tx, key, ("recommendations", "file"), ("recommendations_max", *recommendations_max)).await?;
    let named = named(tx, &draft.changes).await?;
    can_be_made(key, &draft.changes, &named).map_err(Refused::Invalid)?;
    known_types(tx, &draft.changes).await?;
    let id = Uuid::now_v7();
    let versions = Versions { component: *component, manifest: *manifest, policy: *policy };
    let changes = draft.changes_json();
    let (title, rationale) = (draft.title.as_str(), draft.rationale.as_str());
    let bound = BoundRecommendation { id, task: key.task, title, rationale, changes: &changes, versions };
    let request = request(position, draft, &bound, &named)?;
    let approval = ask(tx, key, &request, db.approval_rules().lifetime).await?;
    insert(tx, key, &bound, approval).await?;
    let details = json!({
        "recommendation": id, "approval": approval, "title": short(&draft.title), "changes": draft.changes.len(),
        "sha256": hex::encode(changes_sha256(&changes)), "risk": request.risk,
    });
    let mut applied = Applied::new(json!(id.to_string()));
    applied.events.push(Event::new(EventKind::RecommendationFiled, &key.worker.0, details).of(key.task));
    applied.events.extend(changed(tx, &[key.task.0]).await?);
    Ok(applied)
}

fn request(
    position: u32,
    draft: &RecommendationDraft,
    bound: &BoundRecommendation<'_>,
    named: &BTreeMap<TaskId, Named>,
) -> Result<Request, Refused> {
    let shown = shown(bound.id, bound.task, draft, named);
    // Nobody approves what he has not seen whole.
    if shown.len() > SHOWN_BYTES_MAX {
        let message = "its changes are too long to be shown to an approver; recommend fewer at a time";
        return Err(Refused::Invalid(message.to_owned()));
    }
    let risk = draft.risk();
    let mut reasons = vec!["what a role recommends takes effect only through a person".to_owned()];
    let cancelled = draft.changes.iter().filter(|change| matches!(change, Recommended::Cancel { .. })).count();
    if cancelled > 0 {
        reasons.push(format!("{cancelled} of the changes cancel a task"));
    }
    if created(&draft.changes).any(|task| task.treatment.risk >= Risk::High) {
        reasons.push("a task that it creates has high risk".to_owned());
    }
    Ok(Request {
        kind: ApprovalKind::Recommendation,
        position,
        unfinished: false,
        action: APPLY_RECOMMENDATION.to_owned(),
        risk,
        policies: vec![RULE.to_owned()],
        reasons,
        digest: bound.digest(),
        versions: bound.versions,
        arguments: bound.arguments(),
        shown,
        role_says: Some(draft.rationale.clone()),
    })
}

async fn insert(
    tx: &mut PgConnection,
    key: &RunKey,
    bound: &BoundRecommendation<'_>,
    approval: ApprovalId,
) -> Result<(), DbError> {
    let sha256 = changes_sha256(bound.changes);
    sqlx::query!(
        "insert into recommendations (id, task_id, attempt, worker_id, title, rationale, changes, sha256, approval_id)
         values ($1, $2, $3, $4, $5, $6, $7::text::json, $8, $9)",
        bound.id,
        key.task.0,
        key.attempt.0,
        key.worker.0.as_str(),
        bound.title,
        bound.rationale,
        // As text: a JSON parameter would be a `jsonb`, which orders keys anew.
        bound.changes.to_string(),
        sha256.as_slice(),
        approval.0,
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn created(changes: &[Recommended]) -> impl Iterator<Item = &crate::records::RecommendedTask> {
    changes.iter().filter_map(|change| match change {
        Recommended::Create(task) => Some(&**task),
        Recommended::SetPriority { .. } | Recommended::Assign { .. } | Recommended::Cancel { .. } => None,
    })
}

/// The tasks that the changes name, as far as there are any.
async fn named(tx: &mut PgConnection, changes: &[Recommended]) -> Result<BTreeMap<TaskId, Named>, DbError> {
    let touched = changes.iter().filter_map(Recommended::changes);
    let waited_for = created(changes).flat_map(|task| task.draft.depends_on.iter().copied());
    let ids: BTreeSet<TaskId> = touched.chain(waited_for).collect();
    let ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select id as "id: TaskId", title, task_type, status as "status: TaskStatus",
               priority as "priority: Priority", assigned_worker
           from governance_tasks where id = any ($1)"#,
        &ids,
    )
    .fetch_all(tx)
    .await?;
    let named = rows.into_iter().map(|row| {
        let named = Named {
            title: row.title,
            task_type: row.task_type,
            status: row.status,
            priority: row.priority,
            worker: row.assigned_worker,
        };
        (row.id, named)
    });
    Ok(named.collect())
}

/// Whether each change could be made now.
fn can_be_made(key: &RunKey, changes: &[Recommended], named: &BTreeMap<TaskId, Named>) -> Result<(), String> {
    for task in changes.iter().filter_map(Recommended::changes) {
        if task == key.task {
            return Err("a task that plans does not recommend what becomes of itself".to_owned());
        }
        match named.get(&task) {
            None => return Err(format!("there is no task {task}")),
            Some(Named { status, .. }) if status.is_final() => {
                return Err(format!("task {task} is {status}: it has ended"));
            }
            Some(_) => {}
        }
    }
    let made: BTreeSet<TaskId> = created(changes).map(|task| task.id).collect();
    for task in created(changes) {
        let odd = task.draft.depends_on.iter().find(|id| !made.contains(id) && !named.contains_key(id));
        if let Some(odd) = odd {
            return Err(format!("task {:?}: it depends on {odd}, and there is no such task", task.key));
        }
    }
    Ok(())
}

async fn known_types(tx: &mut PgConnection, changes: &[Recommended]) -> Result<(), RecordError> {
    let named: BTreeSet<&str> = created(changes).map(|task| task.draft.task_type.as_str()).collect();
    let named: Vec<String> = named.into_iter().map(str::to_owned).collect();
    let unknown: Option<String> = sqlx::query_scalar!(
        r#"select wanted.name as "name!" from unnest($1::text[]) as wanted (name)
           where not exists (select from task_types as known where known.name = wanted.name) limit 1"#,
        &named,
    )
    .fetch_optional(tx)
    .await?;
    match unknown {
        None => Ok(()),
        Some(name) => Err(Refused::Invalid(format!("there is no task type {name:?}")).into()),
    }
}
