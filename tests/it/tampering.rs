//! Each way of changing the audit log after it was written, and what finds it.

use juggernaut::db::tokens::{Maker, TokenRole};

use crate::audit::{audit, count, is_false, is_true, quick, settled, tamper};
use crate::engine::{claim, execute};
use crate::support::{AUDIT_KEY, Database, Host, LIMIT, code_task};

const OTHER_KEY: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

/// Recomputes every hash of a chain from the first row on, as docs/AUDIT.md gives it, in SQL: what a superuser could do.
fn rehash(chain: &str) -> String {
    let text = |column: &str| format!("int8send(octet_length({column}::text)) || convert_to({column}::text, 'UTF8')");
    format!(
        "do $$ declare r record; p bytea; begin
         select prev_hash into p from audit_log where chain = '{chain}' and seq = 1;
         for r in select * from audit_log where chain = '{chain}' order by seq loop
             update audit_log set prev_hash = p, hash = sha256(convert_to(e'juggernaut audit row v1\\n', 'UTF8') || p
                 || uuid_send(chain) || int8send(seq) || int8send((extract(epoch from at) * 1000000)::bigint)
                 || {} || {} || case when task_id is null then '\\x00' else '\\x01'::bytea || uuid_send(task_id) end || {})
             where chain = r.chain and seq = r.seq returning hash into p;
         end loop; end $$",
        text("kind"),
        text("actor"),
        text("details"),
    )
}

#[tokio::test]
async fn a_changed_row_is_named_and_a_rewritten_chain_is_found_by_its_checkpoint() {
    let mut host = Host::start(quick()).await;
    let task = host.create_task(code_task("a.py")).await;
    host.wait_for(&task, "completed", LIMIT).await;
    let (database, chain, _) = settled(&mut host).await;
    let pool = database.pool();
    is_true(&database).await;
    let seq: i64 =
        sqlx::query_scalar("select seq from audit_log where kind = 'task_created'").fetch_one(pool).await.unwrap();
    let row = format!("chain {chain} row {seq} (20");
    tamper(pool, "update audit_log set actor = 'somebody' where kind = 'task_created'").await;
    is_false(&database, &[], &row, "changed after it was written").await;
    tamper(pool, &rehash(&chain)).await;
    is_false(&database, &[], &format!("chain {chain} row"), "a signed checkpoint has another hash").await;
    // The same encoding in SQL, to show that this test's forgery is a good one.
    tamper(pool, "update audit_log set actor = 'operator@example.org' where kind = 'task_created'").await;
    tamper(pool, &rehash(&chain)).await;
    is_true(&database).await;
    for (statement, problem) in [
        ("update audit_log set details = '{\"status\":\"pending\"}'", "changed after it was written"),
        ("update audit_log set at = at + interval '1 us'", "changed after it was written"),
        ("update audit_log set task_id = null", "changed after it was written"),
        ("update audit_log set kind = 'task_claimed'", "changed after it was written"),
        ("update audit_log set prev_hash = sha256('')", "does not follow from the row before it"),
        ("delete from audit_log", "is missing"),
    ] {
        let before = "create table before as table audit_log";
        execute(pool, before).await;
        tamper(pool, &format!("{statement} where kind = 'task_created'")).await;
        is_false(&database, &[], &format!("chain {chain} row"), problem).await;
        tamper(pool, "truncate audit_log; insert into audit_log table before; drop table before").await;
    }
    is_true(&database).await;
    // A chain's beginning counts as well.
    tamper(pool, &format!("update audit_chains set host_id = gen_random_uuid() where id = '{chain}'")).await;
    is_false(&database, &[], &format!("chain {chain} row 1"), "does not follow").await;
}

