//! The agent's own state, `agent.db`: outbox, shadow, inbox, progress of the full sync, marks. One table one file.
//!
//! WAL with `synchronous=FULL`: what the outbox holds survives a power cut. Migrations are frozen and additive.

pub mod activity;
pub mod again;
pub mod conflicts;
pub mod digest;
pub mod ids;
pub mod inbox;
pub mod lost;
pub mod marks;
pub mod outbox;
pub mod outside;
pub mod refill;
pub mod selection;
pub mod shadow;
pub mod shared;
pub mod snapshot;
pub mod told;
pub mod upload;

use std::path::Path;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use rusqlite_migration::{M, Migrations};
use tillsync_core::problem::Problem;

/// Frozen: add at the end, never change.
const MIGRATIONS: &[M<'static>] = &[
    M::up(marks::CREATE),
    M::up(outbox::CREATE),
    M::up(shadow::CREATE),
    M::up(inbox::CREATE),
    M::up(upload::CREATE),
    M::up(outside::CREATE),
    M::up(shadow::ADD_BASES),
    M::up(outbox::ADD_BEFORE),
    M::up(conflicts::CREATE),
    M::up(digest::CREATE),
    M::up(ids::CREATE),
    M::up(lost::CREATE),
    M::up(again::CREATE),
    M::up(shared::CREATE),
    M::up(activity::CREATE),
    M::up(told::CREATE),
];

/// What can be wrong with the state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder cannot be made.
    #[error("the state folder {0} cannot be made: {1}")]
    Folder(std::path::PathBuf, std::io::Error),
    /// Another version of Tillsync wrote it.
    #[error("the state was written by a newer version of Tillsync; install that version again")]
    Newer,
    /// The file is damaged.
    #[error("the state file is damaged; move it away and run `tillsync init` again: the store is then compared with the server")]
    Corrupt,
    /// No space.
    #[error("the disk that holds the state is full")]
    Full,
    /// Anything else.
    #[error("the state cannot be used: {0}")]
    Sqlite(rusqlite::Error),
}

impl StateError {
    /// The same for people.
    pub fn problem(&self) -> Problem {
        let text = self.to_string();
        let mut chars = text.chars();
        let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
        Problem::state(format!("{first}{}.", chars.as_str()))
    }
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt,
            Some(ErrorCode::DiskFull) => Self::Full,
            // The memory that connections share is a file too, and SQLite has another word for a disk without room for it.
            _ if error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => Self::Full,
            _ => Self::Sqlite(error),
        }
    }
}

/// The open state.
#[derive(Debug)]
pub struct State {
    conn: Connection,
}

impl State {
    /// Opens or makes the state in a folder that only its owner can enter.
    pub fn open(state_dir: &Path) -> Result<Self, StateError> {
        make_private_folder(state_dir).map_err(|error| StateError::Folder(state_dir.to_owned(), error))?;
        let mut conn = Connection::open(state_dir.join("agent.db"))?;
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.set_prepared_statement_cache_capacity(64);
        digest::add_functions(&conn)?;
        Migrations::from_slice(MIGRATIONS).to_latest(&mut conn).map_err(|error| match error {
            rusqlite_migration::Error::MigrationDefinition(_) => StateError::Newer,
            rusqlite_migration::Error::RusqliteError { err, .. } => err.into(),
            _ => StateError::Corrupt,
        })?;
        Ok(Self { conn })
    }

    /// The connection, for reads and single writes.
    pub fn conn(&self) -> &Connection {
        &self.conn
    }

    /// A transaction that writes.
    pub fn write(&mut self) -> Result<Transaction<'_>, StateError> {
        Ok(self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

/// Makes a folder that only its owner can enter.
pub fn make_private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}
