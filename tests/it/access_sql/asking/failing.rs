//! Whom a question that fails harms.

use super::super::SEVEN;
use super::*;

/// Raises `code` for user 9 as long as there is no room -1.
fn nine_fails(code: &str) -> String {
    format!(
        "create function judge(room int, who int) returns boolean language plpgsql as $$
         begin
             if who = 9 and not exists (select from members where room_id = -1) then
                 raise exception 'user %', who using errcode = '{code}';
             end if;
             return exists (select from members where room_id = room and user_id = who);
         end $$;
         insert into members values (1, 9)"
    )
}

/// Room 1 with users 7, 8 and 9, whose question fails from now on with this SQLSTATE.
async fn with_a_failing_question(code: &str) -> (Scene, [Lease; 3]) {
    let statement = "select judge($1, ($2->>'sub')::int)";
    let scene = Scene::prepared(&nine_fails(code), statement, NO_CLOCK).await;
    let leases = [
        scene.lease(r#"{"sub":"7"}"#, &["1"]).await,
        scene.lease(r#"{"sub":"8"}"#, &["1"]).await,
        scene.lease(r#"{"sub":"9"}"#, &["1"]).await,
    ];
    run(&scene.db, "delete from members where room_id = -1").await;
    (scene, leases)
}

#[tokio::test]
async fn a_question_that_fails_ends_those_who_asked_it_and_nobody_else() {
    let (scene, [mut seven, mut eight, mut nine]) = with_a_failing_question("22023").await;
    run(
        &scene.db,
        "delete from members where user_id = 8; select rowcast.reauthorize('1')",
    )
    .await;
    within(eight.ended()).await;
    within(nine.ended()).await;
    scene.settle().await;
    assert!(!has_ended(&mut seven));
    run(
        &scene.db,
        "delete from members where user_id = 7; select rowcast.reauthorize('1')",
    )
    .await;
    within(seven.ended()).await;
}

/// 55P03: a lock could not be had. The next moment it may.
#[tokio::test]
async fn what_fails_in_passing_is_asked_until_it_is_answered_and_nobody_waits_for_it() {
    let (scene, [mut seven, mut eight, mut nine]) = with_a_failing_question("55P03").await;
    let (_, before) = scene.asked().await;
    run(
        &scene.db,
        "delete from members where user_id in (8, 9); select rowcast.reauthorize('1')",
    )
    .await;
    within(eight.ended()).await;
    // Of the three together, of those behind the failing one, and then of that one again and again.
    eventually(async || scene.asked().await.1 > before + 4).await;
    assert!(!has_ended(&mut nine) && !has_ended(&mut seven));
    run(&scene.db, "insert into members values (-1, -1)").await;
    within(nine.ended()).await;
    assert!(!has_ended(&mut seven));
}

/// A table of the statement is not there for a moment of a deployment.
#[tokio::test]
async fn a_statement_that_does_not_fit_for_a_moment_ends_nobody_and_admits_nobody() {
    for (away, back) in [
        (
            "alter table members rename to members_2",
            "alter table members_2 rename to members",
        ),
        (
            "alter table members rename user_id to who",
            "alter table members rename who to user_id",
        ),
    ] {
        let scene = Scene::new(MEMBERS_ONLY, NO_CLOCK).await;
        let mut seven = scene.lease(SEVEN, &["1"]).await;
        let mut eight = scene.lease(r#"{"sub":"8"}"#, &["1"]).await;
        let (_, before) = scene.asked().await;
        run(&scene.db, "delete from members where user_id = 8").await;
        run(&scene.db, &format!("{away}; select rowcast.reauthorize('1')")).await;
        // Of the two, and then of each again.
        eventually(async || scene.asked().await.1 > before + 4).await;
        assert!(!has_ended(&mut seven) && !has_ended(&mut eight), "{away}");
        let newcomer = within(scene.read(r#"{"sub":"7","jti":"1"}"#, &["1"])).await;
        assert!(matches!(newcomer, Err(Refusal::Unavailable)), "{away}");
        run(&scene.db, back).await;
        within(eight.ended()).await;
        assert!(!has_ended(&mut seven), "{away}");
    }
}

/// Whichever code an operator's function chooses, it speaks of who asks.
#[tokio::test]
async fn what_a_function_raises_itself_ends_those_who_asked() {
    let (scene, [mut seven, _eight, mut nine]) = with_a_failing_question("42501").await;
    run(&scene.db, "select rowcast.reauthorize('1')").await;
    within(nine.ended()).await;
    scene.settle().await;
    assert!(!has_ended(&mut seven));
}
