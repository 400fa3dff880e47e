//! The HTTP interface as a client sees it, word by word as the README promises it.

mod cursors;
mod firehose;
mod ndjson;
mod paths;
mod polls;
mod representation;
mod rooms;
mod rows;
mod streams;
