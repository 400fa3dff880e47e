//! The origin that a browser sends a request for: CORS keeps pages of other origins from *reading*; this keeps them from
//! *doing*, and from using a cookie that is not theirs.
//!
//! Browsers send `Origin` with every POST, and with every request to another origin that may be read (Fetch standard, 3.2).
//! Programs send none.

use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri};

use super::error::{ApiError, ErrorCode};

/// What a browser says about the page and the request's address (Fetch Metadata, 2.3).
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The relay's own address as the client wrote it: of HTTP/2 the authority, else the header `Host`.
pub(super) fn host(parts: &Parts) -> Option<&str> {
    authority(&parts.uri).or_else(|| parts.headers.get(HOST)?.to_str().ok())
}

/// The host, and the port, of a request's address, where it has them.
pub(super) fn authority(uri: &Uri) -> Option<&str> {
    uri.authority().map(|authority| authority.as_str())
}

/// Whether the page that sends a request may. Its origin must be one of `allowed`, or the relay's own: that of `host`,
/// whatever the scheme, since a proxy may have taken TLS off. `is_cookie`: the browser attached the request's credential by
/// itself, so one without `Origin` must not come from another site either.
///
/// Ask on every POST, and where the credential is a cookie.
///
/// # Errors
/// `forbidden`.
pub(super) fn check_origin(
    headers: &HeaderMap,
    host: Option<&str>,
    allowed: &[HeaderValue],
    is_cookie: bool,
) -> Result<(), ApiError> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let admitted = match (origins.next(), origins.next()) {
        (None, _) => !is_cookie || !is_cross_site(headers),
        (Some(origin), None) => allowed.contains(origin) || host.is_some_and(|host| is_own(origin, host)),
        (Some(_), Some(_)) => false,
    };
    if admitted {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::Forbidden,
        "Pages of this origin may not do this (`--allow-origin`).",
    ))
}

fn is_cross_site(headers: &HeaderMap) -> bool {
    let sites = headers.get_all(SEC_FETCH_SITE);
    sites.iter().any(|site| site == "cross-site")
}

/// Whether an origin is that of the host, with the port that its scheme leaves out.
fn is_own(origin: &HeaderValue, host: &str) -> bool {
    let Some((scheme, authority)) = origin.to_str().ok().and_then(|text| text.split_once("://")) else {
        return false;
    };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    !authority.is_empty() && bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "https://app.example.com";

    fn is_admitted(lines: &[(&'static str, &str)], host: Option<&str>, is_cookie: bool) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let allowed = [HeaderValue::from_static(LISTED)];
        match check_origin(&headers, host, &allowed, is_cookie) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::Forbidden);
                false
            }
        }
    }

    #[test]
    fn listed_origins_and_the_relays_own_may() {
        for (origin, host) in [
            (LISTED, "relay.example.com"),
            ("http://relay.example.com", "relay.example.com"),
            ("http://relay.example.com", "Relay.Example.com:80"),
            ("https://relay.example.com", "relay.example.com:443"),
            ("https://relay.example.com:8443", "relay.example.com:8443"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            for is_cookie in [false, true] {
                assert!(
                    is_admitted(&[("origin", origin)], Some(host), is_cookie),
                    "{origin}"
                );
            }
        }
    }

    #[test]
    fn other_origins_may_not() {
        for (origin, host) in [
            ("null", "null"),
            ("", ""),
            ("://", ""),
            ("http://", ""),
            ("https://app.example.com.evil.org", "relay.example.com"),
            ("https://evil.org", "relay.example.com"),
            ("https://APP.example.com", "relay.example.com"),
            ("http://app.example.com", "relay.example.com"),
            ("http://relay.example.com:8080", "relay.example.com"),
            ("http://relay.example.com:443", "relay.example.com"),
            ("http://relay.example.com", "relay.example.com:443"),
            ("ftp://relay.example.com", "relay.example.com"),
            ("file://", "relay.example.com"),
            ("http://relay.example.com@evil.org", "relay.example.com"),
        ] {
            for is_cookie in [false, true] {
                assert!(
                    !is_admitted(&[("origin", origin)], Some(host), is_cookie),
                    "{origin}"
                );
            }
        }
        assert!(!is_admitted(&[("origin", "http://a.org")], None, false));
        let twice = [("origin", LISTED), ("origin", LISTED)];
        assert!(!is_admitted(&twice, None, false));
    }

    #[test]
    fn without_an_origin_only_a_cookie_from_another_site_is_refused() {
        assert!(is_admitted(&[], None, false) && is_admitted(&[], None, true));
        for (site, admitted) in [
            ("cross-site", false),
            ("same-site", true),
            ("same-origin", true),
            ("none", true),
        ] {
            let lines = [("sec-fetch-site", site)];
            assert_eq!(is_admitted(&lines, None, true), admitted, "{site}");
            assert!(is_admitted(&lines, None, false), "{site}");
        }
    }
}
