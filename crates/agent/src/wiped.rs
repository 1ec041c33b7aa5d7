//! A store that the POS made anew counts from 1 again: what now has the key of an old sale is another sale.

use std::collections::HashSet;

use rusqlite::Connection;
use tillsync_core::kept;
use tillsync_core::key::{entity_id, parse_uuid};
use uuid::Uuid;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::identity::{Identity, Known};
use crate::scan::is_too_many;
use crate::state::{ids, shadow, upload};
use crate::store::ids as store_ids;
use crate::store::rows;
use crate::store::schema::Table;

/// Rows looked at in a table of which most are gone; a store that was made anew holds no more than was sold before anybody looked.
const ROWS_MAX: usize = 10_000;

impl Agent {
    /// Nobody knows what the POS did while the journal was gone. In a store that has lost most rows of a table, a row that is not as it was
    /// seen under its key is a new one; the old one counts as vanished.
    pub(crate) fn forget_reused_keys(&self, conn: &Connection, store: &StoreSide) -> Result<(), AgentError> {
        let wrap = |error| self.store_error(error);
        let state = self.state();
        let mut is_anew = false;
        for table in &store.schema.tables {
            let seen = shadow::count(state.conn(), store.entity(&table.name).number)?;
            let gone = seen.saturating_sub(rows::count(conn, table).map_err(wrap)?);
            is_anew |= upload::is_finished(state.conn(), &table.name)? && is_too_many(gone, seen, true);
        }
        for table in store.schema.tables.iter().filter(|table| is_anew && table.fresh.is_some()) {
            let reused = reused(conn, state.conn(), store, table).map_err(wrap)?;
            tracing::warn!(table = table.name, reused = reused.len(), "the store was made anew; keys are used again");
            for id in reused {
                ids::remove(state.conn(), store.entity(&table.name).number, id)?;
                store_ids::remove(conn, table.number, id).map_err(wrap)?;
            }
        }
        Ok(())
    }
}

/// The ids of rows that are not as they were last seen.
fn reused(conn: &Connection, state: &Connection, store: &StoreSide, table: &Table) -> rusqlite::Result<HashSet<Uuid>> {
    let known = Known::default();
    let identity = Identity::new(conn, Some(state), store, &known)?;
    let entity = store.entity(&table.name);
    let mut reused = HashSet::new();
    for row in rows::read_after(conn, table, None, ROWS_MAX)? {
        let local = entity_id(&rows::key_of(table, &row));
        let wired = identity.to_wire(table, row)?;
        let kept = shadow::get(state, entity.number, &wired.id)?;
        if kept.is_some() && kept::capture(kept.as_ref(), Some(&wired.row), &entity.columns).is_some() {
            tracing::debug!(table = table.name, key = local, "is another row now");
            reused.extend(parse_uuid(&wired.id));
        }
    }
    Ok(reused)
}
