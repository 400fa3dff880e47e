//! A stream as a client reads it, in either format: what each frame or line says.

use reqwest::Response;
use serde_json::Value;

use super::received::Transport;
use crate::support::{Frame, Lines, Stream};

/// An open stream.
pub enum Wire {
    Frames(Stream),
    Lines(Lines),
}

/// A frame or a line.
pub struct Said {
    pub what: What,
    /// Where to resume from once it, and what came before, was taken.
    pub cursor: Option<String>,
}

pub enum What {
    Event(Value),
    Ready,
    /// With its code.
    Reset(String),
    /// An end, a heartbeat, the time to wait before the next attempt, a cursor alone.
    Nothing,
    Strange(String),
}

impl Wire {
    pub async fn of(response: Response, transport: Transport) -> Self {
        match transport {
            Transport::Ndjson => Self::Lines(Lines::of(response).await),
            _ => Self::Frames(Stream::of(response).await),
        }
    }

    /// The next frame or line; `None` where the stream is over.
    pub async fn next(&mut self) -> Option<Said> {
        Some(match self {
            Self::Frames(stream) => of_frame(stream.next_frame().await?),
            Self::Lines(lines) => of_line(lines.next_line().await?),
        })
    }
}

fn of_frame(frame: Frame) -> Said {
    let what = match frame.event.as_deref() {
        None if frame.data.is_some() => What::Event(frame.json()),
        Some("ready") => What::Ready,
        Some("reset") => What::Reset(frame.json()["code"].to_string().replace('"', "")),
        None | Some("end") => What::Nothing,
        Some(_) => What::Strange(format!("{frame:?}")),
    };
    Said {
        what,
        cursor: frame.id,
    }
}

fn of_line(line: Value) -> Said {
    let cursor = line["cursor"].as_str().map(str::to_owned);
    let what = match line["control"].as_str() {
        None => What::Event(line),
        Some("ready") => What::Ready,
        Some("reset") => What::Reset(line["code"].to_string().replace('"', "")),
        Some("end" | "cursor" | "heartbeat") => What::Nothing,
        Some(_) => What::Strange(line.to_string()),
    };
    Said { what, cursor }
}
