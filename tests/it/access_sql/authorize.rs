//! The operator's statement: what it is given, what its answers mean, and that nothing but a clear yes admits.

use rowcast::pg::authorize::AuthorizeError;
use rowcast::room::Room;

use super::failures::{failure, sqlstate};
use super::{MEMBERS_ONLY, SEVEN, authorizer, rooms, source, to_database, with_members};
use crate::support::pooler::{Pooler, StartupOptions};
use crate::support::{TestDatabase, attach, database, role, run, within};

#[tokio::test]
async fn a_member_may_read_and_nobody_else() {
    let (db, source) = with_members().await;
    let authorizer = authorizer(&db.admin_url, MEMBERS_ONLY).await;
    within(authorizer.check_statement(&source))
        .await
        .expect("it fits");
    let asked = rooms(&["2", "3", "1", "2"]);
    for (claims, expected) in [
        (SEVEN, [true, false, true, true]),
        (r#"{"sub":"8"}"#, [false, false, true, false]),
        (r#"{"sub":8}"#, [false, false, true, false]),
        (r#"{"sub":null}"#, [false; 4]),
        ("{}", [false; 4]),
        ("[]", [false; 4]),
    ] {
        let may = within(authorizer.may_read(&source, &asked, claims)).await;
        assert_eq!(may.expect(claims), expected, "{claims}");
    }
    let none = within(authorizer.may_read(&source, &[], SEVEN)).await;
    assert_eq!(none.expect("nothing is asked"), [false; 0]);
}

#[tokio::test]
async fn all_rooms_at_once_are_no_room_that_anybody_may_read() {
    let (db, source) = with_members().await;
    let authorizer = authorizer(&db.admin_url, "select $1 is null or $2 is not null").await;
    let asked = [Room::all(), Room::canonical("1")];
    let may = within(authorizer.may_read(&source, &asked, SEVEN)).await;
    assert_eq!(may.expect("an answer"), [false, true]);
}

#[tokio::test]
async fn more_rooms_than_a_subscription_has_keep_their_order() {
    let (db, source) = with_members().await;
    let authorizer = authorizer(&db.admin_url, "select $1 % 3 = 0").await;
    let asked: Vec<Room> = (0..250).map(|n| Room::canonical(&n.to_string())).collect();
    let may = within(authorizer.may_read(&source, &asked, SEVEN)).await;
    let expected: Vec<bool> = (0..250).map(|n| n % 3 == 0).collect();
    assert_eq!(may.expect("an answer"), expected);
}

#[tokio::test]
async fn the_room_comes_in_its_columns_own_type() {
    let db = database().await.into_superusers().await;
    run(&db, "create type kind as enum ('general', 'o''clock')").await;
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    for (name, column, seen_as, room) in [
        ("a", "smallint", "smallint", "-3"),
        ("b", "int", "integer", "2147483647"),
        ("c", "bigint", "bigint", "9223372036854775807"),
        ("d", "uuid", "uuid", uuid),
        ("e", "text", "text", "'; drop table e; -- \\ \"日本\""),
        ("f", "varchar(9)", "character varying", "it's"),
        ("g", "kind", "text", "o'clock"),
    ] {
        let table = format!(
            "create table {name} (id bigint generated always as identity primary key, room {column});
             create table {name}_members (room {column}); insert into {name}_members select $room${room}$room$"
        );
        run(&db, &table).await;
        attach(
            &db,
            &format!("'{name}', room => 'room', journal => {}", name == "g"),
        )
        .await;
        let source = source(&db, name).await;
        let compared = if name == "g" { "room::text" } else { "room" };
        let statement = format!(
            "select pg_typeof($1) = '{seen_as}'::regtype and exists (select from {name}_members where {compared} = $1)"
        );
        let authorizer = authorizer(&db.admin_url, &statement).await;
        within(authorizer.check_statement(&source))
            .await
            .expect(&statement);
        let asked = rooms(&[
            room,
            if seen_as.contains("int") {
                "5"
            } else {
                uuid.trim_end_matches('1')
            },
        ]);
        // What is no value of the type never becomes a room.
        let asked = if column == "uuid" { &asked[..1] } else { &asked };
        let may = within(authorizer.may_read(&source, asked, "{}"))
            .await
            .expect(&statement);
        assert_eq!(may, [true, false][..asked.len()], "{statement}");
    }
}

#[tokio::test]
async fn claims_are_data_whatever_stands_in_them() {
    let (db, source) = with_members().await;
    let authorizer = authorizer(
        &db.admin_url,
        "select $2->>'sub' = convert_from(decode($2->>'hex', 'hex'), 'UTF8')",
    )
    .await;
    for sub in [
        "o'clock",
        "'; drop table members; --",
        "\"\\\n\t$1 $2",
        "日本 👋",
        "$rowcast$",
        "",
    ] {
        let hex: String = sub.bytes().map(|byte| format!("{byte:02x}")).collect();
        let claims = serde_json::json!({ "sub": sub, "hex": hex }).to_string();
        let may = within(authorizer.may_read(&source, &rooms(&["1"]), &claims)).await;
        assert_eq!(may.expect(sub), [true], "{claims}");
    }
    run(&db, "select from members").await;
    let error = within(authorizer.may_read(&source, &rooms(&["1"]), r#"{"sub":"\u0000"}"#)).await;
    assert_eq!(
        sqlstate(&error.expect_err("it is no text of PostgreSQL's")),
        "22P05"
    );
}

#[tokio::test]
async fn null_and_no_row_are_no_and_several_rows_are_an_error() {
    let (db, source) = with_members().await;
    for statement in [
        "select null::boolean",
        "select true where $1 = 2",
        "select room_id = $1 from members where user_id = 99",
    ] {
        let authorizer = authorizer(&db.admin_url, statement).await;
        let may = within(authorizer.may_read(&source, &rooms(&["1"]), SEVEN)).await;
        assert_eq!(may.expect(statement), [false]);
    }
    let error = failure(&db.admin_url, &source, "select true from members").await;
    assert!(matches!(error, AuthorizeError::Rows { found: 3 }), "{error:?}");
}

#[tokio::test]
async fn what_a_statement_sets_ends_with_it() {
    let (db, source) = with_members().await;
    let statement = "select coalesce(current_setting('app.who', true), '') = ''
                     and set_config('app.who', $2->>'sub', false) is not null";
    let authorizer = authorizer(&db.admin_url, statement).await;
    for sub in ["1", "2", "3"] {
        let claims = format!(r#"{{"sub":"{sub}"}}"#);
        let may = within(authorizer.may_read(&source, &rooms(&["1"]), &claims)).await;
        assert_eq!(may.expect(sub), [true], "{sub}");
    }
}

#[tokio::test]
async fn it_runs_with_the_settings_of_the_role() {
    let (db, source) = with_members().await;
    run(
        &db,
        &format!(
            "create schema app; create table app.members (room_id int, user_id int);
             insert into app.members values (5, 7);
             alter database {} set search_path = app;
             alter database {0} set default_transaction_isolation = 'serializable';
             alter database {0} set default_transaction_deferrable = on",
            db.name
        ),
    )
    .await;
    let authorizer = authorizer(&db.admin_url, MEMBERS_ONLY).await;
    let may = within(authorizer.may_read(&source, &rooms(&["1", "5"]), SEVEN)).await;
    assert_eq!(may.expect("an answer"), [false, true]);
}

/// One line about a statement that does not fit the source `messages`.
async fn misfit(db: &TestDatabase, statement: &str) -> String {
    let source = source(db, "messages").await;
    let error = within(
        authorizer(&db.admin_url, statement)
            .await
            .check_statement(&source),
    )
    .await;
    let error = error.expect_err(statement);
    assert!(error.is_misfit(), "{error:?}");
    let said = error.to_string();
    assert!(
        said.starts_with("--authorize-sql (ROWCAST_AUTHORIZE_SQL) ") && !said.contains('\n'),
        "{said}"
    );
    said
}

#[tokio::test]
async fn a_statement_that_does_not_fit_is_told_with_the_flag_and_why() {
    let (db, _) = with_members().await;
    for (statement, words) in [
        ("selec true", "syntax error at or near \"selec\""),
        ("", "no column"),
        ("select true; select true", "cannot insert multiple commands"),
        (
            "select exists (select from nowhere)",
            "relation \"nowhere\" does not exist",
        ),
        ("select $1 = 'lobby'", "invalid input syntax for type integer"),
        (
            "select $1 = $2->>'room'",
            "for source messages, whose rooms are of type integer: ",
        ),
        ("select $1 = $3", "has 3 parameters"),
        (
            "select 1",
            "gives a column of type int4 instead of one boolean column",
        ),
        ("select true, true", "gives 2 columns (bool, bool) instead of"),
        ("select from members", "gives no column instead of"),
        ("drop table members", "gives no column instead of"),
    ] {
        let said = misfit(&db, statement).await;
        assert!(said.contains(words), "{words:?} is not in {said:?}");
    }
    run(&db, "select from members").await;
}

#[tokio::test]
async fn a_privilege_that_is_missing_is_found_before_anybody_asks() {
    let (db, source) = with_members().await;
    let (name, url) = role(&db, "relay").await;
    let authorizer = authorizer(&url, MEMBERS_ONLY).await;
    let error = within(authorizer.check_statement(&source))
        .await
        .expect_err("it may not");
    assert!(
        error.to_string().contains("permission denied for table members"),
        "{error}"
    );
    run(&db, &format!("grant select on members to {name}")).await;
    within(authorizer.check_statement(&source))
        .await
        .expect("it may now");
    let may = within(authorizer.may_read(&source, &rooms(&["1"]), SEVEN)).await;
    assert_eq!(may.expect("an answer"), [true]);
}

#[tokio::test]
async fn an_absent_database_is_no_misfit_and_admits_nobody() {
    let (_db, source) = with_members().await;
    let nobody = rowcast::pg::Database::unconnected("postgres://me@127.0.0.1:1/nowhere").expect("a URL");
    let authorizer = rowcast::pg::authorize::Authorizer::new(nobody, MEMBERS_ONLY.to_owned());
    let asked = within(authorizer.may_read(&source, &rooms(&["1"]), SEVEN)).await;
    assert!(!asked.expect_err("nobody is there").is_misfit());
    let checked = within(authorizer.check_statement(&source)).await;
    assert!(!checked.expect_err("nobody is there").is_misfit());
}

#[tokio::test]
async fn rooms_are_authorised_behind_a_pooler() {
    let (db, source) = with_members().await;
    for options in [StartupOptions::Refused, StartupOptions::Ignored] {
        let pooler = Pooler::start(options).await;
        let url = pooler.url(&db.name);
        assert!(!to_database(&url).await.is_pinned());
        // Two relays take turns on the pooler's two connections.
        let (here, there) = (
            authorizer(&url, MEMBERS_ONLY).await,
            authorizer(&url, MEMBERS_ONLY).await,
        );
        for round in 0..4 {
            for relay in [&here, &there] {
                within(relay.check_statement(&source)).await.expect("it fits");
                let claims = format!(r#"{{"sub":7,"round":{round}}}"#);
                let may = within(relay.may_read(&source, &rooms(&["3", "2", "1"]), &claims)).await;
                assert_eq!(may.expect("an answer"), [false, true, true]);
            }
        }
        within(authorizer(&url, "select nowhere").await.check_statement(&source))
            .await
            .expect_err("it does not fit");
        failure(&url, &source, "insert into members values (1, 9) returning true").await;
        let may = within(here.may_read(&source, &rooms(&["1"]), r#"{"sub":"9"}"#)).await;
        assert_eq!(may.expect("an answer"), [false]);
    }
}
