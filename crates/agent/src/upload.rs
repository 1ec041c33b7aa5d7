//! The first full sync, upwards: rows go from the store to the server in key order, resumable, without passing through the
//! outbox. What the POS changes meanwhile goes through the journal as ever.

use std::sync::atomic::Ordering;

use rusqlite::Transaction;
use tillsync_core::change::{Operation, Verdict};
use tillsync_core::kept::{Kept, is_with_server};
use tillsync_core::key::{entity_id, parse_entity_id, parse_uuid};
use tillsync_core::print::row_print;
use tillsync_core::row::Row;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::identity::{Identity, Known, Wired};
use crate::push::{hold_merged_row, hold_server_row, settle_version};
use crate::remote::{Answer, Outgoing};
use crate::state::ids::{self, Named};
use crate::state::{conflicts, marks, outbox, shadow, upload};
use crate::store::schema::Table;
use crate::store::{open, rows};

/// The position of a table whose rows with NULL in the key were sent too.
const NULL_KEYS: &str = "[]";

/// Rows read at a time where readers get in the POS's way: about 1 ms of reading.
const ROWS_PER_SHORT_VISIT: usize = 200;

/// Rows with NULL in the key that a table may have; more cannot be told apart anyway.
const NULL_KEY_ROWS_MAX: usize = 1_000;

/// A stretch of a table on its way.
#[derive(Debug)]
pub struct Upload {
    table: String,
    position: String,
    looked_at: u64,
}

struct Stretch {
    /// As they are on the wire.
    rows: Vec<Wired>,
    /// Ids that were given on the way.
    named: Vec<Named>,
    position: String,
    last: bool,
}

impl Agent {
    /// The next stretch of rows that the server does not have, or `None` when every table is done.
    pub(crate) fn next_upload(&self, rows_max: u32) -> Result<Option<(Upload, Vec<Outgoing>)>, AgentError> {
        let tables = self.store().schema.tables.clone();
        for table in &tables {
            while let Some(position) = self.upload_position(table)? {
                if let Some(stretch) = self.take_stretch(table, position.as_deref(), rows_max as usize)? {
                    return Ok(Some(stretch));
                }
            }
        }
        Ok(None)
    }

    /// Where to go on; `None` when the table is done.
    #[expect(clippy::option_option, reason = "started but nowhere yet is not the same as done")]
    fn upload_position(&self, table: &Table) -> Result<Option<Option<String>>, AgentError> {
        if let Some(progress) = upload::get(self.state().conn(), &table.name)? {
            return Ok((!progress.finished).then_some(progress.position));
        }
        for table in &self.store().schema.tables.clone() {
            let conn = open::reader(&self.config.store)?;
            let total = rows::count(&conn, table).map_err(|error| self.store_error(error))?;
            let state = self.state();
            upload::start(state.conn(), &table.name, if table.direction.pushes() { total } else { 0 })?;
            if !table.direction.pushes() {
                upload::finish(state.conn(), &table.name)?;
            }
        }
        Ok(table.direction.pushes().then_some(None))
    }

    /// Reads a stretch and leaves out what the server has. A stretch with nothing left is passed over at once.
    fn take_stretch(
        &self,
        table: &Table,
        position: Option<&str>,
        rows_max: usize,
    ) -> Result<Option<(Upload, Vec<Outgoing>)>, AgentError> {
        let readers_block = self.turns().readers_block;
        let rows_max = if readers_block { rows_max.min(ROWS_PER_SHORT_VISIT) } else { rows_max };
        let mut store = self.store_to_read();
        self.make_ready(&mut store)?;
        let stretch = self.read_stretch(&store, table, position, rows_max)?;
        let mut state = self.state();
        let tx = state.write()?;
        let entity = store.entity(&table.name);
        let incarnation: String = marks::get(&tx, marks::INCARNATION)?.unwrap_or_default();
        let looked_at = stretch.rows.len() as u64;
        let mut outgoing = Vec::new();
        ids::remember(&tx, &stretch.named)?;
        for Wired { id: key, row, .. } in stretch.rows {
            if let Some(id) = parse_uuid(&key).filter(|_| table.fresh.is_some()) {
                ids::seen(&tx, entity.number, id, None)?;
            }
            let kept = shadow::get(&tx, entity.number, &key)?;
            if is_with_server(kept.as_ref(), outbox::has_unsent(&tx, &table.name, &key)?) {
                continue;
            }
            if kept.is_none() {
                shadow::put(&tx, entity.number, &key, &Kept::uploaded(&row, &entity.columns))?;
            }
            outgoing.push(as_change(&incarnation, table, key, &row, self.clock.now_ms()));
        }
        let finished = stretch.last && outgoing.is_empty();
        if outgoing.is_empty() {
            upload::advance(&tx, &table.name, &stretch.position, looked_at)?;
        }
        if finished {
            upload::finish(&tx, &table.name)?;
            // Pulled rows that waited for the verdicts of this table wait no longer.
            self.inbox_due.store(true, Ordering::Relaxed);
        }
        tx.commit()?;
        if outgoing.is_empty() {
            return Ok(None);
        }
        Ok(Some((Upload { table: table.name.clone(), position: stretch.position, looked_at }, outgoing)))
    }

