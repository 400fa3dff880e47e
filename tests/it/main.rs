//! The integration tests.

mod bell_model;
