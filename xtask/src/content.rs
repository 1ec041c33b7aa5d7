//! What a store or a hub holds, as row counts and content hashes that can be compared.
//!
//! A row's hash covers the name, storage class and exact bytes of each of its columns; a table's hash is the sum over its
//! rows, so it does not depend on their order. NULL counts like a missing column.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use tillsync_core::row::Row;
use tillsync_core::value::Value;

/// A table's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// How many rows.
    pub rows: u64,
    /// Over every value of every row.
    pub hash: u128,
}

impl Content {
    fn add(&mut self, row: u128) {
        self.rows += 1;
        self.hash = self.hash.wrapping_add(row);
    }
}

/// Opens a database that others write, to read only.
pub fn open(path: &Path) -> Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).with_context(|| format!("cannot read {}", path.display()))
}

/// The POS's tables that have a key, which are those that can sync.
pub fn tables(db: &Connection) -> Result<Vec<String>> {
    let mut tables = db.prepare(
        "SELECT name FROM pragma_table_list AS list
         WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_tillsync\\_%' ESCAPE '\\'
           AND EXISTS (SELECT 1 FROM pragma_table_info(list.name) WHERE pk > 0)
         ORDER BY name",
    )?;
    Ok(tables.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// An identifier as SQL writes it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Every synced table of a store.
pub fn of_store(path: &Path) -> Result<BTreeMap<String, Content>> {
    let db = open(path)?;
    tables(&db)?.into_iter().map(|table| Ok((table.clone(), of_table(&db, &table)?))).collect()
}

fn of_table(db: &Connection, table: &str) -> Result<Content> {
    let mut names = db.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY name")?;
    let names: Vec<String> = names.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let columns: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let mut select = db.prepare(&format!("SELECT {} FROM {}", columns.join(", "), quoted(table)))?;
    let mut rows = select.query([])?;
    let mut content = Content::default();
    while let Some(row) = rows.next()? {
        let mut hash = RowHash::default();
        for (index, name) in names.iter().enumerate() {
            hash.add(name, row.get_ref(index)?);
        }
        content.add(hash.finish());
    }
    Ok(content)
}

/// Every table of a hub on SQLite.
pub fn of_hub(database: &Path) -> Result<BTreeMap<String, Content>> {
    let mut tables = BTreeMap::<String, Content>::new();
    for_each_hub_row(database, |table, row| {
        tables.entry(table.to_owned()).or_default().add(of_row(row));
        Ok(())
    })?;
    Ok(tables)
}

/// Walks over the rows that a hub holds now.
pub fn for_each_hub_row(database: &Path, mut each: impl FnMut(&str, &Row) -> Result<()>) -> Result<()> {
    let db = open(database)?;
    let mut rows = db.prepare(
        "SELECT rows.entity_type, rows.entity_id, change_log.data
         FROM rows JOIN change_log ON change_log.id = rows.version WHERE NOT rows.deleted",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (table, id) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
        let data: Row = serde_json::from_slice(row.get_ref(2)?.as_bytes()?)
            .with_context(|| format!("the hub's row {id} of {table} cannot be read"))?;
        each(table, &data)?;
    }
    Ok(())
}

fn of_row(row: &Row) -> u128 {
    let mut columns: Vec<(&str, &Value)> = row.iter().collect();
    columns.sort_unstable_by_key(|(name, _)| *name);
    let mut hash = RowHash::default();
    for (name, value) in columns {
        hash.add(name, stored(value));
    }
    hash.finish()
}

fn stored(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Null => ValueRef::Null,
        Value::Integer(n) => ValueRef::Integer(*n),
        Value::Real(r) => ValueRef::Real(*r),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::RawText(bytes) => ValueRef::Text(bytes),
        Value::Blob(bytes) => ValueRef::Blob(bytes),
    }
}

/// Two runs of the standard hasher, the second one over a different beginning.
struct RowHash([DefaultHasher; 2]);

impl Default for RowHash {
    fn default() -> Self {
        let mut second = DefaultHasher::new();
        1_u8.hash(&mut second);
        Self([DefaultHasher::new(), second])
    }
}

impl RowHash {
    fn add(&mut self, column: &str, value: ValueRef) {
        for hasher in &mut self.0 {
            match value {
                ValueRef::Null => {}
                ValueRef::Integer(n) => (column, 'i', n).hash(hasher),
                ValueRef::Real(r) => (column, 'r', r.to_bits()).hash(hasher),
                ValueRef::Text(bytes) => (column, 't', bytes).hash(hasher),
                ValueRef::Blob(bytes) => (column, 'b', bytes).hash(hasher),
            }
        }
    }

    fn finish(&self) -> u128 {
        let [first, second] = self.0.each_ref().map(DefaultHasher::finish);
        u128::from(first) << 64 | u128::from(second)
    }
}
