//! Rights that are taken back from those who are reading.

use super::live::{Live, STREAMS};
use super::members::{asking, user, with_members};
use super::{A, forbidden, guard, reads, request, ticket, verdict};
use crate::support::{Client, Relay, TestDatabase, Transport, eventually, run, with_query};

/// The application's trigger: whoever reads a room whose members change is asked about again.
const TRIGGER: &str = "create function members_changed() returns trigger language plpgsql as $$
     begin
         perform rowcast.reauthorize(coalesce(old.room, new.room));
         return null;
     end $$;
     create trigger members_changed after insert or update or delete on members
     for each row execute function members_changed()";

const EXPEL_ADA: &str = "delete from members where room = 'a' and user_id = 'ada'";

/// Nobody is asked about again by the clock.
const NO_CLOCK: [&str; 2] = ["--reauthorize-interval", "1h"];

/// Streams of room `a`, of each format on each relay.
async fn streams_of(relays: &[&Relay], name: &str) -> Vec<Live> {
    let mut streams = Vec::new();
    for relay in relays {
        for transport in STREAMS {
            streams.push(Live::open(&user(&relay.client, name), transport, A).await);
        }
    }
    streams
}

/// Each of them brings this row next.
async fn all_bring(streams: &mut [Live], id: i64) {
    for stream in streams {
        assert_eq!(stream.next().await, Ok(id));
    }
}

/// Each of them ends next; no row comes before that.
async fn all_end(streams: &mut [Live]) {
    for stream in streams {
        assert_eq!(stream.next().await, Err("forbidden".to_owned()));
    }
}

/// A long poll that is seen to wait, as a task.
async fn waiting(relay: &Relay, client: &Client) -> tokio::task::JoinHandle<(u16, String)> {
    let waits = || {
        let log = relay.log();
        log.iter()
            .filter(|line| line.contains("a long poll waits"))
            .count()
    };
    let cursor = client.get(A).await.cursor();
    let before = waits();
    let path = with_query(A, &format!("after={cursor}"));
    let poll = tokio::spawn(verdict(request(client, Transport::LongPoll, &path)));
    eventually(async || waits() > before).await;
    poll
}

async fn with_trigger() -> TestDatabase {
    let db = with_members().await;
    run(&db, TRIGGER).await;
    db
}

#[tokio::test]
async fn a_member_who_is_expelled_reads_no_more_on_any_relay_and_the_others_lose_nothing() {
    let db = with_trigger().await;
    let (one, other) = (asking(&db, &NO_CLOCK).await, asking(&db, &NO_CLOCK).await);
    let relays = [&one, &other];
    let mut adas = streams_of(&relays, "ada").await;
    let mut bobs = streams_of(&relays, "bob").await;
    let id = db.say("a", "to both").await;
    all_bring(&mut adas, id).await;
    all_bring(&mut bobs, id).await;
    let mut polls = Vec::new();
    for relay in relays {
        polls.push(waiting(relay, &user(&relay.client, "ada")).await);
    }
    run(&db, EXPEL_ADA).await;
    all_end(&mut adas).await;
    for poll in polls {
        assert_eq!(poll.await.expect("no panic"), forbidden());
    }
    let id = db.say("a", "to Bob alone").await;
    all_bring(&mut bobs, id).await;
    for relay in relays {
        let ada = user(&relay.client, "ada");
        assert_eq!(
            reads(&ada, A).await,
            forbidden(),
            "what was answered before counts no longer"
        );
        for (stream, transport) in adas.iter().zip(STREAMS) {
            let resume = with_query(A, &format!("after={}", stream.cursor));
            assert_eq!(verdict(request(&ada, transport, &resume)).await, forbidden());
        }
        assert_eq!(reads(&ada, "/v1/rooms/b/events").await, super::admitted());
    }
}

/// Fails where what is asked again about one lease is asked together with others of its bearer.
#[tokio::test]
async fn a_question_that_fails_for_another_room_keeps_nobody_from_being_expelled() {
    let db = with_trigger().await;
    let fails_for_b = "select exists (select from members where room = $1 and user_id = $2->>'sub'
                                      and case when $1 = 'b' then room::int > 0 else true end)";
    let arguments = [&NO_CLOCK[..], &["--authorize-sql", fails_for_b]].concat();
    let relay = guard(&db, &arguments).await;
    let mut streams = streams_of(&[&relay], "ada").await;
    let loops: Vec<_> = (0..8)
        .map(|_| {
            let ada = user(&relay.client, "ada");
            tokio::spawn(async move {
                loop {
                    let said = verdict(request(&ada, Transport::Poll, "/v1/events?room=a&room=b")).await;
                    assert_ne!(said, super::admitted());
                }
            })
        })
        .collect();
    let bob = user(&relay.client, "bob");
    eventually(async || reads(&bob, A).await == super::admitted()).await;
    run(&db, EXPEL_ADA).await;
    all_end(&mut streams).await;
    for task in loops {
        task.abort();
        assert!(
            task.await.is_err_and(|error| error.is_cancelled()),
            "what was asked for was not had"
        );
    }
}

