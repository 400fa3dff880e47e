//! Attaching tables: what is made, what is refused, and that the application does not notice.

mod inserts;
mod locks;
mod refusals;
mod schema;

use rowcast::pg::admin::in_words;
use rowcast::pg::source::{Listed, Source, check, list};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};
use url::Url;

use crate::support::{TestDatabase, database, within};

/// An ordinary table to attach.
const MESSAGES: &str =
    "create table messages (id bigint generated always as identity primary key, room_id int, body text);
     create index on messages (room_id, id);";

/// A database with a table `messages`, not attached.
async fn with_messages() -> TestDatabase {
    let db = database().await;
    db.batch_execute(MESSAGES).await.expect("make the table");
    db
}

/// `select rowcast.attach(ARGUMENTS)`: the source's name. It rings unless the arguments say otherwise, although the tests'
/// server allows prepared transactions.
async fn attach(client: &Client, arguments: &str) -> Result<String, tokio_postgres::Error> {
    let ring = if arguments.contains("never_ring") {
        ""
    } else {
        ", never_ring => false"
    };
    let row = client
        .query_one(&format!("select rowcast.attach({arguments}{ring})"), &[])
        .await?;
    Ok(row.get(0))
}

async fn attached(client: &Client, arguments: &str) -> String {
    match attach(client, arguments).await {
        Ok(name) => name,
        Err(error) => panic!("attach({arguments}): {}", in_words(&error)),
    }
}

/// The only source, which is not broken.
async fn source(client: &Client) -> Source {
    let mut all = listed(client).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0).source.expect("the source is not broken")
}

async fn listed(client: &Client) -> Vec<Listed> {
    list(client).await.expect("list the sources")
}

async fn findings(client: &Client) -> Vec<String> {
    check(client, &source(client).await)
        .await
        .expect("check the source")
}

/// The names of a table's triggers, sorted.
async fn triggers(client: &Client, table: &str) -> Vec<String> {
    let sql =
        "select tgname::text from pg_trigger where tgrelid = to_regclass($1) and not tgisinternal order by 1";
    let rows = client.query(sql, &[&table]).await.expect("ask for triggers");
    rows.iter().map(|row| row.get(0)).collect()
}

async fn text(client: &Client, sql: &str) -> String {
    client
        .query_one(sql, &[])
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
        .get(0)
}

/// A role that may log in, of this database's own, and a URL for it.
async fn role(db: &TestDatabase, purpose: &str) -> (String, String) {
    let name = format!("{}_{purpose}", db.name);
    db.batch_execute(&format!(
        "drop role if exists {name}; create role {name} login password 'secret'"
    ))
    .await
    .expect("make a role");
    let mut url = Url::parse(&db.url).expect("the server's URL");
    url.set_username(&name).expect("a URL with a user");
    url.set_password(Some("secret")).expect("a URL with a password");
    (name, url.into())
}

/// A session that listens, and the payloads it hears.
async fn listener(db: &TestDatabase) -> (Client, mpsc::UnboundedReceiver<String>) {
    let (client, mut connection) = within(tokio_postgres::connect(&db.url, NoTls))
        .await
        .expect("connect");
    let (sender, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(bell) = message {
                let _ = sender.send(bell.payload().to_owned());
            }
        }
    });
    client.batch_execute("listen rowcast").await.expect("listen");
    (client, heard)
}

/// What was heard up to now: notifications come in the order of commits, so one of our own marks the end.
async fn bells(db: &TestDatabase, heard: &mut mpsc::UnboundedReceiver<String>) -> Vec<String> {
    db.batch_execute("select pg_notify('rowcast', 'probe:end')")
        .await
        .expect("notify");
    let mut all = Vec::new();
    loop {
        match within(heard.recv()).await.expect("the listener lives").as_str() {
            "probe:end" => return all,
            bell => all.push(bell.to_owned()),
        }
    }
}

#[tokio::test]
async fn attach_registers_the_table_and_makes_three_triggers() {
    let db = with_messages().await;
    assert_eq!(
        attached(&db, "'public.messages', room => 'room_id'").await,
        "messages"
    );
    let source = source(&db).await;
    assert_eq!(source.relation, "public.messages");
    assert_eq!(
        (source.id_column.as_str(), source.room_column.as_str()),
        ("id", "room_id")
    );
    assert_eq!(source.columns, ["id", "room_id", "body"]);
    assert_eq!(source.payload_columns, None);
    assert!((1..1 << 47).contains(&source.epoch), "{}", source.epoch);
    assert_eq!(
        triggers(&db, "messages").await,
        [
            "rowcast_bell_messages",
            "rowcast_truncate_messages",
            "rowcast_xid_messages"
        ]
    );
    assert_eq!(findings(&db).await, [""; 0]);
}

#[tokio::test]
async fn the_start_is_the_sequences_last_value() {
    let db = with_messages().await;
    db.batch_execute(
        "insert into messages (room_id) select 1 from generate_series(1, 7); delete from messages",
    )
    .await
    .expect("insert");
    attached(&db, "'messages', room => 'room_id'").await;
    assert_eq!(source(&db).await.start_id, 7);
}

