//! What synced of each table when the schema was last read, so that a config that lets more through is noticed.

use std::collections::BTreeMap;

use rusqlite::{Connection, Result};
use serde::{Deserialize, Serialize};
use tillsync_core::config::Direction;

use crate::state::{marks, outside, shadow, upload};
use crate::store::schema::{Schema, Table};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Selection {
    entity: String,
    direction: Direction,
    filter: Option<String>,
    left_out: Vec<String>,
}

impl Selection {
    fn of(table: &Table) -> Self {
        let left_out = table.left_out.iter().map(|(column, _)| column.clone()).collect();
        Self { entity: table.entity.clone(), direction: table.direction, filter: table.filter.clone(), left_out }
    }
}

/// Compares with the last time. Where more comes through than before the store is to be compared; gives back whether what the server
/// has must be fetched again, too.
pub fn take_up(conn: &Connection, schema: &Schema) -> Result<bool> {
    let known: Option<String> = marks::get(conn, marks::SELECTION)?;
    let mut known: BTreeMap<String, Selection> = known.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    let mut fetch = false;
    for table in &schema.tables {
        let now = Selection::of(table);
        let Some(before) = known.get(&table.name).filter(|before| **before != now) else { continue };
        tracing::info!(table = table.name, "what syncs of the table has changed");
        let other_rows = before.filter != now.filter || before.direction != now.direction || before.entity != now.entity;
        if other_rows {
            outside::clear(conn)?;
            fetch = true;
        }
        if before.entity != now.entity {
            // Under this name the server knows none of the rows.
            shadow::reset_versions_of(conn, &table.name)?;
            upload::restart(conn, &table.name)?;
        }
        if other_rows || before.left_out.iter().any(|column| !now.left_out.contains(column)) {
            marks::set(conn, marks::SCAN_DUE, true)?;
        }
    }
    // A table that is not there for a while is not forgotten.
    known.extend(schema.tables.iter().map(|table| (table.name.clone(), Selection::of(table))));
    marks::set(conn, marks::SELECTION, serde_json::to_string(&known).expect("a selection encodes"))?;
    Ok(fetch)
}
