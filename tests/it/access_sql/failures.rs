//! The operator's statement fails: nobody is admitted, and what is said of it holds no data.

use rowcast::pg::authorize::AuthorizeError;

use super::{SEVEN, authorizer, rooms, with_members};
use crate::support::pooler::{Pooler, StartupOptions};
use crate::support::{run, within};

/// The SQLSTATE of a statement that failed.
pub fn sqlstate(error: &AuthorizeError) -> &str {
    match error {
        AuthorizeError::Failed(cause) => cause.sqlstate().expect("PostgreSQL said so").code(),
        other => panic!("{other:?}"),
    }
}

/// Why this statement answers nothing about room 1.
pub async fn failure(url: &str, source: &rowcast::pg::source::Source, statement: &str) -> AuthorizeError {
    let authorizer = authorizer(url, statement).await;
    let asked = within(authorizer.may_read(source, &rooms(&["1"]), SEVEN)).await;
    asked.expect_err(statement)
}

#[tokio::test]
async fn a_statement_that_raises_an_error_admits_nobody() {
    let (db, source) = with_members().await;
    run(
        &db,
        "create function judge(room int) returns boolean language plpgsql as
         $$ begin if room = 2 then raise exception 'room %', room; end if; return true; end $$",
    )
    .await;
    let authorizer = authorizer(&db.admin_url, "select judge($1)").await;
    for _ in 0..2 {
        let error = within(authorizer.may_read(&source, &rooms(&["1", "2", "1"]), SEVEN)).await;
        assert_eq!(sqlstate(&error.expect_err("room 2 raises")), "P0001");
    }
    let may = within(authorizer.may_read(&source, &rooms(&["1"]), SEVEN)).await;
    assert_eq!(may.expect("room 1 does not"), [true], "the session is as before");
}

/// PostgreSQL quotes it in its message, where the operator's statement or a function of theirs stumbles over it.
#[tokio::test]
async fn what_is_said_of_a_failure_has_no_value_of_a_claim() {
    let (db, source) = with_members().await;
    run(
        &db,
        "create function judge(who text, code text) returns boolean language plpgsql as
         $$ begin raise exception 'no user %', who using errcode = code, detail = who, hint = who; end $$;
         create function look(who text) returns boolean language plpgsql as
         $$ begin execute format('select from %I', who); return true; end $$",
    )
    .await;
    let claims = r#"{"sub":"alice@example.org"}"#;
    for (statement, words) in [
        ("select ($2->>'sub')::int = $1", "SQLSTATE 22P02 in "),
        ("select ($2->>'sub')::jsonb is null", "SQLSTATE 22P02 in "),
        (
            "select judge($2->>'sub', 'P0001')",
            "SQLSTATE P0001 in exec_stmt_raise",
        ),
        (
            "select judge($2->>'sub', '55P03')",
            "SQLSTATE 55P03 in exec_stmt_raise",
        ),
        (
            "select judge($2->>'sub', '42501')",
            "SQLSTATE 42501 in exec_stmt_raise",
        ),
        ("select look($2->>'sub')", "SQLSTATE 42P01 in "),
        (
            "select true from nowhere",
            "relation \"nowhere\" does not exist (42P01)",
        ),
        (
            "select nextval('members_seq') > 0",
            "relation \"members_seq\" does not exist (42P01)",
        ),
        (
            "insert into members values (1, 1) returning true",
            "read-only transaction (25006)",
        ),
        ("select true from pg_sleep(60)", "statement timeout (57014)"),
    ] {
        let authorizer = authorizer(&db.admin_url, statement).await;
        let error = within(authorizer.may_read(&source, &rooms(&["1"]), claims)).await;
        let said = error.expect_err(statement).to_string();
        assert!(said.contains(words), "{words:?} is not in {said:?}");
        assert!(!said.contains("alice") && !said.contains('\n'), "{said}");
    }
}

#[tokio::test]
async fn a_statement_that_writes_admits_nobody_and_writes_nothing() {
    let (db, source) = with_members().await;
    run(
        &db,
        "create sequence s;
         create function note() returns boolean language sql as
         $$ insert into members values (99, 99) returning true $$",
    )
    .await;
    for statement in [
        "select note()",
        "insert into members values (99, 99) returning true",
        "with noted as (insert into members values (99, 99) returning true as may) select may from noted",
        "delete from members returning false",
        "select nextval('s') > 0",
        "select set_config('transaction_read_only', 'off', true) is not null and note()",
    ] {
        failure(&db.admin_url, &source, statement).await;
    }
    let members = db.query_one("select count(*) from members", &[]).await;
    assert_eq!(members.expect("count").get::<_, i64>(0), 3);
    let drawn = db.query_one("select is_called from s", &[]).await;
    assert!(!drawn.expect("ask").get::<_, bool>(0));
}

#[tokio::test]
async fn a_slow_statement_is_cut_and_admits_nobody() {
    let (db, source) = with_members().await;
    let error = failure(&db.admin_url, &source, "select true from pg_sleep(600)").await;
    assert_eq!(sqlstate(&error), "57014");
    assert!(!error.is_misfit());
}

/// Fails when each room has two seconds of its own.
#[tokio::test]
async fn all_rooms_together_have_two_seconds() {
    let (db, source) = with_members().await;
    let pooler = Pooler::start(StartupOptions::Ignored).await;
    for url in [db.admin_url.clone(), pooler.url(&db.name)] {
        let authorizer = authorizer(&url, "select true from pg_sleep(0.8)").await;
        let asked = rooms(&["1", "2", "3", "4"]);
        let error = within(authorizer.may_read(&source, &asked, SEVEN)).await;
        assert_eq!(sqlstate(&error.expect_err("it takes 3.2 seconds")), "57014");
    }
}

/// Fails when the next room has a millisecond more than is left.
#[tokio::test]
async fn where_no_time_is_left_the_next_room_has_no_answer() {
    let (db, source) = with_members().await;
    run(
        &db,
        "create function judge(room int) returns boolean language plpgsql as
         $$ begin
             if room = 1 then perform pg_sleep(600); end if;
             return true;
         exception when query_canceled then return true;
         end $$",
    )
    .await;
    let pooler = Pooler::start(StartupOptions::Ignored).await;
    for url in [db.admin_url.clone(), pooler.url(&db.name)] {
        let authorizer = authorizer(&url, "select judge($1)").await;
        let error = within(authorizer.may_read(&source, &rooms(&["1", "2"]), SEVEN)).await;
        let error = error.expect_err("room 1 took all of the time");
        assert!(matches!(error, AuthorizeError::TimeIsOver), "{error:?}");
        assert!(error.is_passing() && !error.is_misfit());
        let may = within(authorizer.may_read(&source, &rooms(&["2"]), SEVEN)).await;
        assert_eq!(may.expect("an answer"), [true], "the session is as before");
    }
}