#[tokio::test]
async fn who_is_a_member_again_goes_on_where_the_stream_ended() {
    let db = with_trigger().await;
    let relay = asking(&db, &NO_CLOCK).await;
    let ada = user(&relay.client, "ada");
    for transport in STREAMS {
        let mut live = Live::open(&ada, transport, A).await;
        run(&db, EXPEL_ADA).await;
        assert_eq!(live.next().await, Err("forbidden".to_owned()));
        let id = db.say("a", "meanwhile").await;
        run(&db, "insert into members values ('a', 'ada')").await;
        eventually(async || ada.get(A).await.status == 200).await;
        let mut again = crate::support::Subscriber::resume(&ada, transport, A, &live.cursor).await;
        assert_eq!(again.ids(1).await, [id], "{transport:?}");
    }
}

#[tokio::test]
async fn a_subscription_of_several_rooms_ends_with_its_right_to_one() {
    let db = with_trigger().await;
    let relay = asking(&db, &NO_CLOCK).await;
    let ada = user(&relay.client, "ada");
    for transport in STREAMS {
        let mut both = Live::open(&ada, transport, "/v1/events?room=b&room=a").await;
        let mut only_b = Live::open(&ada, transport, "/v1/rooms/b/events").await;
        run(&db, EXPEL_ADA).await;
        assert_eq!(both.next().await, Err("forbidden".to_owned()));
        let id = db.say("b", "x").await;
        assert_eq!(only_b.next().await, Ok(id));
        run(&db, "insert into members values ('a', 'ada')").await;
        eventually(async || ada.get(A).await.status == 200).await;
    }
}

#[tokio::test]
async fn a_stream_that_a_ticket_opened_ends_like_others() {
    let db = with_trigger().await;
    let relay = asking(&db, &NO_CLOCK).await;
    for transport in STREAMS {
        let path = format!("{A}?ticket={}", ticket(&user(&relay.client, "bob"), &["a"]).await);
        let mut live = Live::open(&relay.client, transport, &path).await;
        run(&db, "delete from members where user_id = 'bob'").await;
        assert_eq!(live.next().await, Err("forbidden".to_owned()), "{transport:?}");
        run(&db, "insert into members values ('a', 'bob')").await;
        let bob = user(&relay.client, "bob");
        eventually(async || bob.get(A).await.status == 200).await;
    }
}

#[tokio::test]
async fn without_a_call_the_clock_finds_it() {
    let db = with_members().await;
    let interval = ["--reauthorize-interval", "200ms"];
    let (one, other) = (asking(&db, &interval).await, asking(&db, &interval).await);
    let relays = [&one, &other];
    let mut adas = streams_of(&relays, "ada").await;
    let mut bobs = streams_of(&relays, "bob").await;
    let poll = waiting(&one, &user(&one.client, "ada")).await;
    run(&db, EXPEL_ADA).await;
    all_end(&mut adas).await;
    assert_eq!(poll.await.expect("no panic"), forbidden());
    let id = db.say("a", "to Bob alone").await;
    all_bring(&mut bobs, id).await;
}

#[tokio::test]
async fn what_is_rolled_back_ends_nothing() {
    let db = with_trigger().await;
    let relay = asking(&db, &NO_CLOCK).await;
    let mut adas = streams_of(&[&relay], "ada").await;
    let mut bobs = streams_of(&[&relay], "bob").await;
    run(&db, &format!("begin; {EXPEL_ADA}; rollback")).await;
    // This one is committed after it, and asks about both of them again.
    run(&db, "delete from members where user_id = 'bob'").await;
    all_end(&mut bobs).await;
    let id = db.say("a", "to Ada").await;
    all_bring(&mut adas, id).await;
}

#[tokio::test]
async fn a_call_about_another_room_or_source_ends_nothing() {
    let db = with_members().await;
    let relay = asking(&db, &NO_CLOCK).await;
    let mut adas = streams_of(&[&relay], "ada").await;
    // Nobody is told of it.
    run(&db, EXPEL_ADA).await;
    run(
        &db,
        "select rowcast.reauthorize('b'); select rowcast.reauthorize('a', 'orders');
         select rowcast.reauthorize('A'); select rowcast.reauthorize(null, 'orders')",
    )
    .await;
    let mut of_b = Live::open(
        &user(&relay.client, "ada"),
        Transport::EventStream,
        "/v1/rooms/b/events",
    )
    .await;
    run(
        &db,
        "delete from members where room = 'b'; select rowcast.reauthorize('b', 'messages')",
    )
    .await;
    // Calls are heard in their order: those before this one were, too.
    assert_eq!(of_b.next().await, Err("forbidden".to_owned()));
    let id = db.say("a", "still to Ada").await;
    all_bring(&mut adas, id).await;
    run(&db, "select rowcast.reauthorize()").await;
    all_end(&mut adas).await;
}

#[tokio::test]
async fn a_call_that_no_relay_heard_counts_once_the_database_is_back() {
    let db = with_trigger().await;
    let relay = asking(&db, &NO_CLOCK).await;
    let mut adas = streams_of(&[&relay], "ada").await;
    let mut bobs = streams_of(&[&relay], "bob").await;
    super::members::take_away(&db).await;
    run(&db, EXPEL_ADA).await;
    super::members::bring_back(&db).await;
    all_end(&mut adas).await;
    let id = db.say("a", "to Bob alone").await;
    all_bring(&mut bobs, id).await;
}
