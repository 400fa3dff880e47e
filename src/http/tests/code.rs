//! The client's code at `/rowcast.js`: for every origin, kept by caches that ask.

use super::*;

const CODE: &str = "/rowcast.js";
const ORIGIN: &str = "https://app.example.com";

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_client_is_a_module_that_caches_ask_about() {
    let app = App::new();
    let response = app.get(CODE, &[]).await;
    let headers = response.headers();
    assert_eq!(response.status(), 200);
    assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["cross-origin-resource-policy"], "cross-origin");
    assert_eq!(text(response).await, client::CODE);
    assert_eq!(
        app.problem(Method::POST, CODE, &[], "").await,
        (405, "method_not_allowed".into())
    );
}

#[tokio::test]
async fn a_cache_that_has_the_client_gets_no_second_copy() {
    let app = App::new();
    let etag = app.get(CODE, &[]).await.headers()["etag"].clone();
    let etag = etag.to_str().unwrap();
    let listed = format!("\"other\", {etag}");
    let strong = etag.trim_start_matches("W/");
    for known in [etag, &listed, strong, "*"] {
        let response = app.get(CODE, &[("if-none-match", known)]).await;
        assert_eq!(response.status(), 304, "{known}");
        assert_eq!(response.headers()["etag"], etag);
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert_eq!(text(response).await, "");
    }
    for other in ["\"other\"", "W/\"\"", ""] {
        let response = app.get(CODE, &[("if-none-match", other)]).await;
        assert_eq!(response.status(), 200, "{other:?}");
    }
}

#[tokio::test]
async fn the_client_is_compressed_where_asked() {
    let response = App::new().get(CODE, &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.headers()["vary"], "accept-encoding");
}

#[tokio::test]
async fn every_origin_may_load_the_client_and_is_told_so_once() {
    for allow_origins in [vec![], vec![HeaderValue::from_static(ORIGIN)]] {
        let app = App::with(HttpSettings {
            allow_origins,
            ..HttpSettings::default()
        });
        for origin in [
            &[][..],
            &[("origin", ORIGIN)],
            &[("origin", "https://elsewhere.org")],
        ] {
            let response = app.get(CODE, origin).await;
            let allowed: Vec<_> = response
                .headers()
                .get_all("access-control-allow-origin")
                .iter()
                .collect();
            assert_eq!(allowed, ["*"], "{origin:?}");
            assert!(
                !response
                    .headers()
                    .contains_key("access-control-allow-credentials")
            );
        }
    }
}

#[tokio::test]
async fn the_client_stands_under_the_base_path() {
    let app = App::with(HttpSettings {
        base_path: "/live".into(),
        ..HttpSettings::default()
    });
    assert_eq!(app.get("/live/rowcast.js", &[]).await.status(), 200);
    assert_eq!(
        app.problem(Method::GET, CODE, &[], "").await,
        (404, "not_found".into())
    );
}
