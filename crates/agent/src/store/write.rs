//! Write transactions at the store, and the end of a connection that made some: as short as they can be where the POS has to wait for them.
//!
//! In a store with a write-ahead log a commit of ours does not wait for the disk, but for the first one in a new log: SQLite brings the
//! log's header to the disk, under the lock. A POS that opens and closes its store for every sale leaves no log behind, so that every
//! commit of ours begins a new one. There the header need not wait: what counts is that no older frames are taken for valid ones, and in
//! an empty file there are none. Whoever commits durably next brings the header to the disk with everything else.
//!
//! For the same reason a log that has grown long is cut off once it is in the store: SQLite by itself would begin it over, and an old log
//! has old frames.

use std::ops::Deref;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error, Result, Row, ffi};

use super::late::{self, Taken};
use super::open::{is_wal, log_path};

/// A log of this length goes into the store: about as many pages as SQLite lets one have.
const LOG_BYTES_MAX: u64 = 4 << 20;

/// Before the lock is taken: the shortest sleep there is.
const NAP: Duration = Duration::from_micros(1);

/// How long a commit waits for readers.
const COMMIT_BUSY: Duration = Duration::from_millis(3);

/// When the lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// For the commit alone, where there is a write-ahead log. Whoever commits first wins, and we begin again.
    Late,
    /// When the transaction begins, so that nobody else commits before it.
    Early,
}

/// A transaction that writes. It is given up where it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    conn: &'a Connection,
    /// Since when the lock is held, if it was taken early.
    locked: Option<Instant>,
}

impl Deref for Turn<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}

impl Turn<'_> {
    /// Commits, and says how long the lock was held.
    pub fn commit(self) -> Result<Duration> {
        let locked = match self.locked {
            Some(since) => since,
            None => {
                // Whoever has just slept is not interrupted for a while.
                std::thread::sleep(NAP);
                let since = Instant::now();
                if late::take(self.conn)? == Taken::Overtaken {
                    return Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY_SNAPSHOT), None));
                }
                since
            }
        };
        // A reader that is in the middle of a statement leaves in a moment, and no new one comes in.
        self.conn.busy_timeout(COMMIT_BUSY)?;
        let committed = self.conn.execute_batch("COMMIT");
        let took = locked.elapsed();
        self.conn.busy_timeout(Duration::ZERO)?;
        committed.map(|()| took)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Err(error) = late::give_up(self.conn) {
            tracing::debug!(%error, "a transaction is given up by the close");
        }
    }
}

/// Begins to write.
pub fn begin(conn: &Connection, lock: Lock) -> Result<Turn<'_>> {
    if !is_wal(conn)? {
        return start(conn, Lock::Early);
    }
    if has_empty_log(conn) {
        conn.pragma_update(None, "synchronous", "OFF")?;
        let turn = start(conn, lock)?;
        if has_empty_log(conn) {
            return Ok(turn);
        }
        drop(turn);
    }
    wait_for_disk(conn)?;
    start(conn, lock)
}

fn start(conn: &Connection, lock: Lock) -> Result<Turn<'_>> {
    match lock {
        Lock::Early => {
            std::thread::sleep(NAP);
            conn.execute_batch("BEGIN IMMEDIATE")?;
            Ok(Turn { conn, locked: Some(Instant::now()) })
        }
        Lock::Late => {
            // A transaction that could not begin is given up as well.
            let turn = Turn { conn, locked: None };
            late::begin(conn).map(|()| turn)
        }
    }
}

/// Between two transactions: a log that has grown long is cut off. Says whether it was long.
pub fn shorten_log(conn: &Connection) -> Result<bool> {
    let is_long = log_length(conn) >= LOG_BYTES_MAX && is_wal(conn)?;
    if is_long {
        cut_log_off(conn)?;
    }
    Ok(is_long)
}

/// Whoever closes last and leaves no log locks everybody out while the log goes into the store. Most of that is done before, beside
/// everybody's work; then little is left for the close.
pub fn before_close(conn: &Connection) -> Result<()> {
    if !conn.db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)? && is_wal(conn)? {
        return cut_log_off(conn);
    }
    shorten_log(conn).map(drop)
}

