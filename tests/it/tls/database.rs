//! `sslmode` and its companions, against a server with TLS and one without.

use rowcast::pg::bell::Bell;
use rowcast::pg::{PgError, TlsSettingError, open_unpinned};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::impostors::{direct, front};
use super::server::{NAME, TlsServer, open};
use crate::support::relay::run;
use crate::support::{Authority, MESSAGES, Relay, Subscriber, Transport, server, within};

/// A text for `sslrootcert`.
fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[tokio::test]
async fn each_mode_encrypts_and_verifies_as_libpq_does() {
    let server = TlsServer::shared().await;
    let ours = server.root();
    let others = server.file("others.crt", &Authority::new().pem());
    let (ours, others) = (Some(text(&ours)), Some(text(&others)));
    // Name, sslmode, sslrootcert, and whether it is encrypted; `None`: refused.
    let cases = [
        (NAME, None, None, Some(true)),
        (NAME, Some("disable"), None, Some(false)),
        (NAME, Some("allow"), None, Some(false)),
        (NAME, Some("prefer"), None, Some(true)),
        (NAME, Some("require"), None, Some(true)),
        ("127.0.0.1", Some("require"), None, Some(true)),
        ("127.0.0.1", Some("require"), ours, Some(true)),
        (NAME, Some("require"), others, None),
        (NAME, Some("verify-ca"), ours, Some(true)),
        ("127.0.0.1", Some("verify-ca"), ours, Some(true)),
        ("elsewhere.example", Some("verify-ca"), ours, Some(true)),
        (NAME, Some("verify-ca"), others, None),
        (NAME, Some("verify-full"), ours, Some(true)),
        ("127.0.0.1", Some("verify-full"), ours, None),
        ("elsewhere.example", Some("verify-full"), ours, None),
        (NAME, Some("verify-full"), others, None),
    ];
    for (name, mode, root, encrypted) in cases {
        let parameters: Vec<_> = [("sslmode", mode), ("sslrootcert", root)]
            .into_iter()
            .filter_map(|(parameter, value)| Some((parameter, value?)))
            .collect();
        let case = format!("{name} {parameters:?}");
        let opened = open(&server.url_at(name, &parameters, "postgres")).await;
        match (opened, encrypted) {
            (Ok(opened), Some(encrypted)) => assert_eq!(opened.is_tls().await, encrypted, "{case}"),
            (Err(PgError::Tls { reason, .. }), None) => {
                assert!(reason.contains("certificate"), "{case}: {reason}");
            }
            (outcome, _) => panic!("{case}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn parameters_may_come_as_pairs() {
    let server = TlsServer::shared().await;
    let (port, root) = (server.postgres.port(), server.root());
    let pairs = format!(
        "host={NAME} hostaddr=127.0.0.1 port={port} user=closed dbname=postgres sslmode='verify-full' sslrootcert = {}",
        root.display()
    );
    assert!(open(&pairs).await.expect("it connects").is_tls().await);
    // An address without a name is encrypted, too; a certificate could have the address.
    let nameless = |mode: &str| {
        format!(
            "hostaddr=127.0.0.1 port={port} user=closed dbname=postgres sslmode={mode} sslrootcert={}",
            root.display()
        )
    };
    assert!(
        open(&nameless("verify-ca"))
            .await
            .expect("it connects")
            .is_tls()
            .await
    );
    assert!(matches!(
        open(&nameless("verify-full")).await,
        Err(PgError::Tls { .. })
    ));
}

#[tokio::test]
async fn a_server_without_tls_is_refused_by_those_who_need_it() {
    let tls = TlsServer::shared().await;
    let root = tls.root();
    for mode in ["disable", "allow", "prefer"] {
        let url = format!("{}?sslmode={mode}", server().url("postgres"));
        assert!(!open(&url).await.expect("it connects").is_tls().await, "{mode}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        let url = format!(
            "{}?sslmode={mode}&sslrootcert={}",
            server().url("postgres"),
            root.display()
        );
        let error = open(&url).await.expect_err("it connects");
        assert!(matches!(error, PgError::Tls { .. }), "{error:?}");
        let line = error.to_string();
        assert!(line.ends_with("failed: server does not support TLS"), "{line}");
    }
}

#[tokio::test]
async fn allow_and_prefer_go_the_other_way_where_the_server_wants_it() {
    let server = TlsServer::shared().await;
    let cases = [
        ("allow", "closed", Some(true)),
        ("prefer", "open", Some(false)),
        ("allow", "open", Some(false)),
        ("prefer", "closed", Some(true)),
        ("disable", "closed", None),
        ("require", "open", None),
        ("prefer", "nobody", None),
    ];
    for (mode, user, encrypted) in cases {
        match (server.session(&[("sslmode", mode)], user).await, encrypted) {
            (Ok(opened), Some(encrypted)) => assert_eq!(opened.is_tls().await, encrypted, "{mode} {user}"),
            (Err(PgError::Rejected { .. }), None) => {}
            (outcome, _) => panic!("{mode} {user}: {outcome:?}"),
        }
    }
}

/// It would travel in the clear.
#[tokio::test]
async fn a_password_that_is_wrong_is_not_tried_again_without_tls() {
    let server = TlsServer::shared().await;
    for mode in ["prefer", "require"] {
        let refused = server.session(&[("sslmode", mode)], "careful").await;
        assert!(
            matches!(refused, Err(PgError::Rejected { .. })),
            "{mode}: {refused:?}"
        );
    }
    let plain = server.session(&[("sslmode", "disable")], "careful").await;
    assert!(!plain.expect("it connects").is_tls().await);
}

#[tokio::test]
async fn a_certificate_lets_its_bearer_in() {
    let server = TlsServer::shared().await;
    let root = server.root();
    let ours = server.pair("certified", &server.authority.client("certified"));
    let of_another_user = server.pair("somebody", &server.authority.client("somebody"));
    let of_others = server.pair("forged", &Authority::new().client("certified"));
    let session = async |files: Option<&(std::path::PathBuf, std::path::PathBuf)>| {
        let mut parameters = vec![("sslmode", "verify-full"), ("sslrootcert", text(&root))];
        if let Some((certificate, key)) = files {
            parameters.extend([("sslcert", text(certificate)), ("sslkey", text(key))]);
        }
        server.session(&parameters, "certified").await
    };
    assert!(session(Some(&ours)).await.expect("it connects").is_tls().await);
    for (files, whose) in [
        (None, "nobody's"),
        (Some(&of_another_user), "another user's"),
        (Some(&of_others), "another authority's"),
    ] {
        let error = session(files).await.expect_err(whose);
        assert!(!error.to_string().contains('\n'), "{error}");
        match whose {
            "another authority's" => assert!(matches!(error, PgError::Tls { .. }), "{error:?}"),
            _ => assert!(matches!(error, PgError::Rejected { .. }), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_password_is_bound_to_the_servers_certificate() {
    let server = TlsServer::shared().await;
    let bound = [("sslmode", "require"), ("channel_binding", "require")];
    assert!(
        server
            .session(&bound, "scram")
            .await
            .expect("it connects")
            .is_tls()
            .await
    );
    let unbound = [("sslmode", "disable"), ("channel_binding", "require")];
    assert!(server.session(&unbound, "scram").await.is_err());
}

#[tokio::test]
async fn a_socket_has_no_tls_whatever_the_mode() {
    let server = TlsServer::shared().await;
    let url = format!(
        "postgresql:///postgres?host={}&port={}&user=postgres&sslmode=verify-full",
        server.postgres.socket_dir().display(),
        server.postgres.port()
    );
    assert!(!open(&url).await.expect("it connects").is_tls().await);
}

/// In front of a server of version 17 this could be the server itself.
#[tokio::test]
async fn a_connection_may_begin_with_tls() {
    let server = TlsServer::shared().await;
    let pair = server.authority.server(&[NAME]);
    let port = front(server, &pair, &pair, rustls::DEFAULT_VERSIONS).await;
    let url = direct(server, port, "verify-full");
    open(&url).await.expect("it connects");
    let weak = server
        .session(&[("sslmode", "prefer"), ("sslnegotiation", "direct")], "postgres")
        .await;
    assert!(
        matches!(weak, Err(PgError::TlsSetting(TlsSettingError::WeakDirect))),
        "{weak:?}"
    );
}

#[tokio::test]
async fn a_row_arrives_by_the_bell_over_verified_tls_alone() {
    let server = TlsServer::shared().await;
    let root = server.root();
    let url = server.url(
        &[("sslmode", "verify-full"), ("sslrootcert", text(&root))],
        "postgres",
    );
    let first = within(open_unpinned(&url, "test")).await.expect("it connects");
    crate::support::run(&first, "create database bell").await;
    let url = url.replace("/postgres?", "/bell?");
    let (status, _, error) = run(&["migrate", "--database-url", &url]).await;
    assert!(status.success(), "{error}");
    let session = within(open_unpinned(&url, "test")).await.expect("it connects");
    crate::support::run(&session, MESSAGES).await;
    crate::support::run(
        &session,
        "select rowcast.attach('messages', room => 'room', never_ring => false)",
    )
    .await;
    let relay = Relay::serve(&url, &[]).await;
    // Beside the relay's own ear, one that counts.
    let database = open(&url).await.expect("it connects").0;
    let stop = CancellationToken::new();
    let (bell, listening) = Bell::new(database.clone(), database, stop.clone());
    let listening = tokio::spawn(listening);
    let mut heard = bell.subscribe("messages");
    within(heard.wait_for(|state| state.listening))
        .await
        .expect("the bell's state");
    relay.logs("\"to\":\"armed\"").await;
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, "/v1/rooms/a/events").await;
    crate::support::run(
        &session,
        "insert into messages (room, body) values ('a', 'over TLS')",
    )
    .await;
    assert_eq!(subscriber.next().await["row"]["body"], json!("over TLS"));
    within(heard.wait_for(|state| state.rings > 0))
        .await
        .expect("the bell's state");
    stop.cancel();
    within(listening).await.expect("the bell ends");
    let sql = "select application_name, ssl from pg_stat_activity join pg_stat_ssl using (pid) where datname = 'bell'";
    let rows = session.query(sql, &[]).await.unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert!(
        names.contains(&"rowcast listen") && names.contains(&"rowcast pool"),
        "{names:?}"
    );
    assert!(
        rows.iter()
            .all(|row| row.get::<_, Option<bool>>(1) != Some(false)),
        "{names:?}"
    );
}
