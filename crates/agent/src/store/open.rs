//! Connections to the store and what can be wrong with the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tillsync_core::problem::Problem;

use super::late;

/// How long a reader waits for the POS. Longer waits are the sync machine's business.
const READ_BUSY: Duration = Duration::from_millis(50);

/// How long a writer waits for the POS, so that it never queues up behind it for long.
const WRITE_BUSY: Duration = Duration::from_millis(100);

/// Tables of network file systems in `/proc/mounts`; SQLite's locks do not hold across machines there.
#[cfg(target_os = "linux")]
const NETWORK_FILE_SYSTEMS: [&str; 15] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb2",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "davfs",
    "lustre",
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.glusterfs",
    "fuse.ceph",
];

/// What can be wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such file.
    #[error("there is no store at {0}")]
    Missing(PathBuf),
    /// The file is not readable or writable for this user.
    #[error("the store {0} cannot be opened for reading and writing")]
    Denied(PathBuf),
    /// Not SQLite, or encrypted.
    #[error("{0} is not a SQLite database, or it is encrypted")]
    NotADatabase(PathBuf),
    /// SQLite says the file is damaged.
    #[error("the store {0} is damaged")]
    Corrupt(PathBuf),
    /// The disk is full.
    #[error("the disk that holds the store {0} is full")]
    Full(PathBuf),
    /// The store lies on another machine.
    #[error("the store {0} lies on a network share")]
    NetworkShare(PathBuf),
    /// The file is empty or shorter than it says.
    #[error("the store {0} is empty or not whole: it is being copied, or the POS has not made its tables yet")]
    Incomplete(PathBuf),
    /// The POS holds the store.
    #[error("the POS holds the store")]
    Busy,
    /// The schema changed between two looks.
    #[error("the store's schema has just changed")]
    SchemaChanged,
    /// Another agent serves this store.
    #[error("the store {store} is already served by the agent whose state is in {state_dir}")]
    Owned {
        /// The store.
        store: PathBuf,
        /// The other agent's state folder.
        state_dir: String,
    },
    /// Anything else from SQLite.
    #[error("the store {path} cannot be used: {source}")]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// What SQLite said about this file, sorted out.
    pub fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::SchemaChanged) => Self::SchemaChanged,
            _ if names_what_is_gone(&source) => Self::SchemaChanged,
            Some(ErrorCode::NotADatabase) => Self::NotADatabase(path),
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt(path),
            Some(ErrorCode::DiskFull) => Self::Full(path),
            // The memory that connections share is a file too, and SQLite has another word for a disk without room for it.
            _ if source.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => {
                Self::Full(path)
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => Self::Denied(path),
            _ => {
                let code = source.sqlite_error().map(|error| error.extended_code);
                tracing::warn!(code, error = %source, "the store answers with an error");
                Self::Sqlite { path, source }
            }
        }
    }

    /// Whether trying again in a moment is all it takes.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Busy | Self::SchemaChanged)
    }

    /// The same for people.
    pub fn problem(&self) -> Problem {
        let (code, action) = match self {
            Self::Missing(_) => {
                ("store_missing", "Start the POS once so that it makes its store, or correct `store` in the config.")
            }
            Self::Denied(_) => {
                ("store_denied", "Give the account that runs Tillsync read and write access to the file and its folder.")
            }
            Self::NotADatabase(_) => {
                ("store_not_a_database", "Point `store` in the config at the POS's SQLite file; encrypted stores cannot be synced.")
            }
            Self::Corrupt(_) => {
                ("store_corrupt", "Let the POS vendor repair the store or restore a backup; unsent changes are kept.")
            }
            Self::Full(_) => ("store_disk_full", "Free some space; nothing is lost and syncing goes on by itself."),
            Self::Incomplete(_) => {
                ("store_incomplete", "Wait until the copy is done, or start the POS once; it is tried again by itself.")
            }
            Self::NetworkShare(_) => ("store_network_share", "Run Tillsync on the machine whose disk holds the store."),
            Self::Busy | Self::SchemaChanged => ("store_busy", "Nothing to do; it is tried again at once."),
            Self::Owned { .. } => (
                "store_owned",
                "If this is a copy for another register, run `tillsync init` again; otherwise stop the other agent and `tillsync detach` it.",
            ),
            Self::Sqlite { .. } => ("store_failed", "See the log; `tillsync doctor` checks the store."),
        };
        Problem::store(code, capitalise(&format!("{self}.")), action)
    }
}

