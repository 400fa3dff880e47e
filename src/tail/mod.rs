//! The task that follows one source.

pub mod mode;
pub mod pace;
pub mod seen;