#[tokio::test]
async fn the_same_attach_again_changes_nothing_and_locks_nothing() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let before = source(&db).await;
    let mut writer = db.connect().await;
    let insert = writer.transaction().await.expect("begin");
    insert
        .batch_execute("insert into messages (room_id) values (1)")
        .await
        .expect("insert");
    attached(&db, "'public.messages', room => 'room_id', id => 'id'").await;
    assert_eq!(source(&db).await, before);
}

#[tokio::test]
async fn other_columns_change_the_source_in_its_place() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let before = source(&db).await;
    attached(&db, "'messages', room => 'room_id', columns => '{body,id}'").await;
    let after = source(&db).await;
    assert_eq!(after.columns, ["body", "id"]);
    assert_eq!(
        after.payload_columns,
        Some(vec!["body".to_owned(), "id".to_owned()])
    );
    assert_eq!((after.epoch, after.ordinal), (before.epoch, before.ordinal));
}

#[tokio::test]
async fn another_room_column_begins_a_new_epoch() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let before = source(&db).await;
    db.batch_execute("insert into messages (room_id) values (1)")
        .await
        .expect("insert");
    attached(&db, "'messages', room => 'body'").await;
    let after = source(&db).await;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!((after.start_id, after.ordinal), (1, before.ordinal));
}

#[tokio::test]
async fn a_lost_or_disabled_trigger_is_reported_and_made_again() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    db.batch_execute(
        "drop trigger rowcast_xid_messages on messages; alter table messages disable trigger rowcast_bell_messages",
    )
    .await
    .expect("damage");
    let found = findings(&db).await;
    assert_eq!(found.len(), 2, "{found:?}");
    let epoch = source(&db).await.epoch;
    attached(&db, "'messages', room => 'room_id'").await;
    assert_eq!(findings(&db).await, [""; 0]);
    assert_eq!(source(&db).await.epoch, epoch);
}