    fn read_stretch(
        &self,
        store: &StoreSide,
        table: &Table,
        position: Option<&str>,
        rows_max: usize,
    ) -> Result<Stretch, AgentError> {
        let conn = open::reader(&self.config.store)?;
        let wrap = |error| self.store_error(error);
        if position == Some(NULL_KEYS) {
            return Ok(Stretch { rows: Vec::new(), named: Vec::new(), position: NULL_KEYS.to_owned(), last: true });
        }
        let name = |found: Vec<Row>| {
            let (state, known) = (self.state(), Known::default());
            let identity = Identity::new(&conn, Some(state.conn()), store, &known)?;
            let rows = found.into_iter().map(|row| identity.to_wire(table, row)).collect::<rusqlite::Result<_>>()?;
            rusqlite::Result::Ok((rows, identity.into_named()))
        };
        let after = position.and_then(parse_entity_id);
        let found = rows::read_after(&conn, table, after.as_deref(), rows_max).map_err(wrap)?;
        if let Some(last) = found.last() {
            let position = entity_id(&rows::key_of(table, last));
            let (rows, named) = name(found).map_err(wrap)?;
            return Ok(Stretch { rows, named, position, last: false });
        }
        let mut found = rows::read_null_keys(&conn, table, NULL_KEY_ROWS_MAX).map_err(wrap)?;
        let mut seen = std::collections::HashMap::new();
        for row in &found {
            *seen.entry(entity_id(&rows::key_of(table, row))).or_insert(0) += 1;
        }
        found.retain(|row| seen[&entity_id(&rows::key_of(table, row))] == 1);
        let (rows, named) = name(found).map_err(wrap)?;
        Ok(Stretch { rows, named, position: NULL_KEYS.to_owned(), last: true })
    }
}

impl Upload {
    /// Notes the verdicts; the position moves on.
    pub(crate) fn record(
        &self,
        tx: &Transaction<'_>,
        store: &StoreSide,
        outgoing: &[Outgoing],
        answers: &[Answer],
        now: i64,
    ) -> Result<(), AgentError> {
        if answers.iter().any(|answer| answer.verdict.is_none()) {
            // The same stretch goes again; its events have the same ids.
            return Ok(());
        }
        for (change, answer) in outgoing.iter().zip(answers) {
            match answer.verdict {
                Some(Verdict::Applied | Verdict::Duplicate) => settle_version(tx, store, change, answer.version)?,
                Some(Verdict::Merged) => hold_merged_row(tx, store, change, answer, now)?,
                Some(Verdict::Conflict | Verdict::Rejected) => park(tx, change, answer, now)?,
                None => {}
            }
        }
        Ok(upload::advance(tx, &self.table, &self.position, self.looked_at)?)
    }
}

fn as_change(incarnation: &str, table: &Table, key: String, row: &Row, at_ms: i64) -> Outgoing {
    // The same row of the same incarnation always makes the same event, so a repeated stretch is a duplicate.
    let name = format!("{incarnation}\0{}\0{key}\0{}", table.name, row_print(row));
    Outgoing {
        event_id: uuid::Builder::from_custom_bytes(xxh3_128(name.as_bytes()).to_be_bytes()).into_uuid(),
        entity: table.name.clone(),
        entity_type: table.entity.clone(),
        key,
        operation: Operation::Create,
        data: row.to_json(),
        updated_fields: None,
        before: None,
        base_version: None,
        at_ms,
    }
}

/// A row that the server does not take becomes a change in the outbox, where people look for such.
fn park(tx: &Transaction<'_>, change: &Outgoing, answer: &Answer, now: i64) -> Result<(), AgentError> {
    let entry = outbox::NewEntry {
        event_id: Uuid::now_v7(),
        entity: &change.entity,
        key: &change.key,
        operation: change.operation,
        data: change.data.clone(),
        updated_fields: None,
        before: None,
        at_ms: change.at_ms,
    };
    outbox::add(tx, &entry)?;
    let id = tx.last_insert_rowid();
    if answer.verdict != Some(Verdict::Conflict) {
        return Ok(outbox::set_standing(tx, id, outbox::Standing::Parked, answer.reason.as_deref())?);
    }
    conflicts::note(tx, change, answer, now)?;
    outbox::set_conflict(tx, id, answer.conflict.as_ref().map(|conflict| conflict.id), answer.reason.as_deref())?;
    hold_server_row(tx, change, answer, now)
}
