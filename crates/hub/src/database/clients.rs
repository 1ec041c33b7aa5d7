//! What crosses the seam for clients of other protocols: users, sessions, rows since a time, queues, full syncs.

use std::collections::HashSet;

use tillsync_core::change::Operation;
use tillsync_core::row::Row;
use tillsync_core::value::Value;
use uuid::Uuid;

use super::model::{Batch, Terms};
use crate::key::KeyHash;

/// Somebody who logs in, or a program with a token of its own.
#[derive(Clone)]
pub struct User {
    /// For life.
    pub id: i64,
    /// What people call it.
    pub name: String,
    /// The password as it was hashed; `None` for those who have none.
    pub password: Option<String>,
    /// Whether there is a token.
    pub has_token: bool,
    /// What it may do.
    pub terms: Terms,
}

/// A user to be, or what is new of one.
pub struct NewUser {
    /// What people call it.
    pub name: String,
    /// The password as it was hashed.
    pub password: Option<String>,
    /// The hash of a token.
    pub token: Option<KeyHash>,
    /// What it may do.
    pub terms: Terms,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// A login.
pub struct Session {
    /// In the access tokens.
    pub id: String,
    /// Whose.
    pub user_id: i64,
    /// The hash of the refresh token.
    pub refresh: KeyHash,
    /// Unix milliseconds.
    pub expires_at_ms: i64,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// A client that is to be a device.
pub struct ClientWish {
    /// What it is recognised by: protocol, user and its own name for itself.
    pub client: String,
    /// What people call it.
    pub name: String,
    /// The protocol that it speaks.
    pub protocol: &'static str,
    /// Whose it is; `None` where everybody may ask.
    pub user_id: Option<i64>,
    /// What it may do.
    pub terms: Terms,
    /// A hash that is no key's.
    pub no_key: KeyHash,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// Where rows are wanted from.
#[derive(Clone, Copy)]
pub enum Start {
    /// After this cursor: a change id and the [`Since::epoch_part`] of its answer; 0 for everything.
    After(i64),
    /// Since this time, Unix milliseconds.
    Time(i64),
}

/// Which rows a client wants as they are now.
#[derive(Clone)]
pub struct SinceQuery {
    /// Who asks.
    pub device_id: String,
    /// From where on.
    pub start: Start,
    /// At most about this many.
    pub limit: usize,
    /// A page ends where a time can tell, with a transaction.
    pub whole: bool,
    /// Leave out what the device wrote itself, except merged rows.
    pub exclude_own: bool,
    /// Only these.
    pub tables: Option<HashSet<String>>,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// Rows that were written.
pub struct Since {
    /// In the order of their last writes.
    pub rows: Vec<Written>,
    /// Where they begin: the client has what is before.
    pub from: i64,
    /// Where to go on from.
    pub upto: i64,
    /// What is added to change ids to make cursors of them that mean the same for ever.
    pub epoch_part: i64,
    /// The time that names this place, Unix milliseconds.
    pub at_ms: i64,
    /// Whether there is more.
    pub has_more: bool,
    /// Deletes up to this change id may be forgotten.
    pub pruned_through: i64,
}

/// A row as it is now.
pub struct Written {
    /// The change that last wrote it.
    pub version: i64,
    /// Who did.
    pub device_id: String,
    /// How.
    pub operation: Operation,
    /// Its table.
    pub table: String,
    /// Its id on the wire.
    pub id: String,
    /// The change's own id, if it has one.
    pub event_id: Option<Uuid>,
    /// When, by its client's clock, Unix milliseconds.
    pub client_ms: i64,
    /// When it came, Unix milliseconds.
    pub server_ms: i64,
    /// How often the row was written.
    pub writes: i64,
    /// The row; `None` when it is gone.
    pub row: Option<Row>,
    /// What it was before it went, as far as that is known.
    pub before: Option<Row>,
}

/// Rows of a table that belong to a row of another one.
pub struct ChildrenQuery {
    /// Their table.
    pub table: String,
    /// Their column that holds the parent's key.
    pub column: String,
    /// That key.
    pub parent: Value,
}

/// A row that belongs to a row of another table.
pub struct Part {
    /// Its id on the wire.
    pub id: String,
    /// The change that last wrote it.
    pub version: i64,
    /// Who did.
    pub device_id: String,
    /// The row.
    pub row: Row,
}

/// An operation that a client left here.
#[derive(Clone)]
pub struct Queued {
    /// As the client calls it.
    pub id: String,
    /// JSON as it came.
    pub operation: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// Everything that a client has of some tables.
pub struct Full {
    /// The rows, as a push.
    pub batch: Batch,
    /// By table the ids of all rows; what else the device has seen of them it has removed.
    pub tables: Vec<(String, HashSet<String>)>,
}

/// What became of taking a full sync back.
pub enum Undone {
    /// So many rows are as before, and so many were changed since and stay.
    Done {
        /// As before.
        rows: u64,
        /// Changed since.
        kept: u64,
    },
    /// There is no such full sync, or it is another client's.
    Unknown,
}
