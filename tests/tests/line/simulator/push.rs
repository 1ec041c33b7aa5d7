//! Push: outbox → hub, waiting changes first, then rows of the first full sync.

use tillsync_core::arrival;
use tillsync_core::change::{Operation, Verdict};
use tillsync_core::clock::by_one_clock;
use tillsync_core::kept::{Kept, is_with_server};
use tillsync_core::print::row_print;
use tillsync_core::row::Row;

use super::capture::Seen;
use super::hub::{Answer, Outgoing};
use super::refill::Refill;
use super::register::Register;
use super::shop::{Key, Table};
use super::state::{Change, EventId, Held, Standing};

/// What is on its way.
#[derive(Clone, Debug)]
pub enum Batch {
    /// From the outbox, by place.
    Changes(Vec<usize>),
    /// A stretch of a table in the first full sync.
    Upload { table: Table, position: String, rows: Vec<(Key, Row)> },
    /// A question: what the hub has in columns that came.
    Question(Refill),
    /// What the register has in columns that came, and the hub does not.
    Refill(Refill, Vec<(Key, Row)>),
}

impl Register {
    /// The next batch, marked as sent.
    pub fn next_batch(&mut self, changes_max: usize, now: i64) -> Option<(Batch, Vec<Outgoing>, Option<i64>)> {
        self.learn_applied();
        let mut places = self.state.sendable();
        if places.is_empty() {
            // A restored store holds rows as they were: those that the hub has newer come first.
            let upload = if self.state.pull_own { None } else { self.next_upload(changes_max, now) };
            if let Some(upload) = upload {
                let (batch, outgoing) = upload;
                return Some((batch, outgoing, Some(self.hub_clock_ms(now))));
            }
            places = self.state.sendable();
        }
        if places.is_empty() {
            return None;
        }
        places.truncate(changes_max);
        let numbers: Vec<i64> = places.iter().map(|place| *place as i64).collect();
        let (many, by_own_clock) = by_one_clock(self.agent().clock.is_sure(), self.state.clock_unsure_from, &numbers);
        places.truncate(many);
        // What came after a restore knows nothing of what came before.
        let lost = places.iter().take_while(|place| **place < self.state.lost_before).count();
        places.truncate(if lost > 0 { lost } else { places.len() });
        let sent_at = by_own_clock.then(|| self.hub_clock_ms(now));
        for &place in &places {
            self.state.stand(place, Standing::Sent);
        }
        let outgoing = places.iter().map(|&place| self.outgoing(self.state.change(place))).collect();
        Some((Batch::Changes(places), outgoing, sent_at))
    }

    fn outgoing(&self, change: &Change) -> Outgoing {
        let base_version = Some(self.state.version(&change.key)).filter(|version| *version > 0);
        let Change { event, key, operation, row, updated_fields, before, at_ms, captured, .. } = change.clone();
        Outgoing { event, key, operation, row, updated_fields, before, base_version, at_ms, captured }
    }

    fn next_upload(&mut self, rows_max: usize, now: i64) -> Option<(Batch, Vec<Outgoing>)> {
        for table in self.store.schema.tables().collect::<Vec<_>>() {
            while !self.state.uploads.entry(table).or_default().finished {
                let position = self.state.uploads[&table].position.clone();
                let found = self.store.rows_after(table, position.as_deref(), rows_max);
                let Some((last, _)) = found.last() else {
                    self.state.uploads.entry(table).or_default().finished = true;
                    self.agent().inbox_due = true;
                    break;
                };
                let position = last.1.clone();
                let mut identity = self.identity();
                let mut rows: Vec<(Key, Row)> = found.iter().map(|(place, row)| identity.wire(place, row)).collect();
                let named = identity.named;
                self.state.ids.remember(named);
                if self.shop.is_counted(table) {
                    rows.iter().for_each(|(key, _)| self.state.ids.seen(key, None));
                }
                rows.retain(|(key, _)| !is_with_server(self.state.shadow.get(key), self.state.has_unsent(key)));
                rows.retain(|(key, row)| match self.state.shadow.get(key) {
                    None => {
                        let kept = Kept::uploaded(row, self.state.columns(key.0));
                        self.state.shadow.insert(key.clone(), kept);
                        true
                    }
                    // An earlier try carried the row as it was: what the POS did since is a change.
                    Some(_) => !self.record_look(key.clone(), Some(row.clone()), Seen::ByScan, now),
                });
                if rows.is_empty() {
                    self.state.uploads.entry(table).or_default().position = Some(position);
                    continue;
                }
                let outgoing = rows.iter().map(|(key, row)| self.as_upload(key, row, now)).collect();
                return Some((Batch::Upload { table, position, rows }, outgoing));
            }
        }
        None
    }

    fn as_upload(&mut self, key: &Key, row: &Row, now: i64) -> Outgoing {
        let at_ms = self.hub_clock_ms(now);
        Outgoing {
            event: EventId::Uploaded(self.state.uploader, key.clone(), row_print(row)),
            key: key.clone(),
            operation: Operation::Create,
            row: row.clone(),
            updated_fields: None,
            before: Row::default(),
            base_version: None,
            at_ms,
            captured: Some(now),
        }
    }

