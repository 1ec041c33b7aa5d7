//! The simulated hub: the log, its heads and the conflict log, with the decisions of the core.

use std::collections::BTreeMap;

use tillsync_core::change::{Operation, Verdict};
use tillsync_core::merge::{self, Decision, Head, Incoming, Writer, decide};
use tillsync_core::policy::Merging;
use tillsync_core::row::Row;

use super::shop::Key;
use super::state::EventId;

/// A change on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub event: EventId,
    pub key: Key,
    pub operation: Operation,
    pub row: Row,
    pub updated_fields: Option<Vec<String>>,
    pub base_version: Option<i64>,
    pub at_ms: i64,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub verdict: Verdict,
    pub version: Option<i64>,
    /// The row as the hub has it, for `merged` and `conflict`.
    pub server_row: Option<Row>,
}

/// An entry of the log; its id is its place, counted from 1.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: i64,
    pub device: usize,
    pub merged: bool,
    pub event: EventId,
    pub key: Key,
    /// The whole row; `None` for a delete.
    pub row: Option<Row>,
    pub at_ms: i64,
}

/// An entry of the conflict log.
#[derive(Clone, Debug)]
pub struct Noted {
    pub device: usize,
    pub event: EventId,
    pub key: Key,
    pub operation: Operation,
    pub client: Row,
    pub server: Option<Row>,
}

/// A part of the log.
#[derive(Clone, Debug)]
pub struct Page {
    pub changes: Vec<Entry>,
    pub more: bool,
    pub cursor: i64,
}

/// The hub. It loses nothing in a crash.
#[derive(Debug, Default)]
pub struct Hub {
    log: Vec<Entry>,
    /// The log entries of every row, oldest first.
    histories: BTreeMap<Key, Vec<i64>>,
    conflicts: Vec<Noted>,
    /// Which log entry holds what an event said, and whether it holds more than that.
    events: BTreeMap<EventId, (i64, bool)>,
}

impl Hub {
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    pub fn conflicts(&self) -> &[Noted] {
        &self.conflicts
    }

    pub fn head(&self) -> i64 {
        self.log.len() as i64
    }

    /// The rows that there are now.
    pub fn rows(&self) -> BTreeMap<Key, Row> {
        let heads = self.histories.iter().filter_map(|(key, history)| Some((key, self.entry(*history.last()?))));
        heads.filter_map(|(key, entry)| Some((key.clone(), entry.row.clone()?))).collect()
    }

    /// Every change of a batch gets its verdict.
    pub fn push(&mut self, device: usize, batch: &[Outgoing]) -> Vec<Answer> {
        batch.iter().map(|change| self.judge(device, change)).collect()
    }

    /// A page of the log, without the device's own changes except merged ones.
    pub fn page(&self, device: usize, from: i64, limit: usize) -> Page {
        let mut page = Page { changes: Vec::new(), more: false, cursor: from };
        for entry in &self.log[from as usize..] {
            let wanted = entry.device != device || entry.merged;
            if wanted && page.changes.len() >= limit {
                page.more = true;
                return page;
            }
            page.cursor = entry.id;
            if wanted {
                page.changes.push(entry.clone());
            }
        }
        page
    }

    fn judge(&mut self, device: usize, change: &Outgoing) -> Answer {
        if let Some(answer) = self.judge_repeated(change) {
            return answer;
        }
        let Some(version) = self.version(&change.key) else {
            let deletes = change.operation == Operation::Delete;
            let id = self.append(device, change, (!deletes).then(|| change.row.clone()), false, change.at_ms);
            return answer(Verdict::Applied, id);
        };
        let Entry { row, at_ms, .. } = self.entry(version).clone();
        let head = Head { version, at_ms, by_same_device: self.is_by(device, change), row, since: self.since(change) };
        let base = change.base_version.filter(|base| *base < version).and_then(|base| self.row_at(&change.key, base));
        let incoming = Incoming {
            operation: change.operation,
            base_version: change.base_version,
            updated_fields: change.updated_fields.clone(),
            row: if change.operation == Operation::Delete { Row::default() } else { change.row.clone() },
            before: Row::default(),
            writer: Writer { device: device.to_string(), manager: false, at_ms: change.at_ms },
            can_conflict: true,
        };
        let decision = decide(Some(&head), base.as_ref(), &incoming, &Merging::default());
        self.carry_out(device, change, &head, decision)
    }

