//! Pushing: every change of a batch gets its verdict inside one transaction.

use std::collections::HashSet;

use rusqlite::Transaction;
use serde_json::value::RawValue;
use tillsync_core::change::{Operation, Verdict};
use tillsync_core::merge::{self, Arbiter, Decision, Dispute, Head, Incoming, Writer, decide, written_at};
use tillsync_core::policy::{Merging, Policy};
use tillsync_core::row::Row;
use tillsync_core::wire::hub::{Conflict, PAGE_BYTES_MAX, PushChange, PushResult};

use super::conflicts::{self, NewConflict, Outcome};
use super::log::{self, Entry, Place};
use super::{cursors, devices, meta};
use crate::database::checks;
use crate::database::model::{Batch, BatchOutcome, Extra, version_mark};

/// A push looks at most this many entries ahead for the end of the device's own run. A longer run is only pulled again.
const RUN_SCANNED_MAX: i64 = 2000;

pub(super) fn push(tx: &Transaction, batch: &Batch) -> rusqlite::Result<BatchOutcome> {
    let beyond_head = batch.cursor_id > log::head(tx)?;
    let manager = devices::is_manager(tx, &batch.device_id)?;
    let allowed = devices::entities_of(tx, &batch.device_id)?;
    let seen = cursors::position(tx, &batch.device_id)?;
    let mut results: Vec<PushResult> = Vec::with_capacity(batch.changes.len());
    let mut bytes = 0;
    let nothing = Extra::default();
    for (place, change) in batch.changes.iter().enumerate() {
        let extra = batch.extras.get(place).unwrap_or(&nothing);
        let push = Push { tx, batch, change, extra, manager, seen, allowed: allowed.as_ref() };
        let mut result = match extra.part_of.and_then(|parent| results.get(parent)).filter(|parent| !push.follows(parent)) {
            Some(parent) => PushResult { error: parent.error.clone(), ..push.result(parent.status, None) },
            None => push.judge()?,
        };
        if let Some(conflict) = &mut result.conflict {
            bytes += conflicts::size(conflict);
            if bytes > PAGE_BYTES_MAX {
                conflicts::leave_rows_out(conflict);
            }
        }
        results.push(result);
    }
    cursors::touch(tx, &batch.device_id, batch.now_ms)?;
    let new_cursor_id = if beyond_head || batch.cursor_id < 0 {
        // The cursor came from another log: from 0 on the client misses nothing.
        0
    } else if cursors::is_expired(tx, &batch.device_id, batch.cursor_id)? {
        // Deletes that the client has not seen are missing in the run.
        batch.cursor_id
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
    extra: &'a Extra,
    /// Whether a manager's device pushes.
    manager: bool,
    /// The cursor that the device last pulled from.
    seen: i64,
    /// The entities that are the device's business; `None` for all.
    allowed: Option<&'a HashSet<String>>,
}

/// A decision about a row that is there, on its way into the logs.
struct Judged<'a> {
    place: Place,
    head: &'a Head,
    base: Option<&'a Row>,
    incoming: &'a Incoming,
}

