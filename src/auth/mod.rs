//! Who a request comes from, and what they may do.

pub mod claims;
mod json;
mod jwks;
mod keys;
mod token;

pub use claims::{Claims, Pattern, RoomsClaim};
pub use keys::KeyError;
pub use token::{TokenError, Verifier};

#[cfg(test)]
mod tests;
