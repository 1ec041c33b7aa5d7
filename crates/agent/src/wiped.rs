//! A store that the POS made anew counts from 1 again: what now has the key of an old sale is another sale. And what was lost with the old
//! one comes back, when a person says so.

use std::collections::HashSet;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tillsync_core::kept;
use tillsync_core::key::{entity_id, parse_uuid};
use uuid::Uuid;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::capture::Look;
use crate::identity::{Identity, Known};
use crate::reconcile::ReconcileError;
use crate::scan::is_too_many;
use crate::state::{ids, marks, outbox, shadow, upload};
use crate::store::ids as store_ids;
use crate::store::rows;
use crate::store::schema::Table;

/// Rows looked at in a table of which most are gone; a store that was made anew holds no more than was sold before anybody looked.
const ROWS_MAX: usize = 10_000;

/// What becomes of vanished rows that a person wants back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// So many come back.
    pub back: u64,
    /// So many do not: the server does not have them, or not all of them, or the table is only sent.
    pub left: u64,
}

impl Agent {
    /// Rows that have vanished from the store come back from the server.
    pub async fn fetch_vanished(&self) -> Result<Fetched, ReconcileError> {
        // Nothing is forgotten before it is sure that the server answers. After that the daily look would fetch the rows, too.
        self.reconcile(false).await?;
        let fetched = tokio::task::block_in_place(|| self.forget_vanished())?;
        self.faults.point("vanished rows forgotten").map_err(AgentError::from)?;
        self.reconcile(true).await?;
        Ok(fetched)
    }

    /// Forgets that rows which have vanished were ever here: what the server has of them is then missing.
    fn forget_vanished(&self) -> Result<Fetched, AgentError> {
        let mut tables = self.ready_store()?.schema.tables.clone();
        tables.retain(|table| self.is_uploaded(&table.name));
        let mut fetched = Fetched::default();
        for table in &tables {
            let entity = self.store().entity(&table.name).number;
            self.each_vanished(table, entity, |looks| {
                let mut state = self.state();
                let tx = state.write()?;
                for Look { key, .. } in &looks {
                    let is_there = shadow::get(&tx, entity, key)?.is_some_and(|kept| kept.version() > 0);
                    if is_there && table.direction.pulls() && !outbox::has_unsent(&tx, &table.name, key)? {
                        shadow::remove(&tx, entity, key)?;
                        fetched.back += 1;
                    } else {
                        fetched.left += 1;
                    }
                }
                Ok(tx.commit()?)
            })?;
        }
        let state = self.state();
        marks::set(state.conn(), marks::VANISHED, fetched.left as i64)?;
        if fetched.left == 0 {
            marks::clear(state.conn(), marks::STORE_ANEW)?;
        }
        Ok(fetched)
    }

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
