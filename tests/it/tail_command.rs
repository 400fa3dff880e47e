//! `rowcast tail` as a child process: what it prints, and that it resumes.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdout};

use crate::support::relay::{self, command};
use crate::support::{Relay, database, messages, run, scene, within};

/// A running `rowcast tail`, with its stdout line by line.
struct Tail {
    child: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Tail {
    fn start(arguments: &[&str]) -> Self {
        let mut command = tokio::process::Command::from(command(&[&["tail"], arguments].concat()));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("start rowcast tail");
        let stdout = child.stdout.take().expect("it is piped");
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
        }
    }

    async fn line(&mut self) -> String {
        let line = within(self.lines.next_line()).await.expect("stdout can be read");
        line.expect("it goes on")
    }

    /// The `id` of the next event of `--json`.
    async fn id(&mut self) -> i64 {
        let event: Value = serde_json::from_str(&self.line().await).expect("JSON");
        event["id"].as_i64().expect("an id")
    }
}

#[tokio::test]
async fn it_begins_with_the_newest_and_goes_on_over_a_crash_of_the_relay_without_loss_or_repetition() {
    let (db, mut relay) = scene(&[]).await;
    db.say_many("a", 5).await;
    let mut tail = Tail::start(&[&relay.url, "a", "--json", "--last", "2"]);
    assert_eq!([tail.id().await, tail.id().await], [4, 5]);
    assert_eq!(db.say("a", "while it follows").await, 6);
    assert_eq!(tail.id().await, 6);

    relay.kill();
    db.say("b", "of another room").await;
    db.say_many("a", 3).await;
    let address = relay.url.strip_prefix("http://").expect("plain HTTP").to_owned();
    let _again = Relay::serve(&db.relay_url, &["--listen", &address]).await;
    assert_eq!([tail.id().await, tail.id().await, tail.id().await], [8, 9, 10]);
    assert_eq!(db.say("a", "afterwards").await, 11);
    assert_eq!(tail.id().await, 11);
}

#[tokio::test]
async fn a_person_sees_rooms_and_latency_and_the_end_where_nothing_is_followed() {
    let db = database().await;
    run(
        &db,
        "create table messages (id bigint generated always as identity primary key, room text, body text,
                                created_at timestamptz not null default now());
         create index on messages (room, id);",
    )
    .await;
    crate::support::attach(&db, "'messages', room => 'room'").await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    db.say("a", "one").await;
    db.say("b", "two").await;
    let (status, shown, said) = relay::run(&["tail", &relay.url, "a", "b", "--no-follow"]).await;
    assert!(status.success(), "{said}");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "{shown}");
    for (line, (room, id)) in lines.iter().zip([("a", 1), ("b", 2)]) {
        assert!(line.contains(&format!("  {room}  insert  {id}  {{")), "{line}");
        let latency = line.split_whitespace().nth(1).expect("a latency");
        assert!(
            latency.starts_with('+') && latency.parse::<f64>().is_ok(),
            "{line}"
        );
    }
    let cursor = said
        .split("--after ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("a cursor");

    assert_eq!(db.say("a", "three").await, 3);
    let after = [
        "tail",
        &relay.url,
        "a",
        "b",
        "--no-follow",
        "--json",
        "--after",
        cursor,
    ];
    let (status, shown, said) = relay::run(&after).await;
    assert!(status.success(), "{said}");
    let event: Value = serde_json::from_str(&shown).expect("one event");
    assert_eq!(event["id"], 3);
}

#[tokio::test]
async fn a_refusal_is_one_line() {
    let (_db, relay) = scene(&[]).await;
    let nobody = "http://127.0.0.1:1";
    for (arguments, words) in [
        (&["tail", &relay.url, "a", "--source", "none"][..], "404"),
        (&["tail", &relay.url, "*"], "403"),
        (&["tail", &relay.url, "a", "--after", "x"], "400"),
        (&["tail", nobody, "a"], "127.0.0.1:1"),
        (&["tail", "ftp://a", "a"], "like http://127.0.0.1:8080"),
    ] {
        let (status, stdout, stderr) = relay::run(arguments).await;
        assert!(!status.success() && stdout.is_empty(), "{arguments:?}: {stdout}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
}

#[tokio::test]
async fn it_can_be_interrupted_while_nobody_takes_what_it_prints() {
    let db = messages().await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    // More than a pipe holds.
    let row = "x".repeat(10_000);
    for _ in 0..50 {
        db.say("a", &row).await;
    }
    let mut tail = Tail::start(&[&relay.url, "a", "--last", "50"]);
    tail.line().await;
    let pid = tail
        .child
        .id()
        .and_then(|pid| Pid::from_raw(pid.try_into().ok()?))
        .expect("it runs");
    kill_process(pid, Signal::INT).expect("a signal");
    let status = within(tail.child.wait()).await.expect("it ends");
    assert!(status.success(), "{status}");
}

/// A relay of the test's own answers each request with the next of these, and closes.
async fn answering(answers: Vec<String>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).await.expect("a request") > 0);
            stream.write_all(answer.as_bytes()).await.expect("an answer");
        }
    });
    url
}

#[tokio::test]
async fn what_a_relay_says_can_not_steer_the_terminal_and_the_end_names_the_cursor() {
    let stream = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n\
                  {\"control\":\"ready\",\"cursor\":\"7.5\"}\n{\"control\":\"end\",\"code\":\"\\u001b[2Jx\"}\n";
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let refusal = "HTTP/1.1 401 No\r\nconnection: close\r\n\r\n{\"detail\":\"\\u001b]0;no\\u0007\"}";
    let url = answering(vec![stream.to_owned(), busy.to_owned(), refusal.to_owned()]).await;
    let url = url.replace("http://", "http://u:hunter2@");
    let (status, _, said) = relay::run(&["tail", &url, "a"]).await;
    assert!(!status.success());
    assert!(
        said.contains("cut off: \\u{1b}[2Jx") && said.contains("503"),
        "{said}"
    );
    assert!(
        said.contains("--after 7.5 goes on from here") && said.contains("401"),
        "{said}"
    );
    assert!(
        !said.contains("hunter2") && !said.contains(['\u{1b}', '\u{7}']),
        "{said}"
    );
}

#[tokio::test]
async fn it_ends_when_nobody_reads_it_any_longer() {
    let db = messages().await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    db.say("a", "first").await;
    let Tail { mut child, mut lines } = Tail::start(&[&relay.url, "a"]);
    within(lines.next_line()).await.expect("a line");
    drop(lines);
    db.say("a", "to nobody").await;
    let status = within(child.wait()).await.expect("it ends");
    assert!(status.success(), "{status}");
}
