//! What a journal's triggers write: every way to insert, update and delete, for each room what happened in it.

use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt as _;

use super::inserts::{FORMS, NOTED};
use super::journal::{ALL, KINDS, THINGS, journal_of, skipped, taken, things};
use super::{attached, text};
use crate::support::{TestDatabase, connect, database, run, within};

/// What a subscriber of all rooms would have at the end: `ROOM ID`, sorted. Made of the journal, then of the table.
const PICTURES: &str = "select
    (select coalesce(string_agg(room || ' ' || (key ->> 'id'), ',' order by room, key ->> 'id'), '') from (
        select distinct on (room, key) op, room, key from rowcast.journal_t order by room, key, id desc) last where op <> 'd'),
    (select coalesce(string_agg(room || ' ' || id, ',' order by room, id::text), '') from t)";

/// The journal tells the table's rows.
async fn tells_all(db: &TestDatabase, form: &str) {
    let row = db.query_one(PICTURES, &[]).await.expect("compare");
    let (journal, table): (String, String) = (row.get(0), row.get(1));
    assert_eq!(journal, table, "{form}");
}

#[tokio::test]
async fn every_form_of_insert_is_written_once_for_each_row() {
    for kind in KINDS {
        let db = journal_of(NOTED, &format!("'t', room => 'room'{kind}")).await;
        for form in FORMS {
            run(&db, form).await;
            let rows = text(&db, "select count(room)::text from t").await;
            let entries = text(&db, "select count(*)::text from rowcast.journal_t").await;
            assert_eq!(rows, entries, "{form}");
            tells_all(&db, form).await;
            run(&db, "delete from t; delete from rowcast.journal_t").await;
        }
        if text(&db, "show server_version_num").await.as_str() >= "150000" {
            let merge = "insert into t (room) values ('many 2'), ('many 3');
                merge into t using source on t.room = source.room when matched and source.room = 'many 3' then delete
                when matched then update set room = 'moved' when not matched then insert (room) values (source.room)";
            run(&db, merge).await;
            tells_all(&db, merge).await;
        }
        let mut copy = pin!(
            db.copy_in::<_, Bytes>("copy t (room) from stdin")
                .await
                .expect("copy")
        );
        within(copy.send(Bytes::from_static(b"a\nb\n")))
            .await
            .expect("send");
        within(copy.finish()).await.expect("finish");
        tells_all(&db, "copy").await;
    }
}

/// The statement, run in a table with rows 1 to 3 in room a, and what the journal has of it.
const CHANGES: [(&str, &[&str]); 20] = [
    ("update t set body = 'new' where id = '1'", &["u a 1"]),
    ("update t set body = body", &[]),
    ("update t set body = 'new'", &["u a 1", "u a 2", "u a 3"]),
    ("update t set room = 'b' where id = '1'", &["d a 1", "i b 1"]),
    (
        "update t set room = 'b', body = 'new' where id = '1'",
        &["d a 1", "i b 1"],
    ),
    ("update t set id = '9' where id = '1'", &["d a 1", "i a 9"]),
    ("update t set room = null where id = '1'", &["d a 1"]),
    (
        "update t set room = null; update t set body = 'new'; update t set room = 'b' where id = '2'",
        &["d a 1", "d a 2", "d a 3", "i b 2"],
    ),
    ("delete from t where id = '2'", &["d a 2"]),
    ("delete from t", &["d a 1", "d a 2", "d a 3"]),
    (
        "with gone as (delete from t where id = '1' returning *) insert into t select id, 'b' from gone where false",
        &["d a 1"],
    ),
    (
        "insert into t values ('1', 'b') on conflict (id) do update set room = excluded.room",
        &["d a 1", "i b 1"],
    ),
    ("insert into t values ('1', 'b') on conflict do nothing", &[]),
    (
        "begin; savepoint s; delete from t; rollback to s; update t set body = 'new' where id = '3'; commit",
        &["u a 3"],
    ),
    ("update everything set body = 'new' where id = '1'", &["u a 1"]),
    ("delete from everything where id = '1'", &["d a 1"]),
    ("delete from parent where id = 1", &["d a 1"]),
    ("update parent set id = 8 where id = 1", &["u a 1"]),
    (
        "delete from t where id = '1'; insert into t values ('1', 'a'); update t set room = 'b' where id = '1'",
        &["d a 1", "i a 1", "d a 1", "i b 1"],
    ),
    (
        "do $$ begin update public.t set body = 'new' where id = '1'; exception when others then null; end $$",
        &["u a 1"],
    ),
];

