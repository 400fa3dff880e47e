//! The schema itself: migrations by several at once, by roles that may not, as a script; and dumps by the application's role.

use rowcast::pg::migrate::{MigrateError, migrate, steps};
use rowcast::pg::source::{check, list};
use tokio::task::JoinSet;

use super::{attached, bells, findings, listener, role, text, with_messages};
use crate::support::dump::{self, Format};
use crate::support::{TestDatabase, connect, empty_database, run, within};

#[tokio::test]
async fn six_concurrent_migrations_all_succeed_and_one_applies() {
    let db = empty_database().await;
    let mut starters = JoinSet::new();
    for _ in 0..6 {
        let url = db.app_url.clone();
        starters.spawn(async move { migrate(&url).await });
    }
    let applied: Vec<usize> = within(starters.join_all())
        .await
        .into_iter()
        .map(|result| result.expect("migrate").len())
        .collect();
    assert_eq!(applied.iter().sum::<usize>(), steps().len(), "{applied:?}");
    assert_eq!(
        text(&db, "select count(*)::text from rowcast.migrations").await,
        steps().len().to_string()
    );
}

#[tokio::test]
async fn a_role_that_may_not_migrate_is_told_what_to_run() {
    let db = empty_database().await;
    let (name, url) = role(&db, "relay").await;
    let error = migrate(&url).await.expect_err("it may not");
    assert!(matches!(error, MigrateError::NotAllowed { .. }), "{error:?}");
    let said = error.to_string();
    assert!(
        said.contains("`rowcast migrate` once as role postgres") && said.contains(&name),
        "{said}"
    );

    migrate(&db.app_url).await.expect("migrate");
    let error = migrate(&url).await.expect_err("it may not read");
    assert!(
        error
            .to_string()
            .contains(&format!("grant usage on schema rowcast to {name}")),
        "{error}"
    );

    db.batch_execute(&format!(
        "grant usage on schema rowcast to {name}; grant select on all tables in schema rowcast to {name}"
    ))
    .await
    .expect("grant");
    assert_eq!(migrate(&url).await.expect("all is there"), [""; 0]);

    db.batch_execute("delete from rowcast.migrations where version > 1")
        .await
        .expect("go back");
    let error = migrate(&url).await.expect_err("it may not");
    assert!(error.to_string().contains("is of an older Rowcast"), "{error}");
}

#[tokio::test]
async fn a_schema_made_for_a_role_is_migrated_by_it() {
    let db = empty_database().await.into_superusers().await;
    let (name, url) = role(&db, "relay").await;
    db.batch_execute(&format!("create schema rowcast authorization {name}"))
        .await
        .expect("make");
    assert_eq!(migrate(&url).await.expect("migrate").len(), steps().len());
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let db = with_messages().await;
    db.batch_execute("insert into rowcast.migrations values (9999, 'future', '2030-01-01T00:00:00Z', '1')")
        .await
        .expect("insert");
    let error = migrate(&db.app_url).await.expect_err("it is newer");
    assert!(
        matches!(error, MigrateError::Newer { found: 9999, .. }),
        "{error:?}"
    );
}

/// What `pg_dump` does to each relation of a schema, for servers that no `pg_dump` here takes.
const READ_ALL: &str = "do $$ declare r record; begin
    for r in select oid::regclass as name, relkind from pg_class
             where relnamespace = 'rowcast'::regnamespace and relkind in ('r', 'S') loop
        if r.relkind = 'r' then execute format('lock table %s in access share mode', r.name); end if;
        execute format('select from %s', r.name);
    end loop; end $$";

/// A copy of the database, dumped by `pg_dump` with this URL; `None` if no `pg_dump` here takes the server.
async fn restored(db: &TestDatabase, url: &str) -> Option<TestDatabase> {
    let dump = dump::of(db, url, Format::Plain).await?;
    let copy = empty_database().await.into_superusers().await;
    dump.restore(&copy.admin_url).await;
    Some(copy)
}

#[tokio::test]
async fn the_tables_owner_can_dump_and_what_is_restored_rings() {
    let db = with_messages().await.into_superusers().await;
    let (owner, url) = role(&db, "app").await;
    db.batch_execute(&format!("alter table messages owner to {owner}"))
        .await
        .expect("give it away");
    attached(&db, "'messages', room => 'room_id'").await;
    let theirs = connect(&url).await;
    theirs.batch_execute(READ_ALL).await.expect("read schema rowcast");
    let Some(copy) = restored(&db, &url).await else {
        return;
    };
    assert_eq!(findings(&copy).await, [""; 0]);
    let (_client, mut heard) = listener(&copy).await;
    copy.batch_execute("insert into messages (room_id) values (1)")
        .await
        .expect("insert");
    assert_eq!(bells(&copy, &mut heard).await, ["messages"]);
    assert_eq!(migrate(&copy.app_url).await.expect("all is there"), [""; 0]);
}

#[tokio::test]
async fn a_journal_is_dumped_and_what_is_restored_is_journaled() {
    let db = with_messages().await.into_superusers().await;
    let (owner, url) = role(&db, "app").await;
    run(
        &db,
        &format!("alter table messages owner to {owner}; create table t (id uuid primary key, room text)"),
    )
    .await;
    attached(&db, "'messages', room => 'lower(body)', journal => true").await;
    run(&db, &format!("alter table t owner to {owner}")).await;
    attached(&db, "'t', room => 'room', journal => true").await;
    run(&db, "insert into messages (room_id, body) values (1, 'A')").await;
    let theirs = connect(&url).await;
    theirs.batch_execute(READ_ALL).await.expect("read schema rowcast");
    let Some(copy) = restored(&db, &url).await else {
        return;
    };
    for source in list(&copy).await.expect("list the sources") {
        let source = source.source.expect("it is not broken");
        assert_eq!(check(&copy, &source).await.expect("check"), [""; 0]);
    }
    run(&copy, "insert into messages (room_id, body) values (1, 'B')").await;
    let entries = "select string_agg(concat_ws(' ', id, op, room, key), ', ' order by id) from rowcast.journal_messages";
    assert_eq!(text(&copy, entries).await, r#"1 i a {"id": 1}, 2 i b {"id": 2}"#);
}

#[tokio::test]
async fn a_journal_is_for_those_who_may_read_its_table() {
    let db = with_messages().await.into_superusers().await;
    let (owner, url) = role(&db, "app").await;
    run(
        &db,
        &format!(
            "alter table messages owner to {owner}; create table secret (id uuid primary key, room text)"
        ),
    )
    .await;
    attached(&db, "'secret', room => 'room', journal => true").await;
    attached(&db, "'messages', room => 'body', journal => true").await;
    let theirs = connect(&url).await;
    theirs
        .batch_execute("select from rowcast.journal_messages")
        .await
        .expect("read one's own");
    theirs
        .batch_execute("select from rowcast.journal_secret")
        .await
        .expect_err("it is another's");
}
