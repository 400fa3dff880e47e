//! The LISTEN connection and the statements about the flag, on a real PostgreSQL.

use rowcast::pg::bell::{Bell, BellState, ListenStatus};
use rowcast::pg::{Database, PoolOptions, Session, flag};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio_postgres::Client;
use tokio_postgres::types::FromSql;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::pooler::{Pooler, StartupOptions};
use crate::support::{TestDatabase, connect, empty_database, own_server, within};

/// A bell, and how to end it.
struct Rig {
    bell: Bell,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Rig {
    async fn new(listen: &str, main: &str) -> Self {
        let main = within(Database::connect(main, &PoolOptions::default()))
            .await
            .unwrap();
        let listen = Database::unconnected(listen).unwrap();
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let (bell, task) = Bell::new(listen, main, shutdown.clone());
        tracker.spawn(task);
        Self {
            bell,
            tracker,
            shutdown,
        }
    }

    /// The first reason why LISTEN does not work, once it was tried.
    async fn reason(&self) -> String {
        let mut status = self.bell.status();
        let tried = |status: &ListenStatus| match status {
            ListenStatus::Up { .. } => true,
            ListenStatus::Down { reason } => !reason.contains("not been tried"),
        };
        let status = within(status.wait_for(tried)).await.unwrap().clone();
        match status {
            ListenStatus::Down { reason } => reason,
            ListenStatus::Up { .. } => panic!("LISTEN works"),
        }
    }
}

async fn until(states: &mut watch::Receiver<BellState>, of: impl FnMut(&BellState) -> bool) -> BellState {
    *within(states.wait_for(of)).await.unwrap()
}

async fn listener_pid(client: &Client) -> i32 {
    let row = "select pid from pg_stat_activity where application_name = 'rowcast listen' and datname = current_database()";
    client.query_one(row, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_bell_is_heard_by_the_subscribers_of_its_source() {
    let test = empty_database().await;
    let rig = Rig::new(&test.relay_url, &test.relay_url).await;
    let mut messages = rig.bell.subscribe("messages");
    let mut orders = rig.bell.subscribe("orders");
    let mut changed = rig.bell.sources_changed();
    let state = until(&mut messages, |state| state.listening).await;
    assert_eq!(
        state,
        BellState {
            listening: true,
            session: 1,
            rings: 0,
            busies: 0
        }
    );
    assert!(matches!(*rig.bell.status().borrow(), ListenStatus::Up { .. }));
    let before = *changed.borrow_and_update();

    test.batch_execute(
        "notify rowcast, 'messages'; notify rowcast, 'busy:orders'; notify rowcast, 'sources:'",
    )
    .await
    .unwrap();
    assert_eq!(until(&mut messages, |state| state.rings == 1).await.busies, 0);
    assert_eq!(until(&mut orders, |state| state.busies == 1).await.rings, 0);
    within(changed.wait_for(|count| *count == before + 1))
        .await
        .unwrap();

    test.batch_execute("notify rowcast; notify rowcast, 'probe:none'; notify rowcast, 'a:b'")
        .await
        .unwrap();
    test.batch_execute("notify rowcast, 'messages'").await.unwrap();
    until(&mut messages, |state| state.rings == 2).await;
    assert!(
        rig.bell.subscribe("late").borrow().listening,
        "a later subscriber knows at once"
    );

    rig.shutdown.cancel();
    rig.tracker.close();
    within(rig.tracker.wait()).await;
}

#[tokio::test]
async fn a_terminated_listener_listens_again() {
    let test = empty_database().await;
    let rig = Rig::new(&test.relay_url, &test.relay_url).await;
    let mut messages = rig.bell.subscribe("messages");
    let mut changed = rig.bell.sources_changed();
    until(&mut messages, |state| state.session == 1).await;
    let before = *changed.borrow_and_update();
    let pid = listener_pid(&test).await;
    test.admin()
        .await
        .execute("select pg_terminate_backend($1)", &[&pid])
        .await
        .unwrap();
    until(&mut messages, |state| state.listening && state.session == 2).await;
    within(changed.wait_for(|count| *count > before)).await.unwrap();
    test.batch_execute("notify rowcast, 'messages'").await.unwrap();
    until(&mut messages, |state| state.rings == 1).await;
}

#[tokio::test]
async fn a_stopped_server_process_is_found_by_the_ping() {
    let test = empty_database().await;
    let rig = Rig::new(&test.relay_url, &test.relay_url).await;
    let mut messages = rig.bell.subscribe("messages");
    until(&mut messages, |state| state.listening).await;
    let pid = Pid::from_raw(listener_pid(&test).await).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let state = until(&mut messages, |state| !state.listening).await;
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(state.session, 1);
    until(&mut messages, |state| state.listening && state.session == 2).await;
}

#[tokio::test]
async fn a_listen_url_of_another_database_is_found_by_the_probe() {
    let (test, other) = (empty_database().await, empty_database().await);
    let rig = Rig::new(&other.relay_url, &test.relay_url).await;
    let reason = rig.reason().await;
    assert!(
        reason.contains("another database") && reason.contains("--listen-database-url"),
        "{reason}"
    );
    assert!(!rig.bell.subscribe("messages").borrow().listening);
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_found_by_the_probe() {
    let test = empty_database().await;
    let pooler = Pooler::start(StartupOptions::Ignored).await;
    let rig = Rig::new(&pooler.url(&test.name), &pooler.url(&test.name)).await;
    let reason = rig.reason().await;
    assert!(reason.contains("a pooler in transaction mode"), "{reason}");
    // The other half of the remedy: reads through the pooler, LISTEN past it.
    let rig = Rig::new(&test.relay_url, &pooler.url(&test.name)).await;
    until(&mut rig.bell.subscribe("messages"), |state| state.listening).await;
}

#[tokio::test]
async fn an_absent_server_is_tried_until_it_comes() {
    let test = empty_database().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let rig = Rig::new(&format!("postgres://me@127.0.0.1:{port}/app"), &test.relay_url).await;
    let reason = rig.reason().await;
    assert!(
        reason.starts_with("no PostgreSQL answers at 127.0.0.1"),
        "{reason}"
    );
}

#[tokio::test]
async fn the_flag_is_raised_and_lowered_and_everybody_hears_busy() {
    let test = empty_database().await;
    test.batch_execute("create sequence bell minvalue 0; grant select, update on sequence bell to relay")
        .await
        .unwrap();
    let oid: u32 = test
        .query_one("select 'bell'::regclass::oid", &[])
        .await
        .unwrap()
        .get(0);
    let rig = Rig::new(&test.relay_url, &test.relay_url).await;
    let mut messages = rig.bell.subscribe("messages");
    until(&mut messages, |state| state.listening).await;
    let database = within(Database::connect(&test.relay_url, &PoolOptions::default()))
        .await
        .unwrap();
    let session = database.session("tail").await.unwrap();
    let flag = async || {
        let row = test
            .query_one("select pg_sequence_last_value('bell')", &[])
            .await
            .unwrap();
        row.get::<_, Option<i64>>(0)
    };
    assert_eq!(flag().await, None);
    flag::raise_flag(&session, oid).await.unwrap();
    assert_eq!(flag().await, Some(1));
    flag::lower_flag(&session, oid, "messages").await.unwrap();
    assert_eq!(flag().await, Some(0));
    until(&mut messages, |state| state.busies == 1).await;
}

#[tokio::test]
async fn the_next_transaction_id_is_the_next_unassigned_one() {
    // Of its own: the ids of a server are those of all its databases.
    let server = own_server(&[("autovacuum", "off")]);
    let url = server.url("postgres");
    let database = within(Database::connect(&url, &PoolOptions::default()))
        .await
        .unwrap();
    let session = database.session("tail").await.unwrap();
    let (mut first, mut second) = (connect(&url).await, connect(&url).await);
    let xid = "select pg_current_xact_id()::text::bigint";
    let noted = within(flag::note_next_xid(&session)).await.unwrap();
    assert_eq!(
        flag::note_next_xid(&session).await.unwrap(),
        noted,
        "noting consumes none"
    );
    let first = first.transaction().await.unwrap();
    let drawn: i64 = first.query_one(xid, &[]).await.unwrap().get(0);
    assert_eq!(drawn.cast_unsigned(), noted);
    // Where pg_snapshot_xmax stops: at the newest finished one.
    let noted = flag::note_next_xid(&session).await.unwrap();
    assert_eq!(noted, drawn.cast_unsigned() + 1);
    let xmax: i64 = session
        .read(
            "select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint",
            &[],
        )
        .await
        .unwrap()[0]
        .get(0);
    assert_eq!(xmax, drawn, "a running transaction is at xmax, which is no bound");
    let second = second.transaction().await.unwrap();
    let drawn: i64 = second.query_one(xid, &[]).await.unwrap().get(0);
    assert_eq!(drawn.cast_unsigned(), noted);
}

/// A partitioned table and another one.
struct Tables {
    test: TestDatabase,
    session: Session,
    oid: u32,
}

impl Tables {
    async fn new() -> Self {
        let test = empty_database().await;
        let ddl =
            "create table t (id bigint generated always as identity, part int) partition by list (part);
                   create table t1 partition of t for values in (1);
                   create table other (id int)";
        run(&test, ddl).await;
        let oid = value(&test, "select 't'::regclass::oid").await;
        let database = within(Database::connect(&test.relay_url, &PoolOptions::default())).await;
        let session = database.unwrap().session("tail").await.unwrap();
        Self { test, session, oid }
    }

    async fn xmin(&self) -> u64 {
        within(flag::table_xmin(&self.session, self.oid)).await.unwrap()
    }

    /// A transaction that ran `sql` and goes on.
    async fn writer(&self, sql: &str) -> Client {
        let writer = self.test.connect().await;
        run(&writer, "begin").await;
        run(&writer, sql).await;
        writer
    }
}

async fn run(client: &Client, sql: &str) {
    within(client.batch_execute(sql)).await.unwrap();
}

async fn value<T: for<'a> FromSql<'a>>(client: &Client, sql: &str) -> T {
    within(client.query_one(sql, &[])).await.unwrap().get(0)
}

async fn xid(writer: &Client) -> u64 {
    let xid: i64 = value(writer, "select pg_current_xact_id()::text::bigint").await;
    xid.cast_unsigned()
}

#[tokio::test]
async fn the_tables_own_xmin_is_that_of_its_oldest_writer() {
    let tables = Tables::new().await;
    assert_eq!(tables.xmin().await, u64::MAX, "nobody writes");
    let older = tables
        .writer("savepoint a; insert into t (part) values (1); savepoint b")
        .await;
    let younger = tables
        .writer("insert into t1 (id, part) overriding system value values (7, 1)")
        .await;
    let (old, young) = (xid(&older).await, xid(&younger).await);
    assert_eq!(tables.xmin().await, old);
    run(&older, "rollback").await;
    assert_eq!(
        tables.xmin().await,
        young,
        "a writer of a partition is one of the table"
    );
    run(&younger, "commit").await;
    assert_eq!(tables.xmin().await, u64::MAX);
}

#[tokio::test]
async fn the_tables_own_xmin_ignores_those_who_draw_no_id_from_it() {
    let tables = Tables::new().await;
    let _elsewhere = tables.writer("insert into other values (1)").await;
    let _reader = tables
        .writer("select pg_current_xact_id(), count(*) from t")
        .await;
    let _locker = tables.writer("lock table t in row exclusive mode").await;
    assert_eq!(tables.xmin().await, u64::MAX);
}

#[tokio::test]
async fn the_tables_own_xmin_sees_a_prepared_transaction() {
    let tables = Tables::new().await;
    let writer = tables.writer("insert into t (part) values (1)").await;
    let xid = xid(&writer).await;
    run(&writer, &format!("prepare transaction '{}'", tables.test.name)).await;
    assert_eq!(tables.xmin().await, xid);
    run(&writer, &format!("rollback prepared '{}'", tables.test.name)).await;
    assert_eq!(tables.xmin().await, u64::MAX);
}
