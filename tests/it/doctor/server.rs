//! The server: settings, transactions, the queue of notifications, and what public may execute.

use super::{breaks, examine, is_found};
use crate::support::{messages, run};

#[tokio::test]
async fn settings_that_lose_rows_or_skip_triggers_are_found_where_they_stand() {
    let db = messages().await;
    let admin = db.admin().await;
    for (set, code) in [
        (
            format!("alter database {} set synchronous_commit = off", db.name),
            "synchronous_commit",
        ),
        (
            format!(
                "alter role app in database {} set synchronous_commit = off",
                db.name
            ),
            "synchronous_commit",
        ),
        (
            format!(
                "alter role app in database {} set session_replication_role = replica",
                db.name
            ),
            "replication_role",
        ),
    ] {
        breaks(&db, &admin, &set, code, "!warning").await;
    }
}

#[tokio::test]
async fn a_function_that_not_everybody_may_execute_is_found() {
    let db = messages().await;
    let admin = db.admin().await;
    let sql = "revoke execute on function pg_current_xact_id() from public";
    breaks(&db, &admin, sql, "function_not_public", "!error").await;
}

#[tokio::test]
async fn a_queue_of_notifications_that_fills_is_found() {
    let db = messages().await;
    let admin = db.admin().await;
    for (usage, severity) in [("0.2", "\"warning\""), ("0.7", "\"error\"")] {
        let sql = format!(
            "set allow_system_table_mods = on; alter function pg_catalog.pg_notification_queue_usage() rename to real_usage;
             create function pg_catalog.pg_notification_queue_usage() returns float8 language sql as 'select {usage}::float8'"
        );
        let mend = "drop function pg_catalog.pg_notification_queue_usage();
                    alter function pg_catalog.real_usage() rename to pg_notification_queue_usage";
        is_found(&db, &admin, &sql, "notification_queue", severity, mend).await;
    }
}

#[tokio::test]
async fn a_forgotten_prepared_transaction_is_found_with_the_statement_that_ends_it() {
    let db = messages().await;
    let gid = format!("{}'s", db.name);
    let quoted = gid.replace('\'', "''");
    run(
        &db,
        "update rowcast.sources set never_ring = true; select setval('rowcast.bell_messages', 0)",
    )
    .await;
    run(
        &db,
        &format!("begin; insert into messages (room) values ('a'); prepare transaction '{quoted}'"),
    )
    .await;
    let report = examine(&db.relay_url, &["--long-transaction", "0s"]).await;
    let found = report.of("prepared_transaction");
    let ours = found
        .iter()
        .find(|f| f["what"].as_str().is_some_and(|what| what.contains(&gid)));
    let ours = ours.unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!(ours["severity"], "warning");
    assert!(
        ours["what"]
            .as_str()
            .is_some_and(|what| what.contains("has written what is attached")),
        "{ours:#}"
    );
    run(&db, ours["remedy"].as_str().expect("a remedy")).await;
    let report = examine(&db.relay_url, &["--long-transaction", "0s"]).await;
    assert!(
        !report.findings.iter().any(|f| f.to_string().contains(&gid)),
        "{:#?}",
        report.findings
    );
}

/// Who may not look at the sessions of others is told how to be allowed to.
#[tokio::test]
async fn a_long_transaction_is_found_with_its_pid_and_the_statement_that_ends_it() {
    let db = messages().await;
    let admin = db.admin().await;
    let writer = db.connect().await;
    run(&writer, "begin; insert into messages (room) values ('a')").await;
    let pid: i32 = writer
        .query_one("select pg_backend_pid()", &[])
        .await
        .expect("ask")
        .get(0);
    let hidden = examine(&db.relay_url, &["--long-transaction", "0s"]).await;
    let hidden = hidden.first("hidden_transactions");
    assert!(
        hidden["what"]
            .as_str()
            .is_some_and(|what| what.contains(&pid.to_string())),
        "{hidden:#}"
    );
    assert!(
        hidden["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.starts_with("grant pg_read_all_stats to relay;"))
    );

    let of_pid = format!("pid {pid} ");
    let is_ours = |finding: &&serde_json::Value| {
        finding["what"]
            .as_str()
            .is_some_and(|what| what.contains(&of_pid))
    };
    let seen = examine(&db.admin_url, &["--long-transaction", "0s"]).await;
    let found = seen
        .of("long_transaction")
        .into_iter()
        .find(is_ours)
        .expect("the transaction");
    assert_eq!(found["severity"], "warning");
    assert!(
        found["what"]
            .as_str()
            .is_some_and(|what| what.contains("idle in transaction, and has written")
                || what.contains("idle in transaction) is open for")),
        "{found:#}"
    );
    let patient = examine(&db.admin_url, &["--long-transaction", "1h"]).await;
    assert!(patient.of("long_transaction").into_iter().find(is_ours).is_none());
    run(&admin, found["remedy"].as_str().expect("a remedy")).await;
    crate::support::eventually(async || {
        let seen = examine(&db.admin_url, &["--long-transaction", "0s"]).await;
        seen.of("long_transaction").into_iter().find(is_ours).is_none()
    })
    .await;
}
