//! What can go wrong with a database.

use std::path::PathBuf;

/// A database that cannot be opened, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder is missing, unreadable or read-only.
    #[error("cannot open {path}: {cause}. Check that the folder exists and that this user may write to the file and the folder")]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        cause: rusqlite::Error,
    },
    /// The file is something else.
    #[error("{0} is not a hub database. Give another path with --database sqlite:PATH; the file was left as it is")]
    NotAHub(PathBuf),
    /// The file was written by a later release.
    #[error("{0} was made by a newer version of tillsync-hub. Install that version or a later one; the file was left as it is")]
    TooNew(PathBuf),
    /// Another program has locked the file for long.
    #[error("{0} is locked by another program. End that program, or wait until it has finished, and try again")]
    Locked(PathBuf),
    /// SQLite reports anything else.
    #[error("cannot use {path}: {cause}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        cause: String,
    },
    /// The program ended meanwhile.
    #[error("the database was not opened because the program is stopping")]
    Interrupted,
}

/// A request that the database could not serve; nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite's words.
    #[error("sqlite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The work panicked or was cut off by the end of the program.
    #[error("the work on the database was broken off")]
    BrokenOff,
}
