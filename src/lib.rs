//! Rowcast relays the rows that an application commits to its PostgreSQL tables to subscribers over HTTP.
//!
//! ```text
//! INSERT ─► triggers ─► COMMIT ─► NOTIFY ─► pg::bell ─► tail ─► hub ─► ring of each room ─► feed ─► http: SSE
//!                                                        │                                   │      long poll
//!                                                        └─ read: the open ranges            │      poll
//!                                                           replay: rooms, closed ranges ────┘
//! ```
//!
//! Every committed row reaches each subscriber of its room once, in whatever order transactions commit. Three ideas
//! carry that. A *cursor* is the set of ids that were seen, not how far one came ([`cursor`]). A *gap* in it is closed
//! when the transactions that could fill it are over, by transaction ids and never by a time-out ([`tail::seen`]). A
//! subscriber that was away gets exactly what the tail had closed when it came, then follows the tail ([`feed`]).
//!
//! The bell only says when to look; the table is the truth.
//!
//! # Modules, in reading order
//!
//! | | |
//! | --- | --- |
//! | [`cursor`], [`room`], [`event`] | the domain: sets of ids and their text, names of rooms, an event's bytes |
//! | [`tail`] | follows one table: `seen` (gaps), `mode` and `pace` (the bell), `reader`, `follow` |
//! | [`hub`] | a source's rooms in memory, with their newest events; no I/O, cannot fail |
//! | [`feed`] | one subscriber: replay, ready, follow; the seam between them |
//! | [`http`] | a feed as SSE, long poll or poll; publishing, errors, health, sockets |
//! | [`pg`] | sessions, statements, attach, migrations, the LISTEN connection; with `sql/` all that knows SQL |
//! | [`relay`], [`app`] | the sources of a process; wiring, supervision, the end |
//! | [`doctor`] | what would go wrong between a relay and its database, with what mends it |
//! | [`config`], [`shutdown`], [`telemetry`], [`metrics`], [`pem`] | options, the drain, the log, what is counted, files of certificates and keys |
//! | [`cli`], [`demo`] | the commands; a private PostgreSQL, for the demo and for the tests |
//!
//! Layers point down: `event room cursor` ← `hub` | `pg` ← `tail`, `feed` ← `relay` ← `http` ← `app` ← `doctor` ← `cli`, `demo`.
//! ARCHITECTURE.md says how each part works and why it is so.

pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod cursor;
pub mod demo;
pub mod doctor;
pub mod event;
pub mod feed;
pub mod http;
pub mod hub;
pub mod metrics;
pub mod pem;
pub mod pg;
pub mod relay;
pub mod room;
pub mod shutdown;
pub mod tail;
pub mod telemetry;
