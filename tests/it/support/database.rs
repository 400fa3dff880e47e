//! One PostgreSQL per test process, one database per test.
//!
//! The server lives in a static, which Rust never drops: its guardian ends it when the process does. Tests that stop
//! their server, or need other settings, take one of their own ([`own_server`]).

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rowcast::demo::postgres::{self, Options, Postgres};
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

use super::roles::{self, Urls};
use super::{run, within};

/// The database that every test's is a copy of: the one with the schema `rowcast` in it.
const TEMPLATE: &str = "migrated";

/// Databases whose tests are over. They are dropped as others begin, so that a run needs little disk.
static FINISHED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The server that the tests of this process share, started when it is first asked for.
pub fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| own_server(&[]))
}

/// A server of one test's own, with the tests' settings and then these.
pub fn own_server(settings: &[(&str, &str)]) -> Postgres {
    Postgres::start(&test_options(settings)).unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

/// The settings that the tests' servers start with, then these.
pub fn test_options(settings: &[(&str, &str)]) -> Options {
    let statements = postgres::has_library(None, "pg_stat_statements").expect("PostgreSQL is installed");
    let ours = [
        ("max_connections", "300"),
        ("max_prepared_transactions", "10"),
        ("wal_level", "logical"),
        ("track_functions", "all"),
        (
            "shared_preload_libraries",
            if statements { "pg_stat_statements" } else { "" },
        ),
    ];
    let settings = ours
        .iter()
        .chain(settings)
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    Options {
        bin_dir: None,
        settings,
    }
}

/// A database of one test's own, with a session of the role `app` on it. Derefs to that session's client.
pub struct TestDatabase {
    pub name: String,
    /// For relays.
    pub relay_url: String,
    /// For whoever makes tables, attaches and writes: the role `app`.
    pub app_url: String,
    /// The superuser's.
    pub admin_url: String,
    pub client: tokio_postgres::Client,
}

/// A new database with the schema `rowcast` migrated, and the roles of README.
pub async fn database() -> TestDatabase {
    make_template().await;
    copy_of(TEMPLATE).await
}

/// A new database with nothing in it. The role `app` may make the schema `rowcast`.
pub async fn empty_database() -> TestDatabase {
    make_template().await;
    let db = copy_of("template1").await;
    let admin = db.admin().await;
    roles::let_app_make_tables(&admin).await;
    run(&admin, &format!("grant create on database {} to app", db.name)).await;
    db
}

async fn make_template() {
    static MADE: OnceCell<()> = OnceCell::const_new();
    MADE.get_or_init(async || {
        let admin = connect(&server().url("postgres")).await;
        run(&admin, &format!("create database {TEMPLATE}")).await;
        roles::prepare(server(), TEMPLATE).await;
    })
    .await;
}

async fn copy_of(template: &str) -> TestDatabase {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let finished = std::mem::take(&mut *FINISHED.lock().unwrap_or_else(PoisonError::into_inner));
    let admin = connect(&server().url("postgres")).await;
    for old in finished {
        run(&admin, &format!("drop database if exists {old} with (force)")).await;
    }
    run(&admin, &format!("create database {name} template {template}")).await;
    let urls = Urls::new(server(), &name);
    TestDatabase {
        name,
        client: connect(&urls.app).await,
        relay_url: urls.relay,
        app_url: urls.app,
        admin_url: urls.admin,
    }
}

/// A session, driven by a task of the test's runtime.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = within(tokio_postgres::connect(url, NoTls))
        .await
        .expect("connect to PostgreSQL");
    tokio::spawn(connection);
    client
}

/// A role that may log in, of this database's own, and a URL for it.
pub async fn role(db: &TestDatabase, purpose: &str) -> (String, String) {
    let name = format!("{}_{purpose}", db.name);
    let sql = format!("drop role if exists {name}; create role {name} login password 'secret'");
    run(&db.admin().await, &sql).await;
    let url = roles::as_role(&db.admin_url, &name);
    (name, url)
}

impl TestDatabase {
    /// One more session of the role `app`.
    pub async fn connect(&self) -> tokio_postgres::Client {
        connect(&self.app_url).await
    }

    /// A session of the superuser.
    pub async fn admin(&self) -> tokio_postgres::Client {
        connect(&self.admin_url).await
    }

    /// The same database with a session of the superuser: for tests that are about roles of their own.
    pub async fn into_superusers(mut self) -> Self {
        self.client = self.admin().await;
        self
    }
}

impl Deref for TestDatabase {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        &self.client
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        FINISHED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(std::mem::take(&mut self.name));
    }
}
