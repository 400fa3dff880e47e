//! How an event is shown: when it came, how late, what happened, where, to which row.

use std::io::{self, Write as _};

use jiff::{Timestamp, Zoned};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::TailArgs;
use crate::telemetry::escaped;

/// Prints events to stdout.
pub(super) struct Show {
    is_json: bool,
    /// The column that latency is taken from.
    time: String,
    /// Whether the room is worth a column.
    has_rooms: bool,
}

/// An event as the relay sends it; what is only shown stays as it is.
#[derive(Deserialize)]
struct Event<'a> {
    op: &'a str,
    #[serde(borrow)]
    id: &'a RawValue,
    room: String,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    row: Option<&'a RawValue>,
}

impl Show {
    pub(super) fn new(args: &TailArgs) -> Self {
        Self {
            is_json: args.json,
            time: args.time.clone(),
            has_rooms: args.rooms.len() > 1 || args.rooms.iter().any(|room| room == "*"),
        }
    }

    /// Prints one event, JSON text without line breaks.
    ///
    /// # Errors
    /// Nobody reads stdout.
    pub(super) fn event(&self, json: &str) -> io::Result<()> {
        let line = match self.is_json {
            true => json.to_owned(),
            false => self.line(json, &Zoned::now()),
        };
        writeln!(io::stdout(), "{line}")
    }

    fn line(&self, json: &str, now: &Zoned) -> String {
        let Ok(event) = serde_json::from_str::<Event<'_>>(json) else {
            return escaped(json);
        };
        let latency = event
            .row
            .and_then(|row| self.inserted_at(row))
            .map(|at| late(now.timestamp(), at));
        let which = event.key.unwrap_or(event.id).get();
        let room = if self.has_rooms {
            format!("{}  ", event.room)
        } else {
            String::new()
        };
        let row = event.row.map_or("", RawValue::get);
        let text = format!(
            "{}  {:>9}  {room}{}  {which}  {row}",
            now.strftime("%H:%M:%S%.3f"),
            latency.unwrap_or_default(),
            event.op,
        );
        escaped(text.trim_end())
    }

    /// When the row says that it was inserted: only a time with its zone is one moment.
    fn inserted_at(&self, row: &RawValue) -> Option<Timestamp> {
        let row: serde_json::Value = serde_json::from_str(row.get()).ok()?;
        row.get(&self.time)?.as_str()?.parse().ok()
    }
}

/// The time from the insert until now. Below zero, clocks differ.
fn late(now: Timestamp, inserted_at: Timestamp) -> String {
    let milliseconds = now.duration_since(inserted_at).as_secs_f64() * 1e3;
    match milliseconds.abs() {
        ..1e4 => format!("{milliseconds:+.1} ms"),
        ..6e5 => format!("{:+.1} s", milliseconds / 1e3),
        _ => "old".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn show(rooms: bool) -> Show {
        Show {
            is_json: false,
            time: "created_at".to_owned(),
            has_rooms: rooms,
        }
    }

    fn line(rooms: bool, json: &str) -> String {
        let now: Timestamp = "2026-11-21T12:00:00.5Z".parse().expect("a time");
        show(rooms).line(json, &now.to_zoned(TimeZone::UTC))
    }

    #[test]
    fn an_event_is_one_line_with_its_latency() {
        let row = r#"{"id":7,"created_at":"2026-11-21T13:00:00.4968+01:00"}"#;
        assert_eq!(
            line(
                false,
                &format!(r#"{{"op":"insert","id":7,"room":"lobby","row":{row}}}"#)
            ),
            format!("12:00:00.500    +3.2 ms  insert  7  {row}")
        );
        assert_eq!(
            line(
                true,
                r#"{"op":"delete","id":9,"room":"lobby","key":{"id":7},"row":null}"#
            ),
            r#"12:00:00.500             lobby  delete  {"id":7}"#
        );
    }

    /// In which zone it was is anyone's guess.
    #[test]
    fn a_time_without_a_zone_gives_no_latency() {
        let row = r#"{"created_at":"2026-11-21T12:00:00.4"}"#;
        let line = line(
            false,
            &format!(r#"{{"op":"insert","id":7,"room":"a","row":{row}}}"#),
        );
        assert!(!line.contains("ms"), "{line}");
    }

    #[test]
    fn a_row_can_not_steer_the_terminal() {
        let line = line(
            false,
            "{\"op\":\"insert\",\"id\":7,\"room\":\"a\",\"row\":{\"x\":\"\u{9b}31m\u{202e}\"}}",
        );
        assert!(line.contains(r"\u{9b}31m\u{202e}"), "{line}");
    }
}
