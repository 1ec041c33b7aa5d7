//! What must hold: on the way, and once all is quiet.

use std::collections::{BTreeMap, BTreeSet};

use tillsync_core::change::Operation;
use tillsync_core::row::Row;
use tillsync_core::status::{Facts, State as Word, summarise};
use tillsync_core::value::Value;

use super::pos::{Deleted, facts};
use super::shop::{Key, parent};
use super::state::Standing;
use super::world::World;

impl World {
    /// What must hold at any time.
    pub fn check_on_the_way(&self, number: usize) -> Result<(), String> {
        let register = &self.registers[number];
        let waiting = register.state.sendable();
        let journal = register.store.journal_after(register.state.captured_seq, 1).count();
        if let Some(agent) = &register.agent
            && agent.sync.settled_since(register.last_write_ms + 1)
            && waiting.len() + journal > 0
        {
            return Err(format!("register {} calls everything settled while changes wait", register.number));
        }
        let word = self.word(register.number);
        let open = register.state.open().count();
        if word == Word::Synced && open + journal > 0 {
            return Err(format!("register {} says synced with {open} changes open", register.number));
        }
        Ok(())
    }

    /// The register's state in one word, from the facts that the agent gathers.
    fn word(&self, number: usize) -> Word {
        let register = &self.registers[number];
        let state = &register.state;
        let conflicts = state.open().filter(|change| change.standing == Standing::Conflict).count();
        let mut pending = state.open().filter(|change| change.standing != Standing::Conflict);
        let journal = register.store.journal_after(state.captured_seq, usize::MAX).count();
        let facts = Facts {
            pending: (state.open().count() - conflicts + journal) as u64,
            conflicts: conflicts as u64,
            oldest_pending_ms: pending.next().map(|change| change.at_ms),
            in_step: state.caught_up && state.uploads.len() == 3 && state.uploads.values().all(|table| table.finished),
            ..Facts::default()
        };
        summarise(&facts, self.now, |_| String::new()).state
    }

    /// What must hold once all is quiet.
    pub fn check_at_the_end(&self) -> Result<(), String> {
        let rows = self.hub.rows();
        let disputed = self.disputed();
        self.check_drained(&disputed)?;
        self.check_replicas(&rows, &disputed)?;
        self.check_nothing_lost(&rows)?;
        self.check_deletes(&rows)?;
        self.check_nothing_doubled()
    }

    /// Rows that a person must decide about, and rows that hang on them.
    fn disputed(&self) -> BTreeSet<Key> {
        let mut disputed: BTreeSet<Key> = self.registers.iter().flat_map(|register| register.state.blocked()).collect();
        let everywhere = || {
            let stored = self.registers.iter().flat_map(|register| register.store.rows());
            stored.chain(self.hub.log().iter().filter_map(|entry| Some((&entry.key, entry.row.as_ref()?))))
        };
        let children: Vec<Key> = everywhere()
            .filter(|(key, row)| parent(key, row).is_some_and(|parent| disputed.contains(&parent)))
            .map(|(key, _)| key.clone())
            .collect();
        // A parent is not deleted while a row in dispute refers to it.
        let parents: Vec<Key> =
            everywhere().filter(|(key, _)| disputed.contains(key)).filter_map(|(key, row)| parent(key, row)).collect();
        disputed.extend(children);
        disputed.extend(parents);
        disputed
    }

    fn check_drained(&self, disputed: &BTreeSet<Key>) -> Result<(), String> {
        for register in &self.registers {
            let number = register.number;
            if register.agent.is_none() {
                return Err(format!("register {number} was not started again"));
            }
            let state = &register.state;
            if let Some(entry) = register.store.journal_after(state.captured_seq, 1).next() {
                return Err(format!("register {number} has not captured {entry:?}"));
            }
            if let Some(change) = state.open().find(|change| !disputed.contains(&change.key)) {
                return Err(format!("register {number} still has {change:?}"));
            }
            if let Some((key, held)) = state.inbox.iter().find(|(key, _)| !disputed.contains(*key)) {
                return Err(format!("register {number} still holds {key:?}: {held:?}"));
            }
            if state.cursor != self.hub.head() || register.store.cursor != self.hub.head() {
                let head = self.hub.head();
                return Err(format!("register {number} is at {}/{} of {head}", state.cursor, register.store.cursor));
            }
        }
        Ok(())
    }