/// Moves the log into the store beside everybody's work, and then leaves nothing of it, if nobody reads an older state.
fn cut_log_off(conn: &Connection) -> Result<()> {
    wait_for_disk(conn)?;
    let frames = |row: &Row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let (all, moved) = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], frames)?;
    if moved == all {
        // It would wait for readers with the lock in hand.
        conn.busy_timeout(Duration::ZERO)?;
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(())
}

/// From now on the log reaches the disk before the store does.
fn wait_for_disk(conn: &Connection) -> Result<()> {
    conn.pragma_update(None, "synchronous", "NORMAL")
}

/// Whether there is a log file with nothing in it, or none.
pub fn has_empty_log(conn: &Connection) -> bool {
    conn.path().is_some() && log_length(conn) == 0
}

/// In bytes; that of a log that has come to its end and begun over is what it was at most.
fn log_length(conn: &Connection) -> u64 {
    conn.path().and_then(|store| log_path(Path::new(store)).metadata().ok()).map_or(0, |info| info.len())
}

#[cfg(test)]
mod tests {
    use super::super::open;
    use super::*;

    fn synchronous(conn: &Connection) -> i64 {
        conn.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap()
    }

    /// Commits a row and says whether the commit waited for the disk.
    fn commit(conn: &Connection) -> bool {
        let tx = begin(conn, Lock::Late).unwrap();
        tx.execute("INSERT INTO t VALUES (1)", []).unwrap();
        tx.commit().unwrap();
        synchronous(conn) != 0
    }

    fn store(mode: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let pos = Connection::open(&path).unwrap();
        pos.pragma_update(None, "journal_mode", mode).unwrap();
        pos.execute_batch("CREATE TABLE t(a)").unwrap();
        (folder, path)
    }

    #[test]
    fn only_the_first_commit_in_a_new_log_goes_without_the_disk() {
        let (_folder, path) = store("wal");
        let ours = open::writer(&path).unwrap();
        assert!(!commit(&ours));
        assert!(commit(&ours));
        before_close(&ours).unwrap();
        drop(ours);
        assert!(!log_path(&path).exists(), "who finds no log leaves none");
        let pos = Connection::open(&path).unwrap();
        pos.execute("INSERT INTO t VALUES (2)", []).unwrap();
        let ours = open::writer(&path).unwrap();
        assert!(commit(&ours), "the POS's log is not new");
        assert_eq!(pos.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 4);
    }

    #[test]
    fn nothing_reaches_the_store_before_the_disk_has_the_log() {
        let (_folder, path) = store("wal");
        let ours = open::writer(&path).unwrap();
        let before = std::fs::read(&path).unwrap();
        let tx = begin(&ours, Lock::Late).unwrap();
        // Far more than what makes SQLite move the log into the store by itself.
        tx.execute("INSERT INTO t VALUES (zeroblob(20000000))", []).unwrap();
        tx.commit().unwrap();
        assert!(std::fs::read(&path).unwrap() == before);
        before_close(&ours).unwrap();
        assert_eq!(synchronous(&ours), 1);
        assert!(std::fs::metadata(&path).unwrap().len() > 20_000_000);
    }

    #[test]
    fn a_long_log_is_cut_off_and_needs_no_new_header() {
        let (_folder, path) = store("wal");
        let pos = Connection::open(&path).unwrap();
        pos.execute("INSERT INTO t VALUES (zeroblob(20000000))", []).unwrap();
        pos.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        let ours = open::writer(&path).unwrap();
        assert!(commit(&ours));
        pos.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
        assert!(shorten_log(&ours).unwrap() && !has_empty_log(&ours), "somebody reads");
        pos.execute_batch("COMMIT").unwrap();
        assert!(shorten_log(&ours).unwrap() && has_empty_log(&ours));
        assert!(!commit(&ours) && commit(&ours));
        assert!(!shorten_log(&ours).unwrap());
        assert_eq!(pos.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 4);
    }

    #[test]
    fn a_rollback_journal_always_waits_for_the_disk() {
        let (_folder, path) = store("delete");
        let ours = open::writer(&path).unwrap();
        assert!(commit(&ours));
        before_close(&ours).unwrap();
        assert_eq!(synchronous(&ours), 2);
    }
}
