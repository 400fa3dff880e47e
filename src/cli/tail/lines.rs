//! A relay's NDJSON, in pieces of any size.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A line longer than this is none of a relay's: the largest event that one can be told to send is far smaller, in bytes.
const LONGEST: usize = 256 << 20;

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// An event, as it was sent.
    Event(String),
    /// The cursor of all events before it; with the code of a reset.
    Place {
        name: String,
        code: Option<String>,
        cursor: String,
    },
    /// The stream is over, with this code.
    End(String),
    /// A heartbeat, or what a later version of the relay says.
    Other,
}

#[derive(Deserialize)]
struct Control {
    control: Option<String>,
    code: Option<String>,
    cursor: Option<String>,
}

/// The lines of a stream.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

/// The relay does not speak as it should.
#[derive(Debug, thiserror::Error)]
#[error("a line of the stream is none of a relay's")]
pub(super) struct NotNdjson;

impl Lines {
    /// Takes the next piece; gives the lines that it completes.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<Line>, NotNdjson> {
        let mut lines = Vec::new();
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            self.rest.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                lines.push(read(&line)?);
            } else if self.rest.len() > LONGEST {
                return Err(NotNdjson);
            }
        }
        Ok(lines)
    }
}

fn read(line: &[u8]) -> Result<Line, NotNdjson> {
    let text: &RawValue = serde_json::from_slice(line).map_err(|_| NotNdjson)?;
    let control: Control = serde_json::from_str(text.get()).map_err(|_| NotNdjson)?;
    Ok(match (control.control, control.cursor) {
        (None, _) => Line::Event(text.get().to_owned()),
        (Some(name), _) if name == "end" => Line::End(control.code.unwrap_or(name)),
        // It is shown, to be pasted into a shell.
        (Some(_), Some(cursor))
            if !cursor
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b".~,-".contains(&byte)) =>
        {
            return Err(NotNdjson);
        }
        (Some(name), Some(cursor)) => Line::Place {
            name,
            code: control.code,
            cursor,
        },
        (Some(_), None) => Line::Other,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "{\"control\":\"ready\",\"cursor\":\"7.5\"}\n{\"control\":\"heartbeat\"}\n\
        {\"op\":\"insert\",\"id\":6,\"room\":\"é\",\"row\":{\"control\":\"x\"}}\n{\"control\":\"cursor\",\"cursor\":\"7.6\"}\n\
        {\"control\":\"reset\",\"code\":\"truncated\",\"cursor\":\"8.0\"}\n{\"control\":\"end\",\"code\":\"forbidden\"}\n{\"op\"";

    fn place(name: &str, code: Option<&str>, cursor: &str) -> Line {
        Line::Place {
            name: name.to_owned(),
            code: code.map(ToOwned::to_owned),
            cursor: cursor.to_owned(),
        }
    }

    proptest! {
        #[test]
        fn lines_are_the_same_in_pieces_of_any_size(sizes in prop::collection::vec(1_usize..40, 1..60)) {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            let mut rest = STREAM.as_bytes();
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, behind) = rest.split_at((*size).min(rest.len()));
                seen.extend(lines.push(piece).expect("NDJSON"));
                rest = behind;
            }
            let event = "{\"op\":\"insert\",\"id\":6,\"room\":\"é\",\"row\":{\"control\":\"x\"}}";
            prop_assert_eq!(seen, vec![
                place("ready", None, "7.5"),
                Line::Other,
                Line::Event(event.to_owned()),
                place("cursor", None, "7.6"),
                place("reset", Some("truncated"), "8.0"),
                Line::End("forbidden".to_owned()),
            ]);
        }
    }

    #[test]
    fn what_is_no_relay_is_found_out() {
        assert!(Lines::default().push(b"<html>\n").is_err());
        assert!(Lines::default().push(b"[1]\n").is_err());
        let cursor = b"{\"control\":\"cursor\",\"cursor\":\"1.2; reboot\"}\n";
        assert!(Lines::default().push(cursor).is_err());
    }
}
