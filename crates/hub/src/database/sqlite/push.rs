//! Pushing: every change of a batch gets its verdict inside one transaction.

use rusqlite::Transaction;
use serde_json::value::RawValue;
use tillsync_core::change::{Operation, Verdict};
use tillsync_core::merge::{Decision, Head, Incoming, decide};
use tillsync_core::row::Row;
use tillsync_core::wire::hub::{PushChange, PushResult};

use super::conflicts::{self, Conflict, Outcome};
use super::cursors;
use super::log::{self, Entry, Place};
use crate::database::checks;
use crate::database::model::{Batch, BatchOutcome};

/// A push looks at most this many entries ahead for the end of the device's own run. A longer run is only pulled again.
const RUN_SCANNED_MAX: i64 = 2000;

pub(super) fn push(tx: &Transaction, batch: &Batch) -> rusqlite::Result<BatchOutcome> {
    let beyond_head = batch.cursor_id > log::head(tx)?;
    let mut results = Vec::with_capacity(batch.changes.len());
    for change in &batch.changes {
        results.push(Push { tx, batch, change }.judge()?);
    }
    cursors::touch(tx, &batch.device_id, batch.now_ms)?;
    let new_cursor_id = if beyond_head || batch.cursor_id < 0 {
        // The cursor came from another log: from 0 on the client misses nothing.
        0
    } else {
        log::end_of_own_run(tx, &batch.device_id, batch.cursor_id, RUN_SCANNED_MAX)?
    };
    Ok(BatchOutcome { results, new_cursor_id })
}

/// One change of a batch.
struct Push<'a> {
    tx: &'a Transaction<'a>,
    batch: &'a Batch,
    change: &'a PushChange,
}

