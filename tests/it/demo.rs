//! The demo's own parts: its database, its writer, what one may do with messages, its faults, its page.

use reqwest::Method;
use rowcast::demo::{self, Demo, Writing};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;
use tokio_postgres::Client as Database;
use tokio_util::sync::CancellationToken;

use crate::support::relay::run;
use crate::support::{Answer, Relay, Stream, connect, eventually, within};

/// One that the writer never enters.
const ROOM: &str = "/v1/rooms/test/events";

/// How many messages the writer begins with.
const BEGINNING: i64 = 12;

/// The whole demo, as a person starts it.
async fn demo() -> Relay {
    let mut relay = Relay::start(&["demo", "--listen", "127.0.0.1:0"]);
    relay.wait_until_listening().await;
    relay
}

async fn put(relay: &Relay, path: &str, body: Value) -> Answer {
    relay
        .client
        .send(relay.client.request(Method::PUT, path).json(&body))
        .await
}

async fn patch(relay: &Relay, id: &Value, body: Value) -> Answer {
    let path = format!("/demo/messages/{id}");
    relay
        .client
        .send(relay.client.request(Method::PATCH, &path).json(&body))
        .await
}

async fn delete(relay: &Relay, id: &Value) -> Answer {
    let path = format!("/demo/messages/{id}");
    relay
        .client
        .send(relay.client.request(Method::DELETE, &path))
        .await
}

/// Sends a message; its key's value.
async fn say(relay: &Relay, body: &str) -> Value {
    let answer = relay
        .client
        .post(ROOM, &json!({"author": "Ada", "body": body}))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["key"]["id"].clone()
}

async fn break_transports(relay: &Relay, sse: bool, long_poll: bool) {
    let faults = json!({"sse": sse, "long_poll": long_poll});
    let answer = put(relay, "/demo/faults", faults.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, faults));
}

async fn count(client: &Database, condition: &str) -> i64 {
    let query = format!("select count(*) from messages where {condition}");
    client.query_one(&query, &[]).await.unwrap().get(0)
}