    fn carry_out(&mut self, device: usize, change: &Outgoing, head: &Head, decision: Decision) -> Answer {
        match decision {
            Decision::Duplicate => {
                let deletes = change.operation == Operation::Delete;
                let lacks = head.row.as_ref().is_some_and(|row| !deletes && !row.same_as(&change.row));
                self.events.insert(change.event.clone(), (head.version, lacks));
                let verdict = if lacks { Verdict::Merged } else { Verdict::Duplicate };
                let server_row = head.row.clone().filter(|_| verdict == Verdict::Merged);
                Answer { server_row, ..answer(verdict, head.version) }
            }
            Decision::Apply { row, at_ms, disputes, .. } => {
                let id = self.append(device, change, row, false, at_ms);
                self.note_lost(device, change, head, &disputes);
                answer(Verdict::Applied, id)
            }
            Decision::Merge { row, at_ms, disputes } => {
                let id = self.append(device, change, Some(row.clone()), true, at_ms);
                self.note_lost(device, change, head, &disputes);
                Answer { server_row: Some(row), ..answer(Verdict::Merged, id) }
            }
            Decision::Keep { disputes } => {
                self.events.insert(change.event.clone(), (head.version, true));
                self.note_lost(device, change, head, &disputes);
                Answer { server_row: head.row.clone(), ..answer(Verdict::Merged, head.version) }
            }
            Decision::Conflict { .. } => {
                self.note(device, change, head.row.clone());
                Answer { server_row: head.row.clone(), ..answer(Verdict::Conflict, head.version) }
            }
        }
    }

    /// The answer to an event that came before: the same as then, and nothing is written.
    fn judge_repeated(&self, change: &Outgoing) -> Option<Answer> {
        let head = self.version(&change.key);
        let with_head = |verdict| {
            let server_row = head.and_then(|version| self.entry(version).row.clone());
            Answer { verdict, version: head, server_row }
        };
        if let Some((id, merged)) = self.events.get(&change.event) {
            return Some(if *merged { with_head(Verdict::Merged) } else { answer(Verdict::Duplicate, *id) });
        }
        let noted = self.conflicts.iter().any(|noted| noted.event == change.event);
        noted.then(|| with_head(Verdict::Conflict))
    }

    /// Whether everything that came after the change's base is by this device, and nothing of it was merged.
    fn is_by(&self, device: usize, change: &Outgoing) -> bool {
        let base = change.base_version.unwrap_or(0);
        let since = self.histories.get(&change.key).into_iter().flatten().filter(|id| **id > base);
        since.map(|id| self.entry(*id)).all(|entry| entry.device == device && !entry.merged)
    }

    fn version(&self, key: &Key) -> Option<i64> {
        self.histories.get(key).and_then(|history| history.last().copied())
    }

    fn entry(&self, id: i64) -> &Entry {
        &self.log[id as usize - 1]
    }

    /// The row as it was at a version.
    fn row_at(&self, key: &Key, version: i64) -> Option<Row> {
        let then = self.histories.get(key)?.iter().rev().find(|id| **id <= version)?;
        self.entry(*then).row.clone()
    }

    /// What came after the change's base.
    fn since(&self, change: &Outgoing) -> Vec<merge::Entry> {
        let base = change.base_version.unwrap_or(0);
        let since = self.histories.get(&change.key).into_iter().flatten().filter(|id| **id > base).map(|id| self.entry(*id));
        let by = |entry: &Entry| Writer { device: entry.device.to_string(), manager: false, at_ms: entry.at_ms };
        since.map(|entry| merge::Entry { writer: by(entry), row: entry.row.clone() }).collect()
    }

    fn append(&mut self, device: usize, change: &Outgoing, row: Option<Row>, merged: bool, at_ms: i64) -> i64 {
        let id = self.head() + 1;
        let (event, key) = (change.event.clone(), change.key.clone());
        self.histories.entry(key.clone()).or_default().push(id);
        self.events.insert(event.clone(), (id, merged));
        self.log.push(Entry { id, device, merged, event, key, row, at_ms });
        id
    }

    fn note_lost(&mut self, device: usize, change: &Outgoing, head: &Head, disputes: &[merge::Dispute]) {
        if !disputes.is_empty() {
            self.note(device, change, head.row.clone());
        }
    }

    fn note(&mut self, device: usize, change: &Outgoing, server: Option<Row>) {
        let Outgoing { event, key, operation, row, .. } = change.clone();
        self.conflicts.push(Noted { device, event, key, operation, client: row, server });
    }
}

fn answer(verdict: Verdict, version: i64) -> Answer {
    Answer { verdict, version: Some(version), server_row: None }
}
