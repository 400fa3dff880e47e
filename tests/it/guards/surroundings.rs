//! What the reads stand on: a primary, every row visible to the relay's role, and settings of their own.

use rowcast::tail::ReadError;
use tokio_postgres::error::SqlState;

use super::{EVENTS, Follower, INSERT, bell_flag, run, text, with_messages};
use crate::support::{Relay, TestDatabase, connect, eventually, own_server, relay, test_options, within};

/// Fails without `target_session_attrs` (`TargetSessionAttrs::ReadWrite` in `pg::parse`).
#[tokio::test]
async fn a_relay_refuses_a_standby_in_one_line() {
    let mut primary = own_server(&[]);
    let standby = primary.start_standby(&test_options(&[])).expect("a standby");
    let (url, admin) = (standby.url("postgres"), connect(&primary.url("postgres")).await);
    rowcast::pg::migrate::migrate(&primary.url("postgres"))
        .await
        .expect("migrate");
    let replayed = format!(
        "pg_last_wal_replay_lsn() >= '{}'::pg_lsn",
        text(&admin, "pg_current_wal_lsn()").await
    );
    let reader = connect(&url).await;
    eventually(async || text(&reader, &replayed).await == "true").await;
    let (status, _, stderr) = relay::run(&["serve", "--database-url", &url, "--listen", "127.0.0.1:0"]).await;
    assert!(!status.success(), "{stderr}");
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.contains("DEBUG")).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    assert!(
        lines[0].contains("--database-url") && lines[0].contains("standby"),
        "{stderr}"
    );
    assert!(!stderr.contains(primary.password()), "{stderr}");
}

/// A connection that was made to a primary can't become one to a standby, so that the server's word for it is replaced.
///
/// Fails when the reader does not look at `in_recovery`.
#[tokio::test]
async fn a_read_in_recovery_is_thrown_away() {
    let db = with_messages().await;
    let mut tail = Follower::start(&db.relay_url).await;
    let before = tail.open();
    // The analyze makes PostgreSQL look the name up again.
    let admin = db.admin().await;
    run(
        &admin,
        "set allow_system_table_mods = on;
         alter function pg_catalog.pg_is_in_recovery() rename to was_in_recovery;
         create function pg_catalog.pg_is_in_recovery() returns boolean language sql as 'select true';
         analyze messages",
    )
    .await;
    run(&db, INSERT).await;
    let refused = tail.try_read().await;
    assert!(matches!(refused, Err(ReadError::InRecovery)), "{refused:?}");
    assert_eq!(tail.open(), before);
    run(
        &admin,
        "drop function pg_catalog.pg_is_in_recovery();
         alter function pg_catalog.was_in_recovery() rename to pg_is_in_recovery;
         analyze messages",
    )
    .await;
    assert_eq!(tail.ids().await, [1]);
}

async fn pinned_or_not(url: &str, pinned: bool) -> Follower {
    match pinned {
        true => Follower::start(url).await,
        false => Follower::unpinned(url).await,
    }
}

const HIDE: &str = "alter table messages enable row level security;
    create policy partly on messages using (body is null)";

/// Fails when `row_security` is not pinned to off: PostgreSQL then hides row 1, and it is lost.
#[tokio::test]
async fn row_security_that_begins_to_apply_is_an_error_and_no_row_is_lost() {
    let db = with_messages().await;
    for id in [1, 3] {
        let mut tail = pinned_or_not(&db.relay_url, id == 1).await;
        run(&db, HIDE).await;
        run(&db, "insert into messages (room_id, body) values (1, 'hidden')").await;
        run(&db, INSERT).await;
        match tail.try_read().await {
            Err(ReadError::Database(error)) => {
                assert_eq!(
                    error.sqlstate(),
                    Some(&SqlState::INSUFFICIENT_PRIVILEGE),
                    "{error}"
                );
            }
            other => panic!("rows are hidden: {other:?}"),
        }
        run(
            &db,
            "alter table messages disable row level security; drop policy partly on messages",
        )
        .await;
        assert_eq!(tail.ids().await, [id, id + 1]);
    }
}

