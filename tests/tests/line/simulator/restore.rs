//! Restores: somebody puts a backup of the store in its place, and the agent notices and gets over it as the real one does.

use tillsync_core::sync::Event;

use super::ledger::Ledger;
use super::losses::Heard;
use super::register::{Around, Register};
use super::shop::{Key, Place};
use super::store::Store;

/// Journal numbers left out after a restore.
const SEQUENCE_GAP: i64 = 1_000;

/// A POS that has written so little less than what is captured waits for the agent's look: journals of tables with global keys do not
/// tell a restore from then on.
const UNNOTICED_MIN: i64 = 40;

/// What a visit may find wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The schema is not the one that is known.
    Schema,
    /// Apply wrote rows that the state does not know of.
    Applied,
    /// The store is an older copy of itself, or a copy of another register's.
    Restored,
}

impl Register {
    /// Somebody copies the store. What the first full sync is about to send is in no outbox, so that is over before; and columns that have just
    /// come are filled, since nobody fills them again after a restore.
    pub fn back_up(&mut self) {
        let state = &self.state;
        let knows_columns = self.store.schema.tables().all(|table| {
            let columns = self.store.schema.columns(table).iter().map(|column| column.name);
            state.selection.get(&table).is_some_and(|known| columns.eq(known.iter().map(String::as_str)))
        });
        if self.has_uploaded() && knows_columns && state.refill.is_empty() && state.inbox.is_empty() {
            self.backup = Some(Box::new(self.store.clone()));
        }
    }

    /// Whether the first full sync of every table is over.
    pub fn has_uploaded(&self) -> bool {
        self.store.schema.tables().all(|table| self.state.is_sent(table))
    }

    /// Somebody puts the copy in its place, once in a run. What was written since and not captured is lost with the file. Says whether there
    /// was one.
    pub fn restore(&mut self, heard: Heard, ledger: &mut Ledger) -> bool {
        let Some(mut backup) = self.backup.take().filter(|_| !self.was_restored) else { return false };
        if !self.is_noticed(&mut backup) {
            return false;
        }
        let mut heard = self.add_outbox(heard);
        heard.add_journal(&self.shop, &backup);
        if self.would_orphan_lines(&heard) {
            return false;
        }
        for (place, row) in self.unseen_rows() {
            ledger.lose(place, row, &heard);
        }
        let touched = self.store.touched_after(self.state.captured_seq);
        for place in touched.iter().filter(|place| self.store.row(place).is_none() && !self.shop.is_counted(place.0)) {
            ledger.uncounted.insert((place.0, place.1.clone()));
        }
        ledger.lose_deletes(self.pos.register);
        ledger.restored.insert(self.number);
        ledger.uncounted.extend(ledger.deletes.iter().map(|deleted| deleted.who.clone()));
        for table in backup.schema.tables() {
            let back = backup.schema.columns(table).iter().filter(|column| !self.store.schema.columns(table).contains(column));
            *ledger.columns_came.entry((self.number, table)).or_default() += back.count();
        }
        for (place, row) in backup.rows() {
            ledger.may_come_again(self.number, place, row);
        }
        (self.store, self.was_restored) = (*backup, true);
        true
    }

    /// Whether anything would tell that the store is this older one: where only rows came that no trigger saw nothing does, a limit of restores
    /// that the simulator does not go into.
    fn is_noticed(&mut self, backup: &mut Store) -> bool {
        std::mem::swap(&mut self.store, backup);
        let is_noticed = self.is_restored();
        std::mem::swap(&mut self.store, backup);
        is_noticed || self.store.rows() == backup.rows()
    }

    /// Whether the POS is at the store: after a restore it may be that the agent must look first.
    pub fn pos_waits(&self) -> bool {
        self.is_restored() && self.store.last_seq() + UNNOTICED_MIN > self.state.captured_seq
    }

    /// Whether the store is as the agent left it.
    pub fn examine(&self) -> Option<Finding> {
        if self.agent.as_ref().is_some_and(|agent| agent.schema != self.store.schema.version) {
            return Some(Finding::Schema);
        }
        if self.is_restored() {
            return Some(Finding::Restored);
        }
        (self.store.applied_seq > self.state.applied_seq).then_some(Finding::Applied)
    }

    /// Whether the store is an older one.
    pub fn is_restored(&self) -> bool {
        let (store, state) = (&self.store, &self.state);
        let behind = store.last_seq() < state.captured_seq || store.cursor < state.cursor || store.applied_seq < state.applied_seq;
        store.incarnation != state.incarnation || behind || self.has_another_past() || self.is_from_before_parting()
    }

    /// Whether the store is one from before this register was one of its own, however little has happened since.
    fn is_from_before_parting(&self) -> bool {
        self.store.namespaces.now != self.state.namespace && !self.state.parting
    }

    /// Whether the journal tells another birth under the number of the last one that was captured: the store went back and has come as far
    /// again since.
    fn has_another_past(&self) -> bool {
        self.state.last_birth.is_some_and(|(seq, birth)| self.store.entry_at(seq).is_some_and(|there| there != Some(birth)))
    }

    /// The store went back in time. What the hub wrote since is pulled again, this register's own changes included; until that is done
    /// nothing is captured, and then every row is compared.
    pub fn recover_restored(&mut self, around: &mut Around<'_>) {
        let cursor = self.store.whole.min(self.store.cursor);
        self.state.shadow.retain(|_, kept| kept.version() <= cursor);
        // What the journal names may be about to be deleted.
        let (store, named) = (&self.store, self.store.touched_after(0));
        let is_there = |place: &Place| store.row(place).is_some() || named.contains(place);
        self.state.ids.forget_lost(store.first_seq().unwrap_or(0), &store.births(), is_there);
        let unsent: Vec<Key> = self.state.open_unstuck().map(|change| change.key.clone()).collect();
        for key in unsent {
            self.state.shadow.remove(&key);
        }
        let incarnation = self.state.incarnation.max(self.store.incarnation) + 1;
        let captured = self.state.captured_seq;
        self.state.cursor = cursor;
        self.state.pull_own = true;
        self.state.lost_before = self.state.added();
        self.state.caught_up = false;
        self.state.scan_due = true;
        self.state.captured_seq = self.store.first_seq().map_or(0, |seq| seq - 1);
        self.state.incarnation = incarnation;
        self.state.last_birth = None;
        self.store.begin_anew(incarnation, cursor, captured + SEQUENCE_GAP, self.state.applied_seq);
        let agent = self.agent();
        agent.page = None;
        agent.sync.handle(Event::Asked, around.now);
        self.part_store();
    }

    /// Everything that the hub had is in the store or in the inbox. What a restored register had yet to send is missing there and in its
    /// store alike, so that only a pull that began after it was sent brings all of it back.
    pub fn caught_up(&mut self, with_all_own: bool, now: i64) {
        if self.state.pull_own && !with_all_own {
            if self.state.sendable().is_empty() {
                self.agent().sync.handle(Event::Asked, now);
            }
            return;
        }
        self.state.caught_up = true;
        if std::mem::take(&mut self.state.pull_own) {
            self.state.restored_up_to = self.state.restored_up_to.max(self.state.cursor);
            self.agent().sync.handle(Event::Asked, now);
        }
    }
}
