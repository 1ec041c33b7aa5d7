//! The Tillsync agent: `store → capture → outbox → push` and `pull → apply → store`.
//!
//! No step calls the next: each writes a table, and [`runtime`] decides what is next by asking the sync machine of
//! `tillsync-core`. What is deliberately not here: decisions (they are pure and live in the core), a server, a window.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod adopt;
pub mod agent;
pub mod apply;
pub mod capture;
pub mod claim;
pub mod cli;
pub mod clock;
pub mod control;
pub mod credentials;
pub mod enrol;
pub mod faults;
pub mod foreign;
pub mod host;
pub mod identity;
pub mod kept;
pub mod logs;
pub mod machine;
pub mod managed;
pub mod memory;
pub mod pin;
pub mod pull;
pub mod push;
pub mod reconcile;
pub mod recover;
pub mod refill;
pub mod rekey;
pub mod remote;
pub mod resolve;
pub mod runtime;
pub mod scan;
pub mod snapshot;
pub mod state;
pub mod status;
pub mod store;
pub mod upload;
pub mod watch;
pub mod window;
pub mod wiped;
