//! Write transactions at the store, and the end of a connection that made some: as short as they can be where the POS has to wait for them.
//!
//! In a store with a write-ahead log a commit of ours does not wait for the disk, but for the first one in a new log: SQLite brings the
//! log's header to the disk, under the lock. A POS that opens and closes its store for every sale leaves no log behind, so that every
//! commit of ours begins a new one. There the header need not wait: what counts is that no older frames are taken for valid ones, and in
//! an empty file there are none. Whoever commits durably next brings the header to the disk with everything else.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Result, Transaction, TransactionBehavior};

use super::open::{is_wal, log_path};

/// SQLite's own default, in pages.
const CHECKPOINT_PAGES: u32 = 1000;

/// Begins to write.
pub fn begin(conn: &Connection) -> Result<Transaction<'_>> {
    let immediate = || Transaction::new_unchecked(conn, TransactionBehavior::Immediate);
    if !is_wal(conn)? {
        return immediate();
    }
    if has_empty_log(conn) {
        // Nothing of it may reach the store itself before it has reached the disk.
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        conn.pragma_update(None, "synchronous", "OFF")?;
        let tx = immediate()?;
        if has_empty_log(conn) {
            return Ok(tx);
        }
        tx.rollback()?;
    }
    wait_for_disk(conn)?;
    immediate()
}

/// Whoever closes last and leaves no log locks everybody out while the log goes into the store. Most of that is done before, beside
/// everybody's work; then little is left for the close.
pub fn before_close(conn: &Connection) -> Result<()> {
    if !is_wal(conn)? {
        return Ok(());
    }
    wait_for_disk(conn)?;
    if !conn.db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)? {
        conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    }
    Ok(())
}

/// From now on the log reaches the disk before the store does.
fn wait_for_disk(conn: &Connection) -> Result<()> {
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
}

fn has_empty_log(conn: &Connection) -> bool {
    let Some(store) = conn.path() else { return false };
    log_path(Path::new(store)).metadata().map_or(true, |info| info.len() == 0)
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
        let tx = begin(conn).unwrap();
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
        let tx = begin(&ours).unwrap();
        // Far more than what makes SQLite move the log into the store by itself.
        tx.execute("INSERT INTO t VALUES (zeroblob(20000000))", []).unwrap();
        tx.commit().unwrap();
        assert!(std::fs::read(&path).unwrap() == before);
        before_close(&ours).unwrap();
        assert_eq!(synchronous(&ours), 1);
        assert!(std::fs::metadata(&path).unwrap().len() > 20_000_000);
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
