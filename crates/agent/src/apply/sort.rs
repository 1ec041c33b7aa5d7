//! What can be done about the rows of a page, before the store is opened.

use std::collections::HashMap;

use rusqlite::Connection;
use tillsync_core::arrival::{Arrival, LocalRow, meet};
use tillsync_core::change::Operation;
use tillsync_core::key::{entity_id, parse_entity_id};
use tillsync_core::row::Row;

use super::Arriving;
use crate::agent::{Agent, AgentError, StoreSide};
use crate::remote::Incoming;
use crate::state::{again, inbox, outbox, shadow, upload};
use crate::store::schema::Table;

/// A page, sorted by what can be done about its changes.
pub(super) struct Sorted {
    /// To be written.
    pub arriving: Vec<Arriving>,
    /// Waiting for a local change.
    pub held: Vec<Arriving>,
    /// Of tables that the store does not have.
    pub unknown: Vec<Incoming>,
}

/// What this register knows of rows that arrive. What is looked for in vain for a whole page is not looked for row by row.
struct Intake<'a> {
    conn: &'a Connection,
    is_any_unsent: bool,
    is_any_waiting: bool,
    is_any_to_go_again: bool,
    /// Whether the first full sync of a table is over.
    tables_sent: HashMap<String, bool>,
}

impl<'a> Intake<'a> {
    fn new(conn: &'a Connection) -> Result<Self, AgentError> {
        Ok(Self {
            conn,
            is_any_unsent: outbox::is_any_unsent(conn)?,
            is_any_waiting: !inbox::is_empty(conn)?,
            is_any_to_go_again: again::is_any(conn)?,
            tables_sent: HashMap::new(),
        })
    }

    /// The row as it stands here, and whether the server knows every row of ours with such keys.
    fn local_row(&mut self, entity: i64, change: &Incoming) -> Result<(LocalRow, bool), AgentError> {
        let Incoming { entity: table, key, .. } = change;
        let kept = shadow::get(self.conn, entity, key)?;
        let in_outbox = self.is_any_unsent && outbox::has_unsent(self.conn, table, key)?;
        let is_known = kept.as_ref().is_some_and(|kept| kept.version() > 0);
        let table_sent = is_known || self.is_sent(table)?;
        let waiting = if self.is_any_waiting { inbox::version(self.conn, table, key)? } else { None };
        // The server has lost this row and is about to get it again.
        let goes_again = self.is_any_to_go_again && again::version(self.conn, entity, key)?.is_some();
        Ok((LocalRow::new(kept.as_ref(), in_outbox || goes_again, table_sent, waiting), table_sent))
    }

    fn is_sent(&mut self, table: &str) -> Result<bool, AgentError> {
        if let Some(sent) = self.tables_sent.get(table) {
            return Ok(*sent);
        }
        let sent = upload::is_finished(self.conn, table)?;
        self.tables_sent.insert(table.to_owned(), sent);
        Ok(sent)
    }
}

impl Agent {
    /// What the register has already is left out.
    pub(super) fn sort_arrivals(&self, store: &StoreSide, changes: Vec<Incoming>) -> Result<Sorted, AgentError> {
        let mut state = self.state();
        // One transaction: alone, every look would take and give back SQLite's locks.
        let tx = state.write()?;
        let mut intake = Intake::new(&tx)?;
        let mut sorted = Sorted { arriving: Vec::with_capacity(changes.len()), held: Vec::new(), unknown: Vec::new() };
        for change in changes {
            let (Some(entity), Some(table)) = (store.entities.get(&change.entity), store.schema.table(&change.entity)) else {
                sorted.unknown.push(change);
                continue;
            };
            if !table.direction.pulls() {
                inbox::release(&tx, &change.entity, &change.key, change.id)?;
                continue;
            }
            let (local, table_sent) = intake.local_row(entity.number, &change)?;
            let arrival = meet(change.id, local);
            if arrival == Arrival::Pass {
                inbox::release(&tx, &change.entity, &change.key, change.id)?;
                continue;
            }
            let may_meet_unsent = local.version == 0 && !table_sent;
            let Some(parsed) = parse(table, change, may_meet_unsent) else { continue };
            match arrival {
                Arrival::Hold => sorted.held.push(parsed),
                Arrival::Apply | Arrival::Pass => sorted.arriving.push(parsed),
            }
        }
        tx.commit()?;
        Ok(sorted)
    }
}

fn parse(table: &Table, change: Incoming, may_meet_unsent: bool) -> Option<Arriving> {
    let is_key = table.fresh.is_some() || parse_entity_id(&change.key).is_some_and(|values| values.len() == table.key.len());
    let row = change.data.as_deref().map(serde_json::from_str::<Row>).transpose();
    let (true, Ok(mut row)) = (is_key, row) else {
        tracing::warn!(entity = change.entity, change = change.id, "a pulled change cannot be understood and is passed over");
        return None;
    };
    if let (None, Some(row), Some(values)) = (&table.fresh, &mut row, parse_entity_id(&change.key)) {
        // A row is written under the key it is known by, also when its data leaves the key out.
        for (name, value) in table.key.iter().zip(&values) {
            if row.get(name).is_none_or(|given| entity_id(std::slice::from_ref(given)) != entity_id(std::slice::from_ref(value))) {
                row.set(name, value.clone());
            }
        }
    }
    let row = row.filter(|_| change.operation != Operation::Delete);
    Some(Arriving { change, row, may_meet_unsent })
}
