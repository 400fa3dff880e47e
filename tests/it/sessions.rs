//! How sessions to PostgreSQL are opened, pinned, pooled, and what is said when that fails.

use std::time::Duration;

use rowcast::demo::postgres::StopMode;
use rowcast::pg::{Database, PgError, PoolOptions, Session};
use tokio_postgres::types::Type;

use crate::support::pooler::{Pooler, StartupOptions};
use crate::support::{TestDatabase, empty_database, eventually, own_server, server, test_options, within};

const SETTINGS: &str = "select current_setting('transaction_isolation'), current_setting('row_security'),
    current_setting('transaction_read_only'), current_setting('synchronous_commit'), current_setting('search_path'),
    current_setting('lock_timeout'), current_setting('statement_timeout'), current_setting('TimeZone'), $1";

async fn connect(url: &str) -> Database {
    within(Database::connect(url, &PoolOptions::default()))
        .await
        .unwrap()
}

async fn refusal(url: &str) -> PgError {
    within(Database::connect(url, &PoolOptions::default()))
        .await
        .expect_err("it connects")
}

/// A database whose defaults are all wrong for Rowcast.
async fn hostile_database() -> TestDatabase {
    let database = empty_database().await;
    let name = &database.name;
    let settings = [
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "synchronous_commit = off",
        "search_path = 'elsewhere'",
        "statement_timeout = '1h'",
        "timezone = 'Asia/Kathmandu'",
    ];
    let admin = database.admin().await;
    for setting in settings {
        admin
            .batch_execute(&format!("alter database {name} set {setting}"))
            .await
            .unwrap();
    }
    database
}

async fn assert_reads_are_pinned(session: &Session) {
    for round in ["first", "again"] {
        let rows = within(session.read(SETTINGS, &[(&round, Type::TEXT)]))
            .await
            .unwrap();
        let settings: Vec<&str> = (0..9).map(|at| rows[0].get(at)).collect();
        let wanted = [
            "read committed",
            "off",
            "off",
            "on",
            "\"\"",
            "5s",
            "30s",
            "UTC",
            round,
        ];
        let wanted_without_quotes = wanted.map(|value| if value == "\"\"" { "" } else { value });
        assert!(
            settings == wanted || settings == wanted_without_quotes,
            "{settings:?}"
        );
    }
}

#[tokio::test]
async fn reads_are_pinned_whatever_the_database_says() {
    let test = hostile_database().await;
    let url = format!("{}?options=-c%20work_mem%3D3MB", test.relay_url);
    let database = connect(&url).await;
    assert!(database.is_pinned());
    let session = database.session("test").await.unwrap();
    assert_reads_are_pinned(&session).await;
    assert_reads_are_pinned(&database.pooled().await.unwrap()).await;
    let rows = session
        .read(
            "select current_setting('work_mem'), current_setting('application_name')",
            &[],
        )
        .await;
    let rows = rows.unwrap();
    assert_eq!(
        (rows[0].get(0), rows[0].get(1)),
        ("3MB", "rowcast test"),
        "the URL's own options hold, too"
    );
}

#[tokio::test]
async fn a_session_of_the_host_keeps_the_hosts_settings() {
    let test = hostile_database().await;
    let session = connect(&test.relay_url).await.host_session().await.unwrap();
    let row = session
        .query_one(
            "select current_setting('search_path'), current_setting('application_name')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1)), ("elsewhere", "rowcast publish"));
}

#[tokio::test]
async fn reads_through_a_pooler_carry_their_settings() {
    for options in [StartupOptions::Refused, StartupOptions::Ignored] {
        let test = hostile_database().await;
        let pooler = Pooler::start(options).await;
        let database = connect(&pooler.url(&test.name)).await;
        assert!(!database.is_pinned(), "{options:?}");
        let session = database.session("test").await.unwrap();
        assert_reads_are_pinned(&session).await;
        let error = session.read("select * from nowhere", &[]).await.unwrap_err();
        assert_eq!(error.sqlstate().map(|state| state.code()), Some("42P01"));
        assert_reads_are_pinned(&session).await;
        let outside: String = session.query_typed("show search_path", &[]).await.unwrap()[0].get(0);
        assert_eq!(
            outside, "elsewhere",
            "what a read sets ends with it: the pooler's other users share the server"
        );
    }
}

#[tokio::test]
async fn a_read_dropped_half_way_leaves_no_transaction_open() {
    let test = empty_database().await;
    let pooler = Pooler::start(StartupOptions::Ignored).await;
    let session = connect(&pooler.url(&test.name))
        .await
        .session("dropped")
        .await
        .unwrap();
    let slow = session.read("select pg_sleep(0.3)::text", &[]);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), slow)
            .await
            .is_err()
    );
    let state = "select state from pg_stat_activity where query ~ 'pg_sleep|commit' and datname = $1
                 and pid <> pg_backend_pid()";
    let admin = test.admin().await;
    eventually(async || {
        let states = admin.query(state, &[&test.name]).await.unwrap();
        states
            .iter()
            .all(|row| row.get::<_, Option<&str>>(0) == Some("idle"))
    })
    .await;
    assert_reads_are_pinned(&session).await;
}

