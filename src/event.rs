//! One event, encoded once.
