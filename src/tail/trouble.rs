//! What keeps a tail from reading, in our own words: the database's are for the log.

use tokio_postgres::error::SqlState;

use crate::pg::PgError;

use super::State;
use super::reader::ReadError;

/// How a tail is doing that could not read because of `error`.
pub(super) fn state_of(error: &ReadError) -> State {
    match error {
        ReadError::Database(error) => match broken_because(error) {
            Some(reason) => State::Broken { reason },
            None => State::Away {
                reason: "the database does not answer; the log says why",
            },
        },
        ReadError::SequenceHidden => State::Broken {
            reason: "the relay's role may not read its id sequence",
        },
        ReadError::Skipping => State::Broken {
            reason: "a column of its key or room was renamed, dropped or retyped: changes are not noted",
        },
        ReadError::Replanned => State::Away {
            reason: "it was attached anew a moment ago",
        },
        ReadError::InRecovery => State::Away {
            reason: "the database is a standby",
        },
        ReadError::Gone => State::Gone,
    }
}

/// Why the statement itself can't be run as things stand (classes 22, 42 and 0A of PostgreSQL's SQLSTATEs), in words;
/// `None` if the database is away or overloaded instead.
pub(super) fn broken_because(error: &PgError) -> Option<&'static str> {
    let state = error.sqlstate()?;
    Some(match *state {
        SqlState::INSUFFICIENT_PRIVILEGE => {
            "the relay's role may not read its rows, or row security hides some of them"
        }
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME => "its table is gone or has another name",
        SqlState::UNDEFINED_COLUMN => "one of its columns is gone or has another name",
        _ if matches!(&state.code()[..2], "22" | "42" | "0A") => "its rows can't be read; the log says why",
        _ => return None,
    })
}