    fn check_replicas(&self, rows: &BTreeMap<Key, Row>, disputed: &BTreeSet<Key>) -> Result<(), String> {
        for register in &self.registers {
            let keys: BTreeSet<&Key> = rows.keys().chain(register.store.rows().keys()).collect();
            for key in keys.into_iter().filter(|key| !disputed.contains(*key)) {
                let (here, there) = (register.store.row(key), rows.get(key));
                if here != there {
                    let number = register.number;
                    return Err(format!("{key:?} differs: register {number} has {here:?}, the hub has {there:?}"));
                }
                let kept = register.state.shadow.get(key).and_then(|kept| kept.row());
                if here.is_some() != kept.is_some() {
                    return Err(format!("the shadow of register {} is wrong about {key:?}", register.number));
                }
            }
        }
        Ok(())
    }

    /// Every value that a POS program wrote is there, or somebody who saw it replaced it, or it is kept for a person.
    fn check_nothing_lost(&self, rows: &BTreeMap<Key, Row>) -> Result<(), String> {
        let mut found: BTreeSet<i64> = rows.iter().flat_map(|(key, row)| facts(key, row)).collect();
        for noted in self.hub.conflicts() {
            found.extend(facts(&noted.key, &noted.client));
            found.extend(noted.server.iter().flat_map(|row| facts(&noted.key, row)));
        }
        for register in &self.registers {
            found.extend(register.state.open().flat_map(|change| facts(&change.key, &change.row)));
        }
        found.extend(self.ledger.replaced.keys());
        found.extend(self.ledger.deletes.iter().flat_map(|deleted| &deleted.values));
        match self.ledger.values.iter().find(|(value, _)| !found.contains(value)) {
            Some((value, (key, column))) => Err(format!("{value} in {column} of {key:?} is lost")),
            None => Ok(()),
        }
    }

    /// No row is there with nothing but values that somebody saw and deleted.
    fn check_deletes(&self, rows: &BTreeMap<Key, Row>) -> Result<(), String> {
        for (key, row) in rows {
            let values = facts(key, row);
            let undone = self.ledger.deletes.iter().find(|deleted| {
                deleted.key == *key
                    && values.is_subset(&deleted.values)
                    && !self.is_kept_delete(deleted.register, key)
                    && !self.was_brought_along(deleted, &values)
            });
            if let Some(deleted) = undone {
                return Err(format!("{key:?} is back although register {} deleted it", deleted.register));
            }
        }
        Ok(())
    }

    /// A register that joins late brings its copy of a row along; that may be after another one deleted the row.
    fn was_brought_along(&self, deleted: &Deleted, values: &BTreeSet<i64>) -> bool {
        let head = self.hub.log().iter().rev().find(|entry| entry.key == deleted.key);
        head.is_some_and(|entry| entry.device != deleted.register) && values.is_subset(&self.ledger.loaded)
    }

    fn is_kept_delete(&self, register: usize, key: &Key) -> bool {
        let deletes = Operation::Delete;
        let noted =
            self.hub.conflicts().iter().any(|noted| noted.device == register && noted.key == *key && noted.operation == deletes);
        noted || self.registers[register].state.has_unsent(key)
    }

    /// No event is in the log twice, no row has more entries than writes, and nothing is made out of nothing.
    fn check_nothing_doubled(&self) -> Result<(), String> {
        let mut events = BTreeSet::new();
        let mut entries: BTreeMap<&Key, usize> = BTreeMap::new();
        for entry in self.hub.log() {
            if !events.insert(&entry.event) {
                return Err(format!("{:?} is in the log twice", entry.event));
            }
            *entries.entry(&entry.key).or_default() += 1;
            let invented = entry.row.iter().flat_map(|row| row.iter()).find(|(name, value)| {
                *name != "id" && *name != "sale" && !matches!(value, Value::Integer(n) if self.ledger.values.contains_key(n))
            });
            if let Some(invented) = invented {
                return Err(format!("nobody wrote {invented:?} of {:?}", entry.key));
            }
        }
        for (key, entries) in entries {
            let writes = self.ledger.writes.get(key).copied().unwrap_or(0);
            if entries > writes {
                return Err(format!("{key:?} was written {writes} times and is in the log {entries} times"));
            }
        }
        Ok(())
    }
}
