//! Short-lived sessions for the commands that set a database up, and what a server says, in words.
//!
//! Unlike the relay's own sessions these pin no settings: a table that a person names is looked up on the search path of
//! the role that they connect as.

use std::error::Error as _;
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls};

/// The longest that opening a connection to one host may take, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The text is no `postgresql://…` URL and no `key=value` string either.
    #[error("not a PostgreSQL URL: {}", in_words(.0))]
    Url(#[source] tokio_postgres::Error),
    /// Nobody answers there, or the server turned the session away.
    #[error("can't connect: {}", in_words(.0))]
    Connect(#[source] tokio_postgres::Error),
}

/// Opens a session whose `application_name` is `rowcast` and the purpose; a task drives it until the client is dropped.
pub async fn connect(url: &str, purpose: &str) -> Result<Client, ConnectError> {
    let mut config: Config = url.parse().map_err(ConnectError::Url)?;
    config.application_name(format!("rowcast {purpose}"));
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    let (client, connection) = config.connect(NoTls).await.map_err(ConnectError::Connect)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = in_words(&error), "a session for set-up was lost");
        }
    });
    Ok(client)
}

/// One line for a person: the server's own message with its detail and hint, else the whole chain of causes.
pub fn in_words(error: &tokio_postgres::Error) -> String {
    let Some(server) = error.as_db_error() else {
        let mut words = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !words.ends_with(&text) {
                words = format!("{words}: {text}");
            }
            cause = inner.source();
        }
        return words;
    };
    let mut words = server.message().to_owned();
    for more in [server.detail(), server.hint()].into_iter().flatten() {
        words = format!("{words}. {more}");
    }
    words
}