    /// Moves all changes of a batch.
    pub fn stand_all(&mut self, batch: &Batch, standing: Standing) {
        let Batch::Changes(places) = batch else { return };
        for &place in places {
            self.state.stand(place, standing);
        }
    }

    /// Notes the verdicts, all in one commit.
    pub fn record_answers(&mut self, batch: &Batch, answers: Vec<Answer>) {
        match batch {
            Batch::Changes(places) => {
                for (&place, answer) in places.iter().zip(answers) {
                    self.record_answer(place, answer);
                }
            }
            Batch::Upload { table, position, rows } => {
                if self.record_rows(rows, answers) {
                    self.state.uploads.entry(*table).or_default().position = Some(position.clone());
                }
            }
            Batch::Refill(refill, rows) => {
                self.see_sent(refill, rows);
                if self.record_rows(rows, answers) {
                    self.advance_refill(refill);
                }
            }
            Batch::Question(_) => unreachable!("a question has no verdicts"),
        }
        self.agent().inbox_due = true;
    }

    /// Notes the verdicts about rows that went past the outbox. Says whether all of them are done with.
    fn record_rows(&mut self, rows: &[(Key, Row)], answers: Vec<Answer>) -> bool {
        let mut outdated = false;
        for ((key, row), answer) in rows.iter().zip(answers) {
            if self.is_outdated(key, &answer) {
                outdated = true;
            } else {
                self.record_uploaded(key, row, answer);
            }
        }
        !outdated
    }

    fn record_answer(&mut self, place: usize, answer: Answer) {
        let key = self.state.change(place).key.clone();
        if self.is_outdated(&key, &answer) {
            return self.state.stand(place, Standing::Unknown);
        }
        self.state.note_conflict(&key, answer.conflict);
        let is_lost = place < self.state.lost_before;
        if is_lost && answer.verdict != Verdict::Conflict {
            self.state.restored_up_to = self.state.restored_up_to.max(answer.version.unwrap_or(0));
        }
        match answer.verdict {
            Verdict::Applied | Verdict::Duplicate => {
                self.state.stand(place, Standing::Confirmed);
                if is_lost {
                    // The store has lost it, and a pull may not bring it: it comes back from here.
                    let change = self.state.change(place);
                    let row = Some(change.row.clone()).filter(|_| change.operation != Operation::Delete);
                    self.hold_server_row(&key, Answer { server_row: row, ..answer });
                } else {
                    self.settle_version(&key, answer.version);
                }
            }
            Verdict::Merged => {
                self.state.stand(place, Standing::Confirmed);
                self.hold_merged_row(&key, answer);
            }
            Verdict::Conflict => {
                self.state.set_conflict(place, answer.conflict.map(|(id, _)| id));
                self.hold_server_row(&key, answer);
            }
            Verdict::Rejected => unreachable!("the simulated hub rejects nothing"),
        }
    }

    /// Whether a pull was faster than a conflict's answer and has brought a newer version of the row: the hub is asked again.
    fn is_outdated(&self, key: &Key, answer: &Answer) -> bool {
        let waiting = self.state.inbox.get(key).map(|held| held.change_id);
        answer.verdict == Verdict::Conflict && arrival::is_outdated(answer.version, waiting)
    }

    fn record_uploaded(&mut self, key: &Key, row: &Row, answer: Answer) {
        match answer.verdict {
            Verdict::Applied | Verdict::Duplicate => self.settle_version(key, answer.version),
            Verdict::Merged => self.hold_merged_row(key, answer),
            Verdict::Conflict => self.park_upload(key, row, answer),
            Verdict::Rejected => unreachable!("the simulated hub rejects nothing"),
        }
    }

    /// A row that the hub does not take becomes a change in the outbox, where people look for such.
    fn park_upload(&mut self, key: &Key, row: &Row, answer: Answer) {
        self.events += 1;
        self.state.note_conflict(key, answer.conflict);
        self.state.add(Change {
            event: EventId::Captured(self.number, self.events),
            key: key.clone(),
            operation: Operation::Create,
            row: row.clone(),
            updated_fields: None,
            before: Row::default(),
            standing: Standing::Conflict,
            at_ms: 0,
            captured: None,
            conflict: answer.conflict.map(|(id, _)| id),
        });
        self.hold_server_row(key, answer);
    }

    /// The row is on the hub in this version, with nothing in it that the register does not have.
    fn settle_version(&mut self, key: &Key, version: Option<i64>) {
        let Some(version) = version else { return };
        // A restored store has lost what it had yet to send; what a pull brought of it meanwhile is all that there is.
        if self.state.confirm(key, version) {
            self.state.release(key, version);
        }
    }

    /// The hub has the row, together with what others changed.
    fn hold_merged_row(&mut self, key: &Key, answer: Answer) {
        if let Some(kept) = self.state.shadow.get_mut(key) {
            kept.await_merged(answer.version.unwrap_or(0));
        }
        self.hold_server_row(key, answer);
    }

    /// The hub's row goes to the inbox and reaches the store when the register has nothing unsent about it.
    fn hold_server_row(&mut self, key: &Key, answer: Answer) {
        if let Some(change_id) = answer.version {
            self.state.hold(key, Held { change_id, row: answer.server_row });
        }
    }
}
