//! The failures that were logged lately, for whoever looks at a relay without its log at hand.
//!
//! Only lines of Rowcast's own are kept: what they never contain (rows, tokens, tickets, rooms) isn't here either. Libraries
//! say what they like; that is for the log.

use std::collections::VecDeque;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::escaped;

/// Lines that are kept. One that is repeated is one line.
const MOST: usize = 100;

/// Bytes that are kept of a message, and of its other fields.
const LONGEST: usize = 2000;

/// The newest lines of level WARN and ERROR. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct RecentLines(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    /// How many there ever were.
    ever: u64,
    /// The newest last.
    kept: VecDeque<RecentLine>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentLine {
    /// No two have the same.
    pub number: u64,
    pub first: SystemTime,
    /// When it was last repeated.
    pub last: SystemTime,
    pub count: u64,
    /// `WARN` or `ERROR`.
    pub level: &'static str,
    /// The module that says it.
    pub target: &'static str,
    /// The source that it is about.
    pub source: Option<String>,
    pub message: String,
    /// Its other fields, as `name=value name=value`.
    pub details: String,
}

impl RecentLines {
    /// What is kept, the newest first.
    pub fn list(&self) -> Vec<RecentLine> {
        self.lock().kept.iter().rev().cloned().collect()
    }

    /// What hears of lines.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), LevelFilter::WARN);
        Hearing(self.clone()).with_filter(ours)
    }

    fn note(&self, line: RecentLine) {
        let mut lines = self.lock();
        let known = lines.kept.iter().position(|known| known.says_the_same(&line));
        let line = match known.and_then(|at| lines.kept.remove(at)) {
            Some(known) => RecentLine {
                last: line.last,
                count: known.count + 1,
                ..known
            },
            None => {
                lines.ever += 1;
                RecentLine {
                    number: lines.ever,
                    ..line
                }
            }
        };
        if lines.kept.len() == MOST {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line);
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecentLine {
    fn says_the_same(&self, other: &Self) -> bool {
        (self.level, self.target, &self.source) == (other.level, other.target, &other.source)
            && (&self.message, &self.details) == (&other.message, &other.details)
    }
}

struct Hearing(RecentLines);

impl<S: Subscriber> Layer<S> for Hearing {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let metadata = event.metadata();
        let now = SystemTime::now();
        self.0.note(RecentLine {
            number: 0,
            first: now,
            last: now,
            count: 1,
            level: match *metadata.level() {
                Level::ERROR => "ERROR",
                _ => "WARN",
            },
            target: metadata.target(),
            source: said.source,
            message: kept(&said.message),
            details: kept(said.details.trim_start()),
        });
    }
}

/// The parts of a line.
#[derive(Default)]
struct Said {
    message: String,
    source: Option<String>,
    details: String,
}

/// A part as it is kept: on one line, steering nothing, cut where it is too long.
fn kept(part: &str) -> String {
    let mut part = escaped(part);
    if part.len() > LONGEST {
        part.truncate(part.floor_char_boundary(LONGEST));
        part.push('…');
    }
    part
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "source" => self.source = Some(kept(value)),
            _ => self.record_debug(field, &format_args!("{value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string can't fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "source" => {
                self.source = Some(kept(&format!("{value:?}")));
                Ok(())
            }
            name => write!(self.details, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What is kept of what `say` logs.
    fn heard(say: impl FnOnce()) -> Vec<RecentLine> {
        let recent = RecentLines::default();
        let log = tracing_subscriber::registry().with(recent.layer());
        tracing::subscriber::with_default(log, say);
        recent.list()
    }

    #[test]
    fn a_line_is_kept_with_its_source_and_its_fields() {
        let lines = heard(|| {
            let name = "messages";
            tracing::warn!(source = %name, tries = 3, of = 4, "rows can't be read");
            tracing::error!(source = name, "it\u{202e} ended\nbadly");
        });
        let said: Vec<_> = lines
            .iter()
            .map(|line| (line.level, line.source.as_deref(), &*line.message, &*line.details))
            .collect();
        assert_eq!(
            said,
            [
                ("ERROR", Some("messages"), "it\\u{202e} ended\\nbadly", ""),
                ("WARN", Some("messages"), "rows can't be read", "tries=3 of=4"),
            ]
        );
    }

    #[test]
    fn only_failures_of_our_own_are_kept() {
        let lines = heard(|| {
            tracing::info!("listening");
            tracing::warn!(target: "hyper", "what a library says");
        });
        assert_eq!(lines, []);
    }

    #[test]
    fn a_line_that_is_repeated_is_one_line_that_is_counted_and_new_again() {
        let lines = heard(|| {
            for what in ["one", "two", "one"] {
                tracing::warn!("{what}");
            }
        });
        let said: Vec<_> = lines.iter().map(|line| (&*line.message, line.count)).collect();
        assert_eq!(said, [("one", 2), ("two", 1)]);
    }

    #[test]
    fn the_newest_hundred_are_kept_and_no_long_text() {
        let lines = heard(|| {
            for n in 0..1000 {
                tracing::warn!(n, "{}", "é".repeat(LONGEST));
            }
        });
        assert_eq!(lines.len(), MOST);
        assert!(
            lines
                .iter()
                .all(|line| line.message.len() <= LONGEST + '…'.len_utf8())
        );
        let lines = heard(|| {
            for n in 0..1000 {
                tracing::warn!(n, "short");
            }
        });
        let texts: Vec<_> = lines.iter().map(|line| line.details.clone()).collect();
        assert_eq!((texts.len(), &*texts[0], &*texts[99]), (MOST, "n=999", "n=900"));
    }
}
