//! Connections: in all, of one address, new ones in a second.

use reqwest::Version;

use super::{SUBSCRIBE, client_from, connect_from, count, hits, rest, send, until};
use crate::support::{Relay, eventually, messages, scene, within};

/// A stream that is open.
async fn subscribed(relay: &Relay, host: u8) -> tokio::net::TcpStream {
    let mut connection = connect_from(relay, host).await;
    send(&mut connection, SUBSCRIBE).await;
    let head = until(&mut connection, "event: ready").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    connection
}

/// What a new connection is answered before it is closed.
async fn refused(relay: &Relay, host: u8) -> String {
    let mut connection = connect_from(relay, host).await;
    send(
        &mut connection,
        "GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n",
    )
    .await;
    rest(&mut connection).await.to_ascii_lowercase()
}

fn assert_says(answer: &str, status: &str, code: &str, seconds: &str) {
    for part in [
        format!("http/1.1 {status} "),
        format!("\"code\":\"{code}\""),
        format!("retry-after: {seconds}\r\n"),
        "connection: close\r\n".to_owned(),
        "content-type: application/problem+json\r\n".to_owned(),
    ] {
        assert!(answer.contains(&part), "no {part:?} in {answer}");
    }
}

#[tokio::test]
async fn connections_beyond_the_total_are_told_and_closed_until_one_ends() {
    let (_db, relay) = scene(&["--max-connections", "3"]).await;
    let mut held = Vec::new();
    for host in 1..=2 {
        held.push(subscribed(&relay, host).await);
    }
    // The third is to ask for the metrics.
    let asking = client_from(&relay, 3);
    assert_eq!(asking.get("/health/live").await.status, 200);
    for host in [1, 4] {
        assert_says(&refused(&relay, host).await, "503", "too_many_connections", "5");
    }
    assert_eq!(hits(&asking, "connections").await, 2);
    drop(held.pop());
    eventually(async || refused(&relay, 4).await.starts_with("http/1.1 200 ")).await;
}

#[tokio::test]
async fn connections_of_one_address_beyond_theirs_leave_other_addresses_alone() {
    let (_db, relay) = scene(&["--max-connections-per-address", "2"]).await;
    let mut held = vec![subscribed(&relay, 7).await, subscribed(&relay, 7).await];
    assert_says(&refused(&relay, 7).await, "429", "too_many_connections", "5");
    let other = client_from(&relay, 8);
    assert_eq!(hits(&other, "connections_per_address").await, 1);
    // Over HTTP/2 as well.
    let two = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .local_address(std::net::IpAddr::from([127, 0, 0, 7]));
    let two = relay.client.with(two.build().unwrap());
    let request = two.request(reqwest::Method::GET, super::PATH);
    let response = within(request.send()).await.unwrap();
    assert_eq!(
        (response.version(), response.status().as_u16()),
        (Version::HTTP_2, 429)
    );
    assert_eq!(response.headers()["retry-after"], "5");
    drop(held.pop());
    eventually(async || client_from(&relay, 7).get("/health/live").await.status == 200).await;
}

#[tokio::test]
async fn new_connections_beyond_the_rate_are_told_and_closed() {
    let (_db, relay) = scene(&["--max-new-connections-per-second", "1"]).await;
    // However slow this machine is: among so many at once there are some within one second.
    let crowd = (0..200).map(|_| refused(&relay, 1));
    let answers = futures_util::future::join_all(crowd).await;
    let told = answers.iter().find(|answer| answer.starts_with("http/1.1 429 "));
    assert_says(told.expect("one is refused"), "429", "rate_limited", "1");
    let mut metrics = String::new();
    eventually(async || {
        let mut connection = connect_from(&relay, 2).await;
        send(
            &mut connection,
            "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        )
        .await;
        metrics = rest(&mut connection).await;
        metrics.starts_with("HTTP/1.1 200 ")
    })
    .await;
    assert!(count(&metrics, "new_connections_per_second") > 0);
}

#[tokio::test]
async fn the_total_follows_from_the_limit_of_descriptors_and_is_logged() {
    let db = messages().await;
    let relay = Relay::serve_with_descriptors(256, &db.relay_url, &["--log-format", "json"]).await;
    relay.logs("connections at a time").await;
    let line = relay
        .log()
        .into_iter()
        .find(|line| line.contains("connections at a time"));
    let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let descriptors = line["descriptors"].as_u64().unwrap();
    if let Some(hard) = hard {
        assert_eq!(descriptors, hard, "the soft limit is raised to the hard one");
    }
    let connections = line["connections"].as_u64().unwrap();
    assert!((descriptors / 2..descriptors).contains(&connections), "{line}");
}
