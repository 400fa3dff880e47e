//! A relay that ends and starts again, or another beside it: cursors go on where they were.

use crate::support::{Relay, Subscriber, Transport, messages, scene};

const PATH: &str = "/v1/rooms/a/events";

#[tokio::test]
async fn a_cursor_from_before_a_restart_resumes_without_loss_or_repetition() {
    for crash in [false, true] {
        let (mut db, mut relay) = scene(&[]).await;
        let other = db.connect().await;
        db.say_many("a", 3).await;
        let late = db.client.transaction().await.unwrap();
        late.batch_execute("insert into messages (room) values ('a')")
            .await
            .unwrap();
        other
            .batch_execute("insert into messages (room) values ('a')")
            .await
            .unwrap();
        let answer = relay.client.get(&format!("{PATH}?after=0")).await;
        assert_eq!(answer.ids(), [1, 2, 3, 5]);
        let cursor = answer.cursor();
        if crash {
            relay.kill();
        } else {
            relay.terminate();
            relay.exit_status().await;
        }
        other
            .batch_execute("insert into messages (room) values ('b'), ('a')")
            .await
            .unwrap();
        late.commit().await.unwrap();
        let relay = Relay::serve(&db.relay_url, &[]).await;
        for transport in Transport::ALL {
            let mut subscriber = Subscriber::resume(&relay.client, transport, PATH, &cursor).await;
            assert_eq!(subscriber.ids(2).await, [4, 7], "crash: {crash}, {transport:?}");
            let id = db.say("a", "").await;
            // What the transports before left behind comes first.
            while subscriber.ids(1).await != [id] {}
        }
    }
}

#[tokio::test]
async fn a_cursor_of_one_relay_serves_at_another() {
    let db = messages().await;
    let (one, two) = (
        Relay::serve(&db.relay_url, &[]).await,
        Relay::serve(&db.relay_url, &[]).await,
    );
    let mut cursor = one.client.get(PATH).await.cursor();
    for round in 0..10 {
        let id = db.say("a", "").await;
        let relay = if round % 2 == 0 { &two } else { &one };
        let mut subscriber = Subscriber::resume(
            &relay.client,
            Transport::ALL[round % Transport::ALL.len()],
            PATH,
            &cursor,
        )
        .await;
        assert_eq!(subscriber.ids(1).await, [id], "round {round}");
        cursor = subscriber.cursor();
    }
}