#[tokio::test]
async fn what_was_cut_off_is_found_by_checkpoints_from_the_log_stream() {
    let mut host = Host::start(quick().env("JUGGERNAUT_LOG_FORMAT", "json").env("RUST_LOG", "error")).await;
    let task = host.create_task(code_task("a.py")).await;
    host.wait_for(&task, "completed", LIMIT).await;
    let (database, chain, seq) = settled(&mut host).await;
    let pool = database.pool();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let lines = file("host.log", &host.stderr());
    let outside = ["--checkpoints", lines.as_str()];
    let output = audit(&database, Some(AUDIT_KEY), &["verify", outside[0], outside[1]]).await;
    assert_eq!(output.code, Some(0), "{output:?}\n{}", host.stderr());

    // The key that signed is asked for, or another one is refused.
    is_false_with(&database, OTHER_KEY, "not signed by a trusted key").await;
    let public = audit(&database, None, &["verify"]).await;
    assert!(public.code == Some(0) && public.stderr.contains("warning: neither --public-key nor"), "{public:?}");
    let damaged = file("damaged.log", &host.stderr().replace("audit-checkpoint-v1:", "audit-checkpoint-v1:0"));
    let output = audit(&database, Some(AUDIT_KEY), &["verify", "--checkpoints", &damaged]).await;
    assert!(output.code == Some(1) && output.stderr.contains("no whole checkpoint"), "{output:?}");
    let output = audit(&database, Some(AUDIT_KEY), &["verify", "--checkpoints", &file("empty.log", "x")]).await;
    assert!(output.code == Some(1) && output.stderr.contains("holds no checkpoint"), "{output:?}");

    tamper(pool, &format!("delete from audit_log where chain = '{chain}' and seq = {seq}")).await;
    is_false(&database, &[], &format!("chain {chain} row {seq}"), "a signed checkpoint names its row").await;
    // With its traces in the database, too.
    tamper(pool, &format!("delete from audit_checkpoints where seq = {seq}")).await;
    is_true(&database).await;
    is_false(&database, &outside, &format!("chain {chain} row {seq}"), "a signed checkpoint names its row").await;
    tamper(pool, "truncate audit_log, audit_chains, audit_anchors, audit_checkpoints").await;
    is_true(&database).await;
    is_false(&database, &outside, &format!("chain {chain} row 1"), "the whole chain is missing").await;
}

async fn is_false_with(database: &Database, key: &str, problem: &str) {
    let output = audit(database, Some(key), &["verify"]).await;
    assert!(output.code == Some(1) && output.stdout.contains(problem), "{output:?}");
}

#[tokio::test]
async fn nothing_is_updated_deleted_or_truncated() {
    let database = Database::create().await;
    database.db().create_token("ann", TokenRole::Viewer, None, Maker::Database("tests")).await.unwrap();
    for table in ["audit_log", "audit_chains", "audit_anchors", "audit_checkpoints"] {
        for statement in ["delete from TABLE", "truncate TABLE", "update TABLE set CHAIN = gen_random_uuid()"] {
            let chain = if table == "audit_chains" { "id" } else { "chain" };
            let statement = statement.replace("TABLE", table).replace("CHAIN", chain);
            let done = sqlx::query(sqlx::AssertSqlSafe(statement.clone())).execute(database.pool()).await;
            let error = done.expect_err(&statement).to_string();
            assert!(error.contains("is only ever appended to"), "{statement}: {error}");
        }
    }
    // A task that is deleted leaves what was recorded of it.
    execute(database.pool(), "insert into governance_tasks (title, task_type) values ('t', 'code')").await;
    claim(&database.db(), "EXECUTOR").await;
    execute(database.pool(), "delete from governance_tasks").await;
    assert_eq!(count(database.pool(), "audit_log where kind = 'task_claimed'").await, 1);
    is_true(&database).await;
}

#[tokio::test]
async fn a_task_changed_by_hand_is_told_apart_from_tampering() {
    let database = Database::create().await;
    execute(database.pool(), "insert into governance_tasks (title, task_type) values ('t', 'code')").await;
    let (claimed, _) = claim(&database.db(), "EXECUTOR").await;
    let output = audit(&database, Some(AUDIT_KEY), &["verify", "--tasks"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    execute(database.pool(), "update governance_tasks set status = 'failed'").await;
    let message = format!("task {} is failed; the audit log last saw in_progress", claimed.task.id);
    for (arguments, code) in [(&["verify"][..], 0), (&["verify", "--tasks"], 1)] {
        let output = audit(&database, Some(AUDIT_KEY), arguments).await;
        assert!(output.code == Some(code) && output.stderr.contains(&message), "{output:?}");
    }
}
