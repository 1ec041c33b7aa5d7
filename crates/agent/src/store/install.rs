//! The capture's parts inside the store: the journal, the marks, and triggers that write down which keys were touched.
//!
//! The triggers run in the POS's own SQLite, which may be old. They name only key columns and columns of UNIQUE constraints,
//! which `ALTER TABLE … DROP COLUMN` refuses anyway, use nothing newer than SQLite 3.8, and write into a table without any
//! constraint, so they have nothing to fail on.

use rusqlite::{Connection, OptionalExtension, Result, TransactionBehavior, params};

use tillsync_core::config::Capture;

use crate::store::schema::{PREFIX, Schema, Table, quote};
use crate::store::{applied, ids, marks};

/// What an installation found missing and put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// Tables whose triggers were missing or out of date, by name: their rows may have changed unseen.
    pub tables: Vec<String>,
    /// Tables that the store has never been set up for, by name.
    pub new: Vec<String>,
    /// Whether the journal itself was missing.
    pub journal: bool,
    /// Whether anything was written at all.
    pub changed: bool,
}

/// Brings the store's installation up to the schema and fills in the tables' numbers. Writes only when something is missing.
pub fn install(conn: &mut Connection, schema: &mut Schema, capture: Capture) -> Result<Installed> {
    if let Some(installed) = check(conn, schema, capture)?
        && !installed.changed
    {
        return Ok(installed);
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // A trigger that names a column by the name before a change would fail the POS's next sale.
    if crate::store::schema::version(&tx)? != schema.version {
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_SCHEMA), None));
    }
    let journal = !exists(&tx, "table", "_tillsync_journal")?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS _tillsync_marks(name TEXT PRIMARY KEY, value);
         CREATE TABLE IF NOT EXISTS _tillsync_tables(number INTEGER PRIMARY KEY, name TEXT UNIQUE);",
    )?;
    tx.execute_batch(applied::CREATE)?;
    if schema.tables.iter().any(|table| table.fresh.is_some()) {
        tx.execute_batch(ids::CREATE)?;
    }
    make_journal(&tx, schema.key_width())?;
    number_tables(&tx, schema)?;
    let wanted = wanted_triggers(schema, capture);
    let present = present_triggers(&tx)?;
    for (name, _, sql) in &present {
        if !wanted.iter().any(|trigger| trigger.name == *name && trigger.sql == *sql) {
            tx.execute_batch(&format!("DROP TRIGGER {}", quote(name)))?;
        }
    }
    let mut tables = Vec::new();
    for trigger in &wanted {
        if !present.iter().any(|(name, _, sql)| *name == trigger.name && *sql == trigger.sql) {
            tx.execute_batch(&trigger.sql)?;
            if tables.last() != Some(&trigger.table) {
                tables.push(trigger.table.clone());
            }
        }
    }
    tx.commit()?;
    schema.version = crate::store::schema::version(conn)?;
    Ok(Installed { tables, new: Vec::new(), journal, changed: true })
}

/// Compares without writing; `None` when the marks are not there at all.
pub fn check(conn: &Connection, schema: &mut Schema, capture: Capture) -> Result<Option<Installed>> {
    if !exists(conn, "table", "_tillsync_tables")? || !exists(conn, "table", "_tillsync_marks")? {
        return Ok(None);
    }
    let mut new = Vec::new();
    for table in &mut schema.tables {
        let number =
            conn.query_row("SELECT number FROM _tillsync_tables WHERE name = ?1", [&table.name], |row| row.get(0)).optional()?;
        if number.is_none() {
            new.push(table.name.clone());
        }
        table.number = number.unwrap_or(0);
    }
    let journal = !exists(conn, "table", "_tillsync_journal")?;
    let wide = !journal && journal_width(conn)? >= schema.key_width() && marks_births(conn)?;
    let has_ids = ids::are_there(conn)? || schema.tables.iter().all(|table| table.fresh.is_none());
    let wanted = wanted_triggers(schema, capture);
    let present = present_triggers(conn)?;
    let mut tables: Vec<String> = Vec::new();
    for trigger in &wanted {
        if !present.iter().any(|(name, _, sql)| *name == trigger.name && *sql == trigger.sql)
            && tables.last() != Some(&trigger.table)
        {
            tables.push(trigger.table.clone());
        }
    }
    let left_over = present.iter().any(|(name, ..)| !wanted.iter().any(|trigger| trigger.name == *name));
    let has_notes = exists(conn, "table", "_tillsync_applied")?;
    let changed = !has_notes || !new.is_empty() || journal || !wide || !has_ids || !tables.is_empty() || left_over;
    Ok(Some(Installed { tables, new, journal, changed }))
}

/// What stays in the store when its capture is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// Which row is which on the wire, for an agent that goes on with this very store.
    Ids,
    /// The same, for a register whose store is a copy: rows made from now on are another register's.
    IdsOfACopy,
}

/// Removes every trace but what is to be kept.
pub fn remove(conn: &mut Connection, keep: Keep) -> Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (name, ..) in present_triggers(&tx)? {
        tx.execute_batch(&format!("DROP TRIGGER {}", quote(&name)))?;
    }
    tx.execute_batch("DROP TABLE IF EXISTS _tillsync_journal; DROP TABLE IF EXISTS _tillsync_applied;")?;
    if keep == Keep::Nothing || !ids::are_there(&tx)? {
        let ours = ["tables", "marks", "ids", "namespaces"].map(|name| format!("DROP TABLE IF EXISTS _tillsync_{name};"));
        tx.execute_batch(&ours.concat())?;
    } else {
        tx.execute("DELETE FROM _tillsync_marks WHERE name NOT IN (?1, ?2)", [marks::NAMESPACE, marks::COPIED])?;
        if keep == Keep::IdsOfACopy {
            marks::set(&tx, marks::COPIED, true)?;
        }
    }
    tx.commit()
}

