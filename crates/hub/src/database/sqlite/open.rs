//! Opening the file: is it ours, is it up to date, and the connections to it.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use rusqlite_migration::{Error as MigrationError, M, MigrationDefinitionError, Migrations};

use super::head_file::{HeadFile, Told};
use super::{log, meta, snapshot};
use crate::database::error::OpenError;

/// Marks the file as a hub database ("TSYH").
const APPLICATION_ID: i32 = 0x5453_5948;

/// Reads are short; a few at once keep both cores of a small machine busy.
const READERS: usize = 4;

/// Another process (`enroll-token`) writes one row at a time; longer than this it must hang.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Between two looks at a file that is locked.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Room for every statement that the hub uses.
const STATEMENTS_MAX: usize = 64;

/// What an open database consists of.
pub(super) struct Opened {
    pub writer: Connection,
    pub readers: Vec<Connection>,
    pub head: i64,
    pub epoch: String,
    pub head_file: HeadFile,
}

/// Opens the file, making or migrating it when needed. A file of another program is left as it is.
pub(super) fn open(path: &Path) -> Result<Opened, OpenError> {
    let since = Instant::now();
    loop {
        match try_open(path) {
            // SQLite does not wait by itself where whoever waits might wait for ever, as when two set up a new file.
            Err(OpenError::Locked(_)) if since.elapsed() < BUSY_WAIT => std::thread::sleep(LOOK_AGAIN),
            done => return done,
        }
    }
}

fn try_open(path: &Path) -> Result<Opened, OpenError> {
    let mut writer = Connection::open(path).map_err(|cause| explain(path, cause))?;
    require_ours(path, &writer)?;
    set_up(&writer).map_err(|cause| explain(path, cause))?;
    migrate(path, &mut writer)?;
    // Read before the database: while another process serves, the file only ever follows it.
    let (mut head_file, told) =
        HeadFile::open(path).map_err(|cause| OpenError::Broken { path: path.to_owned(), cause: cause.to_string() })?;
    let ready = || -> rusqlite::Result<Opened> {
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut epoch, head) = (meta::epoch(&tx)?, log::head(&tx)?);
        let is_behind = told.as_ref().is_some_and(|told| told.epoch != epoch || told.head > head);
        if is_behind {
            tracing::warn!(head, ?told, "the database was restored from a backup; the registers send again what it has lost");
            epoch = meta::new_epoch(&tx)?;
        }
        tx.commit()?;
        if is_behind || told.is_none() {
            // A file that cannot be written is as good as none.
            let _ = head_file.write(&Told { epoch: epoch.clone(), head });
        }
        let readers = (0..READERS).map(|_| open_reader(path)).collect::<Result<_, _>>()?;
        Ok(Opened { writer, readers, head, epoch, head_file })
    };
    ready().map_err(|cause| explain(path, cause))
}

fn require_ours(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    connection.busy_timeout(BUSY_WAIT).map_err(|cause| explain(path, cause))?;
    let looked = connection.query_row(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)",
        [],
        |row| Ok((row.get::<_, i32>(0)?, row.get::<_, i64>(1)?)),
    );
    match looked.map_err(|cause| explain(path, cause))? {
        (APPLICATION_ID, _) | (0, 0) => Ok(()),
        _ => Err(OpenError::NotAHub(path.to_owned())),
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    snapshot::add_functions(connection)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A confirmed change must survive a power cut.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // 64 MiB hold the inner pages of the indexes of a chain's log; 4000 pages of WAL hold a full push.
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(())
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    // Not read-only: the last connection to close a WAL must be able to tidy up.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

fn migrate(path: &Path, writer: &mut Connection) -> Result<(), OpenError> {
    let migrations = Migrations::new(vec![
        M::up(include_str!("001.sql")),
        M::up(include_str!("002.sql")),
        M::up(include_str!("003.sql")),
        M::up(include_str!("004.sql")),
        M::up(include_str!("005.sql")),
        M::up(include_str!("006.sql")),
        M::up(include_str!("007.sql")),
        M::up(include_str!("008.sql")),
        M::up(include_str!("009.sql")),
        M::up(include_str!("010.sql")),
        M::up(include_str!("011.sql")),
    ]);
    to_latest(&migrations, writer).map_err(|error| match error {
        MigrationError::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead) => OpenError::TooNew(path.to_owned()),
        MigrationError::RusqliteError { err, .. } => explain(path, err),
        other => OpenError::Broken { path: path.to_owned(), cause: other.to_string() },
    })?;
    writer.pragma_update(None, "application_id", APPLICATION_ID).map_err(|cause| explain(path, cause))
}

/// Another process may be at the same file: whoever comes second goes on from where the first has come.
fn to_latest(migrations: &Migrations, writer: &mut Connection) -> rusqlite_migration::Result<()> {
    loop {
        let before = migrations.current_version(writer)?;
        match migrations.to_latest(writer) {
            Err(_) if migrations.current_version(writer)? != before => {}
            done => return done,
        }
    }
}

fn explain(path: &Path, cause: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match cause.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotAHub(path),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked(path),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => OpenError::NotWritable { path, cause },
        _ => OpenError::Broken { path, cause: cause.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_can_be_opened_by_several_at_once() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("hub.db");
            let open_all = |_| {
                let opened = std::thread::scope(|scope| {
                    let all: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&path).map(|opened| opened.epoch))).collect();
                    all.into_iter().map(|one| one.join().unwrap().unwrap()).collect::<Vec<_>>()
                });
                assert!(opened.iter().all(|epoch| *epoch == opened[0]), "{opened:?}");
            };
            (0..2).for_each(open_all);
        }
    }
}
