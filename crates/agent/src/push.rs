//! Push: outbox → server. A batch is marked as sent before it goes, so that after a crash nobody takes it for unsent; every change
//! gets its own verdict.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use rusqlite::{Connection, Transaction};
use tillsync_core::arrival;
use tillsync_core::change::{Operation, Verdict};
use tillsync_core::clock::by_one_clock;
use tillsync_core::policy::Policies;
use tillsync_core::row::Row;
use tillsync_core::sync::{Pushed, Trouble};
use tillsync_core::window::Happening;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::clock::now_ms;
use crate::refill::Refill;
use crate::remote::{Answer, Outgoing, PushContext, PushReply};
use crate::state::outbox::{Entry, Standing};
use crate::state::{activity, again, conflicts, inbox, marks, outbox, refill, shadow};
use crate::store::schema::Schema;
use crate::upload::Upload;
use crate::window::called;

/// The largest batch that the hub takes and that still gets through a slow line in good time.
pub const BATCH_MAX: u32 = 2_000;

/// A batch stops growing at this many bytes of rows (one row may exceed it).
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Parked changes looked at when deciding what waits behind them.
const STUCK_MAX: u32 = 10_000;

/// Entries read at a time while looking for ones that may be sent.
const READ_AHEAD: u32 = 1_000;

/// What is about to be sent.
#[derive(Debug)]
enum Batch {
    /// From the outbox, by outbox id.
    Changes(Vec<i64>),
    /// Rows of the first full sync.
    Upload(Upload),
    /// What the register has in columns that came, and the server does not.
    Refill(Refill),
}

/// What to do next.
enum Next {
    /// Send this, and say that it is this time; see [`PushContext::sent_at_ms`].
    Batch(Batch, Vec<Outgoing>, Option<i64>),
    /// Everything is sent.
    Nothing,
}

impl Agent {
    /// Sends the next batch: waiting changes first, then rows of the first full sync.
    pub async fn push(&self, changes_max: u32) -> Result<Pushed, AgentError> {
        let Some((device_id, cursor)) = self.identity()? else {
            return Ok(Pushed::Trouble(Trouble::Unauthorized("this register is not enrolled".to_owned())));
        };
        if self.foreign.is_some() {
            return self.push_past_hub(&device_id, cursor, changes_max).await;
        }
        let refill = match self.refill(&device_id, changes_max).await? {
            Ok(refill) => refill,
            Err(trouble) => return Ok(Pushed::Trouble(trouble)),
        };
        let more = refill.is_some();
        if let Some((refill, outgoing)) = refill.filter(|(_, outgoing)| !outgoing.is_empty()) {
            let sent_at_ms = Some(self.clock.now_ms());
            return self.send(&device_id, cursor, (Batch::Refill(refill), outgoing, sent_at_ms)).await;
        }
        let batch = match tokio::task::block_in_place(|| self.next_batch(changes_max))? {
            Next::Batch(batch, outgoing, sent_at_ms) => (batch, outgoing, sent_at_ms),
            // With the first full sync over new columns may be looked at.
            Next::Nothing if more || self.must_refill()? => return Ok(Pushed::Done { more: true, took_ms: 0 }),
            Next::Nothing => return Ok(Pushed::Nothing),
        };
        self.send(&device_id, cursor, batch).await
    }

    /// To a server that is no hub nothing goes before everything that it has is here: what is there already is not sent again.
    async fn push_past_hub(&self, device_id: &str, cursor: i64, changes_max: u32) -> Result<Pushed, AgentError> {
        if !marks::get(self.state().conn(), marks::CAUGHT_UP)?.unwrap_or(false) && !self.is_restoring()? {
            return Ok(Pushed::Later);
        }
        match tokio::task::block_in_place(|| self.next_batch(changes_max))? {
            Next::Batch(batch, outgoing, sent_at_ms) => self.send(device_id, cursor, (batch, outgoing, sent_at_ms)).await,
            Next::Nothing => Ok(Pushed::Nothing),
        }
    }

