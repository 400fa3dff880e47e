//! The demo's own parts: its database, its writer, its page.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use rowcast::demo::{self, Demo};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::support::{connect, eventually, within};

#[tokio::test]
async fn rows_arrive_in_the_demos_rooms() {
    let demo = Demo::prepare(None).await.unwrap();
    let shutdown = CancellationToken::new();
    let writer = tokio::spawn({
        let (url, shutdown) = (demo.database_url(), shutdown.clone());
        async move { demo::write_rows(&url, shutdown).await }
    });
    let client = connect(&demo.database_url()).await;
    eventually(async || {
        let row = client
            .query_one("select count(*), min(room_id) from messages", &[])
            .await
            .unwrap();
        row.get::<_, i64>(0) >= 2 && demo::ROOMS.contains(&row.get(1))
    })
    .await;
    shutdown.cancel();
    within(writer).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_invitation_says_where_to_look_and_what_to_try() {
    let demo = Demo::prepare(None).await.unwrap();
    let invitation = demo.invitation("127.0.0.1:8081".parse().unwrap());
    assert!(invitation.contains("http://127.0.0.1:8081/\n"), "{invitation}");
    assert!(
        invitation.contains("curl -N -H 'Accept: text/event-stream'"),
        "{invitation}"
    );
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let answer = demo::page_router()
        .oneshot(Request::get("/").body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(
        answer.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'")
    );
    let page = String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    assert!(!page.contains("//cdn") && !page.contains("https://") && !page.contains("http://"));
    let rooms = format!("const ROOMS = {:?};", demo::ROOMS);
    assert!(page.contains(&rooms), "the page knows other rooms than {rooms}");
}
