//! The lock of a write-ahead log, taken late: a transaction is prepared without it and takes it for the commit alone.
//!
//! SQLite takes the lock at the first statement that writes, and holds it until the commit. Until then it touches nothing that others see:
//! changed pages stay in the connection's memory (nothing is spilled, see [`super::open::writer`]), and the log is written when it commits. So
//! the connection is told that it has the lock, and it is really taken right before the commit. If somebody else has committed meanwhile, which
//! the header of the log's index tells, nothing of the transaction may be written, and it is given up.
//!
//! A POS whose statement would meet our lock for milliseconds meets it for the time it takes to write some pages to the log.
//!
//! When a file cannot be read in the middle of a transaction, SQLite gives it up by itself and tidies the log's index, for which it must have the
//! lock. So it has it before it hears of the error. Nothing else of a prepared transaction goes to a disk: what SQLite writes aside stays in
//! memory, see [`super::open::writer`]. That memory runs out is the one error of this kind that nobody can get ahead of.

#![expect(unsafe_code, reason = "a file's methods are a C interface; they are what SQLite offers for this")]

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, Error, Result, ffi};

/// The lock of the writer among those of the log's index.
const WRITE_LOCK: c_int = 0;

/// The header of the log's index, of which there are two copies; it changes with every commit.
const HEADER: usize = 48;

/// The first piece of the log's index.
const INDEX_PIECE: c_int = 32 * 1024;

/// Whether some constraint gives whole transactions up, which only those may do who have the lock.
const ROLLS_BACK: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE sql LIKE '%CONFLICT%ROLLBACK%')";

/// Somebody who writes is waited for in steps of this length.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

type Close = unsafe extern "C" fn(*mut ffi::sqlite3_file) -> c_int;

/// What has become of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    /// SQLite takes it and lets go of it as ever.
    Usual,
    /// SQLite is to believe that it gets it.
    Postponed,
    /// SQLite believes that it has it.
    Pretended,
    /// SQLite has it.
    Taken,
}

/// What came of taking the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is ours, and the store is as it was when the transaction began.
    Ours,
    /// Somebody else has it, or has committed since the transaction began.
    Overtaken,
}

/// In place of the methods of a store's file, with which it begins.
#[repr(C)]
struct Hook {
    methods: ffi::sqlite3_io_methods,
    original: *const ffi::sqlite3_io_methods,
    lock: Cell<Lock>,
    /// The header when SQLite believed that it got the lock.
    header: Cell<[u8; HEADER]>,
    /// A transaction was given up after somebody else had committed. SQLite takes what it remembers of the store for what is there now, so
    /// this connection never writes again.
    is_stale: Cell<bool>,
    /// Nothing can be read.
    #[cfg(test)]
    is_broken: Cell<bool>,
}

/// In place of the methods of the log's file. It is closed before the store's.
#[repr(C)]
struct LogHook {
    methods: ffi::sqlite3_io_methods,
    original: *const ffi::sqlite3_io_methods,
    store: *mut ffi::sqlite3_file,
}

/// Makes the lock of this connection one that can be taken late. Where that cannot be, all is as ever.
pub fn prepare(conn: &Connection) -> Result<()> {
    let file = file(conn)?;
    if hook(file).is_some() {
        return Ok(());
    }
    // SAFETY: an open connection has an open file, whose methods are there for as long as it is open. The hook begins with methods, which is
    // all that SQLite knows of it, and is given back when the file is closed.
    unsafe {
        let original = (*file).pMethods;
        if original.is_null() || (*original).iVersion < 2 || (*original).xShmLock.is_none() || (*original).xShmMap.is_none() {
            return Ok(());
        }
        let methods = ffi::sqlite3_io_methods {
            xClose: Some(close),
            xRead: Some(read),
            xShmLock: Some(shm_lock),
            xShmMap: Some(shm_map),
            ..*original
        };
        let hook = Box::new(Hook {
            methods,
            original,
            lock: Cell::new(Lock::Usual),
            header: Cell::new([0; HEADER]),
            is_stale: Cell::new(false),
            #[cfg(test)]
            is_broken: Cell::new(false),
        });
        (*file).pMethods = Box::into_raw(hook).cast();
    }
    Ok(())
}