/// Fails when `row_security` is not pinned to off, or the tail takes the error for an absent database and says nothing.
#[tokio::test]
async fn a_relay_under_row_security_is_not_ready_and_serves_nothing_until_it_is_mended() {
    let db = with_messages().await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let cursor = relay.client.get(EVENTS).await.cursor();
    run(&db, HIDE).await;
    run(&db, "insert into messages (room_id, body) values (1, 'hidden')").await;
    run(&db, INSERT).await;
    eventually(async || relay.client.get("/health/ready").await.status == 503).await;
    let reasons = relay.client.get("/health/ready").await.json()["reasons"].to_string();
    // The tail's own words, or those of the registry's next look.
    let told = ["row security hides", "row security applies"];
    assert!(told.iter().any(|words| reasons.contains(words)), "{reasons}");
    assert_eq!(
        relay.client.get(&format!("{EVENTS}?after={cursor}")).await.status,
        503
    );
    run(&db, "alter table messages disable row level security").await;
    eventually(async || relay.client.get("/health/ready").await.status == 200).await;
    assert_eq!(
        relay.client.get(&format!("{EVENTS}?after={cursor}")).await.ids(),
        [1, 2]
    );
}

/// A registered table whose rows are hidden from the relay's role when it starts.
///
/// Fails without `row_security_active` in `list_sources.sql`.
#[tokio::test]
async fn a_relay_that_starts_under_row_security_says_so() {
    let db = with_messages().await;
    run(&db, HIDE).await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let answer = relay.client.get("/health/ready").await;
    assert_eq!(answer.status, 503);
    let reasons = answer.json()["reasons"].to_string();
    assert!(
        reasons.contains("row security applies to role relay"),
        "{reasons}"
    );
}

/// Settings of a database that would each break the reads or the relay's writes.
async fn hostile(db: &TestDatabase) {
    let admin = db.admin().await;
    for setting in [
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "row_security = on",
        "synchronous_commit = off",
        "search_path = 'evil'",
        "lock_timeout = '1ms'",
        "statement_timeout = '1h'",
        "\"TimeZone\" = 'Asia/Tokyo'",
    ] {
        run(&admin, &format!("alter database {} set {setting}", db.name)).await;
    }
}

/// A relay that read serializably would be the third in a cycle of dependencies: it saw what `first` wrote and not what
/// `second` writes, which saw nothing of `first`. PostgreSQL would make `second` fail.
///
/// Fails when `default_transaction_isolation` is not pinned, or `begin` of an unpinned read names no level.
#[tokio::test]
async fn a_serializable_insert_of_the_host_does_not_fail_because_of_a_read() {
    let db = with_messages().await;
    run(
        &db,
        "create table balance (amount int); insert into balance values (1); grant select on balance to relay",
    )
    .await;
    hostile(&db).await;
    for id in [1, 2] {
        let mut tail = pinned_or_not(&db.relay_url, id == 1).await;
        let second = db.connect().await;
        run(
            &second,
            "begin isolation level serializable read write; select * from public.balance",
        )
        .await;
        run(
            &db,
            "begin isolation level serializable; update public.balance set amount = 2; commit",
        )
        .await;
        // The relay's own statement, over what `first` wrote as well.
        let seen = tail
            .session
            .read("select amount from public.balance", &[])
            .await
            .expect("read");
        assert_eq!(seen.len(), 1);
        assert_eq!(tail.ids().await, [0; 0]);
        run(&second, "insert into public.messages (room_id) values (1)").await;
        run(&second, "commit").await;
        assert_eq!(tail.ids().await, [id]);
    }
}

/// Fails when `default_transaction_read_only` is not pinned (neither flag nor position can then be written), on the
/// LISTEN connection either (a server that reads only is taken for a standby).
#[tokio::test]
async fn a_relay_arms_and_saves_its_position_whatever_the_database_says() {
    let db = with_messages().await;
    run(&db, "select setval('rowcast.bell_messages', 0)").await;
    hostile(&db).await;
    run(
        &db.admin().await,
        &format!(
            "alter database {} set default_transaction_read_only = on",
            db.name
        ),
    )
    .await;
    let relay = Relay::serve(&db.relay_url, &["--quiet-after", "50ms"]).await;
    let mut stream = relay.client.stream(EVENTS).await;
    stream.ready().await;
    eventually(async || bell_flag(&db).await == "1").await;
    run(&db, INSERT).await;
    assert_eq!(within(stream.ids(1)).await, [1]);
    eventually(async || text(&db, "select max(high) from rowcast.positions").await == "1").await;
}
