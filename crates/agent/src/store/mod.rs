//! The store: the POS's SQLite file, which is not ours. Everything here opens it, does one short thing, and closes it.

pub mod applied;
pub mod ids;
pub mod install;
pub mod journal;
pub mod late;
pub mod marks;
pub mod null_keys;
pub mod open;
pub mod rows;
pub mod schema;
pub mod settings;
pub mod sql;
pub mod turns;
pub mod write;

pub use open::StoreError;
