//! The task that follows one source.

pub mod seen;
