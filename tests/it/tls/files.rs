//! Files that are no good, on both sides: one line that names the parameter, or the option, and the file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rowcast::pg::PgError;

use super::server::{TlsServer, open, write};
use crate::support::relay::run;
use crate::support::{Authority, server};

/// A URL that nobody answers at: the files are looked at first.
fn url(parameters: &str) -> String {
    format!("postgresql://me:s3cret@127.0.0.1:1/app?{parameters}")
}

#[tokio::test]
async fn parameters_that_are_none_or_do_not_go_together_are_named() {
    let cases = [
        ("sslmode=verify", "sslmode \"verify\" is none of"),
        ("sslnegotiation=no", "sslnegotiation \"no\" is neither"),
        (
            "sslmode=prefer&sslnegotiation=direct",
            "sslnegotiation=direct needs",
        ),
        (
            "sslmode=require&sslrootcert=system",
            "sslrootcert=system needs sslmode=verify-full",
        ),
        ("sslmode=verify-ca", "sslmode=verify-ca needs sslrootcert=FILE"),
        ("sslcert=/nowhere/client.crt", "sslcert and sslkey go together"),
        ("sslkey=/nowhere/client.key", "sslcert and sslkey go together"),
    ];
    for (parameters, words) in cases {
        let error = open(&url(parameters)).await.expect_err(parameters);
        assert!(matches!(error, PgError::TlsSetting(_)), "{error:?}");
        let line = error.to_string();
        assert!(
            line.contains(words) && !line.contains('\n') && !line.contains("s3cret"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn files_of_a_database_url_that_are_no_good_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        write(&path, text);
        path.to_str().unwrap().to_owned()
    };
    let authority = Authority::new();
    let (pair, other) = (authority.client("me"), authority.client("me"));
    let (certificate, key) = (file("me.crt", &pair.certificate), file("me.key", &pair.key));
    let (garbage, another_key) = (file("garbage", "no PEM"), file("another.key", &other.key));
    let open_key = file("open.key", &pair.key);
    fs::set_permissions(&open_key, fs::Permissions::from_mode(0o644)).unwrap();
    let missing = directory.path().join("missing").to_str().unwrap().to_owned();
    let cases = [
        (
            format!("sslmode=require&sslrootcert={missing}"),
            format!("sslrootcert {missing} can't be read: "),
        ),
        (
            format!("sslmode=verify-ca&sslrootcert={garbage}"),
            format!("sslrootcert {garbage} has no certificate"),
        ),
        (
            format!("sslcert={missing}&sslkey={key}"),
            format!("sslcert {missing} can't be read: "),
        ),
        (
            format!("sslcert={garbage}&sslkey={key}"),
            format!("sslcert {garbage} has no certificate"),
        ),
        (
            format!("sslcert={certificate}&sslkey={missing}"),
            format!("sslkey {missing} can't be read: "),
        ),
        (
            format!("sslcert={certificate}&sslkey={garbage}"),
            format!("sslkey {garbage} has no private key"),
        ),
        (
            format!("sslcert={certificate}&sslkey={open_key}"),
            format!("sslkey {open_key} can be read by others"),
        ),
        (
            format!("sslcert={certificate}&sslkey={another_key}"),
            format!("sslkey {another_key} does not go with sslcert {certificate}"),
        ),
    ];
    for (parameters, words) in cases {
        let line = open(&url(&parameters)).await.expect_err(&parameters).to_string();
        assert!(
            line.contains(&words) && !line.contains('\n') && !line.contains("s3cret"),
            "{line}"
        );
    }
    // They are all good: now it is the server that is missing.
    let error = open(&url(&format!("sslcert={certificate}&sslkey={key}"))).await;
    assert!(matches!(error, Err(PgError::Unreachable { .. })), "{error:?}");
}

#[tokio::test]
async fn a_certificate_that_can_not_be_served_ends_the_start_with_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let authority = Authority::new();
    let (pair, other) = (authority.server(&["localhost"]), authority.server(&["localhost"]));
    for (name, text) in [
        ("good.crt", pair.certificate.as_str()),
        ("good.key", &pair.key),
        ("other.key", &other.key),
        ("garbage", "no PEM"),
    ] {
        fs::write(at(name), text).unwrap();
    }
    let cases = [
        (
            "missing",
            "good.key",
            format!("--tls-cert (ROWCAST_TLS_CERT) {} can't be read", at("missing")),
        ),
        (
            "garbage",
            "good.key",
            format!(
                "--tls-cert (ROWCAST_TLS_CERT) {} has no certificate",
                at("garbage")
            ),
        ),
        (
            "good.crt",
            "missing",
            format!("--tls-key (ROWCAST_TLS_KEY) {} can't be read", at("missing")),
        ),
        (
            "good.crt",
            "garbage",
            format!("--tls-key (ROWCAST_TLS_KEY) {} has no private key", at("garbage")),
        ),
        (
            "good.crt",
            "other.key",
            format!(
                "--tls-key (ROWCAST_TLS_KEY) {} is not the key of",
                at("other.key")
            ),
        ),
    ];
    let database = server().url("postgres");
    for (certificate, key, words) in cases {
        let arguments = [
            "serve",
            "--database-url",
            &database,
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            &at(certificate),
            "--tls-key",
            &at(key),
        ];
        let (status, _, log) = run(&arguments).await;
        assert_eq!(status.code(), Some(1), "{log}");
        let line = log.lines().last().unwrap_or_default();
        assert!(line.contains(&words), "{log}");
    }
}

#[tokio::test]
async fn a_database_file_that_breaks_later_does_not_cost_the_database() {
    let server = TlsServer::shared().await;
    let root = server.file("changing.crt", &server.authority.pem());
    let parameters = [
        ("sslmode", "verify-full"),
        ("sslrootcert", root.to_str().unwrap()),
    ];
    let opened = server.session(&parameters, "closed").await.expect("it connects");
    let session = async || opened.0.session("test").await;
    let replace = |path: &Path, text: &str| write(path, text);
    replace(&root, "broken");
    assert!(session().await.is_ok());
    // Another authority's is good, and the server's certificate is not of it.
    replace(&root, &Authority::new().pem());
    assert!(matches!(session().await, Err(PgError::Tls { .. })));
    replace(&root, &server.authority.pem());
    assert!(session().await.is_ok());
}
