//! The pure part of Tillsync: no clock, disk, network or randomness; those come in as parameters.
//!
//! What a row is, how it travels, what the hub decides, what the agent does next, and what people are told.

pub mod arrival;
pub mod change;
pub mod clock;
pub mod config;
pub mod diff;
pub mod digest;
pub mod kept;
pub mod key;
pub mod language;
pub mod managed;
pub mod menu;
pub mod merge;
pub mod notice;
pub mod policy;
pub mod print;
pub mod problem;
pub mod proposal;
pub mod protocol;
pub mod resolve;
pub mod rhythm;
pub mod row;
pub mod status;
pub mod sync;
pub mod value;
pub mod window;
pub mod wire;
