//! What is rendered, and what is not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;

fn micros_ago(micros: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_micros() as i64 - micros
}

/// The value of a series, as it is written.
fn value<'a>(text: &'a str, series: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
}

#[test]
fn a_counter_is_rendered_before_it_counts() {
    let metrics = Metrics::new();
    let _source = SourceMetrics::new(&metrics, "messages");
    let text = metrics.render();
    for series in [
        "rowcast_connects_total{source=\"messages\",transport=\"sse\"}",
        "rowcast_ends_total{source=\"messages\",transport=\"poll\",reason=\"failed\"}",
        "rowcast_resets_total{source=\"messages\",code=\"epoch\"}",
        "rowcast_read_duration_seconds_count{source=\"messages\"}",
    ] {
        assert_eq!(value(&text, series), Some("0"), "{series}\n{text}");
    }
}

#[test]
fn a_subscriber_is_open_until_it_is_dropped_and_ends_for_one_reason() {
    let metrics = Metrics::new();
    let source = SourceMetrics::new(&metrics, "messages");
    metrics.collect({
        let source = source.clone();
        Box::new(move |gauges| source.collect(gauges))
    });
    let open = "rowcast_subscribers{source=\"messages\",transport=\"ndjson\"}";
    let ended = "rowcast_ends_total{source=\"messages\",transport=\"ndjson\",reason=\"forbidden\"}";
    let mut subscriber = source.subscriber(Transport::Ndjson);
    assert_eq!(value(&metrics.render(), open), Some("1"));
    subscriber.ends(End::Forbidden);
    drop(subscriber);
    let text = metrics.render();
    assert_eq!((value(&text, open), value(&text, ended)), (Some("0"), Some("1")));
}

#[test]
fn each_reset_and_each_end_is_counted_under_its_own_label() {
    let metrics = Metrics::new();
    let source = SourceMetrics::new(&metrics, "messages");
    let series = |name: &str, label: &str| format!("{name}{{source=\"messages\",{label}}}");
    for (count, reset) in Reset::ALL.into_iter().enumerate() {
        let subscriber = source.subscriber(Transport::Poll);
        (0..=count).for_each(|_| subscriber.reset(reset));
        let name = series("rowcast_resets_total", &format!("code=\"{}\"", reset.label()));
        assert_eq!(
            value(&metrics.render(), &name),
            Some(&*(count + 1).to_string()),
            "{name}"
        );
    }
    for transport in Transport::ALL {
        for end in transport.ends() {
            let labels = format!("transport=\"{}\",reason=\"{}\"", transport.label(), end.label());
            let name = series("rowcast_ends_total", &labels);
            let before: u64 = value(&metrics.render(), &name).map_or(0, |count| count.parse().unwrap());
            source.subscriber(transport).ends(*end);
            let after = value(&metrics.render(), &name).map(|count| count.parse().unwrap());
            assert_eq!(after, Some(before + 1), "{name}");
        }
    }
}

#[test]
fn a_gauge_is_of_one_look() {
    let metrics = Metrics::new();
    let there = Arc::new(std::sync::atomic::AtomicBool::new(true));
    metrics.collect({
        let there = there.clone();
        Box::new(move |gauges| {
            if there.load(std::sync::atomic::Ordering::Relaxed) {
                gauges.set(names::ROOMS, &[("source", "messages")], 3.0);
            }
        })
    });
    assert!(metrics.render().contains("rowcast_rooms{source=\"messages\"} 3"));
    there.store(false, std::sync::atomic::Ordering::Relaxed);
    assert!(!metrics.render().contains("rowcast_rooms"));
}

#[test]
fn a_row_from_the_future_took_no_time() {
    let metrics = Metrics::new();
    let subscriber = SourceMetrics::new(&metrics, "messages").subscriber(Transport::Sse);
    assert!(!metrics.render().contains("rowcast_commit_to_socket_seconds"));
    subscriber.first_delivered(&[micros_ago(-60_000_000), micros_ago(20_000_000)]);
    metrics.upkeep();
    let text = metrics.render();
    let bucket = |le: &str| {
        let series = format!("rowcast_commit_to_socket_seconds_bucket{{source=\"messages\",le=\"{le}\"}}");
        value(&text, &series).map(str::to_owned)
    };
    assert_eq!(
        [bucket("0.001"), bucket("10"), bucket("30")].map(|count| count.unwrap()),
        ["1", "1", "2"],
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_lag_grows_until_a_read_takes_all_there_is() {
    let metrics = Metrics::new();
    let source = SourceMetrics::new(&metrics, "messages");
    let lag = || {
        let mut gauges = Gauges::new();
        source.collect(&mut gauges);
        let text = gauges.render();
        let seconds = value(&text, "rowcast_tail_lag_seconds{source=\"messages\"}").map(str::to_owned);
        seconds.unwrap().parse::<f64>().unwrap().round()
    };
    tokio::time::advance(Duration::from_secs(3)).await;
    source.read(2_000, Duration::from_secs(1), false);
    assert_eq!(lag(), 3.0, "a limit cut it");
    source.read(5, Duration::from_secs(1), true);
    assert_eq!(lag(), 1.0, "since that read began");
}
