//! Who may read and publish what: tokens, tickets, rooms, and the question put to the database.
//!
//! ```text
//! token ──► verifier ─┐
//!                     ├─► Access ─► its rooms ─► authorize-sql ─► Lease ─► stream
//! ticket ─► tickets ──┘                               ▲             │
//!             rowcast.reauthorize, each interval ─────┴─────────────┘ ends it
//! ```
//!
//! A credential that is bad is refused; it never makes somebody nobody. What can't be asked (keys, the database) is not
//! admitted. Nothing here knows HTTP, and nothing logs a credential.

mod access;
mod claims;
mod failures;
mod gate;
mod json;
mod jwks;
mod keys;
mod lease;
mod queue;
mod token;
mod watch;

pub use access::{Access, Rooms, Via};
pub use claims::{Claims, Pattern, RoomsClaim};
pub use gate::{Gate, Keyring, Refusal};
pub use keys::KeyError;
pub use lease::{Ended, Lease};
pub use token::{TokenError, Verifier};

#[cfg(test)]
mod tests;
