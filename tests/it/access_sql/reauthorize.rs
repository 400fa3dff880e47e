//! `rowcast.reauthorize`: heard when it is committed, of no harm to who calls it.

use rowcast::pg::Database;
use rowcast::pg::bell::Bell;
use rowcast::pg::reauthorize::{Reauthorizations, Reauthorize, RoomHash};
use rowcast::room::Room;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{to_database, with_members};
use crate::support::{TestDatabase, connect, database, role, run, server, within};

/// As README has it.
const TRIGGER: &str = "
create function members_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op <> 'INSERT' then perform rowcast.reauthorize(old.room_id::text, 'messages'); end if;
    if tg_op <> 'DELETE' then perform rowcast.reauthorize(new.room_id::text, 'messages'); end if;
    return null;
end $$;
create trigger members_changed after insert or update or delete on members
    for each row execute function members_changed();";

/// What is heard from now on; the bell ends with the test's runtime.
async fn listening(url: &str) -> Reauthorizations {
    let bell = bell(url).await;
    let mut heard = bell.reauthorizations();
    assert_eq!(within(heard.next()).await, Reauthorize::ALL, "LISTEN is proven");
    heard
}

async fn bell(url: &str) -> Bell {
    let listen = Database::unconnected(url).expect("a URL");
    let (bell, task) = Bell::new(listen, to_database(url).await, CancellationToken::new());
    TaskTracker::new().spawn(task);
    bell
}

fn call(room: Option<&str>, source: Option<&str>) -> Reauthorize {
    Reauthorize {
        source: source.map(str::to_owned),
        room: room.map(|name| RoomHash::of(&Room::canonical(name))),
    }
}

/// What was heard up to now: notifications come in the order of commits, so one of our own marks the end.
async fn heard_by_now(client: &Client, heard: &mut Reauthorizations) -> Vec<Reauthorize> {
    run(client, "select rowcast.reauthorize('end', 'marker')").await;
    let end = call(Some("end"), Some("marker"));
    let mut all = Vec::new();
    loop {
        match within(heard.next()).await {
            heard if heard == end => return all,
            heard => all.push(heard),
        }
    }
}

#[tokio::test]
async fn a_call_names_rooms_and_sources_or_all_of_them() {
    let db = database().await.into_superusers().await;
    let mut heard = listening(&db.admin_url).await;
    for (arguments, expected) in [
        ("'7'", call(Some("7"), None)),
        ("'日本 ''x'''", call(Some("日本 'x'"), None)),
        ("''", call(Some(""), None)),
        ("room => '*'", call(Some("*"), None)),
        ("'7', 'messages'", call(Some("7"), Some("messages"))),
        ("source => 'messages'", call(None, Some("messages"))),
        ("", Reauthorize::ALL),
        ("null, null", Reauthorize::ALL),
        // No source has such a name: rather all than none.
        ("'7', 'No such: one'", call(Some("7"), None)),
        (
            "repeat('x', 9000), repeat('y', 9000)",
            call(Some(&"x".repeat(9000)), None),
        ),
    ] {
        run(&db, &format!("select rowcast.reauthorize({arguments})")).await;
        assert_eq!(heard_by_now(&db, &mut heard).await, [expected], "{arguments}");
    }
}

#[tokio::test]
async fn what_any_role_can_notify_is_no_call() {
    let db = database().await.into_superusers().await;
    let mut heard = listening(&db.admin_url).await;
    run(
        &db,
        "notify rowcast, 'reauthorize:'; notify rowcast, 'reauthorize:7:x'; notify rowcast, 'reauthorize'",
    )
    .await;
    assert_eq!(heard_by_now(&db, &mut heard).await, []);
}

#[tokio::test]
async fn the_room_does_not_travel() {
    let db = database().await.into_superusers().await;
    let sql = "select rowcast.reauthorize('secret-room', 'messages')";
    let mut payloads = payloads(&db).await;
    run(&db, sql).await;
    let payload = within(payloads.recv()).await.expect("the listener lives");
    assert!(
        payload.starts_with("reauthorize:") && !payload.contains("secret"),
        "{payload}"
    );
}

/// What an ordinary listener hears.
async fn payloads(db: &TestDatabase) -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (client, mut connection) = within(tokio_postgres::connect(&db.admin_url, tokio_postgres::NoTls))
        .await
        .expect("connect");
    let (sender, heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let tokio_postgres::AsyncMessage::Notification(bell) = message {
                let _ = sender.send(bell.payload().to_owned());
            }
        }
    });
    run(&client, "listen rowcast").await;
    // A session ends with its client.
    tokio::spawn(async move {
        let _client = client;
        std::future::pending::<()>().await;
    });
    heard
}

