//! `rowcast doctor`: what is in order, and each finding, by breaking it on the tests' PostgreSQL and mending it with the very
//! statement that the finding names.

mod codes;
mod connections;
mod rarities;
mod server;
mod sources;

use serde_json::Value;
use tokio_postgres::Client;

use crate::support::relay::run as run_rowcast;
use crate::support::{TestDatabase, database, empty_database, messages, run, server as shared_server};

/// What follows from the tests' server and from the other tests on it, whatever is examined.
const OF_THE_TESTS: [&str; 4] = [
    "fsync",
    "prepare_transaction",
    "hidden_transactions",
    "long_transaction",
];

/// What `rowcast doctor --json` said.
struct Examined {
    code: i32,
    findings: Vec<Value>,
    summary: Value,
}

/// Runs it.
async fn examine(url: &str, arguments: &[&str]) -> Examined {
    let (status, stdout, stderr) =
        run_rowcast(&[&["doctor", "--json", "--database-url", url], arguments].concat()).await;
    let mut report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    let Value::Array(findings) = report["findings"].take() else {
        panic!("{stdout}")
    };
    for finding in &findings {
        codes::is_documented(finding["code"].as_str().expect("a code"));
    }
    Examined {
        code: status.code().expect("it was not killed"),
        findings,
        summary: report["summary"].take(),
    }
}

impl Examined {
    /// The findings of a code that are not `ok`.
    fn of(&self, code: &str) -> Vec<&Value> {
        let found = self.findings.iter();
        found
            .filter(|finding| finding["code"] == code && finding["severity"] != "ok")
            .collect()
    }

    /// The first of them.
    fn first(&self, code: &str) -> &Value {
        let of_code = self.of(code);
        of_code
            .first()
            .unwrap_or_else(|| panic!("no {code} in {:#?}", self.findings))
    }

    fn remedy(&self, code: &str) -> String {
        let remedy = self.first(code)["remedy"].as_str();
        remedy
            .unwrap_or_else(|| panic!("{code} has no remedy"))
            .to_owned()
    }
}

/// Breaks something; it must be found with this severity (`!` before it: of the whole database) and be gone after the remedy
/// that the finding itself names.
async fn breaks(db: &TestDatabase, admin: &Client, sql: &str, code: &str, severity: &str) {
    run(admin, sql).await;
    let broken = examine(&db.relay_url, &[]).await;
    let finding = broken.first(code);
    let (severity, is_global) = match severity.strip_prefix('!') {
        Some(severity) => (severity, true),
        None => (severity, false),
    };
    assert_eq!(finding["severity"], severity, "{sql}: {finding:#}");
    assert_eq!(finding["source"].is_null(), is_global, "{sql}: {finding:#}");
    assert!(finding["why"].is_string(), "{sql}: {finding:#}");
    for finding in broken.of(code) {
        let remedy = finding["remedy"].as_str().expect("a remedy");
        run(admin, remedy).await;
    }
    let mended = examine(&db.relay_url, &[]).await;
    assert_eq!(mended.of(code), Vec::<&Value>::new(), "{sql}");
}

/// The same where the remedy is no statement, or of another kind than that of a test: `mend` is.
async fn is_found(db: &TestDatabase, admin: &Client, sql: &str, code: &str, words: &str, mend: &str) {
    run(admin, sql).await;
    let broken = examine(&db.relay_url, &[]).await;
    let finding = broken.first(code);
    assert!(finding.to_string().contains(words), "{sql}: {finding:#}");
    run(admin, mend).await;
    let mended = examine(&db.relay_url, &[]).await;
    assert_eq!(mended.of(code), Vec::<&Value>::new(), "{mend}");
}