/// The journal's table: append-only, untyped, without constraints. An outer `INSERT OR REPLACE` overrides a trigger's own conflict
/// clause, and any constraint here would then fail the sale.
fn make_journal(conn: &Connection, width: usize) -> Result<()> {
    let keys: Vec<String> = (0..width).map(|place| format!("k{place}")).collect();
    let keys = keys.join(", ");
    conn.execute_batch(&format!("CREATE TABLE IF NOT EXISTS _tillsync_journal(seq INTEGER PRIMARY KEY, t, {keys}, r)"))?;
    if !marks_births(conn)? {
        conn.execute_batch("ALTER TABLE _tillsync_journal ADD COLUMN r")?;
    }
    for place in journal_width(conn)?..width {
        conn.execute_batch(&format!("ALTER TABLE _tillsync_journal ADD COLUMN k{place}"))?;
    }
    Ok(())
}

fn journal_width(conn: &Connection) -> Result<usize> {
    conn.query_row("SELECT count(*) FROM pragma_table_info('_tillsync_journal') WHERE name LIKE 'k%'", [], |row| row.get(0))
}

/// Whether the journal has the column that tells one birth of a row from another with the same key.
fn marks_births(conn: &Connection) -> Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM pragma_table_info('_tillsync_journal') WHERE name = 'r')", [], |row| row.get(0))
}

fn number_tables(conn: &Connection, schema: &mut Schema) -> Result<()> {
    for table in &mut schema.tables {
        conn.execute("INSERT INTO _tillsync_tables(name) VALUES (?1) ON CONFLICT DO NOTHING", [&table.name])?;
        table.number = conn.query_row("SELECT number FROM _tillsync_tables WHERE name = ?1", [&table.name], |row| row.get(0))?;
    }
    Ok(())
}

struct Trigger {
    name: String,
    table: String,
    sql: String,
}

fn wanted_triggers(schema: &Schema, capture: Capture) -> Vec<Trigger> {
    match capture {
        Capture::Triggers => schema.tables.iter().filter(|table| table.direction.pushes()).flat_map(triggers_of).collect(),
        Capture::Scan => Vec::new(),
    }
}

fn triggers_of(table: &Table) -> Vec<Trigger> {
    let new = entry(table, "NEW");
    let old = entry(table, "OLD");
    let birth = marked(table, "NEW");
    let moved: Vec<String> = table.key.iter().map(|key| format!("OLD.{k} COLLATE BINARY IS NOT NEW.{k}", k = quote(key))).collect();
    let mut triggers = vec![
        trigger(table, "insert", "AFTER INSERT", "", &birth),
        trigger(table, "update", "AFTER UPDATE", "", &new),
        trigger(table, "rekey", "AFTER UPDATE", &format!("WHEN {} ", moved.join(" OR ")), &old),
        trigger(table, "delete", "AFTER DELETE", "", &old),
    ];
    for (place, columns) in table.probes.iter().enumerate() {
        let body = probe(table, columns);
        triggers.push(trigger(table, &format!("probe{place}i"), "BEFORE INSERT", "", &body));
        triggers.push(trigger(table, &format!("probe{place}u"), "BEFORE UPDATE", "", &body));
    }
    triggers
}

fn trigger(table: &Table, kind: &str, event: &str, when: &str, body: &str) -> Trigger {
    let name = format!("{PREFIX}{}_{kind}", table.number);
    let sql = format!("CREATE TRIGGER {} {event} ON {} {when}BEGIN {body} END", quote(&name), quote(&table.name));
    Trigger { name, table: table.name.clone(), sql }
}

/// A restored store counts the same numbers again; the random number tells the entry that was lost from the one that took its place. Where
/// rows get ids of their own, their births have one.
fn entry(table: &Table, side: &str) -> String {
    if table.fresh.is_none() {
        return marked(table, side);
    }
    let places = key_places(table);
    let values: Vec<String> = table.key.iter().map(|key| format!("{side}.{}", quote(key))).collect();
    format!("INSERT INTO _tillsync_journal(t, {places}) VALUES ({}, {});", table.number, values.join(", "))
}

/// An entry that no other one is like.
fn marked(table: &Table, side: &str) -> String {
    let values: Vec<String> = table.key.iter().map(|key| format!("{side}.{}", quote(key))).collect();
    let places = key_places(table);
    format!("INSERT INTO _tillsync_journal(t, {places}, r) VALUES ({}, {}, random());", table.number, values.join(", "))
}

/// Writes down the row that an `INSERT OR REPLACE` is about to push out through another unique key.
fn probe(table: &Table, columns: &[String]) -> String {
    let keys: Vec<String> = table.key.iter().map(|key| quote(key)).collect();
    let same: Vec<String> = columns.iter().map(|column| format!("{c} = NEW.{c}", c = quote(column))).collect();
    format!(
        "INSERT INTO _tillsync_journal(t, {}) SELECT {}, {} FROM {} WHERE {};",
        key_places(table),
        table.number,
        keys.join(", "),
        quote(&table.name),
        same.join(" AND ")
    )
}

fn key_places(table: &Table) -> String {
    (0..table.key.len()).map(|place| format!("k{place}")).collect::<Vec<_>>().join(", ")
}

fn present_triggers(conn: &Connection) -> Result<Vec<(String, String, String)>> {
    let mut query = conn.prepare(
        "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '\\_tillsync\\_%' ESCAPE '\\'",
    )?;
    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

fn exists(conn: &Connection, kind: &str, name: &str) -> Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = ?1 AND name = ?2)", params![kind, name], |row| {
        row.get(0)
    })
}
