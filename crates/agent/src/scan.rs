//! Scan: the store against the shadow, row by row. It finds what no trigger saw, after a rebuilt table, a lost journal or a restored
//! file, and for stores without triggers it is the capture.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rusqlite::Connection;
use tillsync_core::config::Capture;
use tillsync_core::key::{entity_id, parse_entity_id};
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::capture::{Look, Seen, record_looks};
use crate::identity::{Identity, Known};
use crate::state::ids::{self, Named};
use crate::state::{marks, shadow, shared, upload};
use crate::store::null_keys::{self, Shared};
use crate::store::schema::Table;
use crate::store::{journal, open, rows};

/// Rows looked at in one visit, so that a scan never holds the store for long.
const ROWS_PER_VISIT: usize = 1_000;

/// So many vanished rows in one table need a person's yes before they become deletes …
const VANISHED_MAX: u64 = 50;

/// … if they are also more than one in so many.
const VANISHED_SHARE: u64 = 5;

/// What a scan found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scan {
    /// Rows looked at.
    pub rows: u64,
    /// Changes added to the outbox.
    pub added: u64,
    /// Rows of the shadow that are not in the store and were too many to believe.
    pub vanished: u64,
}

impl Agent {
    /// Compares every table. `accept_deletes` believes any number of vanished rows.
    pub fn scan(&self, accept_deletes: bool) -> Result<Scan, AgentError> {
        self.scan_at(accept_deletes, None)
    }

    /// The same, resting `rest_per_work` times as long as it works.
    pub(crate) fn scan_at(&self, accept_deletes: bool, rest_per_work: Option<u32>) -> Result<Scan, AgentError> {
        let mut tables = self.ready_store()?.schema.tables.clone();
        tables.retain(|table| table.direction.pushes());
        let mut scan = Scan::default();
        let all = tables.len();
        tables.retain(|table| self.is_uploaded(&table.name));
        for table in &tables {
            self.scan_rows(table, rest_per_work, &mut scan)?;
        }
        for (table, vanished) in self.believable(&tables, accept_deletes, &mut scan)?.into_iter().rev() {
            if vanished > 0 {
                self.record_vanished(table, &mut scan)?;
            }
        }
        let state = self.state();
        if tables.len() == all {
            marks::clear(state.conn(), marks::SCAN_DUE)?;
        }
        marks::set(state.conn(), marks::VANISHED, scan.vanished as i64)?;
        if scan.vanished == 0 {
            marks::clear(state.conn(), marks::STORE_ANEW)?;
        }
        drop(state);
        tracing::info!(rows = scan.rows, added = scan.added, vanished = scan.vanished, "scanned");
        Ok(scan)
    }

    /// Whether every row is to be compared, and may be.
    pub(crate) fn must_scan(&self) -> Result<bool, AgentError> {
        Ok(marks::get(self.state().conn(), marks::SCAN_DUE)?.unwrap_or(false) && self.has_uploaded()?)
    }

    /// Whether the first full sync of every table is over.
    pub(crate) fn has_uploaded(&self) -> Result<bool, AgentError> {
        let tables = self.store().schema.tables.clone();
        Ok(tables.iter().filter(|table| table.direction.pushes()).all(|table| self.is_uploaded(&table.name)))
    }

    pub(crate) fn is_uploaded(&self, table: &str) -> bool {
        upload::get(self.state().conn(), table).ok().flatten().is_some_and(|progress| progress.finished)
    }

    fn scan_rows(&self, table: &Table, rest_per_work: Option<u32>, scan: &mut Scan) -> Result<(), AgentError> {
        let mut after = None;
        loop {
            let began = Instant::now();
            let mut store = self.store_to_read();
            self.make_ready(&mut store)?;
            let conn = open::reader(&self.config.store)?;
            let wrap = |error| self.store_error(error);
            let mut found = null_keys::read_next(&conn, table, after.as_deref(), ROWS_PER_VISIT).map_err(wrap)?;
            let Some(last) = found.last() else {
                let all = null_keys::all_shared(&conn, table).map_err(wrap)?;
                return self.note_shared(table, &all);
            };
            after = Some(rows::key_of(table, last));
            scan.rows += found.len() as u64;
            // What the POS touched a moment ago is captured as its doing; here it would count as what a migration made of the row.
            let touched = self.touched(&conn, &store, table).map_err(wrap)?;
            found.retain(|row| !touched.contains(&entity_id(&rows::key_of(table, row))));
            let (looks, named) = self.name(&store, &conn, table, found).map_err(wrap)?;
            drop(conn);
            scan.added += self.record_scan(&store, &looks, &named)?;
            drop(store);
            if let Some(times) = rest_per_work {
                std::thread::sleep(began.elapsed() * times);
            }
        }
    }

    /// Keys of a table that the journal names and that are yet to be captured.
    fn touched(&self, conn: &Connection, store: &StoreSide, table: &Table) -> rusqlite::Result<HashSet<String>> {
        if self.config.capture == Capture::Scan {
            return Ok(HashSet::new());
        }
        let captured = marks::get(self.state().conn(), marks::CAPTURED_SEQ)?.unwrap_or(0);
        let entries = journal::after(conn, &store.schema, captured, ROWS_PER_VISIT)?;
        Ok(entries.into_iter().filter(|entry| entry.table == table.number).map(|entry| entity_id(&entry.key)).collect())
    }

