//! Cursors that nobody gave out.

use reqwest::Method;

use super::{is, is_well, problem, refused};
use crate::support::scene;

#[tokio::test]
async fn a_malformed_cursor_is_refused_wherever_it_stands() {
    let (_db, mut relay) = scene(&[]).await;
    let huge = format!("1.{}", "9".repeat(5000));
    let ranges = format!(
        "1.100000~{}",
        (1..2000)
            .map(|n| (n * 2).to_string())
            .collect::<Vec<_>>()
            .join(",")
    );
    for bad in [
        "x",
        "-1",
        "1.",
        ".1",
        "1.x",
        "1.-5",
        "1.5~",
        "1.5~0",
        "1.5~9",
        "1.5~3-1",
        "1.5~2,1",
        "1.5~1,,2",
        "1.5~1-",
        "1.5.6",
        "1e3",
        "0x10",
        "1.5~1;drop",
        "9223372036854775808",
        "1.9223372036854775808",
        "99999999999999999999.1",
        "%00",
        "%F0%9F%A6%80",
        "null",
        "%201",
        "1%20",
        &huge,
        &ranges,
    ] {
        for path in [
            format!("/v1/rooms/a/events?after={bad}"),
            format!("/v1/events?room=a&lastEventId={bad}"),
        ] {
            assert_eq!(
                refused(&relay.client, &path).await,
                is(400, "invalid_cursor"),
                "{bad}"
            );
        }
        if bad.bytes().all(|byte| byte.is_ascii_graphic()) {
            for accept in ["application/json", "text/event-stream"] {
                let request = relay
                    .client
                    .request(Method::GET, "/v1/rooms/a/events?after=1")
                    .header("accept", accept);
                let answer = relay.client.send(request.header("last-event-id", bad)).await;
                assert_eq!(problem(&answer), is(400, "invalid_cursor"), "{bad}");
            }
        }
    }
    assert_eq!(
        refused(&relay.client, "/v1/rooms/a/events?after=").await,
        is(400, "invalid_cursor")
    );
    assert_eq!(
        refused(&relay.client, "/v1/rooms/a/events?after=%FF").await.0,
        400
    );
    is_well(&mut relay).await;
}

#[tokio::test]
async fn an_odd_but_well_formed_cursor_works() {
    let (db, mut relay) = scene(&[]).await;
    let epoch = db.epoch("messages").await;
    db.say_many("a", 10).await;
    let get = async |cursor: String| {
        relay
            .client
            .get(&format!("/v1/rooms/a/events?after={cursor}"))
            .await
    };
    // Gaps that are no gaps to the tail: whoever says that it has not seen a row gets it.
    assert_eq!(get(format!("{epoch}.10~1-4,7")).await.ids(), [3, 6, 7, 8, 9]);
    assert_eq!(get(format!("{epoch}.8~7")).await.ids(), [1, 9, 10]);
    let most: Vec<String> = (1..=512).map(|n| (n * 2).to_string()).collect();
    let ahead = get(format!("{epoch}.5000~{}", most.join(","))).await;
    assert_eq!(problem(&ahead), is(409, "cursor_ahead"));
    is_well(&mut relay).await;
}
