//! What a request brings to show who asks. The first that is present decides: a bad one is never passed over for a better
//! one, and never taken for nobody.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};

use super::error::ApiError;
use super::params::Query;

/// The query's name of a ticket, and of a token where those are taken from there (RFC 6750, 2.3).
const TICKET: &str = "ticket";
const ACCESS_TOKEN: &str = "access_token";

/// One of them, as it stands in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    /// `Authorization: Bearer`, or the query's token.
    Token(String),
    Ticket(String),
    Cookie(String),
    Absent,
}

/// Where to look besides the header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    /// Whether a ticket will do.
    pub ticket: bool,
    /// Whether the query may carry a token.
    pub query_token: bool,
    /// The cookie that may.
    pub cookie: Option<&'a str>,
}

/// Finds it: the header, a ticket, the cookie, the query's token.
///
/// # Errors
/// `unauthenticated` where the header is no bearer's, or there are two; `invalid_parameter` where a parameter is given
/// twice.
pub(super) fn find(headers: &HeaderMap, query: &Query, places: Places<'_>) -> Result<Credential, ApiError> {
    if let Some(token) = bearer(headers)? {
        return Ok(Credential::Token(token));
    }
    if let Some(ticket) = query.one(TICKET)?.filter(|_| places.ticket) {
        return Ok(Credential::Ticket(ticket.to_owned()));
    }
    if let Some(value) = places.cookie.and_then(|name| cookie(headers, name)) {
        return Ok(Credential::Cookie(value.to_owned()));
    }
    let token = query.one(ACCESS_TOKEN)?.filter(|_| places.query_token);
    Ok(token.map_or(Credential::Absent, |token| Credential::Token(token.to_owned())))
}

fn bearer(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let refused = || ApiError::token_refused("`Authorization` must be one `Bearer` token.");
    let text = line.to_str().map_err(|_| refused())?;
    let (scheme, token) = text.trim().split_once(' ').ok_or_else(refused)?;
    if lines.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refused());
    }
    Ok(Some(token.trim().to_owned()))
}

/// The first value of that name (RFC 6265, 5.4: the one of the longest path).
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then(|| value.trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::error::ErrorCode;
    use axum::http::HeaderValue;

    const EVERYWHERE: Places<'_> = Places {
        ticket: true,
        query_token: true,
        cookie: Some("session"),
    };

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn found(
        lines: &[(&'static str, &'static str)],
        query: &str,
        places: Places<'_>,
    ) -> Result<Credential, ApiError> {
        find(&headers(lines), &Query::parse(query)?, places)
    }

    #[test]
    fn the_header_wins_then_the_ticket_then_the_cookie_then_the_query() {
        let all = [("authorization", "Bearer header"), ("cookie", "session=cookie")];
        let query = "access_token=query&ticket=ticket";
        assert_eq!(
            found(&all, query, EVERYWHERE).unwrap(),
            Credential::Token("header".into())
        );
        assert_eq!(
            found(&all[1..], query, EVERYWHERE).unwrap(),
            Credential::Ticket("ticket".into())
        );
        assert_eq!(
            found(&all[1..], "access_token=query", EVERYWHERE).unwrap(),
            Credential::Cookie("cookie".into())
        );
        assert_eq!(
            found(&[], "access_token=query", EVERYWHERE).unwrap(),
            Credential::Token("query".into())
        );
        assert_eq!(found(&[], "", EVERYWHERE).unwrap(), Credential::Absent);
    }

    #[test]
    fn places_that_are_off_are_not_looked_at() {
        let places = Places {
            ticket: false,
            query_token: false,
            cookie: None,
        };
        let cookie = [("cookie", "session=cookie")];
        assert_eq!(
            found(&cookie, "access_token=a&ticket=b", places).unwrap(),
            Credential::Absent
        );
    }

    #[test]
    fn another_scheme_and_two_headers_are_refused_never_passed_over() {
        for lines in [
            &[("authorization", "Basic dTpw")][..],
            &[("authorization", "Bearer")],
            &[("authorization", "")],
            &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
        ] {
            let error = found(lines, "ticket=t", EVERYWHERE).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Unauthenticated, "{lines:?}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let lines = [(
            "cookie",
            "xsession=1; session2=2; session=\"three\"; session=four",
        )];
        assert_eq!(
            found(&lines, "", EVERYWHERE).unwrap(),
            Credential::Cookie("three".into())
        );
    }

    #[test]
    fn what_is_given_twice_is_refused() {
        assert!(found(&[], "ticket=a&ticket=b", EVERYWHERE).is_err());
        assert!(found(&[], "access_token=a&access_token=b", EVERYWHERE).is_err());
    }
}
