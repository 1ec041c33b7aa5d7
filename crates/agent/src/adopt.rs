//! What a table's keys mean was proposed while it was empty, and nothing but its schema spoke: the first row of another register
//! knows better. While the table is still empty its setting follows.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use tillsync_core::config::Key;
use tillsync_core::proposal::key_of_sent;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::remote::Incoming;
use crate::state::{marks, selection};
use crate::store::open;
use crate::store::schema::{Table, quote};

/// Tables that were empty when their keys were proposed.
pub fn undecided(state: &Connection) -> rusqlite::Result<Vec<String>> {
    let known: Option<String> = marks::get(state, marks::UNDECIDED)?;
    Ok(known.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

/// Notes them.
pub fn set_undecided(state: &Connection, tables: &[String]) -> rusqlite::Result<()> {
    if tables.is_empty() {
        return marks::clear(state, marks::UNDECIDED);
    }
    marks::set(state, marks::UNDECIDED, serde_json::to_string(tables).expect("names encode"))
}

/// Ids that speak against what was proposed, by table.
pub fn seen(state: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let known: Option<String> = marks::get(state, marks::OTHER_KEYS)?;
    Ok(known.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

impl Agent {
    /// Whether rows that just came show that tables which are still empty are set up otherwise elsewhere. It is noted, and the loop
    /// ends so that its host can change the config; until then nothing of them is applied.
    pub(crate) fn doubts_keys(&self, store: &StoreSide, changes: &[Incoming]) -> Result<bool, AgentError> {
        let undecided = undecided(self.state().conn())?;
        if undecided.is_empty() || changes.is_empty() {
            return Ok(false);
        }
        let mut others = BTreeMap::new();
        for table in store.schema.tables.iter().filter(|table| undecided.contains(&table.name)) {
            let here = if table.fresh.is_some() { Key::Register } else { Key::Global };
            let speaks = changes.iter().find(|change| change.entity == table.name && key_of_sent(&change.key) != here);
            if let Some(change) = speaks
                && self.is_untouched(table)?
            {
                others.insert(table.name.clone(), change.key.clone());
            }
        }
        if others.is_empty() {
            return Ok(false);
        }
        tracing::info!(tables = ?others.keys(), "other registers have other keys in tables that are empty here");
        marks::set(self.state().conn(), marks::OTHER_KEYS, serde_json::to_string(&others).expect("names encode"))?;
        self.keys_in_doubt.store(true, Ordering::Relaxed);
        Ok(true)
    }

    /// Whether the table has no row here and none is known on the wire.
    pub(crate) fn is_untouched(&self, table: &Table) -> Result<bool, AgentError> {
        if selection::has_rows(self.state().conn(), &table.name)? {
            return Ok(false);
        }
        let conn = open::reader(&self.config.store)?;
        let sql = format!("SELECT NOT EXISTS (SELECT 1 FROM {})", quote(&table.name));
        conn.query_row(&sql, [], |row| row.get(0)).map_err(|error| self.store_error(error))
    }
}