#[tokio::test]
async fn names_with_quotes_and_capitals_in_other_schemas_are_attached() {
    let db = database().await;
    db.batch_execute(
        r#"create schema "Odd ""One";
           create table "Odd ""One"."My 'Table" ("The ""Id" serial primary key, "Room Nr" uuid, "a.b" text);"#,
    )
    .await
    .expect("make the table");
    let name = attached(
        &db,
        r#"'"Odd ""One"."My ''Table"', room => 'Room Nr', source => 'odd', columns => array['a.b', 'The "Id']"#,
    )
    .await;
    assert_eq!(name, "odd");
    let source = source(&db).await;
    assert_eq!(source.relation, r#""Odd ""One"."My 'Table""#);
    assert_eq!(source.id_column, r#""The ""Id""#);
    assert_eq!(source.room_column, r#""Room Nr""#);
    assert_eq!(
        source.payload_columns,
        Some(vec![r#""a.b""#.to_owned(), r#""The ""Id""#.to_owned()])
    );
    let insert = r#"insert into "Odd ""One"."My 'Table" ("a.b") values ('x')"#;
    db.batch_execute(insert).await.expect("insert");
    db.batch_execute("select rowcast.detach('odd')")
        .await
        .expect("detach");
    assert_eq!(triggers(&db, r#""Odd ""One"."My 'Table""#).await, [""; 0]);
}

#[tokio::test]
async fn every_type_of_id_and_room_is_attached() {
    let db = database().await;
    for id in [
        "smallserial",
        "serial",
        "bigserial",
        "smallint generated always as identity",
        "int generated by default as identity",
    ] {
        for room in [
            "text",
            "varchar",
            "varchar(20)",
            "uuid",
            "smallint",
            "int",
            "bigint",
            "text collate \"C\"",
        ] {
            db.batch_execute(&format!("create table t (id {id} primary key, room {room})"))
                .await
                .expect("make");
            attached(&db, "'t', room => 'room'").await;
            source(&db).await;
            db.batch_execute("insert into t default values; select rowcast.detach('t'); drop table t")
                .await
                .unwrap_or_else(|error| panic!("{id} {room}: {error:?}"));
        }
    }
}

#[tokio::test]
async fn every_partition_gets_the_triggers_and_a_new_one_at_the_next_attach() {
    let db = database().await;
    db.batch_execute(
        "create table t (id bigserial, at int, room text, primary key (id, at)) partition by range (at);
         create table t1 partition of t for values from (1) to (2);
         create table t2 partition of t for values from (2) to (4) partition by range (at);
         create table t2a partition of t2 for values from (2) to (3);",
    )
    .await
    .expect("make the tables");
    attached(&db, "'t', room => 'room', id => 'id'").await;
    for table in ["t1", "t2", "t2a"] {
        assert_eq!(
            triggers(&db, table).await,
            ["rowcast_bell_t", "rowcast_xid_t"],
            "{table}"
        );
    }
    db.batch_execute("create table t2b partition of t2 for values from (3) to (4)")
        .await
        .expect("make");
    assert!(
        findings(&db)
            .await
            .iter()
            .all(|f| f.contains("t2b") && f.contains("missing")),
        "t2b alone lacks them"
    );
    attached(&db, "'t', room => 'room', id => 'id'").await;
    assert_eq!(findings(&db).await, [""; 0]);

    let (_client, mut heard) = listener(&db).await;
    for table in ["t", "t1", "t2", "t2a", "t2b"] {
        let at = if table == "t1" {
            1
        } else if table == "t2b" {
            3
        } else {
            2
        };
        db.batch_execute(&format!("insert into {table} (at, room) values ({at}, 'r')"))
            .await
            .expect("insert");
        assert_eq!(bells(&db, &mut heard).await, ["t"], "{table}");
    }
    db.batch_execute("alter table t detach partition t1; select rowcast.detach('t')")
        .await
        .expect("detach");
    assert_eq!(triggers(&db, "t1").await, [""; 0]);
}

#[tokio::test]
async fn truncate_begins_a_new_epoch_whoever_truncates() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let (stranger, url) = role(&db, "stranger").await;
    db.batch_execute(&format!(
        "grant truncate on messages to {stranger}; insert into messages (room_id) values (1), (2)"
    ))
    .await
    .expect("grant");
    let before = source(&db).await;
    let (_client, mut heard) = listener(&db).await;
    let theirs = crate::support::connect(&url).await;
    theirs.batch_execute("truncate messages").await.expect("truncate");
    let after = source(&db).await;
    assert_eq!((after.epoch, after.start_id), (before.epoch + 1, 2));
    assert_eq!(bells(&db, &mut heard).await, ["messages"]);
    db.batch_execute("truncate messages restart identity")
        .await
        .expect("truncate");
    let last = source(&db).await;
    assert_eq!((last.epoch, last.start_id), (before.epoch + 2, 0));
    assert_ne!(last.sequence_filenode, after.sequence_filenode);
}

#[tokio::test]
async fn a_strangers_trigger_can_not_raise_the_epoch() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let before = source(&db).await;
    db.batch_execute(
        "create table theirs (x int);
         create trigger t after truncate on theirs for each statement execute function rowcast.truncated('messages');
         truncate theirs; drop table theirs",
    )
    .await
    .expect("truncate");
    assert_eq!(source(&db).await, before);
}

#[tokio::test]
async fn detach_works_when_the_table_or_the_triggers_are_gone() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    db.batch_execute("drop trigger rowcast_bell_messages on messages; select rowcast.detach('messages')")
        .await
        .expect("detach");
    attached(&db, "'messages', room => 'room_id'").await;
    db.batch_execute("drop table messages").await.expect("drop");
    let broken = listed(&db).await.remove(0).source.expect_err("its table is gone");
    assert_eq!(broken.0, "its table is gone");
    db.batch_execute("select rowcast.detach('messages')")
        .await
        .expect("detach");
    assert!(listed(&db).await.is_empty());
    assert_eq!(
        text(
            &db,
            "select count(*)::text from pg_class where relname = 'bell_messages'"
        )
        .await,
        "0"
    );
}

#[tokio::test]
async fn a_table_made_anew_is_attached_in_the_place_of_the_old_one() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let before = source(&db).await;
    db.batch_execute(&format!("drop table messages; {MESSAGES}"))
        .await
        .expect("make anew");
    attached(&db, "'messages', room => 'room_id'").await;
    let after = source(&db).await;
    assert_ne!(
        (after.epoch, after.relation_oid),
        (before.epoch, before.relation_oid)
    );
    assert_eq!(findings(&db).await, [""; 0]);
}

#[tokio::test]
async fn what_broke_a_source_is_said_in_words() {
    let db = with_messages().await;
    for (damage, words) in [
        (
            "alter table messages rename room_id to room",
            "its room column room_id is gone",
        ),
        ("alter table messages rename id to nr", "its id column id is gone"),
        ("alter table messages drop column body", "columns are gone: body"),
        (
            "alter table messages alter room_id type numeric",
            "its room column is of type numeric now",
        ),
        (
            "alter table messages alter id drop identity",
            "its ids are drawn from another sequence now, or from none",
        ),
    ] {
        attached(&db, "'messages', room => 'room_id', columns => '{id,body}'").await;
        db.batch_execute(damage).await.expect("damage");
        let broken = listed(&db).await.remove(0).source.expect_err(damage);
        assert_eq!(broken.0, words);
        db.batch_execute(&format!(
            "select rowcast.detach('messages'); drop table messages; {MESSAGES}"
        ))
        .await
        .expect("mend");
    }
}

#[tokio::test]
async fn a_sequence_altered_later_is_reported() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    db.batch_execute("alter sequence messages_id_seq cache 10")
        .await
        .expect("alter");
    let found = findings(&db).await;
    assert!(
        found.len() == 1 && found[0].contains("in blocks (cache 10)"),
        "{found:?}"
    );
}
