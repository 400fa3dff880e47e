//! Tickets: used once, by whichever relay, and kept as hashes.

use std::time::{Duration, SystemTime};

use rowcast::pg::Database;
use rowcast::pg::tickets::{GoodFor, TicketError, Tickets};

use super::{rooms, to_database};
use crate::support::pooler::{Pooler, StartupOptions};
use crate::support::{TestDatabase, database, eventually, run, within};

const CLAIMS: &str = r#"{"sub": "o'clock \"x\" '; drop table rowcast.tickets; -- 日本 \\"}"#;
const LIFETIME: Duration = Duration::from_secs(30);

async fn tickets(db: &TestDatabase) -> Tickets {
    Tickets::new(to_database(&db.admin_url).await)
}

async fn issue(tickets: &Tickets) -> String {
    let room = rooms(&["a", ""]);
    let issued = tickets.issue("messages", &room, CLAIMS, None, LIFETIME);
    within(issued).await.expect("issue a ticket")
}

async fn redeem(tickets: &Tickets, ticket: &str) -> Option<GoodFor> {
    within(tickets.redeem(ticket)).await.expect("ask for the ticket")
}

async fn count(db: &TestDatabase) -> i64 {
    let row = db.query_one("select count(*) from rowcast.tickets", &[]);
    row.await.expect("count the tickets").get(0)
}