#[tokio::test]
async fn updates_deletions_and_moves_are_written_as_what_they_are_in_their_rooms() {
    let tables = format!(
        "{THINGS} create view everything as select * from t; create table parent (id int primary key);
         insert into parent values (1); alter table t add parent int references parent on delete cascade on update cascade"
    );
    for kind in KINDS {
        let db = journal_of(&tables, &format!("'t', room => 'room'{kind}")).await;
        for (statement, expected) in CHANGES {
            run(
                &db,
                "insert into parent values (1) on conflict do nothing; insert into t values ('1', 'a', 'x', 1), ('2', 'a', 'x', null), ('3', 'a', 'x', null)",
            )
            .await;
            taken(&db).await;
            run(&db, statement).await;
            assert_eq!(taken(&db).await, expected, "{statement}");
            run(&db, "delete from t").await;
        }
        assert_eq!(skipped(&db).await, "0");
    }
}

#[tokio::test]
async fn what_is_not_wanted_is_left_out_and_a_move_is_a_deletion_and_an_insertion() {
    for kind in KINDS {
        for (changes, expected) in [
            ("insert", &["i a 1", "i b 1"][..]),
            ("update", &["u a 1"]),
            ("delete", &["d a 1", "d b 1"]),
            ("insert,update", &["i a 1", "u a 1", "i b 1"]),
            ("insert,delete", &["i a 1", "d a 1", "i b 1", "d b 1"]),
            ("update,delete", &["u a 1", "d a 1", "d b 1"]),
        ] {
            let db = database().await;
            run(&db, THINGS).await;
            attached(
                &db,
                &format!("'t', room => 'room', changes => '{{{changes}}}', journal => true{kind}"),
            )
            .await;
            run(
                &db,
                "insert into t values ('1', 'a'); update t set body = 'x'; update t set room = 'b'; delete from t",
            )
            .await;
            assert_eq!(taken(&db).await, expected, "{changes}{kind}");
        }
    }
}

#[tokio::test]
async fn an_update_of_columns_that_are_not_sent_is_none() {
    for kind in KINDS {
        let db = journal_of(
            "create table t (id int primary key, room text, doc json, body text, secret text)",
            &format!("'t', room => 'room', columns => '{{doc,body}}'{kind}"),
        )
        .await;
        run(&db, "insert into t values (1, 'a', '{\"a\": 1}', 'x', 's')").await;
        assert_eq!(taken(&db).await, ["i a 1"]);
        for (set, expected) in [
            ("secret = 'other'", &[][..]),
            ("doc = '{\"a\": 1}'", &[]),
            ("doc = '{\"a\":  1}'", &["u a 1"]),
            ("doc = '\"\\u0000\"'", &["u a 1"]),
            ("body = null", &["u a 1"]),
            ("body = null, secret = 'third'", &[]),
            ("room = 'b', secret = 'fourth'", &["d a 1", "i b 1"]),
            ("id = 2", &["d b 1", "i b 2"]),
        ] {
            run(&db, &format!("update t set {set}")).await;
            assert_eq!(taken(&db).await, expected, "{set}");
        }
        assert_eq!(skipped(&db).await, "0");
    }
}

#[tokio::test]
async fn values_that_json_can_not_hold_are_no_trouble() {
    for kind in KINDS {
        let db = journal_of(
            "create table t (id int primary key, room text, doc json)",
            &format!("'t', room => 'room'{kind}"),
        )
        .await;
        run(
            &db,
            "insert into t values (1, 'a', '\"\\u0000\"'); update t set doc = '[\"\\u0000\"]'; delete from t",
        )
        .await;
        assert_eq!(taken(&db).await, ["i a 1", "u a 1", "d a 1"]);
    }
}

