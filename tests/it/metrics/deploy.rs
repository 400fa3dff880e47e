//! What Prometheus' own tool says, and that dashboard and rules ask for nothing that is not there.

use std::collections::BTreeSet;

use super::{PATH, promtool, scrape};
use crate::support::{MESSAGES, Relay, attach, database, run};

const RULES: &str = include_str!("../../../deploy/prometheus/rowcast.rules.yml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/rowcast.json");

/// The metrics of a relay that has done something of everything.
async fn busy() -> String {
    let db = database().await;
    run(&db, MESSAGES).await;
    run(&db, "alter table messages add at timestamptz default now()").await;
    attach(&db, "'messages', room => 'room', time_column => 'at'").await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    relay.logs("LISTEN is proven").await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    db.say_many("a", 20).await;
    stream.ids(20).await;
    assert_eq!(relay.client.get(PATH).await.ids().len(), 20);
    relay.client.get(&format!("{PATH}?wait=1&last=1")).await;
    relay.client.get(&format!("{PATH}?after=1.0")).await;
    scrape(&relay.client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_nothing_to_say_about_the_metrics() {
    let text = busy().await;
    let (good, printed) = promtool(&["check", "metrics"], &text);
    assert!(good && printed.is_empty(), "{printed}\n{text}");
    // It would have spoken: a counter without `_total`, and no line of help.
    let (good, printed) = promtool(
        &["check", "metrics"],
        "# TYPE rowcast_bells counter\nrowcast_bells 1\n",
    );
    assert!(!good && printed.contains("rowcast_bells"), "{printed}");
}

#[test]
fn promtool_takes_the_rules_and_each_alert_fires() {
    let (good, printed) = promtool(&["check", "rules", "rowcast.rules.yml"], "");
    assert!(good, "{printed}");
    let (good, printed) = promtool(&["test", "rules", "rowcast.rules.test.yml"], "");
    assert!(good, "{printed}");
    let tests = include_str!("../../../deploy/prometheus/rowcast.rules.test.yml");
    for alert in RULES
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert!(
            tests.contains(&format!("{{alertname=\"{alert}\"}}")),
            "no test has {alert} fire"
        );
    }
}

#[test]
fn each_alert_has_its_section_in_the_operators_manual() {
    let manual = include_str!("../../../docs/operations.md");
    let alerts: Vec<&str> = RULES
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    let sections: Vec<&str> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    assert_eq!(alerts, sections);
}

/// The metrics of a text: words that begin as ours do.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("rowcast_") || word.starts_with("process_"))
        .collect()
}

#[tokio::test]
async fn every_metric_that_the_dashboard_and_the_rules_name_is_in_a_relays_metrics() {
    let text = busy().await;
    let there: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| match line.strip_prefix("# TYPE ") {
            // A histogram's own name stands only there.
            Some(rest) => rest.split(' ').next(),
            None => line.split(['{', ' ']).next().filter(|name| *name != "#"),
        })
        .collect();
    for (place, asking) in [("dashboard", DASHBOARD), ("rules", RULES)] {
        let asked = named(asking);
        assert!(asked.len() > 10, "{place}: {asked:?}");
        let absent: Vec<_> = asked.difference(&there).collect();
        assert!(
            absent.is_empty(),
            "the {place} asks for {absent:?}, and there are {there:?}"
        );
    }
}

#[test]
fn the_dashboard_is_json_and_shows_every_metric() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("JSON");
    assert_eq!(dashboard["title"], "Rowcast");
    let source = include_str!("../../../src/metrics/names.rs");
    let shown = named(DASHBOARD);
    let all = source.split('"').filter(|text| named(text).contains(text));
    for metric in all.filter(|metric| *metric != "rowcast_ready") {
        assert!(
            shown.iter().any(|shown| shown.starts_with(metric)),
            "no panel shows {metric}"
        );
    }
}