#[tokio::test]
async fn a_read_goes_on_after_the_table_was_altered() {
    let test = empty_database().await;
    test.batch_execute("create table t (a int); insert into t values (1); grant select on t to relay")
        .await
        .unwrap();
    let session = connect(&test.relay_url).await.session("test").await.unwrap();
    let read = "select * from public.t";
    assert_eq!(session.read(read, &[]).await.unwrap()[0].len(), 1);
    test.batch_execute("alter table t add b text; alter table t alter a type bigint")
        .await
        .unwrap();
    let rows = session.read(read, &[]).await.unwrap();
    assert_eq!((rows[0].len(), rows[0].get::<_, i64>(0)), (2, 1));
}

#[tokio::test]
async fn a_wrong_password_is_one_clear_line_without_it() {
    let url = format!(
        "postgres://postgres:s3cret-wrong@127.0.0.1:{}/postgres",
        server().port()
    );
    let error = refusal(&url).await;
    assert!(matches!(error, PgError::Rejected { .. }), "{error:?}");
    let missing = refusal(&format!(
        "postgres://postgres@127.0.0.1:{}/postgres",
        server().port()
    ))
    .await;
    assert!(matches!(missing, PgError::Rejected { .. }), "{missing:?}");
    for line in [error.to_string(), format!("{error:?}"), missing.to_string()] {
        assert!(
            line.contains("postgres") && !line.contains("s3cret") && !line.contains('\n'),
            "{line}"
        );
    }
}

#[tokio::test]
async fn an_absent_server_is_one_clear_line() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = refusal(&format!("postgres://me:s3cret@127.0.0.1:{port}/app")).await;
    assert!(matches!(error, PgError::Unreachable { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("no PostgreSQL answers at 127.0.0.1:{port}: Connection refused (os error 111)")
    );
    let error = refusal("postgres://me:s3@cret@nowhere.invalid/app").await;
    assert!(matches!(error, PgError::Unreachable { .. }), "{error:?}");
    assert!(!error.to_string().contains("cret"), "{error}");
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let error = refusal(&server().url("no_such_one")).await;
    assert!(matches!(error, PgError::NoDatabase { .. }), "{error:?}");
    assert!(
        error.to_string().ends_with("has no database \"no_such_one\""),
        "{error}"
    );
}

#[tokio::test]
async fn a_malformed_url_is_one_clear_line() {
    for url in [
        "postgres://me:s3cret@host:port/app",
        "nonsense",
        "",
        "postgres:///app",
        "host=h password='s3cret",
    ] {
        let error = refusal(url).await;
        assert!(matches!(error, PgError::MalformedUrl { .. }), "{url}: {error:?}");
        assert!(
            !error.to_string().contains("s3cret") && !error.to_string().contains('\n'),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_standby_is_refused() {
    let mut primary = own_server(&[]);
    let standby = primary.start_standby(&test_options(&[])).unwrap();
    let error = refusal(&standby.url("postgres")).await;
    assert!(matches!(error, PgError::ReadOnly { .. }), "{error:?}");
}

#[tokio::test]
async fn the_pool_recovers_from_a_server_that_was_away() {
    let mut server = own_server(&[]);
    let options = PoolOptions {
        size: 2,
        wait: Duration::from_millis(200),
    };
    let database = within(Database::connect(&server.url("postgres"), &options))
        .await
        .unwrap();
    let one = database.pooled().await.unwrap();
    let other = database.pooled().await.unwrap();
    let full = database.pooled().await.unwrap_err();
    assert!(matches!(full, PgError::PoolTimeout { .. }), "{full:?}");
    drop(other);
    server.stop(StopMode::Immediate).unwrap();
    let error = within(one.read("select 1", &[])).await.unwrap_err();
    assert!(error.is_connection_lost(), "{error:?}");
    eventually(async || one.is_closed()).await;
    drop(one);
    let error = within(database.pooled()).await.unwrap_err();
    assert!(error.is_connection_lost(), "{error:?}");
    server.start_again().unwrap();
    for _ in 0..2 {
        assert_reads_are_pinned(&database.pooled().await.unwrap()).await;
    }
}
