//! `rowcast demo`: the main job with nothing set up.

pub mod postgres;