    fn note_shared(&self, table: &Table, all: &[Shared]) -> Result<(), AgentError> {
        let mut state = self.state();
        let tx = state.write()?;
        if shared::replace(&tx, &table.name, all)? {
            // What the server has under such a key may come in now.
            self.inbox_due.store(true, Ordering::Relaxed);
        }
        Ok(tx.commit()?)
    }

    /// Rows of the store as looks at them, and the ids that were given on the way.
    pub(crate) fn name(
        &self,
        store: &StoreSide,
        conn: &Connection,
        table: &Table,
        found: Vec<Row>,
    ) -> rusqlite::Result<(Vec<Look>, Vec<Named>)> {
        let (state, known) = (self.state(), Known::default());
        let identity = Identity::new(conn, Some(state.conn()), store, &known)?;
        let looks = found.into_iter().map(|row| Ok(Look::at_row(table, identity.to_wire(table, row)?, None)));
        Ok((looks.collect::<rusqlite::Result<_>>()?, identity.into_named()))
    }

    /// Rows that vanished by table, where they may become deletes. A store that has lost most of one table was made anew, most likely: then
    /// nothing that is missing in it is believed before a person says so.
    fn believable<'a>(
        &self,
        tables: &'a [Table],
        accept_deletes: bool,
        scan: &mut Scan,
    ) -> Result<Vec<(&'a Table, u64)>, AgentError> {
        let (mut found, mut is_doubtful) = (Vec::new(), false);
        let is_anew = marks::get(self.state().conn(), marks::STORE_ANEW)?.unwrap_or(false);
        for table in tables {
            let number = self.store().entity(&table.name).number;
            let kept = shadow::count(self.state().conn(), number)?;
            let mut vanished = 0;
            self.each_vanished(table, number, |looks| {
                vanished += looks.len() as u64;
                Ok(())
            })?;
            is_doubtful |= is_too_many(vanished, kept, is_anew);
            found.push((table, vanished));
        }
        if is_doubtful && !accept_deletes {
            scan.vanished = found.iter().map(|(_, vanished)| vanished).sum();
            found.clear();
        }
        Ok(found)
    }

    fn record_vanished(&self, table: &Table, scan: &mut Scan) -> Result<(), AgentError> {
        let number = self.store().entity(&table.name).number;
        self.each_vanished(table, number, |looks| {
            scan.added += self.record_scan(&self.store(), &looks, &[])?;
            Ok(())
        })
    }

    /// Looks at the rows that are not in the store any more, some at a time.
    pub(crate) fn each_vanished(
        &self,
        table: &Table,
        entity: i64,
        mut each: impl FnMut(Vec<Look>) -> Result<(), AgentError>,
    ) -> Result<(), AgentError> {
        let mut after: Option<String> = None;
        loop {
            let keys = shadow::keys_after(self.state().conn(), entity, after.as_deref(), ROWS_PER_VISIT)?;
            let Some(last) = keys.last() else { return Ok(()) };
            after = Some(last.clone());
            each(self.look_for(table, keys)?)?;
        }
    }

    fn look_for(&self, table: &Table, keys: Vec<String>) -> Result<Vec<Look>, AgentError> {
        let store = self.store_to_read();
        let conn = open::reader(&self.config.store)?;
        let look = || -> rusqlite::Result<Vec<Look>> {
            let (state, known) = (self.state(), Known::default());
            let identity = Identity::new(&conn, Some(state.conn()), &store, &known)?;
            keys.into_iter().filter_map(|key| vanished(&conn, &identity, table, key).transpose()).collect()
        };
        look().map_err(|error| self.store_error(error))
    }

    fn record_scan(&self, store: &StoreSide, looks: &[Look], named: &[Named]) -> Result<u64, AgentError> {
        let mut state = self.state();
        let tx = state.write()?;
        ids::remember(&tx, named)?;
        let added = record_looks(&tx, store, looks, Seen::ByScan, self.capture_time(&tx)?)?;
        tx.commit()?;
        Ok(added)
    }
}

/// Whether so many rows are gone, out of so many, that a person is to be asked. Nobody deletes single rows by making a store anew.
pub(crate) fn is_too_many(gone: u64, of: u64, is_anew: bool) -> bool {
    gone > if is_anew { 0 } else { VANISHED_MAX } && gone * VANISHED_SHARE > of
}

/// The key columns of a row with this id as they are on the wire, as far as the id says it.
pub(crate) fn wired_key(table: &Table, key: &str) -> Option<Row> {
    match (&table.fresh, parse_entity_id(key).filter(|values| values.len() == table.key.len())) {
        (Some(fresh), _) => Some(Row::from_iter([(fresh.clone(), Value::Text(key.to_owned()))])),
        (None, Some(values)) => Some(table.key.iter().cloned().zip(values).collect()),
        (None, None) => None,
    }
}

fn vanished(conn: &Connection, identity: &Identity<'_>, table: &Table, key: String) -> rusqlite::Result<Option<Look>> {
    let Some(key_columns) = wired_key(table, &key) else { return Ok(None) };
    let there = match identity.key_to_local(table, &key)? {
        Some(values) => {
            let local = entity_id(&values);
            rows::read(conn, table, &values)?.iter().any(|row| entity_id(&rows::key_of(table, row)) == local)
        }
        None => false,
    };
    Ok((!there).then(|| Look::at_nothing(table, key, key_columns)))
}
