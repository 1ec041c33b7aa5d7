//! The real router over SQLite in a temporary folder, called in memory.

mod support;

mod access;
mod bodies;
mod conflicts;
mod durable;
mod epochs;
mod openapi;
mod process;
mod protocols;
mod pulling;
mod pushing;
mod registering;
mod rekeying;
mod retention;
mod snapshots;
mod workflow;
