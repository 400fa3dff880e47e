//! A source with a journal that is attached in another way, or detached.

use super::journal::{ALL, THINGS, remains, taken, things};
use super::{attached, findings, role, source, text, triggers};
use crate::support::{connect, database, run};

#[tokio::test]
async fn options_change_in_place_and_all_else_begins_anew() {
    let db = things("").await;
    run(&db, "insert into t values ('1', 'a', 'x')").await;
    let mut before = source(&db).await;
    for (arguments, anew) in [
        ("columns => '{id,body}'", false),
        ("columns => '{id,body}', keep => '12h'", false),
        (
            "columns => '{id,body}', keep => '100 rows', always => true",
            false,
        ),
        ("columns => '{id,body}', per_statement => true", false),
        ("columns => '{id,body}'", false),
        ("changes => '{insert,delete}'", true),
        ("changes => '{insert}', journal => true", true),
        (
            "changes => '{insert}', journal => true, room => 'lower(room)'",
            true,
        ),
        ("changes => '{insert}', journal => true, room => 'body'", true),
    ] {
        let room = if arguments.contains("room =>") {
            ""
        } else {
            ", room => 'room'"
        };
        let changes = if arguments.contains("changes") {
            String::new()
        } else {
            format!(", {ALL}")
        };
        attached(&db, &format!("'t'{room}{changes}, {arguments}")).await;
        let after = source(&db).await;
        assert_eq!(after.epoch != before.epoch, anew, "{arguments}");
        assert!(after.revision > before.revision, "{arguments}");
        assert_eq!(findings(&db).await, [""; 0], "{arguments}");
        let count = text(&db, "select count(*)::text from rowcast.journal_t").await;
        assert_eq!(count, if anew { "0" } else { "1" }, "{arguments}");
        assert_eq!(remains(&db).await, "bell_t ids_t journal_t journal_t() skips_t");
        run(
            &db,
            "delete from rowcast.journal_t; insert into t values (gen_random_uuid(), 'a', 'b')",
        )
        .await;
        before = after;
    }
}

#[tokio::test]
async fn detach_leaves_nothing_and_the_table_works() {
    let db = things("").await;
    run(&db, "insert into t values ('1', 'a'); select rowcast.detach('t')").await;
    run(&db, "insert into t values ('2', 'a'); truncate t").await;
    assert_eq!(
        (remains(&db).await, triggers(&db, "t").await),
        (String::new(), vec![])
    );
}

