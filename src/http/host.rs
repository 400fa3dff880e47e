//! The name that a relay on a loopback address is called by, where nobody is asked who they are.
//!
//! A page can have its own name point to 127.0.0.1 once it is loaded (DNS rebinding). Then the relay is of the page's origin for
//! the browser, so that neither CORS nor [`super::origin`] keeps the page from reading and posting. But the request names
//! the page's host. A name that no stranger can have point here is an address, `localhost`, one without a dot (none that is
//! sold; a container's, say), or one that the operator listed.
//! Browsers always send one `Host`, and no script can change it (Fetch standard, 2.2.2); who sends none is no browser. Two, or
//! one that can't be read, are refused: nobody knows whom they name.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::client_address::Peer;
use super::error::{ApiError, ErrorCode};
use super::origin::authority;

/// Refuses requests by a name that may be a stranger's. A trusted proxy hands on names that its operator gave it.
pub(super) async fn refuse_strange_names(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let settings = &shared.settings;
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>();
    let is_proxy = peer.is_some_and(|Peer(peer)| settings.limits.trusted().contains(peer.ip()));
    if is_proxy || is_ours(&parts, &settings.allow_origins) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    ApiError::new(
        ErrorCode::Forbidden,
        "The relay is open to this machine alone, and not known by this name. List the name's origin (`--allow-origin`), or \
         the proxy that hands it on (`--trusted-proxies`).",
    )
    .into_response()
}

/// Whether all names that the request calls the relay by are ours: the authority of its address, and its `Host`.
fn is_ours(parts: &Parts, origins: &[HeaderValue]) -> bool {
    let is_ours = |name: &str| is_local(name) || is_listed(name, origins);
    let mut lines = parts.headers.get_all(HOST).iter();
    let (first, second) = (lines.next(), lines.next());
    authority(&parts.uri).is_none_or(is_ours)
        && first.is_none_or(|line| line.to_str().is_ok_and(is_ours))
        && second.is_none()
}

/// Whether no name server of a stranger's decides where it leads: an address, `localhost` or a name under it (RFC 6761, 6.3), or a
/// name without a dot.
fn is_local(host: &str) -> bool {
    let name = without_port(host);
    if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let name = name.to_ascii_lowercase();
    // With the root's dot it is the same name (RFC 1034, 3.1). Of others that makes a name for a name server.
    let rooted = name.strip_suffix('.').unwrap_or(&name);
    let is_localhost = rooted == "localhost" || rooted.ends_with(".localhost");
    let is_single = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    is_single || is_localhost || name.parse::<Ipv4Addr>().is_ok()
}

/// Whether it is the host of one of these origins, whatever the port.
fn is_listed(host: &str, origins: &[HeaderValue]) -> bool {
    let hosts = origins
        .iter()
        .filter_map(|origin| origin.to_str().ok()?.split_once("://"));
    let mut names = hosts.map(|(_, authority)| without_port(authority));
    names.any(|name| name.eq_ignore_ascii_case(without_port(host)))
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // Within brackets a colon is one of the address.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a request to this address, with these lines of `Host`, names the relay as it may.
    fn names_us(uri: &str, hosts: &[&[u8]]) -> bool {
        let mut request = axum::http::Request::builder().uri(uri);
        for host in hosts {
            request = request.header(HOST, HeaderValue::from_bytes(host).unwrap());
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        is_ours(&parts, &[HeaderValue::from_static("https://app.example.com")])
    }

    #[test]
    fn every_name_in_a_request_must_be_ours() {
        for (uri, hosts) in [
            ("/", &[][..]),
            ("/", &[&b"localhost:8080"[..]]),
            ("/", &[b"app.example.com"]),
            ("http://localhost:8080/", &[]),
            ("http://localhost:8080/", &[b"localhost:8080"]),
        ] {
            assert!(names_us(uri, hosts), "{uri} {hosts:?}");
        }
        for (uri, hosts) in [
            ("/", &[&b"evil.example"[..]][..]),
            ("/", &[b"evil.example\xff"]),
            ("/", &[b"\xff"]),
            ("/", &[b""]),
            ("/", &[b"localhost", b"localhost"]),
            ("/", &[b"localhost", b"evil.example"]),
            ("/", &[b"evil.example", b"localhost"]),
            ("http://evil.example/", &[]),
            ("http://evil.example/", &[b"localhost"]),
            ("http://localhost/", &[b"evil.example"]),
            ("http://localhost/", &[b"\xff"]),
        ] {
            assert!(!names_us(uri, hosts), "{uri} {hosts:?}");
        }
    }

    #[test]
    fn addresses_and_localhost_are_local_with_any_port() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "192.0.2.1:1",
            "[::1]",
            "[::1]:8080",
            "localhost",
            "LocalHost:8080",
            "app.localhost",
            "app.localhost:80",
            "localhost.",
            "Localhost.:8080",
            "app.localhost.",
            "relay",
            "relay_1:8080",
        ] {
            assert!(is_local(host), "{host}");
        }
    }

    #[test]
    fn what_a_name_server_answers_for_is_not_local() {
        for host in [
            "",
            ":80",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:8080.evil.example",
            "[::1].evil.example",
            "[evil.example]",
            "[]",
            "::1",
            "127.1",
            "localhost..",
            "relay.",
            "evil.example.",
            "user@localhost.evil.example",
            "evil.example#localhost",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn hosts_of_listed_origins_are_listed_with_any_port() {
        let origins = ["https://app.example.com", "http://other.example:3000"].map(HeaderValue::from_static);
        for host in ["app.example.com", "App.Example.com:8080", "other.example"] {
            assert!(is_listed(host, &origins), "{host}");
        }
        for host in [
            "example.com",
            "xapp.example.com",
            "app.example.com.evil.example",
            "",
        ] {
            assert!(!is_listed(host, &origins), "{host}");
        }
    }
}
