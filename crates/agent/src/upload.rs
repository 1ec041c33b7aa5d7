//! The first full sync, upwards: rows go from the store to the server in key order, resumable, without passing through the
//! outbox. What the POS changes meanwhile goes through the journal as ever.

use std::collections::BTreeMap;
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
use crate::capture::{Look, Seen, record_looks};
use crate::identity::{Identity, Known, Wired};
use crate::push::{hold_merged_row, hold_server_row, is_back, is_outdated, settle_version};
use crate::remote::{Answer, Outgoing};
use crate::state::ids::{self, Named};
use crate::state::{again, conflicts, marks, outbox, shadow, shared, upload};
use crate::store::null_keys::{self, Shared};
use crate::store::schema::Table;
use crate::store::{open, rows};

/// The position of a table whose rows were all looked at; no row has such a key.
const END: &str = "[]";

/// Rows read at a time where readers get in the POS's way: about 1 ms of reading.
const ROWS_PER_SHORT_VISIT: usize = 200;

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
    /// At the end of the table: keys that several rows share, and whose rows were left out.
    all_shared: Option<Vec<Shared>>,
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
        let epoch: String = marks::get(&tx, marks::EPOCH)?.unwrap_or_default();
        let looked_at = stretch.rows.len() as u64;
        let mut outgoing = Vec::new();
        ids::remember(&tx, &stretch.named)?;
        for wired in stretch.rows {
            let Wired { id: key, row, .. } = &wired;
            if let Some(id) = parse_uuid(key).filter(|_| table.fresh.is_some()) {
                ids::seen(&tx, entity.number, id, None)?;
            }
            let kept = shadow::get(&tx, entity.number, key)?;
            let unsent = outbox::has_unsent(&tx, &table.name, key)?;
            // The server was restored from a backup and has lost this version of the row.
            let lost = again::version(&tx, entity.number, key)?;
            if unsent || (lost.is_none() && is_with_server(kept.as_ref(), unsent)) {
                continue;
            }
            if kept.is_none() {
                shadow::put(&tx, entity.number, key, &Kept::uploaded(row, &entity.columns))?;
            } else if record_looks(&tx, &store, &[Look::at_row(table, wired.clone(), None)], Seen::ByScan, self.capture_time(&tx)?)?
                > 0
            {
                // An earlier try carried the row as it was, and nobody knows whether it arrived: what the POS did since is a change.
                continue;
            }
            let change = as_change(&incarnation, table, key.clone(), row, self.clock.now_ms());
            outgoing.push(match lost {
                Some(version) => {
                    let base = kept.map(|kept| kept.version()).filter(|version| *version > 0);
                    Outgoing { base_version: base, ..give_back(change, &epoch, version) }
                }
                None => change,
            });
        }
        if outgoing.is_empty() {
            upload::advance(&tx, &table.name, &stretch.position, looked_at)?;
        }
        if let Some(all) = &stretch.all_shared {
            shared::replace(&tx, &table.name, all)?;
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
        let name = |found: Vec<Row>| {
            let (state, known) = (self.state(), Known::default());
            let identity = Identity::new(&conn, Some(state.conn()), store, &known)?;
            let rows = found.into_iter().map(|row| identity.to_wire(table, row)).collect::<rusqlite::Result<_>>()?;
            rusqlite::Result::Ok((rows, identity.into_named()))
        };
        let after = position.filter(|position| *position != END).and_then(parse_entity_id);
        let found = null_keys::read_next(&conn, table, after.as_deref(), rows_max).map_err(wrap)?;
        let Some(last) = found.last() else {
            let all_shared = Some(null_keys::all_shared(&conn, table).map_err(wrap)?);
            return Ok(Stretch { rows: Vec::new(), named: Vec::new(), position: END.to_owned(), all_shared });
        };
        let position = entity_id(&rows::key_of(table, last));
        let (rows, named) = name(found).map_err(wrap)?;
        Ok(Stretch { rows, named, position, all_shared: None })
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
        if !record_rows(tx, store, outgoing, answers, now)? {
            // The same stretch goes again; the events of the same rows have the same ids.
            return Ok(());
        }
        Ok(upload::advance(tx, &self.table, &self.position, self.looked_at)?)
    }
}

/// Notes the verdicts about rows that went past the outbox. Says whether all of them are done with.
pub(crate) fn record_rows(
    tx: &Transaction<'_>,
    store: &StoreSide,
    outgoing: &[Outgoing],
    answers: &[Answer],
    now: i64,
) -> Result<bool, AgentError> {
    let mut outdated = false;
    for (change, answer) in outgoing.iter().zip(answers) {
        if answer.verdict.is_none() {
            outdated = true;
            continue;
        }
        is_back(tx, store, change)?;
        match answer.verdict {
            Some(Verdict::Applied | Verdict::Duplicate) => settle_version(tx, store, change, answer.version)?,
            Some(Verdict::Merged) => hold_merged_row(tx, store, change, answer, now)?,
            Some(Verdict::Conflict) if is_outdated(tx, change, answer)? => outdated = true,
            Some(Verdict::Conflict | Verdict::Rejected) => park(tx, change, answer, now)?,
            None => {}
        }
    }
    // The server is asked again about those; the other rows are done with.
    Ok(!outdated)
}

/// The row once more, for a server that has lost this version of it: another event than before.
fn give_back(change: Outgoing, epoch: &str, version: i64) -> Outgoing {
    let name = format!("{epoch}\0{version}\0{}", change.event_id);
    let event_id = uuid::Builder::from_custom_bytes(xxh3_128(name.as_bytes()).to_be_bytes()).into_uuid();
    Outgoing { event_id, operation: Operation::Update, restored: Some(version), ..change }
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
        renamed: BTreeMap::new(),
        base_version: None,
        restored: None,
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
        updated_fields: change.updated_fields.as_deref(),
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
