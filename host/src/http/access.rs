//! Who may do what.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::ApiState;
use super::problem::Problem;
use crate::db::tokens::{Principal, SECRET_PREFIX, TokenRole};

/// Longest token that is looked up at all.
const SECRET_BYTES_MAX: usize = 128;

/// What a handler can require of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// See tasks, logs, steps, schedules, alerts, workers and task types.
    Read,
    /// Create, cancel and retry tasks; create, pause, resume and delete schedules; acknowledge and resolve alerts.
    ChangeTasks,
    /// Decide on approvals.
    Approve,
    /// See, create and revoke tokens.
    ManageTokens,
}

/// Roles are not a ladder: an approver decides on what others created, and creates nothing.
pub fn allows(role: TokenRole, permission: Permission) -> bool {
    use Permission::{Approve, ChangeTasks, ManageTokens, Read};
    use TokenRole::{Admin, Approver, Operator, Viewer};
    match (role, permission) {
        (Viewer | Operator | Approver | Admin, Read)
        | (Operator | Admin, ChangeTasks)
        | (Approver | Admin, Approve)
        | (Admin, ManageTokens) => true,
        (Viewer | Approver, ChangeTasks)
        | (Viewer | Operator, Approve)
        | (Viewer | Operator | Approver, ManageTokens) => false,
    }
}

/// A permission as a type, for [`May`].
pub(super) trait Need: Send + Sync {
    const PERMISSION: Permission;
}

macro_rules! needs {
    ($($name:ident),+) => { $(
        #[derive(Debug)]
        pub(super) struct $name;
        impl Need for $name {
            const PERMISSION: Permission = Permission::$name;
        }
    )+ };
}

needs!(Read, ChangeTasks, Approve, ManageTokens);

/// Proof that the caller may. An argument that stands before the body, so that the body of a caller who may not is
/// never read.
#[derive(Debug)]
pub(super) struct May<P> {
    pub(super) principal: Principal,
    permission: PhantomData<P>,
}

impl<P: Need> FromRequestParts<ApiState> for May<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let secret = bearer(parts)?;
        let Some(principal) = state.db.authenticate(secret).await? else {
            return Err(Problem::wrong_token());
        };
        if !allows(principal.role, P::PERMISSION) {
            return Err(Problem::forbidden(principal.role, P::PERMISSION));
        }
        Ok(Self { principal, permission: PhantomData })
    }
}

fn bearer(parts: &Parts) -> Result<&str, Problem> {
    let Some(value) = parts.headers.get(AUTHORIZATION) else {
        return Err(Problem::no_token());
    };
    let value = value.to_str().map_err(|_| Problem::wrong_token())?;
    let (scheme, secret) = value.split_once(' ').ok_or_else(Problem::no_token)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::no_token());
    }
    let secret = secret.trim();
    if secret.len() > SECRET_BYTES_MAX || !secret.starts_with(SECRET_PREFIX) {
        return Err(Problem::wrong_token());
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_the_documented_one() {
        let row = |role| {
            [Permission::Read, Permission::ChangeTasks, Permission::Approve, Permission::ManageTokens]
                .map(|permission| allows(role, permission))
        };
        assert_eq!(row(TokenRole::Viewer), [true, false, false, false]);
        assert_eq!(row(TokenRole::Operator), [true, true, false, false]);
        assert_eq!(row(TokenRole::Approver), [true, false, true, false]);
        assert_eq!(row(TokenRole::Admin), [true, true, true, true]);
    }
}