    async fn send(
        &self,
        device_id: &str,
        cursor: i64,
        (batch, outgoing, sent_at_ms): (Batch, Vec<Outgoing>, Option<i64>),
    ) -> Result<Pushed, AgentError> {
        self.faults.point("batch marked")?;
        let started = Instant::now();
        let restored_up_to = marks::get(self.state().conn(), marks::RESTORED_UP_TO)?;
        let context = PushContext { cursor, policies: self.policies_of(&outgoing), sent_at_ms, restored_up_to };
        let reply = match &self.foreign {
            Some(foreign) => self.push_foreign(foreign, device_id, &outgoing).await?,
            None => self.remote.push(device_id, context, &outgoing).await,
        };
        self.faults.point("batch answered")?;
        if matches!(reply, PushReply::Trouble(Trouble::Unauthorized(_))) && self.rekey_expired().await? {
            // The same batch goes again with the new key.
            self.stand_all(&batch, Standing::Unknown)?;
            return Ok(Pushed::Done { more: true, took_ms: 0 });
        }
        tokio::task::block_in_place(|| self.record_reply(&batch, &outgoing, reply, started.elapsed().as_millis() as i64))
    }

    /// The device id and the cursor, once the register is enrolled. A copy has no right to them.
    pub(crate) fn identity(&self) -> Result<Option<(String, i64)>, AgentError> {
        if let Some(problem) = self.copied()? {
            return Err(AgentError::Problem(problem));
        }
        let state = self.state();
        let device_id: Option<String> = marks::get(state.conn(), marks::DEVICE_ID)?;
        let cursor = marks::get(state.conn(), marks::CURSOR)?.unwrap_or(0);
        Ok(device_id.map(|id| (id, cursor)))
    }

    /// How the entities of a batch are merged, as far as it is not the default.
    fn policies_of(&self, outgoing: &[Outgoing]) -> Policies {
        let tables: BTreeMap<&str, &str> =
            outgoing.iter().map(|change| (change.entity_type.as_str(), change.entity.as_str())).collect();
        let merged = tables.into_iter().map(|(entity_type, table)| (entity_type.to_owned(), self.config.table(table).merging()));
        merged.filter(|(_, merging)| !merging.is_default()).collect()
    }

    fn next_batch(&self, changes_max: u32) -> Result<Next, AgentError> {
        let schema = self.ready_store()?.schema.clone();
        let mut entries = self.select(&schema, changes_max)?;
        if entries.is_empty() {
            // A restored store holds rows as they were: those that the server has newer come first.
            let upload = if self.is_restoring()? { None } else { self.next_upload(changes_max)? };
            if let Some((upload, outgoing)) = upload {
                let sent_at_ms = outgoing.first().map_or_else(|| self.clock.now_ms(), |change| change.at_ms);
                return Ok(Next::Batch(Batch::Upload(upload), outgoing, Some(sent_at_ms)));
            }
            // Rows that the full sync found changed are in the outbox now.
            entries = self.select(&schema, changes_max)?;
        }
        if entries.is_empty() {
            return Ok(Next::Nothing);
        }
        let mut ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
        let mut state = self.state();
        let tx = state.write()?;
        // Times and clock are read under one lock: in between the clock may be put right, and the times with it.
        let unsure_from = marks::get(&tx, marks::CLOCK_UNSURE)?;
        let (many, by_own_clock) = by_one_clock(self.clock.is_sure(), unsure_from, &ids);
        let many = many.min(alike(&ids, marks::get(&tx, marks::LOST_UP_TO)?.unwrap_or(0)));
        ids.truncate(many);
        entries.truncate(many);
        let sent_at_ms = by_own_clock.then(|| self.clock.now_ms());
        let mut batch = Vec::with_capacity(entries.len());
        let captured_at = outbox::mark_sent(&tx, &ids)?;
        for entry in entries {
            let at_ms = captured_at.get(&entry.id).copied().unwrap_or(entry.at_ms);
            batch.push(outgoing(&tx, &schema, Entry { at_ms, ..entry })?);
        }
        tx.commit()?;
        Ok(Next::Batch(Batch::Changes(ids), batch, sent_at_ms))
    }

