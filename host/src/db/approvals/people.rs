//! Who may approve: not who asked for it, under whatever name.
//!
//! Invariant: whoever made a token may have its secret. So the makers of a token, and theirs, count as its bearer where two
//! people have to agree. A token that was made on the database itself is nobody's doing.

use sqlx::PgConnection;

use super::decide::Locked;
use crate::db::DbError;
use crate::db::tokens::{MADE_ON_DATABASE, Principal, TokenRole};
use crate::task::Risk;

/// How far back makers are followed. Whoever has a longer chain does not approve.
const MAKERS_MAX: i32 = 32;

/// Roles that create tasks, and roles that approve.
const CREATING: &[TokenRole] = &[TokenRole::Operator, TokenRole::Admin];
const APPROVING: &[TokenRole] = &[TokenRole::Approver, TokenRole::Admin];

/// Names that differ in case alone are one person's: whoever has both must not approve what they asked for.
fn is_same_person(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}

/// Why somebody who may approve may not approve this.
pub(super) async fn not_theirs(
    tx: &mut PgConnection,
    locked: &Locked,
    by: &Principal,
) -> Result<Option<String>, DbError> {
    let (principal, creator) = (&by.name, &locked.created_by);
    if is_same_person(creator, principal) {
        return Ok(Some(format!("{principal} created this task, so somebody else has to approve it")));
    }
    let makers = makers(tx, by).await?;
    if makers.len() >= usize::try_from(MAKERS_MAX).unwrap_or(usize::MAX) {
        return Ok(Some(format!(
            "the token of {principal} was made with one that was made with another, {MAKERS_MAX} times over; use one that \
             was made with `juggernaut token create`"
        )));
    }
    if is_among(creator, &makers) {
        return Ok(Some(format!(
            "{creator}, who created this task, had the token of {principal} made; use one that somebody else made"
        )));
    }
    if made_tokens_of(tx, creator, CREATING, principal).await? {
        return Ok(Some(format!(
            "{principal} had a token made for {creator}, who created this task, so somebody else has to approve it"
        )));
    }
    if locked.risk.max(locked.task_risk) != Risk::Critical {
        return Ok(None);
    }
    already_approved(tx, locked, principal, &makers).await
}

/// A critical task takes several people.
async fn already_approved(
    tx: &mut PgConnection,
    locked: &Locked,
    principal: &str,
    makers: &[String],
) -> Result<Option<String>, DbError> {
    let others = sqlx::query!(
        r#"select action, decided_by as "by!" from approvals
           where task_id = $1 and decided_by is not null and state in ('approved', 'consumed') order by decided_at, id"#,
        locked.task.0,
    )
    .fetch_all(&mut *tx)
    .await?;
    for other in others {
        let (action, by) = (other.action, other.by);
        if is_same_person(&by, principal) {
            return Ok(Some(format!(
                "{principal} approved {action} of this critical task already, so somebody else has to approve this"
            )));
        }
        let tie = if is_among(&by, makers) {
            format!("had the token of {principal} made")
        } else if made_tokens_of(tx, &by, APPROVING, principal).await? {
            format!("has a token that {principal} had made")
        } else {
            continue;
        };
        return Ok(Some(format!(
            "{by}, who approved {action} of this critical task already, {tie}, so somebody else has to approve this"
        )));
    }
    Ok(None)
}

fn is_among(person: &str, makers: &[String]) -> bool {
    makers.iter().any(|maker| is_same_person(maker, person))
}

/// Who made the token that somebody comes with, the one it was made with, and so on.
async fn makers(tx: &mut PgConnection, by: &Principal) -> Result<Vec<String>, DbError> {
    let makers = sqlx::query_scalar!(
        r#"with recursive chain as (
               select created_by, created_with, 1 as depth from api_tokens where id = $1
               union all
               select t.created_by, t.created_with, c.depth + 1
               from chain as c join api_tokens as t on t.id = c.created_with where c.depth < $2
           )
           select created_by as "maker!" from chain where created_by is not null and created_by <> $3 order by depth"#,
        by.token,
        MAKERS_MAX,
        MADE_ON_DATABASE,
    )
    .fetch_all(&mut *tx)
    .await?;
    Ok(makers)
}

/// Whether somebody made one of the tokens that another person acts with, or one that it was made with.
async fn made_tokens_of(
    tx: &mut PgConnection,
    person: &str,
    roles: &[TokenRole],
    maker: &str,
) -> Result<bool, DbError> {
    let made = sqlx::query_scalar!(
        r#"with recursive chain as (
               select created_by, created_with, 1 as depth from api_tokens
               where lower(principal) = lower($1) and role = any ($2)
               union all
               select t.created_by, t.created_with, c.depth + 1
               from chain as c join api_tokens as t on t.id = c.created_with where c.depth < $3
           )
           select exists (select from chain where lower(created_by) = lower($4) or depth >= $3) as "made!""#,
        person,
        roles as &[TokenRole],
        MAKERS_MAX,
        maker,
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(made)
}
