//! Rooms that can't be.

use super::{is, is_well, problem, refused};
use crate::support::{Relay, attach, grant_publishing, messages, run, scene};

#[tokio::test]
async fn a_room_that_the_type_cannot_hold_is_unknown_and_the_database_is_not_asked() {
    let db = messages().await;
    run(
        &db,
        "create table numbers (id bigint generated always as identity primary key, room int)",
    )
    .await;
    attach(&db, "'numbers', room => 'room'").await;
    grant_publishing(&db).await;
    let mut relay = Relay::serve(&db.relay_url, &["--allow-publish"]).await;
    for room in [
        "x",
        "2147483648",
        "-2147483649",
        "1.5",
        "1e5",
        "%00",
        "1%00",
        "null",
        "'1'",
        "1;--",
        "٣",
        "%0A",
    ] {
        for path in [
            format!("/v1/sources/numbers/rooms/{room}/events"),
            format!("/v1/sources/numbers/events?room=1&room={room}"),
        ] {
            assert_eq!(
                refused(&relay.client, &path).await,
                is(404, "unknown_room"),
                "{room}"
            );
        }
        let answer = relay
            .client
            .post(
                &format!("/v1/sources/numbers/rooms/{room}/events"),
                &serde_json::json!({}),
            )
            .await;
        assert_eq!(problem(&answer), is(404, "unknown_room"), "{room}");
    }
    for path in [
        "/v1/rooms/%00/events",
        "/v1/rooms/a%00b/events",
        "/v1/events?room=a%00",
    ] {
        assert_eq!(
            refused(&relay.client, path).await,
            is(404, "unknown_room"),
            "{path}"
        );
    }
    is_well(&mut relay).await;
}

#[tokio::test]
async fn rooms_that_are_too_many_too_long_or_missing_are_refused() {
    let (_db, mut relay) = scene(&["--allow-publish"]).await;
    let rooms = |count: usize| (0..count).map(|n| format!("room={n}&")).collect::<String>();
    let invalid = is(400, "invalid_parameter");
    let long = "x".repeat(1025);
    for path in [
        "/v1/events".to_owned(),
        "/v1/events?".to_owned(),
        "/v1/events?room=".to_owned(),
        "/v1/events?room=a&room=".to_owned(),
        "/v1/events?room".to_owned(),
        "/v1/events?room=%FF".to_owned(),
        "/v1/rooms/%FF/events".to_owned(),
        format!("/v1/events?{}", rooms(101)),
        format!("/v1/events?room={long}"),
        format!("/v1/rooms/{long}/events"),
        format!("/v1/rooms/{}/events", "%41".repeat(1025)),
        format!("/v1/rooms/{}/events", "é".repeat(513)),
    ] {
        assert_eq!(refused(&relay.client, &path).await, invalid, "{path}");
    }
    let empty = refused(&relay.client, "/v1/rooms//events").await;
    assert!([400, 404].contains(&empty.0), "{empty:?}");
    let posted = relay
        .client
        .post(&format!("/v1/rooms/{long}/events"), &serde_json::json!({}))
        .await;
    assert_eq!(problem(&posted), invalid);
    assert_eq!(
        relay
            .client
            .get(&format!("/v1/rooms/{}/events", "x".repeat(1024)))
            .await
            .status,
        200
    );
    assert_eq!(
        relay
            .client
            .get(&format!("/v1/events?{}", rooms(100)))
            .await
            .status,
        200
    );
    is_well(&mut relay).await;
}
