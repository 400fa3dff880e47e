//! What the demo puts around the relay's routes: its page, its application's own routes, the faults.

use axum::Router;
use axum::middleware::from_fn_with_state;

use super::messages::{self, Messages};
use super::switches::{self, Switches};
use super::{faults, page};

/// Everything that the demo serves beside the relay.
#[derive(Debug)]
pub struct Site {
    messages: Messages,
    switches: Switches,
}

impl Site {
    /// Opens the application's session on the demo's database.
    pub async fn open(database_url: &str, switches: Switches) -> anyhow::Result<Self> {
        let messages = Messages::open(database_url).await?;
        Ok(Self { messages, switches })
    }

    /// The relay's routes with the demo's beside them and its faults before them.
    pub fn around(self, relay: Router) -> Router {
        let faults = self.switches.faults();
        relay
            .merge(page::routes())
            .merge(messages::routes(self.messages))
            .merge(switches::routes(self.switches))
            .layer(from_fn_with_state(faults, faults::break_transports))
    }
}
