//! Rules about the source that no compiler checks.