/// Whether a statement of ours names a table or column that the POS has just renamed or dropped: the next look reads the schema again.
fn names_what_is_gone(error: &rusqlite::Error) -> bool {
    let text = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        rusqlite::Error::SqliteFailure(_, Some(text)) => text,
        _ => return false,
    };
    ["no such column", "no such table"].iter().any(|start| text.starts_with(start)) || text.contains("has no column named")
}

fn capitalise(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A restore that copies over the store takes no longer than this between two writes.
const COPY_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Checks what can be checked without opening the file.
///
/// Nothing but SQLite may ever open the store: on POSIX systems closing any handle of a file drops all locks that the process
/// holds on it, also those of a transaction that another thread is in the middle of.
pub fn check_file(path: &Path) -> Result<(), StoreError> {
    let Ok(info) = std::fs::metadata(path) else {
        return Err(StoreError::Missing(path.to_owned()));
    };
    if !info.is_file() {
        return Err(StoreError::NotADatabase(path.to_owned()));
    }
    // SQLite takes an empty file for a new database: what we wrote into it would replace what is being restored.
    if info.len() == 0 {
        return Err(StoreError::Incomplete(path.to_owned()));
    }
    Ok(())
}

/// What SQLite said when the file was opened. A file that is being copied looks damaged until it is all there.
fn opening_error(path: &Path, error: rusqlite::Error) -> StoreError {
    let error = StoreError::from_sqlite(path, error);
    let changed = std::fs::metadata(path).and_then(|info| info.modified()).ok();
    let is_new = changed.is_some_and(|at| at.elapsed().is_ok_and(|age| age < COPY_PAUSE_MAX));
    match error {
        StoreError::Corrupt(path) if is_new => StoreError::Incomplete(path),
        error => error,
    }
}

/// Checks that the file lies on a disk of this machine.
pub fn check_place(path: &Path) -> Result<(), StoreError> {
    check_file(path)?;
    if is_on_network_share(path) { Err(StoreError::NetworkShare(path.to_owned())) } else { Ok(()) }
}

/// A connection that only reads. Closing it never checkpoints the POS's write-ahead log.
pub fn reader(path: &Path) -> Result<Connection, StoreError> {
    check_file(path)?;
    let open = || {
        // A read-only WAL connection still writes the shared-memory index, so the file is opened read-write.
        let conn = connect(path, READ_BUSY)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        conn.pragma_update(None, "query_only", true)?;
        // Reading something finds out whether the file is a database at all.
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(conn)
    };
    open().map_err(|error| opening_error(path, error))
}

/// A connection that writes rows without firing anybody's triggers and without acting on foreign keys.
pub fn writer(path: &Path) -> Result<Connection, StoreError> {
    check_file(path)?;
    let had_log = log_path(path).metadata().is_ok_and(|info| info.len() > 0);
    let open = || {
        let conn = connect(path, WRITE_BUSY)?;
        // Who finds no log when coming leaves none when going; who finds one leaves it to the POS.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, had_log)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        conn.pragma_update(None, "foreign_keys", false)?;
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        if is_wal(&conn)? {
            // The lock is held without waiting for the disk. A power cut takes rows and cursor back together.
            conn.pragma_update(None, "synchronous", "NORMAL")?;
            // The log goes into the store between our turns, not within one.
            conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        }
        // What is prepared without the lock must not get to the log before it is taken, nor to any other disk, which may be full.
        conn.pragma_update(None, "cache_spill", false)?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        late::prepare(&conn)?;
        if conn.is_readonly("main")? {
            return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY), None));
        }
        Ok(conn)
    };
    open().map_err(|error| opening_error(path, error))
}

/// Whether the store keeps a write-ahead log.
pub fn is_wal(conn: &Connection) -> rusqlite::Result<bool> {
    let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    Ok(mode.eq_ignore_ascii_case("wal"))
}

