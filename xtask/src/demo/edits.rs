//! Plain edits of a store about which nothing is known: what its constraints refuse is skipped.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::content::{quoted, tables};

/// What most database drivers set unless told otherwise.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Enough to see, and quick in a store with hundreds of tables.
const TABLES_PER_ROUND: usize = 5;
/// New rows of register N have keys with the remainder N, so that two registers never make the same one.
const REGISTERS: i64 = 2;

/// Somebody at work in a store.
pub struct Editor {
    store: PathBuf,
    register: u32,
    random: fastrand::Rng,
    /// How many rows each table had at the start. They come first in key order, and nobody deletes them.
    old_rows: HashMap<String, i64>,
    /// The rows made here, which may be deleted here: table, key column, key.
    own: Vec<(String, String, i64)>,
    done: u64,
    refused: u64,
}

struct Column {
    name: String,
    is_key: bool,
}

impl Editor {
    /// Comes to work.
    pub fn start(store: &Path, register: u32) -> Result<Self> {
        let random = fastrand::Rng::with_seed(register.into());
        let db = Connection::open(store)?;
        let count = |table: String| -> Result<(String, i64)> {
            let rows = db.query_row(&format!("SELECT count(*) FROM {}", quoted(&table)), [], |row| row.get(0))?;
            Ok((table, rows))
        };
        let old_rows = tables(&db)?.into_iter().map(count).collect::<Result<_>>()?;
        Ok(Self { store: store.to_owned(), register, random, old_rows, own: Vec::new(), done: 0, refused: 0 })
    }

    /// A round of edits in a few tables.
    pub fn edit(&mut self) -> Result<()> {
        let db = Connection::open(&self.store)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.pragma_update(None, "foreign_keys", true)?;
        let mut tables = tables(&db)?;
        self.random.shuffle(&mut tables);
        for table in tables.iter().take(TABLES_PER_ROUND) {
            let columns = columns(&db, table)?;
            let outcome = match self.random.u8(0..10) {
                0..6 => self.update(&db, table, &columns),
                6..9 => self.insert(&db, table, &columns),
                _ => self.delete(&db),
            };
            match outcome {
                Ok(rows) => self.done += rows as u64,
                Err(_) => self.refused += 1,
            }
        }
        Ok(())
    }

    /// Goes home.
    pub fn finish(self) -> Result<String> {
        Ok(format!(
            "register {}: {} rows edited, {} edits refused by the store's own rules",
            self.register, self.done, self.refused
        ))
    }

    fn update(&mut self, db: &Connection, table: &str, columns: &[Column]) -> rusqlite::Result<usize> {
        let others: Vec<&Column> = columns.iter().filter(|column| !column.is_key).collect();
        let Some(column) = self.random.choice(others) else {
            return Ok(0);
        };
        let Some(key) = self.some_row(db, table, columns)? else {
            return Ok(0);
        };
        let keys = columns.iter().filter(|column| column.is_key).zip(1..);
        let is_the_row: Vec<String> = keys.map(|(key, n)| format!("{} IS ?{n}", quoted(&key.name))).collect();
        let name = quoted(&column.name);
        let sql = format!(
            "UPDATE {} SET {name} = CASE typeof({name}) WHEN 'integer' THEN {name} + 1 WHEN 'real' THEN {name} + 0.5
             WHEN 'text' THEN {name} || '~' ELSE {name} END WHERE {}",
            quoted(table),
            is_the_row.join(" AND ")
        );
        db.execute(&sql, params_from_iter(key))
    }

    /// The key of a row on this register's side: of the rows that were there at the start, the first half is A's, the other B's.
    fn some_row(&mut self, db: &Connection, table: &str, columns: &[Column]) -> rusqlite::Result<Option<Vec<Value>>> {
        let rows = self.old_rows.get(table).copied().unwrap_or(0);
        let half = if self.register == 1 { 0..rows / 2 } else { rows / 2..rows };
        if half.is_empty() {
            return Ok(None);
        }
        let keys: Vec<String> = columns.iter().filter(|column| column.is_key).map(|column| quoted(&column.name)).collect();
        let list = keys.join(", ");
        let sql = format!("SELECT {list} FROM {} ORDER BY {list} LIMIT 1 OFFSET {}", quoted(table), self.random.i64(half));
        db.query_row(&sql, [], |row| (0..keys.len()).map(|n| row.get(n)).collect()).map(Some)
    }

    /// A copy of a row under a new key, where the key is one integer.
    fn insert(&mut self, db: &Connection, table: &str, columns: &[Column]) -> rusqlite::Result<usize> {
        let keys: Vec<&Column> = columns.iter().filter(|column| column.is_key).collect();
        let [key] = keys[..] else {
            return Ok(0);
        };
        let others: String =
            columns.iter().filter(|column| !column.is_key).map(|column| format!(", {}", quoted(&column.name))).collect();
        let (table_name, key_name) = (quoted(table), quoted(&key.name));
        // A key that is no integer (NULL in an empty table included) fails to be read as one, and the table is left alone.
        let highest: i64 = db.query_row(&format!("SELECT max({key_name}) FROM {table_name}"), [], |row| row.get(0))?;
        let new_key = highest - highest % REGISTERS + REGISTERS + i64::from(self.register) % REGISTERS;
        let sql =
            format!("INSERT INTO {table_name}({key_name}{others}) SELECT ?1{others} FROM {table_name} ORDER BY {key_name} LIMIT 1");
        let made = db.execute(&sql, [new_key])?;
        if made > 0 {
            self.own.push((table.to_owned(), key.name.clone(), new_key));
        }
        Ok(made)
    }

    /// Deletes a row made here, so that nobody else can have built on it for long.
    fn delete(&mut self, db: &Connection) -> rusqlite::Result<usize> {
        let Some((table, key, value)) = self.own.pop() else {
            return Ok(0);
        };
        db.execute(&format!("DELETE FROM {} WHERE {} = ?1", quoted(&table), quoted(&key)), [value])
    }
}

fn columns(db: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let mut columns = db.prepare("SELECT name, pk > 0 FROM pragma_table_info(?1)")?;
    columns.query_map([table], |row| Ok(Column { name: row.get(0)?, is_key: row.get(1)? }))?.collect()
}