impl Push<'_> {
    fn judge(&self) -> rusqlite::Result<PushResult> {
        let row = match checks::row_of(self.change) {
            Ok(row) => row,
            Err(reason) => return Ok(self.rejected(reason)),
        };
        if let Some(repeated) = self.judge_repeated()? {
            return Ok(repeated);
        }
        match log::place_of(self.tx, &self.change.entity_type, &self.change.entity_id)? {
            None => self.store_first(),
            Some(place) => self.judge_known(place, row),
        }
    }

    /// The answer to an event that came before: the same as then, and nothing is written.
    fn judge_repeated(&self) -> rusqlite::Result<Option<PushResult>> {
        let Some(event_id) = &self.change.event_id else {
            return Ok(None);
        };
        if let Some(stored) = log::find_event(self.tx, event_id)? {
            if stored.entity_type != self.change.entity_type || stored.entity_id != self.change.entity_id {
                return Ok(Some(self.rejected("this eventId was used for another row".to_owned())));
            }
            if !stored.merged {
                return Ok(Some(self.result(Verdict::Duplicate, Some(stored.id))));
            }
            let head = self.head_of_row()?;
            return Ok(Some(self.with_server_row(Verdict::Merged, head.as_ref(), None)?));
        }
        let Some(reason) = conflicts::find_event(self.tx, event_id)? else {
            return Ok(None);
        };
        let head = self.head_of_row()?;
        Ok(Some(self.with_server_row(Verdict::Conflict, head.as_ref(), Some(reason))?))
    }

    fn head_of_row(&self) -> rusqlite::Result<Option<Head>> {
        let place = log::place_of(self.tx, &self.change.entity_type, &self.change.entity_id)?;
        place.map(|place| log::head_at(self.tx, place, &self.batch.device_id, None)).transpose()
    }

    /// A row that nobody knows is stored as the text that came; with no other side there is nothing to decide.
    fn store_first(&self) -> rusqlite::Result<PushResult> {
        let (operation, data) = match self.change.operation {
            Operation::Delete => (Operation::Delete, None),
            Operation::Create | Operation::Update => (Operation::Create, self.change.data.as_deref().map(RawValue::get)),
        };
        let id = self.append(operation, data, false, None)?;
        Ok(self.result(Verdict::Applied, Some(id)))
    }

    fn judge_known(&self, place: Place, row: Row) -> rusqlite::Result<PushResult> {
        let incoming = self.incoming(row);
        let head = log::head_at(self.tx, place, &self.batch.device_id, incoming.base_version)?;
        let base = match incoming.base_version {
            Some(version) if version < place.version => log::row_at(self.tx, self.change, place, version)?,
            _ => None,
        };
        match decide(Some(&head), base.as_ref(), &incoming) {
            Decision::Duplicate => self.answer_duplicate(&head, &incoming),
            Decision::Apply { operation, row, lost } => {
                let data = row.as_ref().map(Row::to_json);
                let id = self.append(operation, data.as_deref(), false, Some(place.version))?;
                self.note_lost(id, &incoming, lost.as_ref(), Outcome::ClientWins)?;
                Ok(self.result(Verdict::Applied, Some(id)))
            }
            Decision::Merge { row, lost } => {
                let data = row.to_json();
                let id = self.append(Operation::Update, Some(&data), true, Some(place.version))?;
                self.note_lost(id, &incoming, lost.as_ref(), Outcome::Merged(&data))?;
                let merged = Head { version: id, by_same_device: true, row: Some(row) };
                self.with_server_row(Verdict::Merged, Some(&merged), None)
            }
            // A register that brings the row as it was before somebody changed it has only not heard of the change.
            Decision::Conflict { .. }
                if incoming.operation == Operation::Create && log::was_once(self.tx, place, &incoming.row)? =>
            {
                self.answer_duplicate(&head, &incoming)
            }
            Decision::Conflict { reason } => {
                self.note(place.version, &incoming, head.row.as_ref(), Outcome::Pending(reason))?;
                self.with_server_row(Verdict::Conflict, Some(&head), Some(reason.to_owned()))
            }
        }
    }

    /// A client of the original protocol names neither event nor base: its cursor says what it had seen, and the later
    /// arrival wins.
    fn incoming(&self, row: Row) -> Incoming {
        let can_conflict = self.change.event_id.is_some();
        let known_by_cursor = if can_conflict { None } else { Some(self.batch.cursor_id) };
        Incoming {
            operation: self.change.operation,
            base_version: self.change.base_version.or(known_by_cursor),
            updated_fields: self.change.updated_fields.clone(),
            row,
            can_conflict,
        }
    }

    /// The hub has all that the client sends; what the client lacks is told to it.
    fn answer_duplicate(&self, head: &Head, incoming: &Incoming) -> rusqlite::Result<PushResult> {
        let lacks = head.row.as_ref().is_some_and(|row| !row.same_as(&incoming.row)) && incoming.operation != Operation::Delete;
        if let Some(event_id) = &self.change.event_id {
            log::note_repeated(self.tx, event_id, head.version, lacks)?;
        }
        if lacks && incoming.can_conflict {
            return self.with_server_row(Verdict::Merged, Some(head), None);
        }
        Ok(self.result(Verdict::Duplicate, Some(head.version)))
    }

    fn append(&self, operation: Operation, data: Option<&str>, merged: bool, previous: Option<i64>) -> rusqlite::Result<i64> {
        let Batch { device_id, now_ms, .. } = self.batch;
        let entry = Entry { device_id, change: self.change, operation, data, merged, previous, now_ms: *now_ms };
        log::append(self.tx, &entry)
    }

    fn note_lost(&self, id: i64, incoming: &Incoming, lost: Option<&Row>, outcome: Outcome) -> rusqlite::Result<()> {
        match lost {
            Some(lost) => self.note(id, incoming, Some(lost), outcome),
            None => Ok(()),
        }
    }

    fn note(&self, id: i64, incoming: &Incoming, server: Option<&Row>, outcome: Outcome) -> rusqlite::Result<()> {
        let server_value = server.map(Row::to_json);
        let conflict = Conflict {
            device_id: &self.batch.device_id,
            change: self.change,
            base_version: incoming.base_version,
            change_log_id: id,
            server_value: server_value.as_deref(),
            outcome,
            now_ms: self.batch.now_ms,
        };
        conflicts::add(self.tx, &conflict)
    }

    fn result(&self, status: Verdict, version: Option<i64>) -> PushResult {
        PushResult { id: self.change.id, status, version, server_data: None, error: None }
    }

    fn rejected(&self, reason: String) -> PushResult {
        PushResult { error: Some(reason), ..self.result(Verdict::Rejected, None) }
    }

    fn with_server_row(&self, status: Verdict, head: Option<&Head>, error: Option<String>) -> rusqlite::Result<PushResult> {
        let row = head.and_then(|head| head.row.as_ref()).map(Row::to_json);
        let server_data = row.map(RawValue::from_string).transpose().map_err(|_| log::damaged(0, "data"))?;
        Ok(PushResult { server_data, error, ..self.result(status, head.map(|head| head.version)) })
    }
}