/// Begins a transaction at a store with a write-ahead log; the lock is taken by [`take`]. Without [`prepare`] it is taken as ever.
pub fn begin(conn: &Connection) -> Result<()> {
    let Some(hook) = hook(file(conn)?) else { return conn.execute_batch("BEGIN IMMEDIATE") };
    if hook.is_stale.get() {
        return Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY_SNAPSHOT), None));
    }
    conn.execute_batch("BEGIN")?;
    // From here on all is read as it is now.
    if conn.prepare_cached(ROLLS_BACK)?.query_row([], |row| row.get(0))? || !watch_log(conn)? {
        return conn.execute_batch("ROLLBACK; BEGIN IMMEDIATE");
    }
    hook.lock.set(Lock::Postponed);
    Ok(())
}

/// Takes the lock, for the commit that is next. After anything but [`Taken::Ours`] the transaction can only be given up.
pub fn take(conn: &Connection) -> Result<Taken> {
    let file = file(conn)?;
    let Some(hook) = hook(file) else { return Ok(Taken::Ours) };
    match hook.lock.get() {
        Lock::Pretended if hook.really_lock(file)? && hook.is_as_it_was(file)? => Ok(Taken::Ours),
        Lock::Pretended => Ok(Taken::Overtaken),
        Lock::Usual | Lock::Postponed | Lock::Taken => Ok(Taken::Ours),
    }
}

/// Gives a transaction up. SQLite tidies the log's index when it does so, for which it must have the lock, however long somebody else holds it.
pub fn give_up(conn: &Connection) -> Result<()> {
    let file = file(conn)?;
    if let Some(hook) = hook(file) {
        while hook.lock.get() == Lock::Pretended && !hook.really_lock(file)? {
            thread::sleep(LOOK_AGAIN);
        }
        if hook.lock.get() == Lock::Taken && !hook.is_as_it_was(file)? {
            hook.is_stale.set(true);
        }
    }
    let given_up = if conn.is_autocommit() { Ok(()) } else { conn.execute_batch("ROLLBACK") };
    end(conn)?;
    given_up
}

/// After a commit: the next transaction takes the lock as ever, unless it begins here.
pub fn end(conn: &Connection) -> Result<()> {
    if let Some(hook) = hook(file(conn)?) {
        hook.lock.set(Lock::Usual);
    }
    Ok(())
}

/// Sees to it that errors of the log's file are heard of here first. Says whether that can be.
fn watch_log(conn: &Connection) -> Result<bool> {
    let (store, log) = (file(conn)?, file_by(conn, ffi::SQLITE_FCNTL_JOURNAL_POINTER)?);
    // SAFETY: within a transaction the log is open, and its methods are there for as long as it is. The hook begins with methods, and is given
    // back when the log is closed, which is before the store is.
    unsafe {
        let original = (*log).pMethods;
        let Some(methods) = original.as_ref() else { return Ok(false) };
        if methods.xClose.is_some_and(|close| ptr::fn_addr_eq(close, close_log as Close)) {
            return Ok(true);
        }
        let methods = ffi::sqlite3_io_methods { xClose: Some(close_log), xRead: Some(read_log), ..*methods };
        (*log).pMethods = Box::into_raw(Box::new(LogHook { methods, original, store })).cast();
    }
    Ok(true)
}

impl Hook {
    /// SQLite is about to hear of an error, and to give the transaction up: it has the lock by then, however long somebody else holds it.
    fn before_error(&self, file: *mut ffi::sqlite3_file) {
        while self.lock.get() == Lock::Pretended {
            match self.really_lock(file) {
                Ok(true) => self.is_stale.set(!self.is_as_it_was(file).unwrap_or(false)),
                Ok(false) | Err(_) => thread::sleep(LOOK_AGAIN),
            }
        }
    }

