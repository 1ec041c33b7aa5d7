//! The simulated hub: the log and its heads. What it decides is in `judge`, what it notes for people in `conflicts`.

use std::collections::BTreeMap;
use std::rc::Rc;

use tillsync_core::change::{Operation, Verdict};
use tillsync_core::merge::{self, Head, Writer};
use tillsync_core::row::Row;

use super::conflicts::Noted;
use super::refill::Theirs;
use super::shop::{Key, Shop, Who};
use super::state::EventId;

/// The device number of whoever administers the hub.
pub const ADMIN: usize = 99;

/// A change on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub event: EventId,
    pub key: Key,
    pub operation: Operation,
    pub row: Row,
    pub updated_fields: Option<Vec<String>>,
    pub before: Row,
    pub base_version: Option<i64>,
    pub at_ms: i64,
    /// When it was really captured, as far as its register can know.
    pub captured: Option<i64>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub verdict: Verdict,
    pub version: Option<i64>,
    /// The row as the hub has it, for `merged` and `conflict`.
    pub server_row: Option<Row>,
    /// What the hub noted about it: the number, and whether a person has yet to decide.
    pub conflict: Option<(i64, bool)>,
}

/// An entry of the log; its id is its place, counted from 1.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: i64,
    pub device: usize,
    pub manager: bool,
    pub merged: bool,
    pub event: EventId,
    pub key: Key,
    /// The whole row; `None` for a delete.
    pub row: Option<Row>,
    pub at_ms: i64,
    /// The conflict that a person decided by it.
    pub resolves: Option<i64>,
}

/// A part of the log.
#[derive(Clone, Debug)]
pub struct Page {
    pub changes: Vec<Entry>,
    pub more: bool,
    pub cursor: i64,
    /// The hub's clock.
    pub at_ms: i64,
    /// When it was asked for, the hub had everything of this register's own and was to send that, too.
    pub with_all_own: bool,
}

/// The hub. It loses nothing in a crash.
#[derive(Debug)]
pub struct Hub {
    pub shop: Rc<Shop>,
    managers: Vec<bool>,
    log: Vec<Entry>,
    /// The log entries of every row, oldest first.
    histories: BTreeMap<Key, Vec<i64>>,
    pub conflicts: Vec<Noted>,
    /// Which log entry holds what an event said, and whether it holds more than that.
    pub events: BTreeMap<EventId, (i64, bool)>,
    /// What must not happen and did.
    pub violation: Option<String>,
}

impl Hub {
    pub fn new(shop: Rc<Shop>, managers: Vec<bool>) -> Self {
        let (log, conflicts) = (Vec::new(), Vec::new());
        let (histories, events) = (BTreeMap::new(), BTreeMap::new());
        Self { shop, managers, log, histories, conflicts, events, violation: None }
    }

    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    pub fn head(&self) -> i64 {
        self.log.len() as i64
    }

    /// Whether the device is a manager's.
    pub fn is_manager(&self, device: usize) -> bool {
        self.managers.get(device).copied().unwrap_or(device == ADMIN)
    }

    /// One more device may enrol, a manager's or not.
    pub fn enrol_manager(&mut self, manager: bool) {
        self.managers.push(manager);
    }

    /// Which row it is that has this id, as far as any version of it says so.
    pub fn who(&self, key: &Key) -> Who {
        let says = |entry: &Entry| self.shop.who(key.0, &key.1, entry.row.as_ref()?);
        self.since(key, 0).find_map(says).unwrap_or_else(|| key.clone())
    }

    /// Rows as they are, for whoever asks for them.
    pub fn rows_at(&self, keys: &[Key]) -> Theirs {
        keys.iter().filter_map(|key| Some((key.clone(), (self.version(key)?, self.row(key)?.clone())))).collect()
    }

    /// The rows that there are now.
    pub fn rows(&self) -> BTreeMap<Key, Row> {
        let heads = self.histories.iter().filter_map(|(key, history)| Some((key, self.entry(*history.last()?))));
        heads.filter_map(|(key, entry)| Some((key.clone(), entry.row.clone()?))).collect()
    }

    /// A page of the log, without the device's own changes except merged ones, unless it wants those, too.
    pub fn page(&self, device: usize, from: i64, own: bool, limit: usize, at_ms: i64) -> Page {
        let mut page = Page { changes: Vec::new(), more: false, cursor: from, at_ms, with_all_own: false };
        for entry in &self.log[from as usize..] {
            let wanted = own || entry.device != device || entry.merged;
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

    /// The newest version of a row.
    pub fn version(&self, key: &Key) -> Option<i64> {
        self.histories.get(key).and_then(|history| history.last().copied())
    }

    /// The row as it is now; `None` when there is none.
    pub fn row(&self, key: &Key) -> Option<&Row> {
        self.version(key).and_then(|version| self.entry(version).row.as_ref())
    }

    /// The row's head as a device sees it that has the row at `base` and has lost what it knew up to `restored_up_to`.
    pub fn head_of(&self, key: &Key, version: i64, device: usize, base: i64, restored_up_to: i64) -> Head {
        let Entry { row, at_ms, .. } = self.entry(version).clone();
        let by_same_device =
            self.since(key, base).all(|entry| entry.device == device && !entry.merged && entry.id > restored_up_to);
        let by = |entry: &Entry| Writer { device: entry.device.to_string(), manager: entry.manager, at_ms: entry.at_ms };
        let entries = self.since(key, base).filter(|_| !by_same_device);
        let since = entries
            .map(|entry| merge::Entry {
                writer: by(entry),
                row: entry.row.clone(),
                by_pull: entry.resolves.is_some() || entry.id <= restored_up_to,
            })
            .collect();
        let deleted = self.since(key, 0).filter_map(|entry| entry.row.clone()).last().filter(|_| row.is_none());
        Head { version, at_ms, by_same_device, row, deleted, since }
    }

    /// The row as it was at a version.
    pub fn row_at(&self, key: &Key, version: i64) -> Option<Row> {
        let then = self.histories.get(key)?.iter().rev().find(|id| **id <= version)?;
        self.entry(*then).row.clone()
    }

    /// Whether the row once was like this in the columns that are named.
    pub fn was_once(&self, key: &Key, row: &Row) -> bool {
        self.since(key, 0).any(|entry| entry.row.as_ref().is_some_and(|then| row.is_part_of(then)))
    }

    fn since(&self, key: &Key, base: i64) -> impl Iterator<Item = &Entry> {
        self.histories.get(key).into_iter().flatten().filter(move |id| **id > base).map(|id| self.entry(*id))
    }

    fn entry(&self, id: i64) -> &Entry {
        &self.log[id as usize - 1]
    }

    /// Appends an entry, which gets its number here.
    pub fn append(&mut self, entry: Entry) -> i64 {
        let id = self.head() + 1;
        self.check_identity(&entry);
        self.histories.entry(entry.key.clone()).or_default().push(id);
        self.events.insert(entry.event.clone(), (id, entry.merged));
        self.log.push(Entry { id, ..entry });
        id
    }

    /// A row is the same one for life: only when it is deleted another one may have its id.
    fn check_identity(&mut self, entry: &Entry) {
        let who = |row: &Row| self.shop.who(entry.key.0, &entry.key.1, row);
        let (before, now) = (self.row(&entry.key).and_then(who), entry.row.as_ref().and_then(who));
        if before.is_some() && now.is_some() && before != now {
            self.violation = Some(format!("{before:?} became {now:?} under the id {:?}", entry.key));
        }
    }
}
