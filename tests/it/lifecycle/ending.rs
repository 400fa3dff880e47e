//! How a relay ends: its streams and long polls are told, within the grace period.

use std::time::Duration;

use tokio::time::Instant;

use rustix::process::Signal;

use crate::support::{scene, within};

const PATH: &str = "/v1/rooms/a/events";

#[tokio::test]
async fn sigterm_ends_streams_within_the_grace_period_and_exits_with_zero() {
    let (_db, mut relay) = scene(&["--grace-period", "2s"]).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = relay.client.stream(PATH).await;
        stream.ready().await;
        streams.push(stream);
    }
    let began = Instant::now();
    relay.terminate();
    let ends = streams.into_iter().map(async |mut stream| {
        let end = stream.next_event().await;
        assert_eq!((end.event.as_deref(), &end.id), (Some("end"), &None), "{end:?}");
        assert_eq!(end.data.as_deref(), Some(r#"{"code":"shutting_down"}"#));
        assert_eq!(stream.next_frame().await, None);
        began.elapsed()
    });
    let ended = within(futures_util::future::join_all(ends)).await;
    let (first, last) = (ended.iter().min().unwrap(), ended.iter().max().unwrap());
    assert!(*last < Duration::from_secs(20), "{ended:?}");
    assert!(
        *last - *first > Duration::from_millis(400),
        "they end one after the other: {ended:?}"
    );
    assert_eq!(relay.exit_status().await.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn open_long_polls_answer_at_once_and_new_requests_are_sent_away() {
    let (db, mut relay) = scene(&["--grace-period", "3s"]).await;
    let mut stream = relay.client.stream(PATH).await;
    let cursor = stream.ready().await;
    let waiting = tokio::spawn(relay.client.get(&format!("{PATH}?wait=60&after={cursor}")));
    let id = db.say("b", "").await;
    relay.logs("a long poll waits").await;
    // What this shows, the relay has read.
    relay.client.get(PATH).await;
    let began = Instant::now();
    relay.signal(Signal::INT);
    let answer = within(waiting).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(answer.ids(), Vec::<i64>::new());
    assert!(
        answer.cursor().ends_with(&format!(".{id}")),
        "{}",
        answer.cursor()
    );
    assert_eq!(relay.exit_status().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (_db, mut relay) = scene(&["--grace-period", "60s"]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    let began = Instant::now();
    relay.terminate();
    relay.logs("ending").await;
    relay.terminate();
    let status = relay.exit_status().await;
    assert_ne!(status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_relay_without_streams_ends_at_once() {
    let (_db, mut relay) = scene(&["--grace-period", "60s"]).await;
    relay.client.get(PATH).await;
    let began = Instant::now();
    relay.terminate();
    assert_eq!(relay.exit_status().await.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
