//! A register's state, as `agent.db` holds it: outbox, shadow, inbox and progress. It survives a crash as a whole.

use std::collections::{BTreeMap, BTreeSet};

use tillsync_core::change::Operation;
use tillsync_core::diff::Added;
use tillsync_core::kept::{Columns, Kept};
use tillsync_core::row::Row;
use uuid::Uuid;

use super::ids::OwnIds;
use super::shop::{Key, Table, parent};

/// An event's id: one per change for life.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventId {
    /// The n-th change of a register's outbox.
    Captured(usize, u64),
    /// A row of a register's first full sync, by its content.
    Uploaded(usize, Key, u64),
    /// What a register holds in columns that came.
    Refilled(usize, u64),
    /// A person's decision about a conflict.
    Decided(i64),
}

/// Where a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Waiting,
    Sent,
    Unknown,
    Confirmed,
    Conflict,
}

/// A change in the outbox.
#[derive(Clone, Debug)]
pub struct Change {
    pub event: EventId,
    pub key: Key,
    pub operation: Operation,
    pub row: Row,
    pub updated_fields: Option<Vec<String>>,
    /// Columns as they were before an update, where their rule merges from there.
    pub before: Row,
    pub standing: Standing,
    pub at_ms: i64,
    /// When it was captured, by no clock of the register's; `None` where the register had no way to know.
    pub captured: Option<i64>,
    /// The hub's number of the conflict that it ran into.
    pub conflict: Option<i64>,
}

/// A row from the hub that cannot be applied yet.
#[derive(Clone, Debug)]
pub struct Held {
    pub change_id: i64,
    pub row: Option<Row>,
}

/// How far the first full sync of a table has come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub position: Option<String>,
    pub finished: bool,
}

/// Columns that came to a table, and how far its rows have been asked for again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Due {
    pub added: Vec<Added>,
    /// Rows up to this id are done.
    pub after: Option<String>,
    /// All rows were asked for; what is left are those that come late.
    pub is_through: bool,
    /// Rows that lack what the hub has and had unsent changes: they are asked for once more when those are sent.
    pub late: BTreeSet<String>,
}

/// The state.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Whose rows it sends in a first full sync: a copy sends the same as its original.
    pub uploader: usize,
    /// The register at the hub, and the machine that it lives on.
    pub device: usize,
    pub machine: usize,
    /// What ids are made from, and whether the store is yet to hear that this is another one now.
    pub namespace: Uuid,
    pub parting: bool,
    pub ids: OwnIds,
    /// The last birth that was captured, by the journal's number and its own.
    pub last_birth: Option<(i64, u64)>,
    /// The columns of every table as they were when the schema was last read.
    pub selection: BTreeMap<Table, Vec<String>>,
    /// Tables that were there once and are not any more.
    pub absent: BTreeSet<Table>,
    columns: BTreeMap<Table, Columns>,
    pub refill: BTreeMap<Table, Due>,
    outbox: Vec<Change>,
    /// Places of the changes that are not confirmed.
    open: BTreeSet<usize>,
    pub shadow: BTreeMap<Key, Kept>,
    pub inbox: BTreeMap<Key, Held>,
    pub uploads: BTreeMap<Table, Progress>,
    /// What the hub noted about this register's changes: the row, and whether a person has yet to decide.
    pub conflicts: BTreeMap<i64, (Key, bool)>,
    pub captured_seq: i64,
    /// What apply noted in the store up to this number is in the shadow.
    pub applied_seq: i64,
    pub cursor: i64,
    pub caught_up: bool,
    /// The store was restored: this register's own changes are pulled, too.
    pub pull_own: bool,
    /// Changes before this place are not in the store: it was restored after they were captured.
    pub lost_before: usize,
    /// A restored store has pulled what it had lost up to this change id.
    pub restored_up_to: i64,
    /// Every row is to be compared.
    pub scan_due: bool,
    pub incarnation: u64,
    /// The hub's clock less the wall clock, as an earlier process found it.
    pub clock_offset_ms: i64,
    /// Changes from this place on have times by a guess.
    pub clock_unsure_from: Option<i64>,
}

impl State {
    /// A register's state before anything happened.
    pub fn new(register: usize, namespace: Uuid) -> Self {
        Self { uploader: register, device: register, machine: register, namespace, ..Self::default() }
    }

    /// What the shadow keeps of a table's rows.
    pub fn columns(&self, table: Table) -> &Columns {
        &self.columns[&table]
    }

    /// What was known of a table's columns, if it was ever there.
    pub fn known_columns(&mut self) -> &mut BTreeMap<Table, Columns> {
        &mut self.columns
    }

    /// Tables whose rows are asked for again, once their first full sync is over: what waits of them waits for that.
    pub fn refilling(&self) -> BTreeSet<Table> {
        let asked = self.refill.iter().filter(|(table, due)| !due.is_through && !self.absent.contains(table));
        asked.map(|(table, _)| *table).collect()
    }

    /// Adds a change to the outbox.
    pub fn add(&mut self, change: Change) {
        self.open.insert(self.outbox.len());
        self.outbox.push(change);
    }

    /// How many changes there ever were.
    pub fn added(&self) -> usize {
        self.outbox.len()
    }

    /// A change by its place.
    pub fn change(&self, place: usize) -> &Change {
        &self.outbox[place]
    }

    /// Moves a change.
    pub fn stand(&mut self, place: usize, standing: Standing) {
        self.outbox[place].standing = standing;
        match standing {
            Standing::Confirmed => self.open.remove(&place),
            Standing::Waiting | Standing::Sent | Standing::Unknown | Standing::Conflict => self.open.insert(place),
        };
    }