/// The write-ahead log beside a store.
pub fn log_path(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn connect(path: &Path, busy: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(busy)?;
    // SQLite takes a quoted name that no column has for a text: after a column got another name every row would look like another one.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    conn.set_prepared_statement_cache_capacity(128);
    Ok(conn)
}

#[cfg(target_os = "linux")]
fn is_on_network_share(path: &Path) -> bool {
    let (Ok(path), Ok(mounts)) = (path.canonicalize(), std::fs::read_to_string("/proc/mounts")) else {
        return false;
    };
    NETWORK_FILE_SYSTEMS.contains(&file_system_of(&path, &mounts))
}

/// The kind of file system that a path lies on, from a table as `/proc/mounts` has it; empty when it is on none.
#[cfg(target_os = "linux")]
fn file_system_of<'a>(path: &Path, mounts: &'a str) -> &'a str {
    // Blanks and the like are written as octal numbers there.
    let plain = |text: &str| text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    let lines = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((plain(fields.next()?), fields.next()?))
    });
    // Of two at one place the later one hides the other.
    lines.filter(|(place, _)| path.starts_with(place)).max_by_key(|(place, _)| place.len()).map_or("", |(_, kind)| kind)
}

#[cfg(windows)]
fn is_on_network_share(path: &Path) -> bool {
    // `\\server\share\…`, also behind a mapped drive once it is resolved.
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let text = resolved.to_string_lossy();
    text.starts_with(r"\\?\UNC\") || (text.starts_with(r"\\") && !text.starts_with(r"\\?\"))
}

#[cfg(target_os = "macos")]
fn is_on_network_share(path: &Path) -> bool {
    /// `MNT_LOCAL` of `sys/mount.h`.
    const LOCAL: u32 = 0x1000;
    rustix::fs::statfs(path).is_ok_and(|found| found.f_flags & LOCAL == 0)
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
fn is_on_network_share(_path: &Path) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// How many locks this process holds on the file, as the system counts them.
    fn locks_on(path: &Path) -> usize {
        let inode = format!(":{}", std::fs::metadata(path).unwrap().ino());
        let process = std::process::id().to_string();
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        locks.lines().filter(|line| line.split(' ').any(|word| word.ends_with(&inode)) && line.contains(&process)).count()
    }

    #[test]
    fn a_second_visit_leaves_the_locks_of_the_first_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(a)").unwrap();
        let first = writer(&path).unwrap();
        first.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").unwrap();
        let held = locks_on(&path);
        assert!(held > 0, "a transaction in rollback mode holds locks");
        drop(reader(&path).unwrap());
        check_place(&path).unwrap();
        assert_eq!(locks_on(&path), held);
    }

    #[test]
    fn the_innermost_mount_says_what_kind_of_disk_it_is() {
        let mounts = "/dev/sda1 / ext4 rw 0 0\n//nas/pos /mnt/pos\\040data cifs rw 0 0\nnas:/x /mnt/pos nfs4 rw 0 0\n\
            tmpfs /mnt/pos/local tmpfs rw 0 0\nover /twice ext4 rw 0 0\nunder /twice nfs rw 0 0\n";
        for (path, expected) in [
            ("/var/pos.db", "ext4"),
            ("/mnt/pos data/pos.db", "cifs"),
            ("/mnt/pos/pos.db", "nfs4"),
            ("/mnt/pos/local/pos.db", "tmpfs"),
            ("/mnt/poster.db", "ext4"),
            ("/twice/pos.db", "nfs"),
        ] {
            assert_eq!(file_system_of(Path::new(path), mounts), expected, "{path}");
        }
    }

    #[test]
    fn a_column_that_is_gone_is_no_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (1)").unwrap();
        let look = |conn: Connection| conn.query_row("SELECT \"gone\" FROM t", [], |row| row.get::<_, String>(0)).unwrap_err();
        for error in [look(reader(&path).unwrap()), look(writer(&path).unwrap())] {
            assert!(matches!(StoreError::from_sqlite(&path, error), StoreError::SchemaChanged));
        }
    }
}