    /// What SQLite believes to have comes true, unless somebody else has it.
    fn really_lock(&self, file: *mut ffi::sqlite3_file) -> Result<bool> {
        // SAFETY: the file is open, so that its own methods are there; this is how SQLite itself calls this one.
        let code = unsafe {
            let Some(lock) = (*self.original).xShmLock else { return Ok(true) };
            lock(file, WRITE_LOCK, 1, ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_EXCLUSIVE)
        };
        match code {
            ffi::SQLITE_OK => {
                self.lock.set(Lock::Taken);
                Ok(true)
            }
            ffi::SQLITE_BUSY => Ok(false),
            code => Err(Error::SqliteFailure(ffi::Error::new(code), None)),
        }
    }

    /// Whether nobody has committed since SQLite believed that it got the lock.
    fn is_as_it_was(&self, file: *mut ffi::sqlite3_file) -> Result<bool> {
        read_header(self.original, file)
            .map(|header| header == self.header.get())
            .map_err(|code| Error::SqliteFailure(ffi::Error::new(code), None))
    }
}

/// The file of a connection.
fn file(conn: &Connection) -> Result<*mut ffi::sqlite3_file> {
    file_by(conn, ffi::SQLITE_FCNTL_FILE_POINTER)
}

fn file_by(conn: &Connection, control: c_int) -> Result<*mut ffi::sqlite3_file> {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: the connection is open, and these controls write one pointer to where the last argument points.
    let code = unsafe { ffi::sqlite3_file_control(conn.handle(), c"main".as_ptr(), control, ptr::from_mut(&mut file).cast()) };
    if code != ffi::SQLITE_OK || file.is_null() {
        return Err(Error::SqliteFailure(ffi::Error::new(code), None));
    }
    Ok(file)
}

/// The hook of a file that has one. It is there until the file is closed, which nobody does while its connection is borrowed.
fn hook<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a Hook> {
    // SAFETY: the file is open. Methods that close by our function are the beginning of a hook.
    unsafe {
        let methods = (*file).pMethods;
        let close_of = methods.as_ref()?.xClose?;
        ptr::fn_addr_eq(close_of, close as Close).then(|| &*methods.cast::<Hook>())
    }
}

fn read_header(methods: *const ffi::sqlite3_io_methods, file: *mut ffi::sqlite3_file) -> std::result::Result<[u8; HEADER], c_int> {
    let mut index: *mut c_void = ptr::null_mut();
    // SAFETY: the file is open, in a transaction, so that the first piece of the index is mapped, and this asks where. Others may write there
    // while it is read without the lock, so every byte is read on its own; what comes of that is compared and nothing else.
    unsafe {
        let Some(map) = (*methods).xShmMap else { return Err(ffi::SQLITE_IOERR) };
        let code = map(file, 0, INDEX_PIECE, 0, ptr::from_mut(&mut index).cast());
        if code != ffi::SQLITE_OK || index.is_null() {
            return Err(if code == ffi::SQLITE_OK { ffi::SQLITE_IOERR } else { code });
        }
        let bytes = index.cast::<u8>().cast_const();
        Ok(std::array::from_fn(|place| ptr::read_volatile(bytes.add(place))))
    }
}

/// The lock of the writer is taken when [`take`] says so; all others are as ever.
unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    let Some(hook) = hook(file) else { return ffi::SQLITE_IOERR };
    if first == WRITE_LOCK && flags & ffi::SQLITE_SHM_EXCLUSIVE != 0 {
        let takes = flags & ffi::SQLITE_SHM_LOCK != 0;
        match hook.lock.get() {
            _ if takes && hook.is_stale.get() => return ffi::SQLITE_BUSY,
            Lock::Postponed if takes => {
                // SQLite compares the header itself right after this, and goes on only if it is the one that it has read.
                return match read_header(hook.original, file) {
                    Ok(header) => {
                        hook.header.set(header);
                        hook.lock.set(Lock::Pretended);
                        ffi::SQLITE_OK
                    }
                    Err(code) => code,
                };
            }
            // SQLite has given up by itself.
            Lock::Pretended if !takes => {
                hook.lock.set(Lock::Usual);
                hook.is_stale.set(true);
                return ffi::SQLITE_OK;
            }
            Lock::Taken if !takes => hook.lock.set(Lock::Usual),
            _ => {}
        }
    }
    // SAFETY: SQLite calls this on an open file, and the method that was there before is called with the same arguments.
    unsafe { (*hook.original).xShmLock.map_or(ffi::SQLITE_IOERR, |lock| lock(file, first, count, flags)) }
}

