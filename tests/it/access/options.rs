//! What is open, closed or refused at the start.

use super::{A, JWT, SECRET, admitted, reader, reads};
use crate::support::relay::run;
use crate::support::{Authority, Relay, database, messages, server};

/// What `rowcast serve` says where it must not start: one line. Its exit code must be 1.
async fn refuses(arguments: &[&str]) -> String {
    let url = server().url("postgres");
    let all = [&["serve", "--database-url", &url], arguments].concat();
    let (status, _, stderr) = run(&all).await;
    assert_eq!(status.code(), Some(1), "{arguments:?}: {stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("rowcast: "), "{stderr}");
    stderr
}

#[tokio::test]
async fn an_address_that_others_reach_is_never_open_by_default() {
    let files = tempfile::tempdir().expect("a directory");
    let pair = Authority::new().server(&["127.0.0.1"]);
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).expect("write a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let (certificate, key) = (file("cert.pem", &pair.certificate), file("key.pem", &pair.key));
    let tls = ["--tls-cert", &*certificate, "--tls-key", &key];
    let additions = [&[][..], &tls, &["--base-path", "/live"]];
    for address in [
        "0.0.0.0:0",
        "[::]:0",
        "[::0.0.0.0]:0",
        "[::ffff:0.0.0.0]:0",
        "192.0.2.1:8080",
        "10.0.0.1:0",
        "169.254.1.1:0",
        "[2001:db8::1]:0",
        "[fe80::1]:0",
    ] {
        for addition in additions {
            let line = refuses(&[&["--listen", address], addition].concat()).await;
            assert!(
                line.contains("--auth") && line.contains("ROWCAST_AUTH"),
                "{address} {addition:?}: {line}"
            );
        }
    }
}

#[tokio::test]
async fn an_open_address_opens_where_the_operator_says_so() {
    let db = messages().await;
    db.say("a", "x").await;
    for address in ["0.0.0.0:0", "127.0.0.1:0"] {
        let open = Relay::serve(&db.relay_url, &["--listen", address, "--auth", "none"]).await;
        assert_eq!(reads(&open.client, A).await, admitted(), "{address}");
        // Nobody asks, so that nobody is refused for what he shows.
        let ada = super::sending(&open.client, "authorization", "Bearer nonsense");
        assert_eq!(reads(&ada, A).await, admitted(), "{address}");
        let shut = Relay::serve(&db.relay_url, &[&["--listen", address], &JWT[..]].concat()).await;
        assert_eq!(
            reads(&shut.client, A).await,
            super::unauthenticated(),
            "{address}"
        );
        assert_eq!(
            reads(&reader(&shut.client, &["a"]), A).await,
            admitted(),
            "{address}"
        );
    }
    let local = Relay::serve(&db.relay_url, &["--listen", "127.0.0.2:0"]).await;
    assert_eq!(reads(&local.client, A).await, admitted());
}

#[tokio::test]
async fn options_of_tokens_without_tokens_do_not_start() {
    let file = "/nowhere/key.pem";
    for (arguments, flag) in [
        (&["--jwt-secret", SECRET][..], "--jwt-secret"),
        (&["--jwt-secret", SECRET, "--auth", "none"], "--jwt-secret"),
        (&["--jwt-public-key", file], "--jwt-public-key"),
        (&["--jwks-url", "https://example.org/jwks"], "--jwks-url"),
        (&["--authorize-sql", "select true"], "--authorize-sql"),
        (&["--auth-cookie", "session"], "--auth-cookie"),
    ] {
        let line = refuses(arguments).await;
        assert!(
            line.contains(flag) && line.contains("--auth (ROWCAST_AUTH)"),
            "{line}"
        );
        assert!(!line.contains(SECRET), "{line}");
    }
}

#[tokio::test]
async fn tokens_without_good_keys_do_not_start() {
    let short = &SECRET[..31];
    for (arguments, flag) in [
        (&[][..], "--jwt-secret"),
        (&["--jwt-secret", short], "--jwt-secret"),
        (&["--jwt-secret", ""], "--jwt-secret"),
        (
            &["--jwt-secret", SECRET, "--jwks-url", "https://example.org/"],
            "--jwks-url",
        ),
        (
            &["--jwt-secret", SECRET, "--jwt-algorithms", "RS256"],
            "--jwt-algorithms",
        ),
        (
            &["--jwks-url", "https://example.org/", "--jwt-algorithms", "HS256"],
            "--jwt-algorithms",
        ),
        (&["--jwks-url", "http://example.org/"], "--jwks-url"),
    ] {
        let line = refuses(&[&["--auth", "jwt"], arguments].concat()).await;
        assert!(
            line.contains(flag) && line.contains("ROWCAST_"),
            "{arguments:?}: {line}"
        );
        assert!(!line.contains(short), "{line}");
    }
    let db = database().await;
    let just = ["--auth", "jwt", "--jwt-secret", &SECRET[..32]];
    Relay::serve(&db.relay_url, &just).await;
}
