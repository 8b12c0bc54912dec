//! The states of the specification are the same in the program and in the database.

use juggernaut::approval::{ApprovalKind, ApprovalState};
use juggernaut::task::{EvidenceKind, LogLevel, Priority, Risk, TaskStatus, WorkerStatus};

use crate::support::Database;

#[tokio::test]
async fn the_two_tables_of_transitions_are_the_same() {
    let database = Database::create().await;
    let mut allowed = 0;
    for from in TaskStatus::ALL {
        for to in TaskStatus::ALL {
            let query = sqlx::query_scalar("select task_status_may_follow($1, $2)").bind(from).bind(to);
            let in_database: bool = query.fetch_one(database.pool()).await.unwrap();
            assert_eq!(in_database, from.may_become(*to), "{from} to {to}");
            allowed += usize::from(in_database);
        }
    }
    assert!(allowed > 0 && allowed < TaskStatus::ALL.len().pow(2));
}

#[tokio::test]
async fn the_two_tables_of_an_approvals_states_are_the_same() {
    let database = Database::create().await;
    let mut allowed = 0;
    for from in ApprovalState::ALL {
        for to in ApprovalState::ALL {
            let query = sqlx::query_scalar("select approval_state_may_follow($1, $2)").bind(from).bind(to);
            let in_database: bool = query.fetch_one(database.pool()).await.unwrap();
            assert_eq!(in_database, from.may_become(*to), "{from} to {to}");
            allowed += usize::from(in_database);
        }
    }
    assert_eq!(allowed, 5);
}

#[tokio::test]
async fn every_enum_is_spelt_the_same_in_the_database() {
    let database = Database::create().await;
    let labels = async |name: &str| -> Vec<String> {
        let query = "select enumlabel::text from pg_enum where enumtypid = $1::regtype order by enumsortorder";
        sqlx::query_scalar(query).bind(name).fetch_all(database.pool()).await.unwrap()
    };
    macro_rules! same {
        ($($name:literal: $kind:ty),+ $(,)?) => {$(
            let ours: Vec<_> = <$kind>::ALL.iter().map(|it| it.as_str().to_owned()).collect();
            assert_eq!(labels($name).await, ours, $name);
            // Both ways through the driver.
            for value in <$kind>::ALL {
                let query = sqlx::query_scalar(concat!("select $1::", $name)).bind(value);
                let back: $kind = query.fetch_one(database.pool()).await.unwrap();
                assert_eq!(back, *value);
            }
        )+};
    }
    same! {
        "task_status": TaskStatus, "task_priority": Priority, "risk_level": Risk, "worker_status": WorkerStatus,
        "log_level": LogLevel, "evidence_kind": EvidenceKind, "approval_state": ApprovalState,
        "approval_kind": ApprovalKind,
    }
    assert_eq!(labels("token_role").await, ["viewer", "operator", "approver", "admin"]);
    assert_eq!(labels("step_effect").await, ["read", "write", "wait"]);
    assert_eq!(labels("step_state").await, ["intended", "done"]);
}