    /// The next changes in order. What is about a row with a parked change waits behind it, and so do children of such a row; and in a table
    /// to which columns came, what is about rows that were there before waits until it is known what the server holds in them. That may be
    /// when the first full sync is over; new sales do not wait for it.
    pub(crate) fn select(&self, schema: &Schema, changes_max: u32) -> Result<Vec<Entry>, AgentError> {
        let state = self.state();
        let mut blocked: HashSet<(String, String)> =
            outbox::stuck(state.conn(), STUCK_MAX)?.into_iter().map(|entry| (entry.entity, entry.key)).collect();
        let refilling = refill::unasked(state.conn())?;
        let mut waiting = HashSet::new();
        let mut selected = Vec::new();
        let mut bytes = 0;
        let mut after = 0;
        loop {
            let entries = outbox::sendable(state.conn(), after, changes_max.min(READ_AHEAD))?;
            let Some(last) = entries.last() else { return Ok(selected) };
            after = last.id;
            for entry in entries {
                if refilling.contains(&entry.entity) && schema.table(&entry.entity).is_some() {
                    let key = (entry.entity.clone(), entry.key.clone());
                    if entry.operation != Operation::Create || waiting.contains(&key) {
                        waiting.insert(key);
                        continue;
                    }
                }
                if !blocked.is_empty() && is_blocked_entry(schema, &blocked, &entry) {
                    blocked.insert((entry.entity, entry.key));
                    continue;
                }
                bytes += entry.data.len();
                if !selected.is_empty() && (bytes > BATCH_BYTES_MAX || selected.len() >= changes_max as usize) {
                    return Ok(selected);
                }
                selected.push(entry);
            }
        }
    }

    fn record_reply(&self, batch: &Batch, outgoing: &[Outgoing], reply: PushReply, took_ms: i64) -> Result<Pushed, AgentError> {
        match reply {
            PushReply::Answers(answers, heard) => {
                self.hear(&heard)?;
                self.record_answers(batch, outgoing, &answers)?;
                self.faults.point("verdicts recorded")?;
                self.server_answers()?;
                Ok(Pushed::Done { more: true, took_ms })
            }
            PushReply::Refused(why) if outgoing.len() > 1 => {
                tracing::warn!(changes = outgoing.len(), why, "batch refused");
                self.stand_all(batch, Standing::Waiting)?;
                Ok(Pushed::Refused)
            }
            PushReply::Refused(why) => {
                let refused = Answer::only(Some(Verdict::Rejected), Some(why));
                self.record_answers(batch, outgoing, &[refused])?;
                Ok(Pushed::Done { more: true, took_ms })
            }
            PushReply::Later => {
                self.stand_all(batch, Standing::Waiting)?;
                self.pull_anew.store(true, std::sync::atomic::Ordering::Relaxed);
                Ok(Pushed::Later)
            }
            PushReply::Trouble(trouble) => {
                self.stand_all(batch, Standing::Unknown)?;
                Ok(Pushed::Trouble(trouble))
            }
        }
    }

    fn stand_all(&self, batch: &Batch, standing: Standing) -> Result<(), AgentError> {
        let Batch::Changes(ids) = batch else { return Ok(()) };
        let mut state = self.state();
        let tx = state.write()?;
        for id in ids {
            outbox::set_standing(&tx, *id, standing, None)?;
        }
        Ok(tx.commit()?)
    }

