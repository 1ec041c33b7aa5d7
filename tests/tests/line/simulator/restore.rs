//! Restores: somebody puts a backup of the store in its place, and the agent notices and gets over it as the real one does.

use tillsync_core::row::Row;
use tillsync_core::sync::Event;

use super::ledger::Ledger;
use super::register::{Around, Register};
use super::shop::{Key, TABLES};

/// Journal numbers left out after a restore.
const SEQUENCE_GAP: i64 = 1_000;

/// A POS that has written so little less than what is captured waits for the agent's look: journals of tables with global keys do not
/// tell a restore from then on.
const UNNOTICED_MIN: i64 = 40;

/// What a visit may find wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Apply wrote rows that the state does not know of.
    Applied,
    /// The store is an older copy of itself.
    Restored,
}

impl Register {
    /// Somebody copies the store. What the first full sync is about to send is in no outbox, so that is over before.
    pub fn back_up(&mut self) {
        if !TABLES.into_iter().all(|table| self.state.is_sent(table)) {
            return;
        }
        self.backup = Some(Box::new(self.store.clone()));
    }

    /// Somebody puts the copy in its place, once in a run. What was written since and not captured is lost with the file. Says whether there
    /// was one.
    pub fn restore(&mut self, ledger: &mut Ledger) -> bool {
        let Some(backup) = self.backup.take().filter(|_| !self.was_restored) else { return false };
        for key in self.store.touched_after(self.state.captured_seq) {
            ledger.lose(&key, self.store.row(&key));
        }
        ledger.lose_deletes(self.number);
        ledger.restored.insert(self.number);
        ledger.uncounted.extend(ledger.deletes.iter().map(|deleted| deleted.key.clone()));
        for key in backup.rows().keys() {
            // It may be sent anew.
            ledger.written(key);
        }
        (self.store, self.was_restored) = (*backup, true);
        true
    }

    /// Whether the POS is at the store: after a restore it may be that the agent must look first.
    pub fn pos_waits(&self) -> bool {
        self.examine() == Some(Finding::Restored) && self.store.last_seq() + UNNOTICED_MIN > self.state.captured_seq
    }

    /// Whether the store is as the agent left it.
    pub fn examine(&self) -> Option<Finding> {
        let (store, state) = (&self.store, &self.state);
        let behind = store.last_seq() < state.captured_seq || store.cursor < state.cursor || store.applied_seq < state.applied_seq;
        if store.incarnation != state.incarnation || behind {
            return Some(Finding::Restored);
        }
        (store.applied_seq > state.applied_seq).then_some(Finding::Applied)
    }

    /// The store went back in time. What the hub wrote since is pulled again, this register's own changes included; until that is done
    /// nothing is captured, and then every row is compared.
    pub fn recover_restored(&mut self, around: &mut Around<'_>) {
        let cursor = self.store.whole.min(self.store.cursor);
        self.state.shadow.retain(|_, kept| kept.version() <= cursor);
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
        self.store.begin_anew(incarnation, cursor, captured + SEQUENCE_GAP, self.state.applied_seq);
        let agent = self.agent();
        agent.page = None;
        agent.sync.handle(Event::Asked, around.now);
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

    /// Compares every row of the tables whose first full sync is over. Gives back how many changes it found.
    pub fn scan(&mut self, now: i64) -> u64 {
        let before = self.state.added();
        let sent = TABLES.into_iter().filter(|table| self.state.is_sent(*table)).collect::<Vec<_>>();
        for table in &sent {
            for (key, row) in self.store.rows_after(*table, None, usize::MAX) {
                self.record_look(key, Some(row), now);
            }
        }
        for table in sent.iter().rev() {
            let kept = self.state.shadow.iter().filter(|(key, kept)| key.0 == *table && kept.row().is_some());
            let vanished: Vec<Key> = kept.filter(|(key, _)| self.store.row(key).is_none()).map(|(key, _)| key.clone()).collect();
            for key in vanished {
                self.record_look(key, None, now);
            }
        }
        self.state.scan_due = false;
        (self.state.added() - before) as u64
    }
}

impl Ledger {
    /// What was done to the row last is lost with the store's file, and nobody else ever knew.
    fn lose(&mut self, key: &Key, row: Option<&Row>) {
        let values = row.map(|row| self.facts(key, row)).unwrap_or_default();
        self.replaced.extend(values);
        self.uncounted.insert(key.clone());
    }

    /// A restored store may hold rows that its register had deleted. Of those that its journal names nobody can tell whether the POS wrote
    /// them anew.
    pub fn lose_deletes(&mut self, register: usize) {
        for deleted in self.deletes.extract_if(.., |deleted| deleted.register == register) {
            self.replaced.extend(deleted.values);
            self.uncounted.insert(deleted.key);
        }
    }
}