#[tokio::test]
async fn no_room_and_a_room_of_over_1024_bytes_go_to_nobody() {
    for kind in KINDS {
        let db = things(kind).await;
        run(
            &db,
            "insert into t values ('1', null), ('2', repeat('é', 512)), ('3', repeat('é', 512) || 'x');
             update t set body = 'new'; update t set room = 'a' where id = '3'; update t set room = repeat('x', 2000) where id = '3';
             update t set body = 'newer' where id = '3'; delete from t",
        )
        .await;
        let of: Vec<String> = taken(&db)
            .await
            .iter()
            .map(|entry| entry.replace(&"é".repeat(512), "é"))
            .collect();
        assert_eq!(of, ["i é 2", "u é 2", "i a 3", "d a 3", "d é 2"]);
    }
}

#[tokio::test]
async fn rows_that_change_partition_or_are_written_to_one_are_seen() {
    let db = journal_of(
        "create table t (id int, room text, part int, body text, primary key (id, part)) partition by list (part);
         create table t1 partition of t for values in (1);
         create table t2 (body text, part int not null, dropped int, room text, id int not null); alter table t2 drop dropped;
         alter table t attach partition t2 for values in (2);
         create table t3 partition of t for values in (3) partition by range (id);
         create table t31 partition of t3 for values from (0) to (100)",
        "'t', room => 'room'",
    )
    .await;
    let key = |id: i32, part: i32| format!(r#"{{"id": {id}, "part": {part}}}"#);
    for (statement, expected) in [
        (
            "insert into t values (1, 'a', 1), (2, 'a', 2), (3, 'a', 3)",
            vec![("i", 1, 1), ("i", 2, 2), ("i", 3, 3)],
        ),
        (
            "insert into t2 (id, part, room) values (4, 2, 'a')",
            vec![("i", 4, 2)],
        ),
        ("insert into t31 values (5, 'a', 3)", vec![("i", 5, 3)]),
        ("update t2 set body = 'x' where id = 2", vec![("u", 2, 2)]),
        (
            "update t set part = 2 where id = 1",
            vec![("d", 1, 1), ("i", 1, 2)],
        ),
        ("delete from t31 where id = 5", vec![("d", 5, 3)]),
        (
            "create table t4 partition of t for values in (4); insert into t4 values (6, 'a', 4)",
            vec![("i", 6, 4)],
        ),
        ("alter table t detach partition t4; delete from t4", vec![]),
    ] {
        run(&db, statement).await;
        let expected: Vec<String> = expected
            .into_iter()
            .map(|(op, id, part)| format!("{op} a {}", key(id, part)))
            .collect();
        let sql = "with gone as (delete from rowcast.journal_t returning *)
                   select op::text || ' ' || room || ' ' || key from gone order by id";
        let rows = db.query(sql, &[]).await.expect("take the journal");
        let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(found, expected, "{statement}");
    }
    let before = db.epoch("t").await;
    run(&db, "truncate t2").await;
    let noted = "select count(*)::text from rowcast.truncations where source = 't'";
    assert_eq!(text(&db, noted).await, "1", "rows vanish without their deletions");
    assert_eq!(db.epoch("t").await, before, "the tail raises it");
    assert_eq!(skipped(&db).await, "0");
}

#[tokio::test]
async fn a_room_expression_follows_its_column_and_fails_on_a_value_without_failing_the_statement() {
    let db = journal_of(
        "create table t (id int primary key, doc jsonb, body text)",
        "'t', room => '(doc ->> ''n'')::int % 10'",
    )
    .await;
    run(
        &db,
        "insert into t values (1, '{\"n\": 42}'), (2, '{\"n\": \"x\"}'), (3, null), (4, '{}');
         update t set body = 'new';
         update t set doc = '{\"n\": 52, \"other\": 1}' where id = 1; update t set doc = '{\"n\": 53}' where id = 1;
         update t set doc = '{\"n\": \"bad\"}' where id = 1; update t set doc = '{\"n\": 7}' where id = 2; delete from t",
    )
    .await;
    assert_eq!(
        taken(&db).await,
        [
            "i 2 1", "u 2 1", "u 2 1", "d 2 1", "i 3 1", "d 3 1", "i 7 2", "d 7 2"
        ]
    );
    assert_eq!(skipped(&db).await, "0");
}

#[tokio::test]
async fn an_update_of_the_rooms_column_that_names_the_same_room_is_none_unless_it_is_sent() {
    for (columns, expected) in [("", &["u a 1"][..]), (", columns => '{body}'", &[])] {
        let db = journal_of(THINGS, &format!("'t', room => 'lower(room)'{columns}")).await;
        run(&db, "insert into t values ('1', 'A')").await;
        taken(&db).await;
        run(&db, "update t set room = 'a'").await;
        assert_eq!(taken(&db).await, expected, "{columns}");
    }
}

/// The expression was read on the path of whoever attached, and is evaluated on none.
#[tokio::test]
async fn a_room_expression_means_the_same_under_every_search_path() {
    let tables = format!(
        "{THINGS} create function shop.room_of(text) returns text immutable language sql as 'select ''app '' || $1';
         set search_path = shop, public;"
    );
    let db = database().await;
    run(
        &db.admin().await,
        "create schema shop authorization app; create schema evil authorization app",
    )
    .await;
    run(&db, &tables).await;
    attached(&db, &format!("'t', room => 'room_of(room) || ''!''', {ALL}")).await;
    run(
        &db.connect().await,
        "create function evil.room_of(text) returns text immutable language sql as 'select ''evil''';
         create function evil.cat(text, text) returns text immutable language sql as 'select ''evil''';
         create operator evil.|| (function = evil.cat, leftarg = text, rightarg = text);
         set search_path = evil, public, pg_catalog; insert into t values ('1', 'a')",
    )
    .await;
    assert_eq!(taken(&db).await, ["i app a! 1"]);
}

#[tokio::test]
async fn keys_and_rooms_have_one_text_whatever_a_sessions_settings() {
    let db = journal_of(
        "create table t (at timestamptz, amount float8, code bytea, room date, primary key (at, amount, code))",
        "'t', room => 'room'",
    )
    .await;
    for settings in [
        "set timezone = 'Asia/Kathmandu'; set datestyle = 'german'; set extra_float_digits = 0; set bytea_output = 'escape'",
        "set timezone = 'America/Lima'; set datestyle = 'sql, dmy'; set extra_float_digits = -10; set bytea_output = 'hex'",
    ] {
        let session = connect(&db.app_url).await;
        run(&session, settings).await;
        run(
            &session,
            "insert into t values ('2026-02-01 00:00:00+00', 0.1::float8 + 0.2, '\\x00ff', date '2026-02-01'); delete from t",
        )
        .await;
    }
    let texts =
        "select string_agg(distinct room || ' ' || key, ' | ') || ' ' || count(*) from rowcast.journal_t";
    assert_eq!(
        text(&db, texts).await,
        r#"2026-02-01 {"at": "2026-02-01T00:00:00+00:00", "code": "\\x00ff", "amount": 0.30000000000000004} 4"#
    );
}

/// PostgreSQL fires in the order of names. What a trigger of the application's own does to the same row comes after.
#[tokio::test]
async fn what_the_applications_own_trigger_does_to_the_row_is_written_after() {
    let db = journal_of(
        &format!(
            "{THINGS} create function undelete() returns trigger language plpgsql as
                $$ begin insert into public.t values (old.id, old.room, 'kept'); return null; end $$;
             create trigger \"000\" after delete on t for each row when (old.body = 'keep') execute function undelete();"
        ),
        "'t', room => 'room'",
    )
    .await;
    run(&db, "insert into t values ('1', 'a', 'keep'); delete from t").await;
    assert_eq!(taken(&db).await, ["i a 1", "d a 1", "i a 1"]);
}

#[tokio::test]
async fn rows_that_take_each_others_keys_end_where_they_belong() {
    for kind in KINDS {
        let db = journal_of(
            "create table t (id int primary key, room text)",
            &format!("'t', room => 'room'{kind}"),
        )
        .await;
        run(
            &db,
            "insert into t values (3, 'c'), (2, 'b'), (1, 'a'); update t set id = id + 1",
        )
        .await;
        tells_all(&db, kind).await;
    }
}