    fn record_answers(&self, batch: &Batch, outgoing: &[Outgoing], answers: &[Answer]) -> Result<(), AgentError> {
        let store = self.store();
        let mut state = self.state();
        let tx = state.write()?;
        let now = now_ms();
        match batch {
            Batch::Changes(ids) => {
                for ((id, change), answer) in ids.iter().zip(outgoing).zip(answers) {
                    record_answer(&tx, &store, *id, change, answer, now)?;
                }
            }
            Batch::Upload(upload) => upload.record(&tx, &store, outgoing, answers, now)?,
            Batch::Refill(refill) => refill.record(&tx, &store, outgoing, answers, now)?,
        }
        let stored = answers.iter().filter(|answer| answer.verdict.is_some_and(is_stored)).count();
        marks::add(&tx, marks::SENT, stored as i64)?;
        activity::count(&tx, Happening::Sent, stored as u64, now)?;
        tx.commit()?;
        tracing::info!(sent = outgoing.len(), stored, "pushed");
        self.inbox_due.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

/// How many of these changes, in order, stand on the same side of a restore: what came after it knows nothing of what came before.
fn alike(ids: &[i64], lost_up_to: i64) -> usize {
    let before = ids.iter().take_while(|id| **id <= lost_up_to).count();
    if before > 0 { before } else { ids.len() }
}

/// Whether the server has the change, in whatever way.
pub(crate) fn is_stored(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Applied | Verdict::Duplicate | Verdict::Merged)
}

fn outgoing(conn: &Connection, schema: &Schema, entry: Entry) -> Result<Outgoing, AgentError> {
    let number = shadow::entity_number(conn, &entry.entity)?;
    let restored = number.map(|number| again::version(conn, number, &entry.key)).transpose()?.flatten();
    // What the POS deleted or made since is told as such.
    let restored = restored.filter(|_| entry.updated_fields.is_some() || is_lost_delete(&entry));
    let kept = number.map(|number| shadow::get(conn, number, &entry.key)).transpose()?.flatten();
    let base_version = kept.map(|kept| kept.version()).filter(|version| *version > 0);
    Ok(Outgoing {
        event_id: entry.event_id,
        entity_type: schema.table(&entry.entity).map_or_else(|| entry.entity.clone(), |table| table.entity.clone()),
        entity: entry.entity,
        key: entry.key,
        operation: entry.operation,
        data: entry.data,
        updated_fields: entry.updated_fields,
        before: entry.before,
        renamed: BTreeMap::new(),
        base_version,
        restored,
        at_ms: entry.at_ms,
    })
}

/// Whether a delete is told again that a restored server has lost.
fn is_lost_delete(entry: &Entry) -> bool {
    entry.operation == Operation::Delete && entry.at_ms == outbox::NOBODYS_MS
}

fn is_blocked_entry(schema: &Schema, blocked: &HashSet<(String, String)>, entry: &Entry) -> bool {
    let row = serde_json::from_str(&entry.data).unwrap_or_default();
    is_blocked(schema, blocked, &entry.entity, &entry.key, &row)
}

/// Whether a row waits behind others: it is one of them, or refers to one.
pub(crate) fn is_blocked(schema: &Schema, blocked: &HashSet<(String, String)>, table: &str, key: &str, row: &Row) -> bool {
    if blocked.contains(&(table.to_owned(), key.to_owned())) {
        return true;
    }
    let Some(table) = schema.table(table) else { return false };
    table.parents.iter().any(|reference| {
        let id = schema.table(&reference.table).and_then(|parent| table.parent_id(parent, reference, row));
        id.is_some_and(|id| blocked.contains(&(reference.table.clone(), id)))
    })
}

fn record_answer(
    tx: &Transaction<'_>,
    store: &StoreSide,
    id: i64,
    change: &Outgoing,
    answer: &Answer,
    now: i64,
) -> Result<(), AgentError> {
    let Some(verdict) = answer.verdict else {
        return Ok(outbox::set_standing(tx, id, Standing::Unknown, None)?);
    };
    if verdict == Verdict::Conflict && is_outdated(tx, change, answer)? {
        return Ok(outbox::set_standing(tx, id, Standing::Unknown, None)?);
    }
    conflicts::note(tx, change, answer, now)?;
    is_back(tx, store, change)?;
    let is_lost = id <= marks::get(tx, marks::LOST_UP_TO)?.unwrap_or(0);
    if is_lost && is_stored(verdict) {
        marks::raise(tx, marks::RESTORED_UP_TO, answer.version.unwrap_or(0))?;
    }
    match verdict {
        Verdict::Applied | Verdict::Duplicate => {
            outbox::confirm(tx, id, answer.version, now)?;
            if is_lost {
                // The store has lost it, and a pull may not bring it: it comes back from here.
                let data = Some(change.data.clone()).filter(|_| change.operation != Operation::Delete);
                hold_row(tx, change, answer.version, data, now)?;
            } else {
                settle_version(tx, store, change, answer.version)?;
            }
        }
        Verdict::Merged => {
            outbox::confirm(tx, id, answer.version, now)?;
            hold_merged_row(tx, store, change, answer, now)?;
        }
        Verdict::Conflict => {
            outbox::set_conflict(tx, id, answer.conflict.as_ref().map(|conflict| conflict.id), answer.reason.as_deref())?;
            hold_server_row(tx, change, answer, now)?;
        }
        Verdict::Rejected => {
            tracing::warn!(entity = change.entity, reason = answer.reason, "change refused by the server");
            outbox::set_standing(tx, id, Standing::Parked, answer.reason.as_deref())?;
            activity::note_row(tx, Happening::Parked, &change.entity, &called(Some(&change.data), &change.key), now)?;
        }
    }
    Ok(())
}

/// Whether a pull was faster than the answer and may have brought what a person decided about the conflict. The server is asked again.
pub(crate) fn is_outdated(conn: &Connection, change: &Outgoing, answer: &Answer) -> Result<bool, AgentError> {
    Ok(arrival::is_outdated(answer.version, inbox::version(conn, &change.entity, &change.key)?))
}

/// Whatever the server has lost of the row, it has judged it now.
pub(crate) fn is_back(tx: &Transaction<'_>, store: &StoreSide, change: &Outgoing) -> Result<(), AgentError> {
    let entity = store.entities.get(&change.entity);
    Ok(entity.map_or(Ok(()), |entity| again::remove(tx, entity.number, &change.key))?)
}

/// The row is on the server in this version, with nothing in it that the register does not have.
pub(crate) fn settle_version(
    tx: &Transaction<'_>,
    store: &StoreSide,
    change: &Outgoing,
    version: Option<i64>,
) -> Result<(), AgentError> {
    let (Some(entity), Some(version)) = (store.entities.get(&change.entity), version) else { return Ok(()) };
    let is_here = shadow::set_version(tx, entity.number, &change.key, version, change.base_version)?;
    // A restored store has lost what it had yet to send; what a pull brought of it meanwhile is all that there is.
    if is_here { Ok(inbox::release(tx, &change.entity, &change.key, version)?) } else { Ok(()) }
}

/// The server has the row, together with what others changed.
pub(crate) fn hold_merged_row(
    tx: &Transaction<'_>,
    store: &StoreSide,
    change: &Outgoing,
    answer: &Answer,
    now: i64,
) -> Result<(), AgentError> {
    if let (Some(entity), Some(version)) = (store.entities.get(&change.entity), answer.version) {
        shadow::await_merged(tx, entity.number, &change.key, version)?;
    }
    hold_server_row(tx, change, answer, now)
}

/// The server's row goes to the inbox and reaches the store when the register has nothing unsent about it.
pub(crate) fn hold_server_row(tx: &Transaction<'_>, change: &Outgoing, answer: &Answer, now: i64) -> Result<(), AgentError> {
    hold_row(tx, change, answer.version, answer.server_data.clone(), now)
}

fn hold_row(
    tx: &Transaction<'_>,
    change: &Outgoing,
    version: Option<i64>,
    data: Option<String>,
    now: i64,
) -> Result<(), AgentError> {
    let Some(change_id) = version else { return Ok(()) };
    let held = inbox::Entry {
        entity: change.entity.clone(),
        key: change.key.clone(),
        change_id,
        operation: if data.is_some() { Operation::Update } else { Operation::Delete },
        data,
        reason: inbox::Reason::Local,
        detail: None,
    };
    Ok(inbox::hold(tx, &held, now)?)
}