#[tokio::test]
async fn what_readme_sets_up_is_in_order_for_the_role_of_the_relay() {
    let db = messages().await;
    run(&db, "create table tasks (id bigint generated always as identity primary key, list text not null, title text);
              create index on tasks (list, id)").await;
    crate::support::attach(
        &db,
        "'tasks', room => 'list', changes => '{insert,update,delete}'",
    )
    .await;
    db.say("a", "hello").await;
    let report = examine(
        &db.relay_url,
        &["--authorize-sql", "select $1::text = $2->>'sub'"],
    )
    .await;
    assert_eq!(report.code, 0, "{:#?}", report.findings);
    for finding in &report.findings {
        let code = finding["code"].as_str().expect("a code");
        assert!(
            finding["severity"] == "ok" || OF_THE_TESTS.contains(&code),
            "{finding:#}"
        );
    }
    for code in [
        "server_version",
        "pooler",
        "listen",
        "clock_skew",
        "schema",
        "missing_privilege",
        "notification_queue",
        "connections",
        "triggers",
        "ids",
        "plans",
        "authorize_sql",
    ] {
        assert!(
            report.findings.iter().any(|finding| finding["code"] == code),
            "{code}"
        );
    }
    for source in ["messages", "tasks"] {
        let of_source = report
            .findings
            .iter()
            .filter(|finding| finding["source"] == source);
        assert_eq!(of_source.count(), 4, "{source}: {:#?}", report.findings);
    }
}

#[tokio::test]
async fn the_report_has_its_documented_shape_and_the_exit_code_is_of_the_worst() {
    let db = messages().await;
    let fine = examine(&db.relay_url, &[]).await;
    for finding in &fine.findings {
        let keys: Vec<&String> = finding.as_object().expect("an object").keys().collect();
        assert_eq!(
            keys,
            ["code", "remedy", "severity", "source", "what", "why"],
            "{finding}"
        );
    }
    let number = |name: &str| fine.summary[name].as_u64().expect("a number");
    assert_eq!(
        number("ok") + number("notes") + number("warnings") + number("errors"),
        fine.findings.len() as u64
    );
    assert_eq!((fine.code, number("exit_code")), (0, 0), "{:#?}", fine.findings);
    run(&db, "drop index messages_room_id_idx").await;
    let slow = examine(&db.relay_url, &[]).await;
    assert_eq!((slow.code, &slow.summary["worst"]), (3, &Value::from("warning")));
    run(&db, "alter table messages disable trigger rowcast_xid_messages").await;
    let wrong = examine(&db.relay_url, &[]).await;
    assert_eq!((wrong.code, &wrong.summary["worst"]), (4, &Value::from("error")));
}

#[tokio::test]
async fn the_text_fits_80_columns_and_has_no_colour_where_it_is_no_terminal() {
    let db = messages().await;
    run(
        &db,
        "drop index messages_room_id_idx; alter table messages set unlogged",
    )
    .await;
    let remedy = examine(&db.relay_url, &[]).await.remedy("no_room_index");
    let (status, stdout, stderr) = run_rowcast(&["doctor", "--database-url", &db.relay_url]).await;
    assert_eq!(status.code(), Some(3), "{stdout}{stderr}");
    assert!(
        !stdout.contains('\x1b') && !stderr.contains('\x1b'),
        "{stdout:?} {stderr:?}"
    );
    assert!(!stderr.contains("Looking at"), "{stderr}");
    for line in stdout.lines() {
        let is_remedy = line.ends_with(';') || line.contains("    --") || line.contains("    #");
        assert!(is_remedy || line.chars().count() <= 80, "{line}");
    }
    assert!(stdout.lines().any(|line| line.trim() == remedy), "{stdout}");
    assert!(stdout.contains("\nSource messages\n"), "{stdout}");
}

#[tokio::test]
async fn what_can_not_be_examined_at_all_is_one_line_that_names_the_option() {
    let url = shared_server().url("postgres");
    for (arguments, option) in [
        (
            &["--database-url", "http:// x"][..],
            "--database-url (DATABASE_URL): ",
        ),
        (&[], "--database-url or DATABASE_URL"),
        (
            &["--database-url", &url, "--listen-database-url", "http:// x"],
            "--listen-database-url (ROWCAST_LISTEN_DATABASE_URL): ",
        ),
    ] {
        let (status, stdout, stderr) = run_rowcast(&[&["doctor"], arguments].concat()).await;
        let lines: Vec<&str> = stderr.lines().collect();
        assert_eq!(
            (status.code(), lines.len(), stdout.as_str()),
            (Some(1), 1, ""),
            "{stderr}"
        );
        assert!(lines[0].contains(option), "{stderr}");
    }
}

#[tokio::test]
async fn a_locked_table_is_found_and_keeps_nothing_else_from_being_examined() {
    let db = messages().await;
    run(&db, "create table tasks (id bigint generated always as identity primary key, list text); create index on tasks (list, id)").await;
    crate::support::attach(&db, "'tasks', room => 'list'").await;
    let holder = db.connect().await;
    run(&holder, "begin; lock table messages in access exclusive mode").await;
    let report = examine(&db.relay_url, &[]).await;
    assert_eq!(report.code, 4, "{:#?}", report.findings);
    assert_eq!(report.first("locked")["source"], "messages");
    let of_tasks = |code| {
        let found = report.findings.iter();
        found
            .filter(move |f| f["source"] == "tasks" && f["code"] == code)
            .count()
    };
    assert_eq!(
        (of_tasks("triggers"), of_tasks("ids"), of_tasks("plans")),
        (1, 1, 1),
        "{:#?}",
        report.findings
    );
    // It can be pasted, and waits for nothing.
    run(&db, &report.remedy("locked")).await;
    run(&holder, "rollback").await;
}

#[tokio::test]
async fn a_schema_that_is_missing_older_newer_or_unreadable_says_what_to_run() {
    let empty = empty_database().await;
    let missing = examine(&empty.relay_url, &[]).await;
    assert_eq!(missing.first("schema")["severity"], "error");
    assert!(missing.remedy("schema").starts_with("rowcast migrate"));
    let may_migrate = examine(&empty.app_url, &[]).await;
    assert_eq!(may_migrate.first("schema")["severity"], "warning");
    assert_eq!(may_migrate.remedy("schema"), "rowcast migrate");

    let db = database().await;
    let admin = db.admin().await;
    assert_eq!(
        examine(&db.relay_url, &[]).await.first("nothing_attached")["severity"],
        "note"
    );
    breaks(
        &db,
        &admin,
        "revoke usage on schema rowcast from relay",
        "schema",
        "!error",
    )
    .await;
    for (sql, words, mend) in [
        (
            "insert into rowcast.migrations (version) values (9999)",
            "newer Rowcast",
            "delete from rowcast.migrations where version = 9999",
        ),
        (
            "update rowcast.migrations set version = -version where version > 12",
            "older Rowcast",
            "update rowcast.migrations set version = -version where version < 0",
        ),
    ] {
        is_found(&db, &admin, sql, "schema", words, mend).await;
    }
}
