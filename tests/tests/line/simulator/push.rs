//! Push: outbox → hub, waiting changes first, then rows of the first full sync.

use tillsync_core::change::{Operation, Verdict};
use tillsync_core::kept::{Kept, is_with_server};
use tillsync_core::print::row_print;
use tillsync_core::row::Row;

use super::hub::{Answer, Outgoing};
use super::register::Register;
use super::shop::{Key, Table};
use super::state::{Change, EventId, Held, Standing};
use super::store::Store;

/// What is on its way.
#[derive(Clone, Debug)]
pub enum Batch {
    /// From the outbox, by place.
    Changes(Vec<usize>),
    /// A stretch of a table in the first full sync.
    Upload { table: Table, position: String, rows: Vec<(Key, Row)> },
}

impl Register {
    /// The next batch, marked as sent.
    pub fn next_batch(&mut self, changes_max: usize) -> Option<(Batch, Vec<Outgoing>)> {
        self.learn_applied();
        let mut places = self.state.sendable();
        places.truncate(changes_max);
        if places.is_empty() {
            return self.next_upload(changes_max);
        }
        for &place in &places {
            self.state.stand(place, Standing::Sent);
        }
        let outgoing = places.iter().map(|&place| self.outgoing(self.state.change(place))).collect();
        Some((Batch::Changes(places), outgoing))
    }

    fn outgoing(&self, change: &Change) -> Outgoing {
        let base_version = Some(self.state.version(&change.key)).filter(|version| *version > 0);
        let Change { event, key, operation, row, updated_fields, at_ms, .. } = change.clone();
        Outgoing { event, key, operation, row, updated_fields, base_version, at_ms }
    }

    fn next_upload(&mut self, rows_max: usize) -> Option<(Batch, Vec<Outgoing>)> {
        for table in Store::tables() {
            while !self.state.uploads.entry(table).or_default().finished {
                let position = self.state.uploads[&table].position.clone();
                let found = self.store.rows_after(table, position.as_deref(), rows_max);
                let Some(((_, last), _)) = found.last() else {
                    self.state.uploads.entry(table).or_default().finished = true;
                    self.agent().inbox_due = true;
                    break;
                };
                let position = last.clone();
                let mut rows = found;
                rows.retain(|(key, _)| !is_with_server(self.state.shadow.get(key), self.state.has_unsent(key)));
                if rows.is_empty() {
                    self.state.uploads.entry(table).or_default().position = Some(position);
                    continue;
                }
                for (key, row) in &rows {
                    let uploaded = || Kept::uploaded(row, &key.0.columns());
                    self.state.shadow.entry(key.clone()).or_insert_with(uploaded);
                }
                let outgoing = rows.iter().map(|(key, row)| self.as_upload(key, row)).collect();
                return Some((Batch::Upload { table, position, rows }, outgoing));
            }
        }
        None
    }

    fn as_upload(&self, key: &Key, row: &Row) -> Outgoing {
        Outgoing {
            event: EventId::Uploaded(self.number, key.clone(), row_print(row)),
            key: key.clone(),
            operation: Operation::Create,
            row: row.clone(),
            updated_fields: None,
            base_version: None,
            at_ms: 0,
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
                for ((key, row), answer) in rows.iter().zip(answers) {
                    self.record_uploaded(key, row, answer);
                }
                self.state.uploads.entry(*table).or_default().position = Some(position.clone());
            }
        }
        self.agent().inbox_due = true;
    }

    fn record_answer(&mut self, place: usize, answer: Answer) {
        let key = self.state.change(place).key.clone();
        match answer.verdict {
            Verdict::Applied | Verdict::Duplicate => {
                self.state.stand(place, Standing::Confirmed);
                self.settle_version(&key, answer.version);
            }
            Verdict::Merged => {
                self.state.stand(place, Standing::Confirmed);
                self.hold_merged_row(&key, answer);
            }
            Verdict::Conflict => {
                self.state.stand(place, Standing::Conflict);
                self.hold_server_row(&key, answer);
            }
            Verdict::Rejected => unreachable!("the simulated hub rejects nothing"),
        }
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
        self.state.add(Change {
            event: EventId::Captured(self.number, self.events),
            key: key.clone(),
            operation: Operation::Create,
            row: row.clone(),
            updated_fields: None,
            standing: Standing::Conflict,
            at_ms: 0,
        });
        self.hold_server_row(key, answer);
    }

    /// The row is on the hub in this version, with nothing in it that the register does not have.
    fn settle_version(&mut self, key: &Key, version: Option<i64>) {
        let Some(version) = version else { return };
        self.state.confirm(key, version);
        self.state.release(key, version);
    }

    /// The hub has the row, together with what others changed.
    fn hold_merged_row(&mut self, key: &Key, answer: Answer) {
        if let Some(kept) = self.state.shadow.get_mut(key) {
            kept.await_merged();
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
