//! What must hold: on the way, and once all is quiet.

use std::collections::{BTreeMap, BTreeSet};

use tillsync_core::row::Row;
use tillsync_core::status::{Facts, State as Word, summarise};

use super::clocks::hub_ms;
use super::shop::Key;
use super::state::Standing;
use super::world::World;

impl World {
    /// What must hold at any time.
    pub fn check_on_the_way(&self, number: usize) -> Result<(), String> {
        if let Some(violation) = &self.hub.violation {
            return Err(violation.clone());
        }
        let register = &self.registers[number];
        let waiting = register.state.sendable();
        let journal = register.store.journal_after(register.state.captured_seq, 1).count();
        if let Some(agent) = register.agent.as_ref().filter(|agent| !agent.freed && register.examine().is_none())
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
        summarise(&facts, hub_ms(self.now), |_| String::new()).state
    }

    /// What must hold once all is quiet.
    pub fn check_at_the_end(&mut self) -> Result<(), String> {
        let rows = self.hub.rows();
        self.check_drained()?;
        self.check_replicas(&rows)?;
        self.check_property(&rows)?;
        for noted in &self.hub.conflicts {
            self.coverage.count_conflict(noted);
        }
        Ok(())
    }

    fn check_drained(&self) -> Result<(), String> {
        if let Some(noted) = self.hub.conflicts.iter().find(|noted| noted.is_pending()) {
            return Err(format!("nobody could decide {noted:?}"));
        }
        for register in &self.registers {
            let number = register.number;
            if register.agent.is_none() {
                return Err(format!("register {number} was not started again"));
            }
            let state = &register.state;
            if let Some(entry) = register.store.journal_after(state.captured_seq, 1).next() {
                return Err(format!("register {number} has not captured {entry:?}"));
            }
            if let Some(change) = state.open().next() {
                return Err(format!("register {number} still has {change:?}"));
            }
            if let Some((key, held)) = state.inbox.iter().next() {
                return Err(format!("register {number} still holds {key:?}: {held:?}"));
            }
            if state.cursor != self.hub.head() || register.store.cursor != self.hub.head() {
                let head = self.hub.head();
                return Err(format!("register {number} is at {}/{} of {head}", state.cursor, register.store.cursor));
            }
        }
        Ok(())
    }

    fn check_replicas(&self, rows: &BTreeMap<Key, Row>) -> Result<(), String> {
        for register in &self.registers {
            let keys: BTreeSet<&Key> = rows.keys().chain(register.store.rows().keys()).collect();
            for key in keys {
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
}
