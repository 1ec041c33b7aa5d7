//! The status as everybody outside sees it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::status::{Sentence, State};

/// The answer of `tillsync status --json`. Times are Unix milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Status {
    /// One word.
    pub state: State,
    /// One sentence, in English.
    pub sentence: String,
    /// The same as a value, for other languages.
    pub says: Sentence,
    /// Changes that the server has not confirmed: outbox, journal, and rows of the first full sync.
    pub pending: u64,
    /// Changes refused by the server, and rows refused by the store.
    pub parked: u64,
    /// Changes that contradict another register's.
    pub conflicts: u64,
    /// When the oldest pending change was captured.
    pub oldest_pending_ms: Option<i64>,
    /// When the server last answered.
    pub last_sync_ms: Option<i64>,
    /// The last change of the server that the store holds.
    pub cursor: i64,
    /// The id that the server knows this register by.
    pub device_id: Option<String>,
    /// The server's address.
    pub server: String,
    /// The store.
    pub store: PathBuf,
    /// What a person may want to look at, the worst first.
    pub problems: Vec<Problem>,
    /// What people call this register.
    pub name: String,
    /// Whether an agent is running.
    pub running: bool,
    /// The first full sync while it lasts.
    pub full_sync: Option<FullSync>,
    /// Changes sent and received so far.
    pub synced: u64,
    /// Changes sent so far.
    pub sent: u64,
    /// Changes received so far.
    pub received: u64,
}

/// Rows of the first full sync, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FullSync {
    /// Rows done.
    pub done: u64,
    /// Rows in all.
    pub total: u64,
}