/// Reads the store. That there is less than was asked for is no error: the rest is nothing.
unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, many: c_int, at: ffi::sqlite3_int64) -> c_int {
    let Some(hook) = hook(file) else { return ffi::SQLITE_IOERR };
    // SAFETY: SQLite calls this on an open file, and the method that was there before is called with the same arguments.
    let code = unsafe { (*hook.original).xRead.map_or(ffi::SQLITE_IOERR, |read| read(file, to, many, at)) };
    #[cfg(test)]
    let code = if hook.is_broken.get() { ffi::SQLITE_IOERR_READ } else { code };
    if code != ffi::SQLITE_OK && code != ffi::SQLITE_IOERR_SHORT_READ {
        hook.before_error(file);
    }
    code
}

/// Maps a piece of the log's index.
unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    piece: c_int,
    size: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    let Some(hook) = hook(file) else { return ffi::SQLITE_IOERR };
    // SAFETY: SQLite calls this on an open file, and the method that was there before is called with the same arguments.
    let code = unsafe { (*hook.original).xShmMap.map_or(ffi::SQLITE_IOERR, |map| map(file, piece, size, extend, to.cast())) };
    if code != ffi::SQLITE_OK {
        hook.before_error(file);
    }
    code
}

/// Reads the log.
unsafe extern "C" fn read_log(file: *mut ffi::sqlite3_file, to: *mut c_void, many: c_int, at: ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls this on an open log, whose methods are the hook that `watch_log` made; the store's file is open, too.
    unsafe {
        let log = &*(*file).pMethods.cast::<LogHook>();
        let code = (*log.original).xRead.map_or(ffi::SQLITE_IOERR, |read| read(file, to, many, at));
        if code != ffi::SQLITE_OK
            && let Some(hook) = hook(log.store)
        {
            hook.before_error(log.store);
        }
        code
    }
}

/// Closes the log; SQLite does not look at its methods afterwards.
unsafe extern "C" fn close_log(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite calls this once, on an open log, whose methods are the hook that `watch_log` made.
    unsafe {
        let hook = Box::from_raw((*file).pMethods.cast_mut().cast::<LogHook>());
        (*file).pMethods = hook.original;
        (*hook.original).xClose.map_or(ffi::SQLITE_IOERR, |close| close(file))
    }
}

