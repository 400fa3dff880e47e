//! Content negotiation of the events: a stream in one of two formats, or JSON, after `Accept` (RFC 9110, 12.5.1).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

use super::error::{ApiError, ErrorCode};
use super::stream::StreamFormat;
use super::{ndjson, sse};

/// What an answer with events is rendered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Stream(StreamFormat),
    /// One JSON text: a poll.
    Json,
}

/// The format: a stream where `Accept` names it and does not rank it below JSON, of the two the one that is ranked
/// higher, else SSE; JSON where `Accept` is absent or admits it, also by a wildcard.
///
/// # Errors
/// `not_acceptable` where none is admitted.
pub(super) fn negotiate(headers: &HeaderMap) -> Result<Format, ApiError> {
    let lines: Vec<_> = headers
        .get_all(ACCEPT)
        .iter()
        .map(|line| String::from_utf8_lossy(line.as_bytes()))
        .collect();
    if lines.iter().all(|line| line.trim().is_empty()) {
        return Ok(Format::Json);
    }
    let ranges: Vec<(&str, u16)> = lines
        .iter()
        .flat_map(|line| line.split(','))
        .filter_map(media_range)
        .collect();
    let sse = quality(&ranges, &[sse::CONTENT_TYPE]);
    let ndjson = quality(&ranges, &[ndjson::CONTENT_TYPE]);
    let (stream, format) = match ndjson > sse {
        true => (ndjson, StreamFormat::Ndjson),
        false => (sse, StreamFormat::Sse),
    };
    let json = quality(&ranges, &["application/json", "application/*", "*/*"]);
    if stream > 0 && stream >= json {
        Ok(Format::Stream(format))
    } else if json > 0 {
        Ok(Format::Json)
    } else {
        Err(ApiError::new(
            ErrorCode::NotAcceptable,
            "Events are served as text/event-stream, application/x-ndjson and application/json.",
        ))
    }
}

/// The quality of the first of `names` that is listed, in thousandths; 0 where none is.
fn quality(ranges: &[(&str, u16)], names: &[&str]) -> u16 {
    let listed = |name: &&str| {
        let qualities = ranges
            .iter()
            .filter(|(range, _)| range.eq_ignore_ascii_case(name))
            .map(|(_, q)| *q);
        qualities.max()
    };
    names.iter().find_map(listed).unwrap_or(0)
}

/// One element of `Accept`: its range and quality in thousandths. `None` where it is empty or its `q` is malformed.
fn media_range(element: &str) -> Option<(&str, u16)> {
    let mut parts = element.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let weight = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let quality = match weight {
        None => 1000,
        Some((_, text)) => {
            let value: f32 = text
                .trim()
                .parse()
                .ok()
                .filter(|value| (0.0..=1.0).contains(value))?;
            (value * 1000.0).round() as u16
        }
    };
    Some((range, quality))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn chosen(accept: &[&'static str]) -> Option<Format> {
        let mut headers = HeaderMap::new();
        for line in accept {
            headers.append(ACCEPT, HeaderValue::from_static(line));
        }
        negotiate(&headers).ok()
    }

    #[test]
    fn an_event_stream_goes_to_whoever_names_it_and_does_not_prefer_json() {
        for accept in [
            &["text/event-stream"][..],
            &["Text/Event-Stream; charset=utf-8"],
            &["text/event-stream, */*"],
            &["text/event-stream, application/json"],
            &["application/json;q=0.5, text/event-stream;q=0.5"],
            &["application/json;q=0.4", "text/event-stream;q=0.5"],
            &["text/event-stream;q=0.2, application/json;q=0, */*"],
            &["application/x-ndjson, text/event-stream"],
            &["application/x-ndjson;q=0.4, text/event-stream;q=0.5, */*;q=0.1"],
            &["application/x-ndjson;q=0, text/event-stream"],
        ] {
            assert_eq!(
                chosen(accept),
                Some(Format::Stream(StreamFormat::Sse)),
                "{accept:?}"
            );
        }
    }

    #[test]
    fn lines_go_to_whoever_names_them_and_prefers_nothing_else() {
        for accept in [
            &["application/x-ndjson"][..],
            &["Application/X-NDJSON; charset=utf-8"],
            &["application/x-ndjson, */*"],
            &["application/json", "application/x-ndjson"],
            &["text/event-stream;q=0.9, application/x-ndjson"],
            &["text/event-stream;q=0, application/x-ndjson;q=0.1"],
            &["application/x-ndjson;q=0.2, application/json;q=0.1"],
        ] {
            let lines = Some(Format::Stream(StreamFormat::Ndjson));
            assert_eq!(chosen(accept), lines, "{accept:?}");
        }
    }

    #[test]
    fn json_goes_to_whoever_admits_it() {
        for accept in [
            &[][..],
            &[""],
            &["*/*"],
            &["application/*"],
            &["application/json"],
            &["text/html, */*;q=0.1"],
            &["text/event-stream;q=0.5, application/json"],
            &["text/event-stream;q=0.5, */*"],
            &["text/event-stream;q=0, application/json;q=0.1"],
            &["application/x-ndjson;q=0.5, application/json"],
            &["application/x-ndjson;q=0.5, text/event-stream;q=0.5, */*"],
            &["application/x-ndjson;q=0, application/*"],
        ] {
            assert_eq!(chosen(accept), Some(Format::Json), "{accept:?}");
        }
    }

    #[test]
    fn nothing_else_can_be_met() {
        for accept in [
            "text/html",
            "text/*",
            "application/json;q=0",
            "text/event-stream;q=0",
            "application/x-ndjson;q=0",
            "image/png;q=x",
            ";",
        ] {
            assert_eq!(chosen(&[accept]), None, "{accept}");
        }
    }
}
