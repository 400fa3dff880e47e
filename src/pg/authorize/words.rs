//! What of PostgreSQL's words about the operator's statement may stand in a log.

use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use crate::pg::PgError;

/// The error on one line, without a value of a room or claim.
///
/// PostgreSQL quotes data in its messages: `invalid input syntax for type integer: "alice@example.org"` (class 22), what a
/// function of the operator's raises (P0, or any code that it chooses), a name that a function made of a claim (42). So its
/// words are repeated only where they are known to be about the server itself, and else the SQLSTATE, where in the statement
/// and where in PostgreSQL. DETAIL, HINT and CONTEXT never are.
pub(super) fn without_data(error: &PgError) -> String {
    let server = match error {
        PgError::Statement(cause) | PgError::ConnectionLost(cause) => cause.as_db_error(),
        // Of connecting: no statement was run.
        _ => None,
    };
    match server {
        None => error.to_string(),
        Some(server) if is_about_the_server(server) => {
            let message = server.message().replace('\n', " ");
            format!("PostgreSQL refused it: {message} ({})", server.code().code())
        }
        Some(server) => whereabouts(server),
    }
}

/// Classes of SQLSTATE (PostgreSQL manual, appendix A): connection, transaction state, roll-back, resources, limits, object
/// state, operator intervention, system; a privilege; and of class 42 what is found in the operator's own text, not in SQL
/// that a function put together.
fn is_about_the_server(server: &DbError) -> bool {
    let is_own_text = matches!(server.position(), Some(ErrorPosition::Original(_)));
    let is_raised = server.routine() == Some("exec_stmt_raise");
    !is_raised
        && match &server.code().code()[..2] {
            "08" | "25" | "40" | "53" | "54" | "55" | "57" | "58" => true,
            "42" => is_own_text || *server.code() == SqlState::INSUFFICIENT_PRIVILEGE,
            _ => false,
        }
}

fn whereabouts(server: &DbError) -> String {
    let mut words = format!("PostgreSQL refused it with SQLSTATE {}", server.code().code());
    if let Some(ErrorPosition::Original(character)) = server.position() {
        words.push_str(&format!(" at character {character}"));
    }
    if let Some(routine) = server.routine() {
        words.push_str(&format!(" in {routine}"));
    }
    words.push_str(" (its message may hold data: see PostgreSQL's own log)");
    words
}
