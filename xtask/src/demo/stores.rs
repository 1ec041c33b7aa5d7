//! The two stores that the demo begins with.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, OpenFlags};
use tillsync_tests::retail::{Journal, With, create_store};

use crate::content::quoted;
use crate::shop::Register;

/// A shop's year of sales on A; B is new and has only the catalogue.
pub fn retail(a: &Register, b: &Register) -> Result<()> {
    create_store(&a.store, Journal::Wal, With::Everything)?;
    create_store(&b.store, Journal::Wal, With::Catalogue)?;
    Ok(())
}

/// A copy of the reader's store on A, its empty tables on B. The original is only read.
pub fn copies(original: &Path, a: &Register, b: &Register) -> Result<()> {
    let reading = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let db = Connection::open_with_flags(original, reading).with_context(|| format!("cannot open {}", original.display()))?;
    db.execute("VACUUM INTO ?1", [a.store.to_string_lossy()])
        .with_context(|| format!("cannot copy {}: is it an SQLite database that is not encrypted?", original.display()))?;
    let journal_mode: String = db.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    let copy = Connection::open(&a.store)?;
    forget_tillsync(&copy)?;
    let empty = Connection::open(&b.store)?;
    copy_schema(&copy, &empty)?;
    for db in [&copy, &empty] {
        db.pragma_update(None, "journal_mode", &journal_mode)?;
    }
    Ok(())
}

/// A store that Tillsync already syncs starts afresh here.
fn forget_tillsync(db: &Connection) -> Result<()> {
    for kind in ["trigger", "table"] {
        for name in names(db, "SELECT name FROM sqlite_schema WHERE type = ?1 AND name LIKE '\\_tillsync\\_%' ESCAPE '\\'", kind)? {
            db.execute_batch(&format!("DROP {kind} {}", quoted(&name)))?;
        }
    }
    Ok(())
}

fn copy_schema(from: &Connection, to: &Connection) -> Result<()> {
    for pragma in ["user_version", "application_id"] {
        let value: i64 = from.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?;
        to.pragma_update(None, pragma, value)?;
    }
    // The tables behind a virtual table come with it.
    let own_tables = "SELECT sql FROM sqlite_schema WHERE type = ?1 AND sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        AND name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow') ORDER BY rowid";
    for kind in ["table", "index", "view", "trigger"] {
        for sql in names(from, own_tables, kind)? {
            to.execute_batch(&sql)?;
        }
    }
    let tables: i64 = to.query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'table'", [], |row| row.get(0))?;
    ensure!(tables > 0, "the store has no tables: name a store with something in it");
    Ok(())
}

fn names(db: &Connection, sql: &str, kind: &str) -> Result<Vec<String>> {
    Ok(db.prepare(sql)?.query_map([kind], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}
