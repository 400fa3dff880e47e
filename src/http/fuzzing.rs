//! What the fuzz targets see of this module's private parts, and the same promises held against chance by a test.

use axum::http::{HeaderMap, HeaderValue};

use super::params::{Params, check_room};

/// Reads a query string, and a `Last-Event-ID` where there is one. Panics where what comes out is not what is promised.
pub fn query(query: &str, last_event_id: Option<&[u8]>) {
    let mut headers = HeaderMap::new();
    if let Some(line) = last_event_id
        && let Ok(value) = HeaderValue::from_bytes(line)
    {
        headers.insert("last-event-id", value);
    }
    let Ok(params) = Params::parse(Some(query), &headers) else {
        return;
    };
    assert!((1..=1000).contains(&params.limit));
    assert!(params.last.is_none_or(|last| last <= 1000));
    assert!(params.before.is_none_or(|before| before >= 0));
    assert!(params.before.is_none() || params.resume.is_none());
    assert!(
        params
            .wait
            .is_none_or(|wait| (1..=60).contains(&wait.as_secs()) && wait.subsec_nanos() == 0)
    );
    // What a client that encodes by the book sends of a room comes back as it was.
    for room in &params.rooms {
        let encoded: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("room", room)
            .finish();
        let again = Params::parse(Some(&encoded), &HeaderMap::new());
        assert_eq!(again.map(|params| params.rooms).ok(), Some(vec![room.clone()]));
        assert_eq!(check_room(room).is_ok(), (1..=1024).contains(&room.len()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_query_breaks_the_promises_of_its_parameters(
            query in ".*|((room|after|last|before|limit|wait|last_event_id|%6cast)=[0-9a-z.~,%+-]{0,9}&){0,5}",
            line in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        ) {
            super::query(&query, line.as_deref());
        }
    }
}