    /// Puts the times of changes right, from this place on.
    pub fn shift_times(&mut self, from: i64, shift_ms: i64) {
        for place in self.open.range(from as usize..) {
            self.outbox[*place].at_ms += shift_ms;
        }
    }

    /// The clock that guessed them shows something else now.
    pub fn doubt_guessed_times(&mut self) {
        let Some(from) = self.clock_unsure_from else { return };
        for place in self.open.range(from as usize..) {
            self.outbox[*place].captured = None;
        }
    }

    /// The change contradicts another register's.
    pub fn set_conflict(&mut self, place: usize, conflict: Option<i64>) {
        self.outbox[place].conflict = conflict;
        self.stand(place, Standing::Conflict);
    }

    /// Notes what the hub said about a change. What is there already stays, unless it is decided now.
    pub fn note_conflict(&mut self, key: &Key, conflict: Option<(i64, bool)>) {
        if let Some((id, pending)) = conflict {
            let known = self.conflicts.entry(id).or_insert_with(|| (key.clone(), pending));
            known.1 &= pending;
        }
    }

    /// A person has decided: the change that waited is done with. Gives back whether one waited.
    pub fn close_conflict(&mut self, id: i64) -> bool {
        let Some((key, pending)) = self.conflicts.get_mut(&id) else { return false };
        *pending = false;
        if let Some(kept) = self.shadow.get_mut(key) {
            kept.await_decision();
        }
        let outbox = &self.outbox;
        let over = |place: &usize| outbox[*place].conflict == Some(id) && outbox[*place].standing == Standing::Conflict;
        let over: Vec<usize> = self.open.iter().copied().filter(over).collect();
        for &place in &over {
            self.stand(place, Standing::Confirmed);
        }
        !over.is_empty()
    }

    /// The changes that are not confirmed, in order.
    pub fn open(&self) -> impl Iterator<Item = &Change> {
        self.open.iter().map(|place| &self.outbox[*place])
    }

    /// Those of them that no person has to decide.
    pub fn open_unstuck(&self) -> impl Iterator<Item = &Change> {
        self.open().filter(|change| change.standing != Standing::Conflict)
    }

    /// Whether the row has a change that the hub does not have.
    pub fn has_unsent(&self, key: &Key) -> bool {
        self.open().any(|change| change.key == *key)
    }

    /// The version of a row on the hub, 0 while it has none.
    pub fn version(&self, key: &Key) -> i64 {
        self.shadow.get(key).map_or(0, Kept::version)
    }

    /// Notes the row's version on the hub; `false` when nothing is kept of it.
    pub fn confirm(&mut self, key: &Key, version: i64) -> bool {
        let kept = self.shadow.get_mut(key);
        kept.map(|kept| kept.confirm(version)).is_some()
    }

    /// What apply noted in the store is in the shadow, and nothing of it waits.
    pub fn take_over(&mut self, seq: i64, key: &Key, kept: Kept) {
        self.release(key, kept.version());
        if matches!(kept, Kept::Deleted(_)) {
            self.ids.remove(key);
        }
        self.shadow.insert(key.clone(), kept);
        self.applied_seq = seq;
    }

    /// Whether the table's first full sync is over.
    pub fn is_sent(&self, table: Table) -> bool {
        self.uploads.get(&table).is_some_and(|progress| progress.finished)
    }

    /// Keeps a row for later; an older version of it gives way.
    pub fn hold(&mut self, key: &Key, held: Held) {
        if self.inbox.get(key).is_none_or(|known| held.change_id >= known.change_id) {
            self.inbox.insert(key.clone(), held);
        }
    }

    /// Lets go of a row up to a version.
    pub fn release(&mut self, key: &Key, up_to: i64) {
        if self.inbox.get(key).is_some_and(|held| held.change_id <= up_to) {
            self.inbox.remove(key);
        }
    }

    /// Rows that a conflict keeps from being sent: its own, rows with it as parent, and so on.
    pub fn blocked(&self) -> BTreeSet<Key> {
        let stuck = self.open().filter(|change| change.standing == Standing::Conflict);
        stuck.map(|change| change.key.clone()).collect()
    }

    /// Changes that may be sent, in order. What is about a row in conflict waits behind it, and so do its children; and in a table to which
    /// columns came, what is about rows that were there before waits until it is known what the hub holds in them.
    pub fn sendable(&self) -> Vec<usize> {
        let (mut blocked, mut waiting, refilling) = (self.blocked(), BTreeSet::new(), self.refilling());
        let mut places = Vec::new();
        for &place in &self.open {
            let change = &self.outbox[place];
            if change.standing == Standing::Conflict {
                continue;
            }
            if refilling.contains(&change.key.0) && (change.operation != Operation::Create || waiting.contains(&change.key)) {
                waiting.insert(change.key.clone());
                continue;
            }
            let parent = parent(change.key.0, &change.row);
            if blocked.contains(&change.key) || parent.is_some_and(|parent| blocked.contains(&parent)) {
                blocked.insert(change.key.clone());
            } else {
                places.push(place);
            }
        }
        places
    }

    /// What was on its way when the agent ended has an unknown fate.
    pub fn sent_becomes_unknown(&mut self) {
        for place in &self.open {
            let change = &mut self.outbox[*place];
            if change.standing == Standing::Sent {
                change.standing = Standing::Unknown;
            }
        }
    }
}