impl Push<'_> {
    fn judge(&self) -> rusqlite::Result<PushResult> {
        let checked = checks::row_of(self.change).and_then(|row| Ok((row, checks::before_of(self.change)?)));
        let (row, before) = match checked {
            Ok(rows) => rows,
            Err(reason) => return Ok(self.rejected(reason)),
        };
        let entity = &self.change.entity_type;
        if self.allowed.is_some_and(|allowed| !allowed.contains(entity)) {
            return Ok(self.rejected(format!("this register may not send {entity}; ask the administrator of the server")));
        }
        if let Some(repeated) = self.judge_repeated()? {
            return Ok(repeated);
        }
        match log::place_of(self.tx, &self.change.entity_type, &self.change.entity_id)? {
            None if self.is_of_forgotten_row()? => {
                let (entity, id) = (&self.change.entity_type, &self.change.entity_id);
                let place = log::recall_delete(self.tx, entity, id, self.batch.now_ms)?;
                self.judge_known(place, &self.incoming(row, before))
            }
            None => self.store_first(),
            Some(place) if self.extra.sync_version.is_some() => self.judge_counted(place, self.incoming(row, before)),
            Some(place) if self.change.restored.is_some() && self.change.event_id.is_some() => {
                self.judge_restored(place, self.change.restored.unwrap_or(0), self.incoming(row, before))
            }
            Some(place) => {
                let mut incoming = self.incoming(row, before);
                self.leave_out_older_names(place, &mut incoming)?;
                self.judge_known(place, &incoming)
            }
        }
    }

    /// Whether the change is an update of a row that was deleted so long ago that nothing is left of it.
    fn is_of_forgotten_row(&self) -> rusqlite::Result<bool> {
        let PushChange { operation, event_id, base_version, .. } = self.change;
        let Some(base) = base_version.filter(|base| *base > 0 && *operation == Operation::Update && event_id.is_some()) else {
            return Ok(false);
        };
        Ok(base <= meta::pruned_through(self.tx)?)
    }

    /// The answer to an event that came before: the same as then, and nothing is written. Only a conflict that a person has decided
    /// is none any more.
    fn judge_repeated(&self) -> rusqlite::Result<Option<PushResult>> {
        let Some(event_id) = &self.change.event_id else {
            return Ok(None);
        };
        let noted = || conflicts::find_event(self.tx, event_id);
        if let Some(stored) = log::find_event(self.tx, event_id)? {
            let is_other = |(entity, id): (String, String)| entity != self.change.entity_type || id != self.change.entity_id;
            if stored.row.is_some_and(is_other) {
                return Ok(Some(self.rejected("this eventId was used for another row".to_owned())));
            }
            let result = match self.head_of_row()?.filter(|_| stored.merged) {
                Some(head) => self.with_server_row(Verdict::Merged, Some(&head))?,
                None => self.result(Verdict::Duplicate, Some(stored.id)),
            };
            return Ok(Some(with_conflict(result, noted()?)));
        }
        let Some(conflict) = noted()? else {
            return Ok(None);
        };
        let head = self.head_of_row()?;
        let verdict = if conflict.is_pending() { Verdict::Conflict } else { Verdict::Merged };
        let result = self.with_server_row(verdict, head.as_ref())?;
        let error = conflict.reason.clone().filter(|_| conflict.is_pending());
        Ok(Some(with_conflict(PushResult { error, ..result }, Some(conflict))))
    }

    fn head_of_row(&self) -> rusqlite::Result<Option<Head>> {
        let place = log::place_of(self.tx, &self.change.entity_type, &self.change.entity_id)?;
        place.map(|place| self.head_at(place, Some(place.version))).transpose()
    }

    fn head_at(&self, place: Place, base: Option<i64>) -> rusqlite::Result<Head> {
        log::head_at(self.tx, place, &self.batch.device_id, base, self.batch.restored_up_to)
    }

    /// A row that nobody knows is stored as the text that came; with no other side there is nothing to decide.
    fn store_first(&self) -> rusqlite::Result<PushResult> {
        let (operation, data) = match self.change.operation {
            Operation::Delete => (Operation::Delete, None),
            Operation::Create | Operation::Update => (Operation::Create, self.change.data.as_deref().map(RawValue::get)),
        };
        let id = self.append(operation, data, self.writer().at_ms, false, None)?;
        if let Some(version) = self.extra.sync_version {
            log::raise_writes(self.tx, &self.change.entity_type, &self.change.entity_id, version)?;
        }
        Ok(self.result(Verdict::Applied, Some(id)))
    }

    /// Where a column was written under its new name after it was last written under the one before, the client hears late of it: what it has
    /// is the older value.
    fn leave_out_older_names(&self, place: Place, incoming: &mut Incoming) -> rusqlite::Result<()> {
        for (new, old) in &self.change.renamed {
            if log::is_written_later(self.tx, place, new, old)?
                && let Some(fields) = &mut incoming.updated_fields
            {
                fields.retain(|field| field != new);
            }
        }
        Ok(())
    }

    /// A row that this log has lost comes back. Versions tell which of several is the latest; nothing of them is merged.
    fn judge_restored(&self, place: Place, version: i64, mut incoming: Incoming) -> rusqlite::Result<PushResult> {
        let since = log::since(self.tx, place, incoming.base_version.unwrap_or(0))?;
        match since.restored.filter(|(known, _)| *known >= version) {
            Some((_, id)) if self.change.updated_fields.is_some() => {
                // What was changed on top of it is a change of what is here by now.
                incoming.base_version = Some(id);
                self.judge_known(place, &incoming)
            }
            Some(_) => {
                let head = log::head_at(self.tx, place, "", Some(place.version), 0)?;
                let is_same = match &head.row {
                    None => incoming.operation == Operation::Delete,
                    Some(row) => incoming.operation != Operation::Delete && row.same_as(&incoming.row),
                };
                if let Some(event_id) = &self.change.event_id {
                    log::note_repeated(self.tx, event_id, head.version, !is_same)?;
                }
                self.with_server_row(if is_same { Verdict::Duplicate } else { Verdict::Merged }, Some(&head))
            }
            None if since.is_changed => self.judge_known(place, &incoming),
            None => {
                let head = log::head_at(self.tx, place, "", Some(place.version), 0)?;
                let (operation, data) = match incoming.operation {
                    Operation::Delete => (Operation::Delete, None),
                    Operation::Create | Operation::Update => (Operation::Update, self.change.data.as_deref().map(RawValue::get)),
                };
                // It was written after what is here, and nobody knows when.
                let id = self.append(operation, data, head.at_ms, false, Some(place.version))?;
                Ok(self.result(Verdict::Applied, Some(id)))
            }
        }
    }

    /// Whether the change is stored when the one that it is a part of came to this.
    fn follows(&self, parent: &PushResult) -> bool {
        let overruled = parent.conflict.as_ref().is_some_and(|conflict| conflict.resolution == "server-wins");
        match parent.status {
            Verdict::Applied | Verdict::Duplicate => true,
            Verdict::Merged => !overruled,
            Verdict::Conflict | Verdict::Rejected => false,
        }
    }

    /// A client that counts how often it wrote a row: it is newer, or the hub's row stays as it is.
    fn judge_counted(&self, place: Place, mut incoming: Incoming) -> rusqlite::Result<PushResult> {
        let PushChange { entity_type, entity_id, .. } = self.change;
        let version = self.extra.sync_version.unwrap_or(0);
        let head = log::head_at(self.tx, place, "", None, 0)?;
        incoming.base_version = Some(place.version);
        if version <= place.writes || head.row.is_none() {
            let decision = merge::keep(&head, &incoming);
            return self.carry_out(&Judged { place, head: &head, base: None, incoming: &incoming }, decision);
        }
        let knows_head =
            self.extra.known_mark.as_ref().is_none_or(|mark| *mark == version_mark(entity_type, entity_id, place.version));
        if !knows_head {
            // It counted on from a version that others have written since.
            incoming.base_version = None;
        }
        let merging = Merging { policy: Policy::Client, ..Merging::default() };
        let decision = decide(Some(&head), None, &incoming, &merging);
        let result = self.carry_out(&Judged { place, head: &head, base: None, incoming: &incoming }, decision)?;
        log::raise_writes(self.tx, entity_type, entity_id, version)?;
        Ok(result)
    }

    fn judge_known(&self, place: Place, incoming: &Incoming) -> rusqlite::Result<PushResult> {
        let head = self.head_at(place, incoming.base_version)?;
        let base = match incoming.base_version {
            Some(version) if version < place.version => log::row_at(self.tx, self.change, place, version)?,
            _ => None,
        };
        let merging = self.batch.policies.get(&self.change.entity_type).cloned().unwrap_or_default();
        let decision = decide(Some(&head), base.as_ref(), incoming, &merging);
        self.carry_out(&Judged { place, head: &head, base: base.as_ref(), incoming }, decision)
    }

    fn carry_out(&self, judged: &Judged, decision: Decision) -> rusqlite::Result<PushResult> {
        let Judged { place, head, incoming, .. } = *judged;
        match decision {
            Decision::Duplicate => self.answer_duplicate(head, incoming),
            Decision::Apply { .. } if head.row.is_none() && self.is_stale(place, incoming)? => self.answer_stale(head),
            Decision::Apply { operation, row, at_ms, disputes } => {
                let data = row.as_ref().map(Row::to_json);
                let id = self.append(operation, data.as_deref(), at_ms, false, Some(place.version))?;
                let conflict = self.note_disputes(judged, id, &disputes, row.as_ref())?;
                Ok(with_conflict(self.result(Verdict::Applied, Some(id)), conflict))
            }
            Decision::Merge { row, at_ms, disputes } => {
                let id = self.append(Operation::Update, Some(&row.to_json()), at_ms, true, Some(place.version))?;
                let conflict = self.note_disputes(judged, id, &disputes, Some(&row))?;
                Ok(with_conflict(self.with_row(Verdict::Merged, id, Some(&row))?, conflict))
            }
            Decision::Keep { disputes } => {
                if let Some(event_id) = &self.change.event_id {
                    log::note_repeated(self.tx, event_id, head.version, true)?;
                }
                let conflict = self.note_disputes(judged, head.version, &disputes, head.row.as_ref())?;
                Ok(with_conflict(self.with_server_row(Verdict::Merged, Some(head))?, conflict))
            }
            // A register that brings the row as it was before somebody changed it has only not heard of the change.
            Decision::Conflict { .. }
                if incoming.operation == Operation::Create && log::was_once(self.tx, place, &incoming.row)? =>
            {
                self.answer_duplicate(head, incoming)
            }
            Decision::Conflict { reason, disputes } => {
                let conflict = self.note(judged, place.version, &disputes, Outcome::Pending(reason), None)?;
                let result = self.with_server_row(Verdict::Conflict, Some(head))?;
                Ok(with_conflict(PushResult { error: Some(reason.to_owned()), ..result }, conflict))
            }
        }
    }

    /// A client of the original protocol names neither event nor base: its cursor says what it had seen, and the later
    /// arrival wins.
    fn incoming(&self, row: Row, before: Row) -> Incoming {
        let (arbiter, known_by_cursor) = match self.change.event_id {
            Some(_) if self.batch.by_time => (Arbiter::Time, Some(self.seen)),
            Some(_) => (Arbiter::Person, None),
            None => (Arbiter::Arrival, Some(self.batch.cursor_id)),
        };
        Incoming {
            operation: self.change.operation,
            base_version: self.change.base_version.or(known_by_cursor),
            updated_fields: self.change.updated_fields.clone(),
            row,
            before,
            writer: self.writer(),
            arbiter,
        }
    }

    /// Who made the change, and when by this hub's clock. What a client of the original protocol says of its time is not believed.
    fn writer(&self) -> Writer {
        let Batch { device_id, now_ms, skew_ms, .. } = self.batch;
        let claimed = if self.change.event_id.is_some() { self.change.timestamp.saturating_add(*skew_ms) } else { *now_ms };
        Writer { device: device_id.clone(), manager: self.manager, at_ms: written_at(claimed, *now_ms) }
    }

    /// Whether a register brings a row as it was before somebody deleted it, so that it has only not heard of the delete.
    fn is_stale(&self, place: Place, incoming: &Incoming) -> rusqlite::Result<bool> {
        let is_new_here =
            incoming.operation == Operation::Create && incoming.base_version.is_none() && incoming.arbiter.knows_times();
        Ok(is_new_here && log::was_once(self.tx, place, &incoming.row)?)
    }

    fn answer_stale(&self, head: &Head) -> rusqlite::Result<PushResult> {
        if let Some(event_id) = &self.change.event_id {
            log::note_repeated(self.tx, event_id, head.version, true)?;
        }
        self.with_server_row(Verdict::Merged, Some(head))
    }

    /// The hub has all that the client sends; what the client lacks is told to it.
    fn answer_duplicate(&self, head: &Head, incoming: &Incoming) -> rusqlite::Result<PushResult> {
        let lacks = head.row.as_ref().is_some_and(|row| !row.same_as(&incoming.row)) && incoming.operation != Operation::Delete;
        if let Some(event_id) = &self.change.event_id {
            log::note_repeated(self.tx, event_id, head.version, lacks)?;
        }
        if lacks && incoming.arbiter.knows_times() {
            return self.with_server_row(Verdict::Merged, Some(head));
        }
        Ok(self.result(Verdict::Duplicate, Some(head.version)))
    }

    fn append(
        &self,
        operation: Operation,
        data: Option<&str>,
        at_ms: i64,
        merged: bool,
        previous: Option<i64>,
    ) -> rusqlite::Result<i64> {
        let entry = Entry {
            entity_type: &self.change.entity_type,
            entity_id: &self.change.entity_id,
            event_id: self.change.event_id.as_ref(),
            timestamp: self.change.timestamp,
            writer: &Writer { at_ms, ..self.writer() },
            operation,
            data,
            merged,
            previous,
            resolves: None,
            restored: self.change.restored.filter(|_| !merged),
            now_ms: self.batch.now_ms,
        };
        log::append(self.tx, &entry)
    }

    fn note_disputes(
        &self,
        judged: &Judged,
        id: i64,
        disputes: &[Dispute],
        result: Option<&Row>,
    ) -> rusqlite::Result<Option<Conflict>> {
        if disputes.is_empty() {
            return Ok(None);
        }
        self.note(judged, id, disputes, Outcome::of(disputes), result)
    }

    fn note(
        &self,
        judged: &Judged,
        change_log_id: i64,
        disputes: &[Dispute],
        outcome: Outcome,
        result: Option<&Row>,
    ) -> rusqlite::Result<Option<Conflict>> {
        let Judged { head, base, incoming, .. } = *judged;
        // What the register saw is closer to its change than what it had from the hub.
        let mut seen = base.cloned().unwrap_or_default();
        for (name, value) in incoming.before.iter() {
            seen.set(name, value.clone());
        }
        let base = (!seen.is_empty()).then_some(&seen);
        let id = conflicts::add(
            self.tx,
            &NewConflict {
                change: self.change,
                base_version: incoming.base_version,
                base,
                client: &incoming.writer,
                change_log_id,
                server: head.row.as_ref(),
                server_writer: head.since.last().map(|entry| &entry.writer),
                disputes,
                outcome,
                result,
                now_ms: self.batch.now_ms,
            },
        )?;
        conflicts::get(self.tx, id)
    }

    fn result(&self, status: Verdict, version: Option<i64>) -> PushResult {
        PushResult { id: self.change.id, status, version, server_data: None, error: None, conflict: None }
    }

    fn rejected(&self, reason: String) -> PushResult {
        PushResult { error: Some(reason), ..self.result(Verdict::Rejected, None) }
    }

    fn with_server_row(&self, status: Verdict, head: Option<&Head>) -> rusqlite::Result<PushResult> {
        match head {
            Some(head) => self.with_row(status, head.version, head.row.as_ref()),
            None => Ok(self.result(status, None)),
        }
    }

    fn with_row(&self, status: Verdict, version: i64, row: Option<&Row>) -> rusqlite::Result<PushResult> {
        let server_data = row.map(|row| RawValue::from_string(row.to_json())).transpose().map_err(|_| log::damaged(0, "data"))?;
        Ok(PushResult { server_data, ..self.result(status, Some(version)) })
    }
}

fn with_conflict(result: PushResult, conflict: Option<Conflict>) -> PushResult {
    PushResult { conflict: conflict.map(Box::new), ..result }
}
