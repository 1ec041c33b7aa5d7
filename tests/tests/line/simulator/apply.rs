//! Pull and apply: a page from the hub → store. Rows and cursor in one commit of the store, then the shadow in one of the state.

use std::collections::BTreeSet;

use tillsync_core::arrival::{Arrival, LocalRow, meet};
use tillsync_core::kept::{self, Kept};
use tillsync_core::key::parse_uuid;
use tillsync_core::row::Row;
use tillsync_core::sync::{Applied, Pulled};

use super::faults::{Crash, happens};
use super::hub::Page;
use super::identity::Local;
use super::register::{Around, Asked, Register};
use super::restore::Finding;
use super::shop::{Key, Place};
use super::state::Held;

/// A row on its way into the store.
#[derive(Clone, Debug)]
struct Arriving {
    id: i64,
    key: Key,
    row: Option<Row>,
}

impl Register {
    /// Takes in the answer to a pull.
    pub fn take_page(&mut self, page: Page, asked: Asked, around: &mut Around<'_>) -> Result<Pulled, Crash> {
        self.point(around)?;
        let sent = self.agent().calls.pull_sent;
        self.hear(page.at_ms, sent, around.now);
        self.learn_applied();
        let asked_from = asked.from;
        if self.state.cursor != asked_from || asked.own != self.state.pull_own {
            return Ok(Pulled::Interrupted);
        }
        let cursor = page.cursor.max(asked_from);
        let more = page.more && cursor > asked_from;
        let empty = page.changes.is_empty();
        if !more && empty {
            self.caught_up(asked.with_all_own, around.now);
        }
        if empty && cursor == asked_from {
            return Ok(Pulled::Nothing);
        }
        self.agent().page = Some(Page { cursor, more, with_all_own: asked.with_all_own, ..page });
        Ok(Pulled::Page { more })
    }

    /// Applies the page that waits.
    pub fn apply(&mut self, around: &mut Around<'_>) -> Result<Applied, Crash> {
        self.learn_applied();
        if self.examine().is_some() {
            return Ok(Applied::Busy);
        }
        let Some(page) = self.agent().page.take() else { return Ok(Applied::Done) };
        for resolved in page.changes.iter().filter_map(|entry| entry.resolves) {
            self.agent().freed |= self.state.close_conflict(resolved);
        }
        let changes = page.changes.iter().map(|entry| Arriving { id: entry.id, key: entry.key.clone(), row: entry.row.clone() });
        let (arriving, held) = self.sort_arrivals(changes.collect());
        for change in held {
            self.hold(change);
        }
        self.point(around)?;
        let stopped_at = self.write_all(&arriving, Some(page.cursor), around)?;
        self.point(around)?;
        if let Some(stopped_at) = stopped_at {
            let left: BTreeSet<i64> = arriving[stopped_at..].iter().map(|change| change.id).collect();
            let changes = page.changes.into_iter().filter(|entry| left.contains(&entry.id)).collect();
            self.agent().page = Some(Page { changes, ..page });
            return Ok(Applied::Busy);
        }
        self.agent().inbox_due = true;
        if !page.more {
            self.caught_up(page.with_all_own, around.now);
        }
        Ok(Applied::Done)
    }

    /// The agent ended between writing rows and recording them: the state takes over what the store has noted. Says whether there
    /// was anything.
    pub fn learn_applied(&mut self) -> bool {
        if self.examine() != Some(Finding::Applied) {
            return false;
        }
        let noted = self.store.applied_after(self.state.applied_seq);
        let any = !noted.is_empty();
        for (seq, key, kept) in noted {
            self.state.take_over(seq, &key, kept);
        }
        self.agent().inbox_due |= any;
        any
    }

    /// Tries the rows that wait in the inbox and may be applicable by now. What came in may have been what others waited for that were
    /// tried before it.
    pub fn settle_inbox(&mut self, around: &mut Around<'_>) -> Result<(), Crash> {
        // What waits of a table that has gone is fetched again should the table come back.
        let schema = &self.store.schema;
        self.state.inbox.retain(|key, _| schema.has(key.0));
        loop {
            let applied = self.store.applied_seq;
            let mut waiting: Vec<Arriving> = self.state.inbox.iter().map(|(key, held)| arriving(key, held)).collect();
            waiting.sort_by_key(|change| change.id);
            let (arriving, _still_local) = self.sort_arrivals(waiting);
            if self.write_all(&arriving, None, around)?.is_some() {
                self.agent().inbox_due = true;
                return Ok(());
            }
            if self.store.applied_seq == applied || self.state.inbox.is_empty() {
                return Ok(());
            }
        }
    }

    /// Splits into rows to write and rows that wait for a local change. What the register has already is left out.
    fn sort_arrivals(&mut self, changes: Vec<Arriving>) -> (Vec<Arriving>, Vec<Arriving>) {
        let (mut arriving, mut held) = (Vec::new(), Vec::new());
        for change in changes.into_iter().filter(|change| self.store.schema.has(change.key.0)) {
            let kept = self.state.shadow.get(&change.key);
            let waiting = self.state.inbox.get(&change.key).map(|held| held.change_id);
            let local = LocalRow::new(kept, self.state.has_unsent(&change.key), self.state.is_sent(change.key.0), waiting);
            match meet(change.id, local) {
                Arrival::Apply => arriving.push(change),
                Arrival::Hold => held.push(change),
                Arrival::Pass => self.state.release(&change.key, change.id),
            }
        }
        (arriving, held)
    }

