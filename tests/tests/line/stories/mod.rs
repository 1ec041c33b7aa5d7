//! Stories with real processes and real files: what a shop lives through, told by `tillsync` and `tillsync-hub` alone.

mod adopting;
mod clones;
mod commands;
mod comparing;
mod conflicts;
mod drift;
mod errors;
mod fetching;
mod keychain;
mod keys;
mod kills;
mod languages;
mod line;
mod lives;
mod migrations;
mod notices;
mod places;
mod referred;
mod rekeying;
mod restores;
mod retention;
mod scanning;
mod schemas;
mod selection;
pub mod support;
mod values;
mod window;