/// Closes the file; SQLite does not look at its methods afterwards.
unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite calls this once, on an open file, whose methods are the hook that `prepare` made.
    unsafe {
        let hook = Box::from_raw((*file).pMethods.cast_mut().cast::<Hook>());
        (*file).pMethods = hook.original;
        (*hook.original).xClose.map_or(ffi::SQLITE_IOERR, |close| close(file))
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::super::open;
    use super::super::write::{self, Lock as When};
    use super::*;

    fn store() -> (tempfile::TempDir, PathBuf, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let pos = pos(&path);
        pos.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 0)")
            .unwrap();
        (folder, path, pos)
    }

    fn pos(path: &Path) -> Connection {
        let pos = Connection::open(path).unwrap();
        pos.busy_timeout(Duration::ZERO).unwrap();
        pos
    }

    fn number(conn: &Connection, sql: &str) -> i64 {
        conn.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_pos_writes_while_a_turn_is_prepared() {
        let (_folder, path, pos) = store();
        let ours = open::writer(&path).unwrap();
        let turn = write::begin(&ours, When::Late).unwrap();
        turn.execute("INSERT INTO t VALUES (2, 0)", []).unwrap();
        // A transaction that changes nothing is no reason to begin again.
        pos.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
        turn.commit().unwrap();
        assert_eq!(number(&pos, "SELECT count(*) FROM t"), 2);
        pos.execute("INSERT INTO t VALUES (3, 0)", []).unwrap();
    }

    #[test]
    fn whoever_commits_first_wins() {
        let (_folder, path, pos) = store();
        let ours = open::writer(&path).unwrap();
        let turn = write::begin(&ours, When::Late).unwrap();
        turn.execute("UPDATE t SET n = n + 100", []).unwrap();
        pos.execute("UPDATE t SET n = n + 1", []).unwrap();
        assert!(matches!(turn.commit(), Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)));
        assert_eq!(number(&pos, "SELECT n FROM t"), 1);
        // What it remembers is of before, so it does not write again, by whatever way.
        assert!(write::begin(&ours, When::Late).is_err() && ours.execute("UPDATE t SET n = n + 100", []).is_err());
        drop(ours);
        let ours = open::writer(&path).unwrap();
        let turn = write::begin(&ours, When::Late).unwrap();
        turn.execute("UPDATE t SET n = n + 100", []).unwrap();
        turn.commit().unwrap();
        assert_eq!(number(&pos, "SELECT n FROM t"), 101);
    }

    #[test]
    fn a_transaction_of_the_pos_goes_first() {
        let (_folder, path, pos) = store();
        let ours = open::writer(&path).unwrap();
        let turn = write::begin(&ours, When::Late).unwrap();
        turn.execute("UPDATE t SET n = n + 100", []).unwrap();
        pos.execute_batch("BEGIN IMMEDIATE; UPDATE t SET n = n + 1").unwrap();
        assert_eq!(take(&turn).unwrap(), Taken::Overtaken);
        pos.execute_batch("COMMIT").unwrap();
        drop(turn);
        assert_eq!(number(&pos, "SELECT n FROM t"), 1);
        assert_eq!(number(&pos, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    }

    #[test]
    fn nothing_of_a_turn_is_in_the_log_before_the_lock_is_taken() {
        let (_folder, path, pos) = store();
        let length = || open::log_path(&path).metadata().unwrap().len();
        let (ours, before) = (open::writer(&path).unwrap(), length());
        let turn = write::begin(&ours, When::Late).unwrap();
        let many = "WITH RECURSIVE c(n) AS (VALUES (2) UNION ALL SELECT n + 1 FROM c WHERE n < 5000) INSERT INTO t SELECT n, zeroblob(4000) FROM c";
        turn.execute(many, []).unwrap();
        turn.execute_batch("SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; RELEASE s").unwrap();
        assert_eq!(length(), before);
        turn.commit().unwrap();
        assert!(length() > 20_000_000);
        assert_eq!(number(&pos, "SELECT count(*) FROM t"), 5000);
    }

    #[test]
    fn what_gives_itself_up_has_the_lock_from_the_beginning() {
        let (_folder, path, pos) = store();
        pos.execute_batch("CREATE TABLE strict_ones(a UNIQUE ON CONFLICT ROLLBACK)").unwrap();
        let ours = open::writer(&path).unwrap();
        let turn = write::begin(&ours, When::Late).unwrap();
        assert!(pos.execute("UPDATE t SET n = 1", []).is_err());
        assert_eq!(take(&turn).unwrap(), Taken::Ours);
    }

    /// A turn that has changed a row and cannot read the next one. The pages that it needs are not in memory, and the log is empty.
    fn broken(ours: &Connection) -> Error {
        ours.execute_batch("PRAGMA shrink_memory").unwrap();
        hook(file(ours).unwrap()).unwrap().is_broken.set(true);
        let error = ours.query_row("SELECT sum(length(n)) FROM t", [], |row| row.get::<_, i64>(0)).unwrap_err();
        hook(file(ours).unwrap()).unwrap().is_broken.set(false);
        error
    }

    fn many_rows(pos: &Connection) {
        let many = "WITH RECURSIVE c(n) AS (VALUES (2) UNION ALL SELECT n + 1 FROM c WHERE n < 2000) INSERT INTO t SELECT n, zeroblob(1000) FROM c";
        pos.execute(many, []).unwrap();
        pos.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    }

    #[test]
    fn what_sqlite_gives_up_after_an_error_it_gives_up_with_the_lock() {
        let (_folder, path, pos) = store();
        many_rows(&pos);
        let ours = open::writer(&path).unwrap();
        let turn = write::begin(&ours, When::Late).unwrap();
        turn.execute("UPDATE t SET n = 100 WHERE id = 1", []).unwrap();
        assert_eq!(hook(file(&ours).unwrap()).unwrap().lock.get(), super::Lock::Pretended);
        assert_eq!(broken(&turn).sqlite_error_code(), Some(rusqlite::ErrorCode::SystemIoFailure));
        assert!(ours.is_autocommit(), "SQLite has given it up by itself");
        drop(turn);
        // Nobody else has committed, so what it remembers is right, and everybody gets the lock.
        pos.execute("UPDATE t SET n = n + 1 WHERE id = 1", []).unwrap();
        let turn = write::begin(&ours, When::Late).unwrap();
        turn.execute("UPDATE t SET n = n + 100 WHERE id = 1", []).unwrap();
        turn.commit().unwrap();
        assert_eq!(number(&pos, "SELECT n FROM t WHERE id = 1"), 101);
    }

    #[test]
    fn an_error_is_heard_of_when_whoever_has_the_lock_has_committed() {
        let (_folder, path, pos) = store();
        many_rows(&pos);
        let ours = open::writer(&path).unwrap();
        let turn = write::begin(&ours, When::Late).unwrap();
        turn.execute("UPDATE t SET n = 100 WHERE id = 1", []).unwrap();
        pos.execute_batch("BEGIN IMMEDIATE; UPDATE t SET n = n + 1 WHERE id = 1").unwrap();
        let has_committed = std::sync::atomic::AtomicBool::new(false);
        let pos = std::thread::scope(|scope| {
            let has_committed = &has_committed;
            let committing = scope.spawn(move || {
                has_committed.store(true, std::sync::atomic::Ordering::SeqCst);
                pos.execute_batch("COMMIT").unwrap();
                pos
            });
            broken(&turn);
            assert!(has_committed.load(std::sync::atomic::Ordering::SeqCst));
            committing.join().unwrap()
        });
        drop(turn);
        assert!(write::begin(&ours, When::Late).is_err(), "what it remembers is of before");
        drop(ours);
        assert_eq!(number(&pos, "SELECT n FROM t WHERE id = 1"), 1);
        assert_eq!(number(&pos, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    }

    /// Three who write as fast as they can, two of them late, with checkpoints and new beginnings of the log all the time.
    #[test]
    fn no_write_is_lost_or_doubled_whoever_is_first() {
        let (_folder, path, pos) = store();
        const EACH: i64 = 400;
        std::thread::scope(|scope| {
            for when in [When::Late, When::Late, When::Early] {
                let path = &path;
                scope.spawn(move || {
                    let mut done = 0;
                    while done < EACH {
                        let Ok(ours) = open::writer(path) else { continue };
                        ours.pragma_update(None, "wal_autocheckpoint", 8).unwrap();
                        while done < EACH {
                            let counted = write::begin(&ours, when).and_then(|turn| {
                                turn.execute("UPDATE t SET n = n + 1 WHERE id = 1", [])?;
                                turn.execute("INSERT INTO t(n) VALUES (zeroblob(3000))", [])?;
                                turn.commit()
                            });
                            if counted.is_err() {
                                break;
                            }
                            done += 1;
                        }
                    }
                });
            }
        });
        assert_eq!(number(&pos, "SELECT n FROM t WHERE id = 1"), 3 * EACH);
        assert_eq!(number(&pos, "SELECT count(*) FROM t"), 3 * EACH + 1);
        assert_eq!(number(&pos, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    }
}