#[tokio::test]
async fn a_ticket_is_used_once_on_any_relay() {
    let db = database().await.into_superusers().await;
    let (here, there) = (tickets(&db).await, tickets(&db).await);
    let exp = SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800);
    let names = rooms(&["a'); --", "日本", "{x,\"y\"}"]);
    let ticket = here.issue("messages", &names, CLAIMS, Some(exp), LIFETIME);
    let ticket = within(ticket).await.expect("issue a ticket");
    let expected = GoodFor {
        source: "messages".into(),
        rooms: names,
        claims: CLAIMS.into(),
        token_expires_at: Some(exp),
    };
    assert_eq!(redeem(&there, &ticket).await, Some(expected));
    assert_eq!(redeem(&here, &ticket).await, None, "it was used");
    assert_eq!(redeem(&there, &ticket).await, None);
    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn looking_at_a_ticket_leaves_it() {
    let db = database().await.into_superusers().await;
    let tickets = tickets(&db).await;
    let ticket = issue(&tickets).await;
    let look_at = async || {
        within(tickets.look_at(&ticket))
            .await
            .expect("ask for the ticket")
    };
    let seen = look_at().await;
    assert!(seen.is_some());
    assert_eq!(look_at().await, seen);
    assert_eq!(redeem(&tickets, &ticket).await, seen, "it is for the same");
    assert_eq!(look_at().await, None, "it was used");
    let over = issue(&tickets).await;
    run(&db, "update rowcast.tickets set expires_at = now()").await;
    assert_eq!(within(tickets.look_at(&over)).await.expect("ask"), None);
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn what_is_too_much_for_a_ticket_never_reaches_the_database() {
    let nobody = Database::unconnected("postgres://me@127.0.0.1:1/nowhere").expect("a URL");
    let claims = "x".repeat(16 * 1024);
    let tickets = Tickets::new(nobody);
    let issued = within(tickets.issue("messages", &rooms(&["a"]), &claims, None, LIFETIME)).await;
    assert!(
        matches!(issued, Err(TicketError::TooLarge { bytes }) if bytes > claims.len()),
        "{issued:?}"
    );
}

#[tokio::test]
async fn of_two_who_bring_a_ticket_at_once_one_is_let_in() {
    let db = database().await.into_superusers().await;
    let (here, there) = (tickets(&db).await, tickets(&db).await);
    let ticket = issue(&here).await;
    let holder = db.connect().await;
    run(&holder, "begin; select from rowcast.tickets for update").await;
    let both = async { tokio::join!(redeem(&here, &ticket), redeem(&there, &ticket)) };
    let let_go = async {
        eventually(async || {
            let waiting = "select count(*) from pg_stat_activity
                           where datname = current_database() and wait_event_type = 'Lock'";
            db.query_one(waiting, &[]).await.expect("ask").get::<_, i64>(0) == 2
        })
        .await;
        run(&holder, "commit").await;
    };
    let ((one, other), ()) = tokio::join!(both, let_go);
    assert!(one.is_some() != other.is_some(), "{one:?} {other:?}");
}

#[tokio::test]
async fn the_database_knows_neither_the_ticket_nor_what_it_is_for() {
    let db = database().await.into_superusers().await;
    let ticket = issue(&tickets(&db).await).await;
    assert_eq!(ticket.len(), 43);
    let stored = "select t::text, encode(hash, 'base64'), encode(hash, 'escape'),
                  hash = sha256(decode(translate($1, '-_', '+/') || '=', 'base64')),
                  position(encode(decode(translate($1, '-_', '+/') || '=', 'base64'), 'hex') in t::text) = 0,
                  position('clock' in encode(contents, 'escape')) = 0 and position('messages' in encode(contents, 'escape')) = 0
                  from rowcast.tickets t";
    let row = db.query_one(stored, &[&ticket]).await.expect("read the table");
    for column in 0..3 {
        assert!(!row.get::<_, &str>(column).contains(&ticket));
    }
    assert!(row.get::<_, bool>(3), "what stands there is its SHA-256");
    assert!(row.get::<_, bool>(4), "nor its bytes");
    assert!(row.get::<_, bool>(5), "nor the claims, nor the source");
}

#[tokio::test]
async fn an_expired_ticket_is_good_for_nothing() {
    let db = database().await.into_superusers().await;
    let tickets = tickets(&db).await;
    let ticket = issue(&tickets).await;
    let lives = "select expires_at - now() between interval '20 s' and interval '30 s' from rowcast.tickets";
    assert!(db.query_one(lives, &[]).await.expect("ask").get::<_, bool>(0));
    run(&db, "update rowcast.tickets set expires_at = now()").await;
    assert_eq!(redeem(&tickets, &ticket).await, None);
    assert_eq!(count(&db).await, 0, "nor a second time");
}

#[tokio::test]
async fn expired_tickets_are_pruned_and_others_are_not() {
    let db = database().await.into_superusers().await;
    let tickets = tickets(&db).await;
    for _ in 0..5 {
        issue(&tickets).await;
    }
    run(&db, "update rowcast.tickets set expires_at = now()").await;
    let good = issue(&tickets).await;
    // Another relay is at one of them.
    let other = db.connect().await;
    let one = "begin; delete from rowcast.tickets where hash = (select hash from rowcast.tickets order by expires_at limit 1)";
    run(&other, one).await;
    let mut pruned = Vec::new();
    for _ in 0..3 {
        pruned.push(within(tickets.prune(2)).await.expect("prune"));
    }
    assert_eq!(pruned, [2, 2, 0]);
    run(&other, "commit").await;
    assert_eq!(count(&db).await, 1);
    assert!(redeem(&tickets, &good).await.is_some());
}

#[tokio::test]
async fn what_is_no_ticket_is_refused_without_the_database() {
    let nobody = Database::unconnected("postgres://me@127.0.0.1:1/nowhere").expect("a URL");
    let tickets = Tickets::new(nobody);
    for wrong in [
        "",
        "x",
        "' or true --",
        &"A".repeat(42),
        &"A".repeat(44),
        &"*".repeat(43),
    ] {
        assert_eq!(redeem(&tickets, wrong).await, None, "{wrong}");
    }
    let well_formed = "A".repeat(43);
    within(tickets.redeem(&well_formed))
        .await
        .expect_err("nobody is there to ask");
}

#[tokio::test]
async fn a_token_may_expire_at_the_end_of_time() {
    let db = database().await.into_superusers().await;
    let tickets = tickets(&db).await;
    let exp = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 55);
    let room = rooms(&["a"]);
    let issued = tickets.issue("messages", &room, CLAIMS, Some(exp), Duration::MAX);
    let ticket = within(issued).await.expect("issue a ticket");
    let redeemed = redeem(&tickets, &ticket).await.expect("it is good");
    assert!(redeemed.token_expires_at > Some(SystemTime::now()));
}

#[tokio::test]
async fn tickets_work_behind_a_pooler() {
    let db = database().await.into_superusers().await;
    let pooler = Pooler::start(StartupOptions::Refused).await;
    let tickets = Tickets::new(to_database(&pooler.url(&db.name)).await);
    let ticket = issue(&tickets).await;
    assert!(redeem(&tickets, &ticket).await.is_some());
    assert_eq!(redeem(&tickets, &ticket).await, None);
    assert_eq!(within(tickets.prune(10)).await.expect("prune"), 0);
}
