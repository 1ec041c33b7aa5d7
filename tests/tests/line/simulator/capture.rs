//! Capture: journal → outbox.

use std::collections::{BTreeMap, BTreeSet};

use tillsync_core::change::Operation;
use tillsync_core::kept;
use tillsync_core::row::Row;
use tillsync_core::sync::Captured;
use uuid::Uuid;

use super::faults::{Crash, happens};
use super::ids::Birth;
use super::register::{Around, Register};
use super::restore::Finding;
use super::shop::{Key, Place};
use super::state::{Change, EventId, Standing};

/// Nobody knows when it was written, and it counts as older than all that somebody does know.
pub const NOBODYS_MS: i64 = 1;

/// A row that was looked at, as it is on the wire.
#[derive(Debug)]
pub struct Look {
    pub key: Key,
    pub row: Option<Row>,
    pub birth: Option<Birth>,
}

/// How a change came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    ByTrigger,
    ByScan,
}

#[derive(Debug)]
struct Visit {
    looks: Vec<Look>,
    named: BTreeMap<Place, Uuid>,
    after: i64,
    up_to: i64,
    more: bool,
    last_birth: Option<(i64, u64)>,
}

impl Register {
    /// Copies the journal to the outbox, once.
    pub fn capture(&mut self, around: &mut Around<'_>) -> Result<Captured, Crash> {
        if happens(around.rng, around.weather.store_busy) {
            return Ok(Captured::Busy);
        }
        let found = Ok(Captured::Done { added: 1, more: true });
        match self.examine() {
            Some(Finding::Schema) => {
                self.recover_schema(around)?;
                return found;
            }
            Some(Finding::Restored) => {
                self.recover_restored(around);
                return found;
            }
            Some(Finding::Applied) | None => {}
        }
        if self.learn_applied() {
            return found;
        }
        if self.state.pull_own {
            return Ok(Captured::Later { added: 0 });
        }
        let visit = self.visit(around.weather.journal_max);
        self.point(around)?;
        let (quiet, more, up_to) = (visit.looks.is_empty() && !visit.more, visit.more, visit.up_to);
        let added = if visit.up_to == visit.after { 0 } else { self.record_visit(visit, around.now) };
        self.point(around)?;
        if quiet || around.rng.u8(0..4) == 0 {
            self.store.trim(up_to);
            self.forget_deleted();
        }
        if !more && std::mem::take(&mut self.agent().inbox_due) {
            self.settle_inbox(around)?;
        }
        if more || !self.state.scan_due {
            return Ok(Captured::Done { added, more });
        }
        Ok(match self.must_scan() {
            true => Captured::Done { added: added + self.scan(around.now), more },
            false => Captured::Later { added },
        })
    }

    /// One snapshot of the journal and of the rows that it names.
    fn visit(&self, limit: usize) -> Visit {
        let mut identity = self.identity();
        let (mut seen, mut births) = (BTreeSet::new(), BTreeMap::new());
        let entries: Vec<_> = self.store.journal_after(self.state.captured_seq, limit).collect();
        for touched in &entries {
            if let (Some(place), Some(birth)) = (&touched.place, touched.birth) {
                births.entry(place).or_insert(Birth::At(touched.seq, birth));
            }
        }
        let (after, mut last_birth, mut looks) = (self.state.captured_seq, None, Vec::new());
        for touched in &entries {
            last_birth = touched.birth.map(|birth| (touched.seq, birth)).or(last_birth);
            let Some(place) = touched.place.as_ref().filter(|place| self.store.schema.has(place.0)) else { continue };
            if !seen.insert(place) {
                continue;
            }
            let birth = births.get(place).copied();
            match self.store.row(place) {
                Some(row) => {
                    let (key, row) = identity.wire(place, row);
                    looks.push(Look { key, row: Some(row), birth });
                }
                None => looks.extend(identity.gone(place).map(|key| Look { key, row: None, birth: None })),
            }
        }
        let up_to = entries.last().map_or(after, |touched| touched.seq);
        Visit { looks, named: identity.named, after, up_to, more: entries.len() == limit, last_birth }
    }

    /// All in one commit.
    fn record_visit(&mut self, visit: Visit, now: i64) -> u64 {
        self.state.ids.remember(visit.named);
        let added = self.record_looks(visit.looks, Seen::ByTrigger, now);
        self.state.captured_seq = visit.up_to;
        self.state.last_birth = visit.last_birth.or(self.state.last_birth);
        added
    }

    /// Parents before children, and deletes last, children before parents. Gives back how many changes it made.
    pub fn record_looks(&mut self, mut looks: Vec<Look>, seen: Seen, now: i64) -> u64 {
        looks.sort_by_key(|look| {
            let place = look.key.0 as i64;
            if look.row.is_some() { (0, place) } else { (1, -place) }
        });
        let before = self.state.added();
        for look in looks {
            let (key, birth, is_there) = (look.key.clone(), look.birth, look.row.is_some());
            self.record_look(look.key, look.row, seen, now);
            if self.shop.is_counted(key.0) {
                // A row that was seen keeps its id; one that is gone gives it up, so that the next row with its key is another one.
                if is_there { self.state.ids.seen(&key, birth) } else { self.state.ids.give_up(&key) }
            }
        }
        (self.state.added() - before) as u64
    }

    /// Whether it is a change.
    pub fn record_look(&mut self, key: Key, row: Option<Row>, seen: Seen, now: i64) -> bool {
        let columns = self.state.columns(key.0);
        let captured = kept::capture(self.state.shadow.get(&key), row.as_ref(), columns);
        let Some(kept::Captured { difference, before, kept }) = captured else { return false };
        // What only a scan finds in columns that have just come was computed by the migration that brought them.
        let is_added = |field: &String| columns.added.iter().any(|added| added.name == *field);
        let fields = difference.updated_fields.as_ref();
        let is_computed = seen == Seen::ByScan && fields.is_some_and(|fields| fields.iter().all(is_added));
        self.state.shadow.insert(key.clone(), kept);
        let at_ms = if is_computed { NOBODYS_MS } else { self.capture_time(now) };
        self.events += 1;
        debug_assert!(difference.operation == Operation::Delete || row.is_some());
        self.state.add(Change {
            event: EventId::Captured(self.number, self.events),
            key,
            operation: difference.operation,
            row: row.unwrap_or_default(),
            updated_fields: difference.updated_fields,
            before,
            standing: Standing::Waiting,
            at_ms,
            captured: Some(now).filter(|_| !is_computed),
            conflict: None,
        });
        true
    }

    /// Pulled rows that the POS has deleted lose their ids in the store, so that the next row with such a key is another one for good.
    fn forget_deleted(&mut self) {
        for (table, id) in std::mem::take(&mut self.state.ids.over) {
            // A row that has come back meanwhile has been noted anew.
            let is_back = self.state.shadow.get(&(table, id.to_string())).is_some_and(|kept| kept.row().is_some());
            if !is_back {
                self.store.ids.remove(table, id);
            }
        }
    }
}
