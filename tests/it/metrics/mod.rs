//! `/metrics` of a real relay: what is counted, what Prometheus' own tools say of it, and what the dashboard and the alert
//! rules ask for.

mod deploy;
mod latency;
mod subscribers;
mod tails;

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{Client, Relay};

const PATH: &str = "/v1/rooms/a/events";

/// What `/metrics` says now.
async fn scrape(client: &Client) -> String {
    let answer = client.get("/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// The value of the series with this name and these labels, in whatever order; `None` without one.
fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let matches = |line: &&str| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        let series = rest.rsplit_once(' ').map_or("", |(series, _)| series);
        let has = |(label, value): &(&str, &str)| series.contains(&format!("{label}=\"{value}\""));
        (rest.starts_with('{') || rest.starts_with(' ')) && labels.iter().all(has)
    };
    let line = text.lines().find(matches)?;
    Some(line.rsplit_once(' ')?.1.parse().expect("a number"))
}

/// The value of a series of source `messages` now.
async fn of_messages(relay: &Relay, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let all = [&[("source", "messages")], labels].concat();
    value(&scrape(&relay.client).await, name, &all)
}

/// Runs `promtool` with `input` on its stdin: whether it succeeded, and all that it printed.
fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's package prometheus: scripts/setup.sh --tests");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(input.as_bytes()).expect("hand over the input");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool's end");
    let printed = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&printed).into_owned(),
    )
}
