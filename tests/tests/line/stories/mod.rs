//! Stories with real processes and real files: what a shop lives through, told by `tillsync` and `tillsync-hub` alone.

mod commands;
mod comparing;
mod conflicts;
mod errors;
mod keychain;
mod keys;
mod kills;
mod line;
mod migrations;
mod notices;
mod restores;
mod schemas;
mod selection;
pub mod support;
mod values;
