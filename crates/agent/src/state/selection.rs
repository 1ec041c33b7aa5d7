//! What synced of each table when the schema was last read, so that a config that lets more through is noticed.

use std::collections::BTreeMap;

use rusqlite::{Connection, Result};
use serde::{Deserialize, Serialize};
use tillsync_core::config::Direction;
use tillsync_core::diff::Added;
use tillsync_core::value::Value;

use crate::state::{marks, outside, refill, shadow, upload};
use crate::store::schema::{Link, Schema, Table};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Selection {
    entity: String,
    direction: Direction,
    filter: Option<String>,
    left_out: Vec<String>,
    #[serde(default)]
    fresh: Option<String>,
    #[serde(default)]
    links: Vec<Link>,
    /// Empty in what was noted before columns were.
    #[serde(default)]
    columns: Vec<String>,
    /// The table was not there when the schema was last read.
    #[serde(default)]
    is_gone: bool,
}

impl Selection {
    fn of(table: &Table) -> Self {
        let left_out = table.left_out.iter().map(|(column, _)| column.clone()).collect();
        Self {
            entity: table.entity.clone(),
            direction: table.direction,
            filter: table.filter.clone(),
            left_out,
            fresh: table.fresh.clone(),
            links: table.links.clone(),
            columns: table.columns.clone(),
            is_gone: false,
        }
    }

    /// The columns of a table that rows were seen without. One that stands in the place of another one, which is gone, is that one under a new name.
    fn columns_new_in(&self, table: &Table) -> Vec<Added> {
        if self.columns.is_empty() {
            return Vec::new();
        }
        let is_new = |(_, name): &(usize, &String)| !self.columns.contains(name) && !table.key.contains(name);
        let of = |(place, name): (usize, &String)| {
            let in_its_place = self.columns.get(place).filter(|_| self.columns.len() == table.columns.len());
            Added {
                name: name.clone(),
                default: table.defaults.get(name).cloned().unwrap_or(Value::Null),
                was: in_its_place.filter(|old| !table.columns.contains(old)).cloned(),
            }
        };
        table.columns.iter().enumerate().filter(is_new).map(of).collect()
    }
}

/// The first table whose rows would be other rows on the wire than before, although some are known there.
pub fn find_other_key<'a>(conn: &Connection, schema: &'a Schema) -> Result<Option<&'a Table>> {
    let known = read(conn)?;
    for table in &schema.tables {
        let is_other = known.get(&table.name).is_some_and(|before| before.fresh != table.fresh);
        if is_other && has_rows(conn, &table.name)? {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// Whether any row of a table is known on the wire.
pub fn has_rows(conn: &Connection, table: &str) -> Result<bool> {
    conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM shadow WHERE entity = (SELECT number FROM entities WHERE name = ?1))",
        [table],
        |row| row.get(0),
    )
}

fn read(conn: &Connection) -> Result<BTreeMap<String, Selection>> {
    let known: Option<String> = marks::get(conn, marks::SELECTION)?;
    Ok(known.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

/// Compares with the last time. Where more comes through than before the store is to be compared; gives back whether what the server
/// has must be fetched again, too.
pub fn take_up(conn: &Connection, schema: &Schema) -> Result<bool> {
    let mut known = read(conn)?;
    let mut fetch = false;
    for table in &schema.tables {
        let now = Selection::of(table);
        let Some(before) = known.get(&table.name).filter(|before| **before != now) else { continue };
        tracing::info!(table = table.name, "what syncs of the table has changed");
        let other_rows = before.filter != now.filter || before.direction != now.direction || before.entity != now.entity;
        if other_rows {
            outside::clear(conn)?;
        }
        // What was pulled of a table while it was not there was passed over.
        fetch |= other_rows || before.is_gone;
        let added = before.columns_new_in(table);
        let names: Vec<&str> = added.iter().map(|column| column.name.as_str()).collect();
        shadow::retire(conn, &table.name, &names)?;
        if !added.is_empty() || before.columns.iter().any(|column| !now.columns.contains(column)) {
            refill::add(conn, &table.name, added, &table.columns)?;
        }
        if before.entity != now.entity {
            // Under this name the server knows none of the rows.
            shadow::reset_versions_of(conn, &table.name)?;
            upload::restart(conn, &table.name)?;
        }
        if other_rows || before.links != now.links || before.left_out.iter().any(|column| !now.left_out.contains(column)) {
            marks::set(conn, marks::SCAN_DUE, true)?;
        }
    }
    // A table that is not there for a while is not forgotten.
    known.values_mut().for_each(|table| table.is_gone = true);
    known.extend(schema.tables.iter().map(|table| (table.name.clone(), Selection::of(table))));
    marks::set(conn, marks::SELECTION, serde_json::to_string(&known).expect("a selection encodes"))?;
    Ok(fetch)
}