/// The trigger's owner may use schema `rowcast`, whoever writes the table may not.
#[tokio::test]
async fn a_members_table_calls_it_for_whoever_writes_it() {
    let (db, _) = with_members().await;
    let (owner, owners_url) = role(&db, "app").await;
    let (writer, writers_url) = role(&db, "writer").await;
    run(
        &db,
        &format!(
            "grant create on schema public to {owner}; alter table members owner to {owner};
             grant usage on schema rowcast to {owner};
             grant select, insert, update, delete on members to {writer}"
        ),
    )
    .await;
    run(&connect(&owners_url).await, TRIGGER).await;
    let mut heard = listening(&db.admin_url).await;
    let writer = connect(&writers_url).await;
    let direct = writer.batch_execute("select rowcast.reauthorize('1')").await;
    direct.expect_err("the writer may not use the schema");

    let in_messages = |room| call(Some(room), Some("messages"));
    run(
        &writer,
        "begin; delete from members where room_id = 1 and user_id = 7",
    )
    .await;
    assert_eq!(heard_by_now(&db, &mut heard).await, [], "it is not committed");
    run(&writer, "rollback").await;
    assert_eq!(heard_by_now(&db, &mut heard).await, [], "it never was");
    run(&writer, "delete from members where room_id = 1").await;
    assert_eq!(
        heard_by_now(&db, &mut heard).await,
        [in_messages("1")],
        "two rows, one notification"
    );
    run(&writer, "update members set room_id = 3 where room_id = 2").await;
    assert_eq!(
        heard_by_now(&db, &mut heard).await,
        [in_messages("2"), in_messages("3")]
    );
    run(&writer, "insert into members values (4, 7)").await;
    assert_eq!(heard_by_now(&db, &mut heard).await, [in_messages("4")]);
}

#[tokio::test]
async fn nothing_of_the_callers_session_decides_what_it_does() {
    let db = database().await.into_superusers().await;
    let mut heard = listening(&db.admin_url).await;
    run(
        &db,
        "create schema evil;
         create function evil.concat(variadic text[]) returns text language sql as $$ select 'evil' $$;
         create function evil.pg_notify(text, text) returns void language sql as $$ select $$;
         create function evil.less(float8, float8) returns boolean language sql as $$ select false $$;
         create operator evil.< (leftarg = float8, rightarg = float8, function = evil.less);
         set search_path = evil, pg_catalog",
    )
    .await;
    run(
        &db,
        "begin isolation level serializable, read only; select rowcast.reauthorize('7'); commit",
    )
    .await;
    assert_eq!(heard_by_now(&db, &mut heard).await, [call(Some("7"), None)]);
    let xid = "begin; select rowcast.reauthorize('7')";
    run(&db, xid).await;
    let drawn = db
        .query_one("select pg_current_xact_id_if_assigned() is null", &[])
        .await;
    assert!(
        drawn.expect("ask").get::<_, bool>(0),
        "it consumes no transaction id"
    );
    run(&db, "rollback").await;
}

#[tokio::test]
async fn databases_of_other_encodings_hash_the_same_room() {
    let admin = connect(&server().url("postgres")).await;
    for (name, encoding, room, expected) in [
        ("encoded_win1252", "WIN1252", "chr(233)", call(Some("é"), None)),
        // Not to be read as UTF-8: every room.
        ("encoded_ascii", "SQL_ASCII", "chr(255)", Reauthorize::ALL),
    ] {
        run(&admin, &format!("drop database if exists {name}")).await;
        run(
            &admin,
            &format!(
                "create database {name} template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"
            ),
        )
        .await;
        let url = server().url(name);
        rowcast::pg::migrate::migrate(&url).await.expect("migrate");
        let mut heard = listening(&url).await;
        let client = connect(&url).await;
        run(&client, &format!("select rowcast.reauthorize({room})")).await;
        assert_eq!(heard_by_now(&client, &mut heard).await, [expected], "{encoding}");
    }
}

#[tokio::test]
async fn after_a_lost_connection_everything_is_asked_again() {
    let db = database().await.into_superusers().await;
    let bell = bell(&db.admin_url).await;
    let mut heard = bell.reauthorizations();
    assert_eq!(within(heard.next()).await, Reauthorize::ALL);
    let listener = "select pg_terminate_backend(pid) from pg_stat_activity
                    where application_name = 'rowcast listen' and datname = current_database()";
    run(&db, listener).await;
    assert_eq!(within(heard.next()).await, Reauthorize::ALL);
    run(&db, "select rowcast.reauthorize('7')").await;
    assert_eq!(within(heard.next()).await, call(Some("7"), None));
}