/// The writer on a database, hasty, until the token is cancelled.
struct HastyWriter {
    writing: watch::Sender<Writing>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl HastyWriter {
    fn start(demo: &Demo, paused: bool) -> Self {
        let writing = watch::Sender::new(Writing { paused });
        let shutdown = CancellationToken::new();
        let pauses = Duration::from_millis(1)..Duration::from_millis(2);
        let rows = demo::write_rows(demo.database_url(), pauses, writing.subscribe(), shutdown.clone());
        let task = tokio::spawn(rows);
        Self {
            writing,
            shutdown,
            task,
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        within(self.task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_writer_says_things_mends_some_and_takes_some_back() {
    let demo = Demo::prepare(None).await.unwrap();
    let client = connect(&demo.database_url()).await;
    let writer = HastyWriter::start(&demo, false);
    eventually(async || count(&client, "edited_at > created_at").await > 0).await;
    eventually(async || {
        let row = client
            .query_one("select max(id) - count(*) from messages", &[])
            .await
            .unwrap();
        row.get::<_, i64>(0) > 0
    })
    .await;
    for room in demo::ROOMS {
        eventually(async || count(&client, &format!("room_id = '{room}'")).await > 0).await;
    }
    writer.stop().await;
}

#[tokio::test]
async fn a_paused_writer_begins_and_then_rests() {
    let demo = Demo::prepare(None).await.unwrap();
    let client = connect(&demo.database_url()).await;
    let writer = HastyWriter::start(&demo, true);
    eventually(async || count(&client, "true").await == BEGINNING).await;
    for _ in 0..100 {
        assert_eq!(count(&client, "edited_at is null").await, BEGINNING);
    }
    writer.writing.send_replace(Writing { paused: false });
    eventually(async || count(&client, "true").await > BEGINNING).await;
    writer.stop().await;
}

#[tokio::test]
async fn the_page_pauses_the_writer() {
    let relay = demo().await;
    let resting = json!({"paused": true});
    assert_eq!(
        relay.client.get("/demo/writer").await.json(),
        json!({"paused": false})
    );
    assert_eq!(put(&relay, "/demo/writer", resting.clone()).await.json(), resting);
    assert_eq!(relay.client.get("/demo/writer").await.json(), resting);
}

#[tokio::test]
async fn a_message_is_sent_edited_and_deleted_and_everybody_sees_it() {
    let relay = demo().await;
    let mut stream = relay.client.stream(ROOM).await;
    stream.ready().await;
    let message = json!({"author": "Ada", "body": "helo", "nonce": "n1"});
    let sent = relay.client.post(ROOM, &message).await;
    assert_eq!(sent.status, 201, "{}", sent.body);
    let key = sent.json()["key"].clone();
    let inserted = stream.next_row().await;
    assert_eq!((&inserted["op"], &inserted["key"]), (&json!("insert"), &key));
    assert_eq!(inserted["row"]["nonce"], "n1");
    assert!(inserted["row"]["edited_at"].is_null());

    let id = &key["id"];
    assert_eq!(patch(&relay, id, json!({"body": "hello"})).await.status, 204);
    let updated = stream.next_row().await;
    assert_eq!((&updated["op"], &updated["key"]), (&json!("update"), &key));
    assert_eq!(updated["row"]["body"], "hello");
    assert!(updated["row"]["edited_at"].is_string());
    let listed = relay.client.get(&format!("{ROOM}?last=5")).await.events();
    assert_eq!((listed.len(), &listed[0]["row"]), (1, &updated["row"]));

    assert_eq!(delete(&relay, id).await.status, 204);
    let deleted = stream.next_row().await;
    assert_eq!((&deleted["op"], &deleted["key"]), (&json!("delete"), &key));
}

#[tokio::test]
async fn a_message_that_is_sent_twice_is_there_once() {
    let relay = demo().await;
    let message = json!({"author": "Ada", "body": "hello", "nonce": "n1"});
    assert_eq!(relay.client.post(ROOM, &message).await.status, 201);
    let again = relay.client.post(ROOM, &message).await;
    assert_eq!((again.status.as_u16(), again.code()), (409, "duplicate".into()));
    assert_eq!(relay.client.get(ROOM).await.events().len(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_a_problem_with_a_code() {
    let relay = demo().await;
    let id = say(&relay, "hello").await;
    let is = |answer: Answer| (answer.status.as_u16(), answer.code());
    let text = json!({"body": "hi"});
    for missing in [json!(999), json!(-1), json!("x"), json!(1.5)] {
        let not_found = (404, "not_found".to_owned());
        assert_eq!(is(patch(&relay, &missing, text.clone()).await), not_found);
        assert_eq!(is(delete(&relay, &missing).await), not_found);
    }
    for body in [json!({}), json!({"body": 1}), json!({"body": "hi", "id": 7})] {
        assert_eq!(is(patch(&relay, &id, body).await), (400, "invalid_body".into()));
    }
    for refused in ["", "a\0b", &"x".repeat(2001)] {
        let answer = patch(&relay, &id, json!({"body": refused})).await;
        assert_eq!(is(answer), (422, "invalid_row".into()), "{refused:?}");
    }
    let path = format!("/demo/messages/{id}");
    let request = relay.client.request(Method::PATCH, &path).body("{}");
    assert_eq!(
        is(relay.client.send(request).await),
        (415, "unsupported_media_type".into())
    );
    assert_eq!(
        is(relay.client.get(&path).await),
        (405, "method_not_allowed".into())
    );
    let half = json!({"sse": true});
    assert_eq!(
        is(put(&relay, "/demo/faults", half).await),
        (400, "invalid_body".into())
    );
}

#[tokio::test]
async fn broken_sse_is_cut_then_holds_everything_back_until_it_is_mended() {
    let relay = demo().await;
    let mut open = relay.client.stream(ROOM).await;
    open.ready().await;
    break_transports(&relay, true, false).await;
    assert_eq!(open.next_frame().await, None, "an open stream is cut");

    let mut held = relay.client.stream(&format!("{ROOM}?last=5")).await;
    say(&relay, "hello").await;
    assert_eq!(relay.client.get(ROOM).await.events().len(), 1);
    let waited = relay.client.get(&format!("{ROOM}?wait=10&last=1")).await;
    assert_eq!(waited.events().len(), 1);

    break_transports(&relay, false, false).await;
    assert_eq!(held.next_frame().await, None, "what was held back is lost");
    let mut mended = relay.client.stream(&format!("{ROOM}?last=5")).await;
    assert_eq!(mended.next_row().await["row"]["body"], "hello");
}

#[tokio::test]
async fn a_stream_that_is_held_back_does_not_hold_the_end_up() {
    let mut relay = demo().await;
    break_transports(&relay, true, false).await;
    let mut held: Stream = relay.client.stream(ROOM).await;
    relay.terminate();
    assert_eq!(held.next_frame().await, None);
    assert!(relay.exit_status().await.success());
}

#[tokio::test]
async fn broken_long_polls_are_cut_and_refused_while_plain_polls_and_sse_work() {
    let relay = demo().await;
    let waiting = tokio::spawn(relay.client.get(&format!("{ROOM}?wait=60")));
    relay.logs("a long poll waits").await;
    break_transports(&relay, false, true).await;
    assert_eq!(within(waiting).await.unwrap().status, 504);
    let refused = relay.client.get(&format!("{ROOM}?last=1&wait=60")).await;
    assert_eq!(refused.status, 504);
    say(&relay, "hello").await;
    assert_eq!(relay.client.get(ROOM).await.events().len(), 1);
    let mut stream = relay.client.stream(&format!("{ROOM}?last=1")).await;
    assert_eq!(stream.next_row().await["row"]["body"], "hello");

    break_transports(&relay, false, false).await;
    let mended = relay.client.get(&format!("{ROOM}?last=1&wait=60")).await;
    assert_eq!(mended.events().len(), 1);
}

#[tokio::test]
async fn the_options_of_a_relay_in_the_environment_do_not_reach_the_demo() {
    let variables = [
        ("DATABASE_URL", "postgresql://127.0.0.1:1/nowhere"),
        ("ROWCAST_LISTEN_DATABASE_URL", "postgresql://127.0.0.1:1/nowhere"),
        ("ROWCAST_AUTH", "jwt"),
        (
            "ROWCAST_JWT_SECRET",
            "a secret of the tests, which has more than 32 bytes",
        ),
        ("ROWCAST_JWKS_URL", "https://127.0.0.1:1/jwks"),
        ("ROWCAST_AUTH_COOKIE", "session"),
        ("ROWCAST_AUTHORIZE_SQL", "select false"),
        ("ROWCAST_TLS_CERT", "/nowhere/tls.crt"),
        ("ROWCAST_BASE_PATH", "/live"),
        ("ROWCAST_DEFAULT_SOURCE", "orders"),
        ("ROWCAST_MAX_CONNECTIONS", "1"),
        ("ROWCAST_HEARTBEAT", "no duration"),
    ];
    let mut relay = Relay::start_in(&["demo", "--listen", "127.0.0.1:0"], &variables);
    relay.wait_until_listening().await;
    let mut stream = relay.client.stream(ROOM).await;
    stream.ready().await;
    say(&relay, "hello").await;
    assert_eq!(stream.next_row().await["row"]["body"], "hello");
}

#[tokio::test]
async fn an_address_that_others_reach_is_the_demos_only_where_that_is_said() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"] {
        let (status, _, stderr) = run(&["demo", "--listen", address]).await;
        assert_eq!(status.code(), Some(1), "{address}: {stderr}");
        assert!(
            stderr.starts_with("rowcast: --listen (ROWCAST_LISTEN) ") && stderr.contains("--auth none"),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let mut open = Relay::start(&["demo", "--listen", "0.0.0.0:0", "--auth", "none"]);
    open.wait_until_listening().await;
    say(&open, "hello").await;
}

#[tokio::test]
async fn the_invitation_says_where_to_look_and_what_to_try() {
    let demo = Demo::prepare(None).await.unwrap();
    let invitation = demo.invitation("127.0.0.1:8081".parse().unwrap());
    let database = format!("Database  {}\n", demo.database_url());
    for line in [
        "Watch     http://127.0.0.1:8081/\n",
        &database,
        "curl -N -H 'Accept: text/event-stream'",
    ] {
        assert!(invitation.contains(line), "{line} is not in {invitation}");
    }
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere_and_knows_the_rooms() {
    let relay = demo().await;
    let mut texts = Vec::new();
    for (path, kind) in [
        ("/", "text/html"),
        ("/page/page.css", "text/css"),
        ("/page/main.js", "text/javascript"),
        ("/page/pane.js", "text/javascript"),
        ("/page/timeline.js", "text/javascript"),
        ("/page/message.js", "text/javascript"),
        ("/page/room.js", "text/javascript"),
        ("/page/latency.js", "text/javascript"),
        ("/page/switches.js", "text/javascript"),
        ("/rowcast.js", "text/javascript"),
    ] {
        let answer = relay.client.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").unwrap().starts_with(kind), "{path}");
        assert!(
            !answer.body.contains("//cdn") && !answer.body.contains("https://"),
            "{path} names another place"
        );
        texts.push(answer);
    }
    let policy = texts[0].header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(texts[0].header(name), Some(value));
    }
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    let rooms = format!("const ROOMS = {:?};", demo::ROOMS);
    assert!(
        texts[2].body.contains(&rooms),
        "the page knows other rooms than {rooms}"
    );
}