    /// Writes rows in short transactions, then brings shadow, inbox and cursor up to them. Gives back where it stopped when the
    /// POS would not let go.
    fn write_all(&mut self, arriving: &[Arriving], cursor: Option<i64>, around: &mut Around<'_>) -> Result<Option<usize>, Crash> {
        let mut next = 0;
        let stopped_at = loop {
            if happens(around.rng, around.weather.store_busy) {
                break Some(next);
            }
            let end = arriving.len().min(next + around.weather.slice_max);
            self.write_slice(&arriving[next..end], around);
            next = end;
            let reached = if next >= arriving.len() { cursor } else { cursor.and_then(|_| Some(arriving.get(next - 1)?.id)) };
            if let Some(reached) = reached {
                let waits_from = self.state.inbox.values().map(|held| held.change_id).min();
                self.store.cursor = reached;
                self.store.whole = waits_from.map_or(reached, |oldest| reached.min(oldest - 1));
            }
            self.point(around)?;
            if next >= arriving.len() {
                break None;
            }
        };
        for (seq, key, kept) in self.store.applied_after(self.state.applied_seq) {
            self.state.take_over(seq, &key, kept);
        }
        match (cursor, stopped_at) {
            (Some(cursor), None) => self.state.cursor = cursor,
            (Some(_), Some(at)) if at > 0 => self.state.cursor = arriving[at - 1].id,
            _ => {}
        }
        Ok(stopped_at)
    }

    /// One transaction. What the POS has touched, and what does not fit together yet, goes to the inbox before.
    fn write_slice(&mut self, slice: &[Arriving], around: &mut Around<'_>) {
        let touched = self.store.touched_after(self.state.captured_seq);
        self.store.forget_applied(self.state.applied_seq);
        for change in slice {
            let is_written = match self.identity().to_local(&change.key, change.row.as_ref()) {
                Local::Known(place, row) => self.write_known(change, &place, row.as_ref(), &touched),
                Local::New(row) => self.write_new(change, row, &touched, around),
                Local::Absent => {
                    self.store.note_applied(&change.key, Kept::Deleted(change.id));
                    true
                }
                Local::Orphan => {
                    around.coverage.count("a row waits for its parent");
                    false
                }
            };
            if !is_written {
                self.hold(change.clone());
            }
        }
    }

    fn write_known(&mut self, change: &Arriving, place: &Place, row: Option<&Row>, touched: &BTreeSet<Place>) -> bool {
        let unfit = match row {
            Some(row) => self.store.lacks_parent(place.0, row),
            None => !self.store.children(place).is_empty(),
        };
        if unfit || touched.contains(place) || self.is_changed_unseen(change, place) || self.meets_unsent(change, place, row) {
            return false;
        }
        match row {
            Some(row) => self.put(change, place, row),
            None => {
                self.store.remove(place);
                if let Some(id) = parse_uuid(&change.key.1).filter(|_| self.shop.is_counted(place.0)) {
                    self.store.ids.remove(place.0, id);
                }
                self.store.note_applied(&change.key, Kept::Deleted(change.id));
            }
        }
        true
    }

    fn write_new(&mut self, change: &Arriving, row: Row, touched: &BTreeSet<Place>, around: &mut Around<'_>) -> bool {
        if self.store.lacks_parent(change.key.0, &row) {
            return false;
        }
        let (place, row) = self.identity().give_key(change.key.0, row, touched);
        if let Some(id) = parse_uuid(&change.key.1) {
            self.store.ids.put(id, &place);
        }
        around.coverage.count("a pulled row gets a key of its own");
        self.put(change, &place, &row);
        true
    }

    fn put(&mut self, change: &Arriving, place: &Place, row: &Row) {
        let stored = self.store.put(place, row);
        let (_, wired) = self.identity().wire(place, &stored);
        let kept = Kept::received(Some(&wired), change.id, self.state.columns(place.0));
        self.store.note_applied(&change.key, kept);
    }

    /// Whether triggers were missing for a while, a scan is due, and the POS has changed or made the row.
    fn is_changed_unseen(&self, change: &Arriving, place: &Place) -> bool {
        if !self.state.scan_due || self.state.pull_own {
            return false;
        }
        let kept = self.state.shadow.get(&change.key);
        if kept.is_none() && change.row.is_none() {
            return false;
        }
        let Some(here) = self.store.row(place) else {
            return change.row.is_some() && kept.is_some_and(|kept| kept.row().is_some());
        };
        let (_, wired) = self.identity().wire(place, here);
        let is_same = change.row.as_ref().is_some_and(|row| row.same_as(&wired));
        !is_same && kept::capture(kept, Some(&wired), self.state.columns(place.0)).is_some()
    }

    /// Two stores that were not the same before Tillsync came: the hub brings the two rows together.
    fn meets_unsent(&self, change: &Arriving, place: &Place, row: Option<&Row>) -> bool {
        let here = self.store.row(place);
        let may_be_unsent = self.state.version(&change.key) == 0 && !self.state.is_sent(change.key.0);
        may_be_unsent && here.is_some() && !here.zip(row).is_some_and(|(here, row)| here.same_as(row))
    }

    fn hold(&mut self, change: Arriving) {
        self.state.hold(&change.key, Held { change_id: change.id, row: change.row });
    }
}

fn arriving(key: &Key, held: &Held) -> Arriving {
    Arriving { id: held.change_id, key: key.clone(), row: held.row.clone() }
}
