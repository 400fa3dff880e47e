//! The page for operators and what it reads, as a program sees it: where it is, the form of its stream, what stands in it.
//! (How the page shows it is tested in Chromium, with the client.)

mod overview;

use reqwest::Method;

use crate::support::{Client, Relay, Stream, TestDatabase, eventually, scene};

/// What the page is made of.
const PATHS: [&str; 7] = [
    "/admin",
    "/admin/",
    "/admin/events",
    "/admin/page.css",
    "/admin/main.js",
    "/admin/show.js",
    "/admin/words.js",
];

/// [`scene`] with a listener for operators.
async fn watched(arguments: &[&str]) -> (TestDatabase, Relay, Client) {
    let arguments = [&["--admin-listen", "127.0.0.1:0"], arguments].concat();
    let (db, relay) = scene(&arguments).await;
    let admin = relay.operators();
    (db, relay, admin)
}

/// The next overview of a stream.
async fn next(stream: &mut Stream) -> serde_json::Value {
    let frame = stream.next_event().await;
    assert_eq!(frame.event.as_deref(), Some("overview"), "{frame:?}");
    frame.json()
}

#[tokio::test]
async fn the_page_is_on_the_listener_for_operators_alone() {
    let (_db, relay, admin) = watched(&["--base-path", "/live"]).await;
    for path in PATHS {
        let head = admin.send(admin.request(Method::HEAD, path)).await;
        assert_eq!(head.status, 200, "{path}");
        for public in [path.to_owned(), format!("/live{path}")] {
            assert_eq!(relay.client.get(&public).await.code(), "not_found", "{public}");
        }
    }
    let posted = admin.send(admin.request(Method::POST, "/admin")).await;
    assert_eq!(posted.code(), "method_not_allowed");
    assert_eq!(admin.get("/admin/nothing").await.code(), "not_found");
}

#[tokio::test]
async fn the_page_runs_and_loads_nothing_from_elsewhere() {
    let (_db, _relay, admin) = watched(&[]).await;
    let page = admin.get("/admin").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"));
    let policy = page.header("content-security-policy").expect("a policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for elsewhere in ["http:", "https:", "src=\"//", "onclick", "style=\"", "<style"] {
        assert!(!page.body.contains(elsewhere), "{elsewhere}");
    }
    let assets = page.body.matches("\"/admin/").count();
    assert_eq!(
        assets, 2,
        "a script and a style sheet, by paths that hold for /admin and /admin/"
    );
}

#[tokio::test]
async fn no_page_of_another_site_reads_it() {
    let (_db, _relay, admin) = watched(&["--allow-origin", "https://app.example.com"]).await;
    for path in ["/admin", "/admin/events"] {
        let named = admin
            .request(Method::HEAD, path)
            .header("host", "pages.example.net");
        assert_eq!(
            admin.send(named).await.status,
            403,
            "{path}: a name that leads here"
        );
        let asked = admin
            .request(Method::HEAD, path)
            .header("origin", "https://app.example.com");
        let answer = admin.send(asked).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            Some("same-origin"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_overview_is_a_stream_of_events_that_begins_at_once_and_goes_on() {
    let (_db, _relay, admin) = watched(&["--retry", "1234ms"]).await;
    let mut stream = admin.stream("/admin/events").await;
    assert_eq!(stream.headers["cache-control"], "no-store, no-transform");
    assert_eq!(stream.headers["x-accel-buffering"], "no");
    let opening = stream.next_frame().await.expect("an opening");
    assert_eq!(opening.retry_milliseconds, Some(1234));
    let first = next(&mut stream).await;
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(first["status"], "ready");
    let mut uptime = first["uptime_seconds"].as_u64();
    for _ in 0..2 {
        let later = next(&mut stream).await["uptime_seconds"].as_u64();
        assert!(later >= uptime && later.is_some(), "{later:?} after {uptime:?}");
        uptime = later;
    }
    assert_eq!(stream.last_event_id, None, "there is nothing to resume");
}

#[tokio::test]
async fn the_stream_tells_of_the_drain_and_ends_after_it() {
    let (_db, mut relay, admin) = watched(&["--grace-period", "20s"]).await;
    // Each is ended at a random time of the grace period, the page tells of the drain within a second: one of them would be
    // gone by then now and then, eight are not.
    let mut followers = Vec::new();
    for _ in 0..8 {
        let mut follower = relay.client.stream("/v1/rooms/a/events").await;
        follower.ready().await;
        followers.push(follower);
    }
    let mut stream = admin.stream("/admin/events").await;
    assert_eq!(next(&mut stream).await["status"], "ready");
    relay.terminate();
    eventually(async || {
        let overview = next(&mut stream).await;
        let reason = overview["reasons"][0].as_str().unwrap_or_default();
        overview["status"] == "not_ready" && reason.starts_with("draining")
    })
    .await;
    drop(followers);
    let end = loop {
        let frame = stream.next_event().await;
        if frame.event.as_deref() != Some("overview") {
            break frame;
        }
    };
    assert_eq!(end.event.as_deref(), Some("end"));
    assert_eq!(end.json()["code"], "shutting_down");
    assert!(
        stream.next_frame().await.is_none(),
        "nothing comes behind the end"
    );
    assert_eq!(relay.exit_status().await.code(), Some(0));
}
