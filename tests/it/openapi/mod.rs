//! The relay against its own description: Schemathesis asks what the description admits, and what it doesn't, of a real relay,
//! and finds no status, header, type or shape that is not described. Streams are left out: they never end.

use std::path::Path;
use std::process::Stdio;

use jsonwebtoken::{EncodingKey, Header};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::json;

use crate::support::relay::run;
use crate::support::{Client, Relay, TestDatabase, grant_publishing, messages, plain_http};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/openapi");
const PROGRAM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/tools/schemathesis/bin/schemathesis"
);
const SECRET: &str = "a secret of the tests, which has more than 32 bytes";

/// Cases that are made up for each operation, besides those at the bounds of each parameter.
const EXAMPLES: &str = "5";

/// A table with some rows, which the relays may publish into.
async fn table() -> TestDatabase {
    let db = messages().await;
    grant_publishing(&db).await;
    db.say_many("a", 50).await;
    db
}

/// Has Schemathesis ask a relay, with these headers, all that the description it serves has; it must find nothing. `client`
/// knows the base path, of `origin` only the description does.
async fn conforms(client: &Client, origin: &str, headers: &[&str]) {
    let description = client.get("/openapi.json").await;
    let paths = description.json()["paths"].clone();
    let paths = paths.as_object().expect("paths").values();
    let operations: usize = paths
        .map(|path| {
            ["get", "post"]
                .iter()
                .filter(|method| path[method].is_object())
                .count()
        })
        .sum();

    // It leaves files where it runs.
    let directory = tempfile::tempdir().expect("a directory");
    for file in ["hooks.py", "schemathesis.toml"] {
        std::fs::copy(Path::new(HERE).join(file), directory.path().join(file)).expect("copy the settings");
    }
    // As a file, and not by its address: else its own path is left out.
    let file = directory.path().join("openapi.json");
    std::fs::write(&file, &description.body).expect("keep the description");
    let cursor = client.get("/v1/rooms/a/events?last=0").await;
    let mut program = tokio::process::Command::new(PROGRAM);
    program
        .args(["--no-color", "run", "openapi.json", "--origin", origin])
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            EXAMPLES,
        ])
        // The same cases each time. (With more than one worker Python 3.11's parser fails.)
        .args([
            "--seed",
            "1",
            "--workers",
            "1",
            "--continue-on-failure",
            "--no-shrink",
        ])
        .args(headers.iter().flat_map(|header| ["--header", header]))
        .env(
            "ROWCAST_TEST_CURSOR",
            cursor.json()["cursor"].as_str().unwrap_or("0"),
        )
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = program
        .output()
        .await
        .expect("Schemathesis: scripts/setup.sh --tests");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains(&format!("Tested: {operations}\n")), "{printed}");
}

#[tokio::test]
async fn an_open_relay_does_what_its_description_says() {
    let db = table().await;
    let arguments = ["--auth", "none", "--allow-publish", "--allow-firehose"];
    let relay = Relay::serve(&db.relay_url, &arguments).await;
    conforms(&relay.client, &relay.url, &[]).await;
}

#[tokio::test]
async fn a_guarded_relay_under_a_path_does_what_its_description_says() {
    let db = table().await;
    let arguments = [
        &["--auth", "jwt", "--jwt-secret", SECRET, "--allow-publish"][..],
        &["--allow-query-token", "--base-path", "/live"],
        // It would say 429 to most.
        &["--max-tickets-per-second", "1000000"],
    ];
    let relay = Relay::serve(&db.relay_url, &arguments.concat()).await;
    let claims =
        json!({ "sub": "ada", "exp": 4_102_444_800_u64, "rooms": { "read": ["*"], "publish": ["*"] } });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key).expect("a token");
    let line = format!("Bearer {token}");
    let header = HeaderValue::from_str(&line).expect("a header");
    let http = plain_http().default_headers([(AUTHORIZATION, header)].into_iter().collect());
    let client = relay.client.with(http.build().expect("a client")).under("/live");
    conforms(&client, &relay.url, &[&format!("Authorization: {line}")]).await;
}

#[tokio::test]
async fn the_command_prints_what_is_committed() {
    let (status, printed, stderr) = run(&["openapi"]).await;
    assert!(status.success(), "{stderr}");
    assert_eq!(printed, include_str!("../../../docs/openapi.json"));
}
