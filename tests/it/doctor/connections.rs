//! The ways to the database: nobody there, standbys, poolers, LISTEN, clocks, and how many connections there may be.

use url::Url;

use super::{breaks, examine, is_found};
use crate::support::pooler::{Pooler, StartupOptions};
use crate::support::{connect, database, messages, own_server, run, test_options};

#[tokio::test]
async fn a_database_that_can_not_be_reached_is_an_error() {
    let db = database().await;
    let with = |change: fn(&mut Url)| {
        let mut url = Url::parse(&db.relay_url).expect("the server's URL");
        change(&mut url);
        String::from(url)
    };
    for (url, words) in [
        (
            with(|url| url.set_port(Some(1)).expect("set")),
            "Connection refused",
        ),
        (
            with(|url| url.set_password(Some("wrong")).expect("set")),
            "password authentication failed",
        ),
        (with(|url| url.set_path("/absent")), "has no database"),
    ] {
        let report = examine(&url, &[]).await;
        let finding = report.first("unreachable").to_string();
        assert!(
            finding.contains(words) && finding.contains("--database-url"),
            "{finding}"
        );
        assert!(!finding.contains("wrong"), "{finding}");
        assert_eq!(report.code, 4);
    }
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_found_and_the_way_past_it() {
    let db = messages().await;
    for options in [StartupOptions::Refused, StartupOptions::Ignored] {
        let pooler = Pooler::start(options).await;
        let url = pooler.url(&db.name);
        let deaf = examine(&url, &[]).await;
        assert_eq!(deaf.first("pooler")["severity"], "note");
        assert_eq!(deaf.first("listen")["severity"], "warning");
        assert!(deaf.remedy("listen").starts_with("--listen-database-url "));
        // All else is examined through it.
        let found = |code| {
            deaf.findings
                .iter()
                .any(|f| f["code"] == code && f["severity"] == "ok")
        };
        assert!(
            found("plans") && found("triggers") && found("connections"),
            "{:#?}",
            deaf.findings
        );
        assert_eq!(deaf.code, 3, "{:#?}", deaf.findings);

        let past = examine(&url, &["--listen-database-url", &db.relay_url]).await;
        assert!(
            past.of("listen").is_empty() && past.of("pooler").len() == 1,
            "{:#?}",
            past.findings
        );
        assert_eq!(past.code, 0, "{:#?}", past.findings);
    }
}

#[tokio::test]
async fn a_way_past_the_pooler_that_leads_elsewhere_is_found() {
    let (db, other) = (messages().await, database().await);
    let pooler = Pooler::start(StartupOptions::Ignored).await;
    let mut nobody = Url::parse(&db.relay_url).expect("the server's URL");
    nobody.set_port(Some(1)).expect("set");
    for (listen, code, severity) in [
        (other.relay_url.as_str(), "listen_elsewhere", "error"),
        (nobody.as_str(), "listen_unreachable", "warning"),
        (pooler.url(&db.name).as_str(), "listen", "warning"),
    ] {
        let report = examine(&db.relay_url, &["--listen-database-url", listen]).await;
        assert_eq!(report.first(code)["severity"], severity, "{:#?}", report.findings);
    }
}

#[tokio::test]
async fn a_standby_is_refused_and_its_primary_told_of_failovers() {
    let mut primary = own_server(&[]);
    let url = primary.url("postgres");
    rowcast::pg::migrate::migrate(&url).await.expect("migrate");
    let standby = primary.start_standby(&test_options(&[])).expect("a standby");
    let refused = examine(&standby.url("postgres"), &[]).await;
    assert_eq!(
        (refused.first("standby")["severity"].as_str(), refused.code),
        (Some("error"), 4)
    );
    let admin = connect(&url).await;
    crate::support::eventually(async || {
        admin
            .query("select from pg_stat_replication", &[])
            .await
            .expect("ask")
            .len()
            == 1
    })
    .await;
    let told = examine(&url, &[]).await;
    assert_eq!(told.first("asynchronous_standby")["severity"], "note");
    assert_eq!(told.first("superuser")["severity"], "note");
    run(&admin, "alter system set synchronous_standby_names = '*'").await;
    run(&admin, "select pg_reload_conf()").await;
    crate::support::eventually(async || {
        let shown = admin
            .query_one("show synchronous_standby_names", &[])
            .await
            .expect("ask");
        shown.get::<_, &str>(0) == "*"
    })
    .await;
    assert!(examine(&url, &[]).await.of("asynchronous_standby").is_empty());
}

#[tokio::test]
async fn clocks_that_differ_are_found() {
    let db = messages().await;
    let admin = db.admin().await;
    // The server's word for the time is replaced, in this database alone.
    for (seconds, severity) in [(-40, "\"warning\""), (10, "\"note\"")] {
        let sql = format!(
            "set allow_system_table_mods = on; alter function pg_catalog.clock_timestamp() rename to real_clock;
             create function pg_catalog.clock_timestamp() returns timestamptz language sql
             as 'select pg_catalog.real_clock() + interval ''{seconds} s'''"
        );
        let mend = "drop function pg_catalog.clock_timestamp(); alter function pg_catalog.real_clock() rename to clock_timestamp";
        is_found(&db, &admin, &sql, "clock_skew", severity, mend).await;
    }
}

#[tokio::test]
async fn too_few_connections_are_found() {
    let db = messages().await;
    let admin = db.admin().await;
    let few = examine(&db.relay_url, &["--pool-size", "1000", "--allow-publish"]).await;
    let finding = few.first("connections").to_string();
    assert!(
        finding.contains("1006 connections") && finding.contains("alter system set max_connections"),
        "{finding}"
    );
    let limit = format!("alter database {} connection limit 11", db.name);
    breaks(&db, &admin, &limit, "connection_limit", "!warning").await;
}