/// As a dump does, which reads for hours.
#[tokio::test]
async fn a_journal_that_is_being_read_is_left_to_the_next_call_and_not_used_again() {
    let db = things("").await;
    run(&db, "insert into t values ('1', 'a')").await;
    let dump = db.connect().await;
    run(&dump, "begin; select from rowcast.journal_t").await;
    run(&db, "select rowcast.detach('t')").await;
    assert_eq!(remains(&db).await, "ids_t journal_t");
    attached(&db, &format!("'t', room => 'room', {ALL}")).await;
    run(&db, "insert into t values ('2', 'b')").await;
    assert_eq!(
        text(&db, r#"select string_agg(room, ' ') from rowcast."journal_t.2""#).await,
        "b"
    );
    assert_eq!(findings(&db).await, [""; 0]);
    run(&dump, "commit").await;
    attached(&db, &format!("'t', room => 'body', {ALL}")).await;
    assert_eq!(remains(&db).await, "bell_t ids_t journal_t journal_t() skips_t");
}

#[tokio::test]
async fn a_source_whose_table_is_gone_is_detached_with_its_journal() {
    let db = things("").await;
    run(&db, "drop table t; select rowcast.detach('t')").await;
    assert_eq!(remains(&db).await, "");
}

#[tokio::test]
async fn the_tables_owner_detaches_what_another_attached_and_the_journal_goes() {
    let db = database().await.into_superusers().await;
    let (owner, url) = role(&db, "owner").await;
    run(
        &db,
        &format!(
            "{THINGS} alter table t owner to {owner}; grant select, delete on rowcast.sources to {owner}"
        ),
    )
    .await;
    attached(&db, &format!("'t', room => 'room', {ALL}")).await;
    let theirs = connect(&url).await;
    run(
        &theirs,
        "select from rowcast.journal_t; select rowcast.detach('t')",
    )
    .await;
    assert_eq!(remains(&db).await, "");
}

#[tokio::test]
async fn a_journal_is_changed_in_place_by_its_owner_alone() {
    let db = database().await.into_superusers().await;
    let (owner, url) = role(&db, "owner").await;
    run(
        &db,
        &format!(
            "{THINGS} alter table t owner to {owner}; grant usage, create on schema rowcast to {owner};
             grant select, insert, update, delete on rowcast.sources, rowcast.positions to {owner}"
        ),
    )
    .await;
    attached(&db, &format!("'t', room => 'room', {ALL}")).await;
    let theirs = connect(&url).await;
    let arguments = format!("'t', room => 'room', {ALL}, columns => '{{id}}'");
    super::refusals::refused_in(
        &theirs,
        &arguments,
        "42501",
        &["journal of source t", "role postgres"],
    )
    .await;
    attached(&theirs, &format!("'t', room => 'room', {ALL}")).await;
    attached(&theirs, &format!("'t', room => 'body', {ALL}")).await;
    attached(
        &theirs,
        &format!("'t', room => 'body', {ALL}, columns => '{{id}}'"),
    )
    .await;
    run(&db, "insert into t values ('1', 'a', 'b')").await;
    assert_eq!(taken(&db).await, ["i b 1"]);
    assert_eq!(findings(&db).await, [""; 0]);
}

#[tokio::test]
async fn uninstall_removes_journals() {
    let db = things("").await;
    run(&db, "create table other (id uuid primary key, room text)").await;
    attached(&db, &format!("'other', room => 'room', {ALL}")).await;
    run(&db, "select rowcast.uninstall(); insert into t values ('1', 'a')").await;
    assert_eq!(
        (triggers(&db, "t").await, triggers(&db, "other").await),
        (vec![], vec![])
    );
}

#[tokio::test]
async fn direct_and_journal_and_back_leave_the_triggers_of_the_kind_alone() {
    let db = database().await;
    run(
        &db,
        "create table t (id bigserial primary key, room text); insert into t (room) values ('a'), ('a')",
    )
    .await;
    for _ in 0..2 {
        attached(&db, "'t', room => 'room'").await;
        assert_eq!(
            (triggers(&db, "t").await, remains(&db).await),
            (
                ["rowcast_bell_t", "rowcast_truncate_t", "rowcast_xid_t"]
                    .map(str::to_owned)
                    .to_vec(),
                "bell_t".to_owned()
            )
        );
        assert_eq!(
            text(&db, "select concat_ws(' ', id_column, id_sequence, start_id, journal, skip_sequence, keep_for, key_columns) from rowcast.sources").await,
            "id t_id_seq 2"
        );
        attached(&db, &format!("'t', room => 'room', {ALL}")).await;
        assert_eq!(
            triggers(&db, "t").await,
            ["!rowcast_journal_t", "rowcast_truncate_t"]
        );
        assert_eq!(findings(&db).await, [""; 0]);
    }
}

/// Positions of the source that was would be believed.
#[tokio::test]
async fn what_begins_anew_forgets_the_positions_and_what_was_pruned() {
    let db = things("").await;
    run(
        &db,
        "insert into rowcast.positions select name, epoch, 7, '{}', '{}', 7 from rowcast.sources;
         update rowcast.sources set pruned_to = 5, start_id = 6",
    )
    .await;
    attached(&db, &format!("'t', room => 'body', {ALL}")).await;
    let left = "select (select count(*) from rowcast.positions) || ' ' || pruned_to || ' ' || start_id from rowcast.sources";
    assert_eq!(text(&db, left).await, "0 0 0");
}

#[tokio::test]
async fn a_journal_with_a_hole_begins_anew_at_the_next_attach() {
    let db = things("").await;
    let epoch = db.epoch("t").await;
    run(
        &db,
        "alter table t rename id to nr; insert into t values ('1', 'a'); alter table t rename nr to id",
    )
    .await;
    attached(&db, &format!("'t', room => 'room', {ALL}")).await;
    let again = db.epoch("t").await;
    assert_ne!(again, epoch);
    attached(&db, &format!("'t', room => 'room', {ALL}")).await;
    assert_eq!(db.epoch("t").await, again);
}

#[tokio::test]
async fn a_truncate_ends_the_epoch_at_the_journals_last_entry_and_fills_its_holes() {
    let db = things("").await;
    run(
        &db,
        "alter table t rename id to nr; insert into t values ('0', 'a'); alter table t rename nr to id;
         insert into t values ('1', 'a'), ('2', 'a')",
    )
    .await;
    let before = db.epoch("t").await;
    run(
        &db,
        "begin; insert into t values ('3', 'a'); truncate t; insert into t values ('4', 'a'); commit",
    )
    .await;
    let state = "select concat_ws(' ', epoch, start_id, skips) from rowcast.sources";
    assert_eq!(text(&db, state).await, format!("{} 3 1", before + 1));
    attached(&db, &format!("'t', room => 'room', {ALL}")).await;
    assert_eq!(db.epoch("t").await, before + 1, "there is no hole any more");
}

/// Each row is journaled by the trigger that there was when its statement ran; none fails.
#[tokio::test]
async fn writers_go_on_while_a_source_is_attached_in_every_way() {
    let db = database().await;
    run(
        &db,
        "create table t (id bigserial primary key, room text, body text)",
    )
    .await;
    attached(&db, "'t', room => 'room'").await;
    let mut writers = tokio::task::JoinSet::new();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    for _ in 0..4 {
        let client = db.connect().await;
        let stopped = stopped.clone();
        writers.spawn(async move {
            let mut rounds = 0;
            while !*stopped.borrow() {
                run(
                    &client,
                    "begin; insert into t (room) values ('a'), ('b'); savepoint s; update t set body = 'x' where id % 7 = 0;
                     rollback to s; update t set room = 'c' where id = (select max(id) from t where room = 'a'); commit;
                     delete from t where id < (select max(id) - 100 from t)",
                )
                .await;
                rounds += 1;
            }
            rounds
        });
    }
    for round in 0..3 {
        for arguments in [
            ALL.to_owned(),
            format!("{ALL}, per_statement => true"),
            format!("{ALL}, always => true, columns => '{{id}}'"),
            "changes => '{insert}', journal => true".to_owned(),
            "columns => '{id}'".to_owned(),
        ] {
            // A writer may hold the table for longer than a try lasts.
            let call =
                format!("select rowcast.attach('t', room => 'room', never_ring => false, {arguments})");
            crate::support::eventually(async || match db.batch_execute(&call).await {
                Ok(()) => true,
                Err(error) if error.code().is_some_and(|code| code.code() == "55P03") => false,
                Err(error) => panic!("{round}: {arguments}: {error:?}"),
            })
            .await;
            assert_eq!(findings(&db).await, [""; 0], "{arguments}");
        }
    }
    stop.send_replace(true);
    for rounds in writers.join_all().await {
        assert!(rounds > 0);
    }
}

#[tokio::test]
async fn an_attach_of_all_changes_is_the_same_in_any_order() {
    let db = database().await;
    run(&db, THINGS).await;
    attached(
        &db,
        "'t', room => 'room', changes => array['delete', 'update', 'insert', 'delete']",
    )
    .await;
    assert_eq!(
        text(&db, "select changes::text from rowcast.sources").await,
        "{insert,update,delete}"
    );
    let epoch = db.epoch("t").await;
    attached(&db, &format!("'t', room => 'room', {ALL}")).await;
    assert_eq!(db.epoch("t").await, epoch);
}
