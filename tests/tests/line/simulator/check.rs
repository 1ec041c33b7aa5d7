//! What must hold: on the way, and once all is quiet.

use std::collections::{BTreeMap, BTreeSet};

use tillsync_core::row::Row;
use tillsync_core::status::{Facts, State as Word, summarise};

use super::clocks::hub_ms;
use super::shop::{Key, Place, Who};
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
            let waiting = waiting.first().map(|place| register.state.change(*place));
            return Err(format!("register {} calls everything settled while {waiting:?} waits", register.number));
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
            in_step: state.caught_up && register.has_uploaded(),
            ..Facts::default()
        };
        summarise(&facts, hub_ms(self.now)).sentence.state()
    }

    /// What must hold once all is quiet.
    pub fn check_at_the_end(&mut self) -> Result<(), String> {
        let rows = self.hub.rows();
        self.check_drained()?;
        self.check_replicas(&rows)?;
        self.check_property(&rows)?;
        self.count_keys();
        for noted in &self.hub.conflicts {
            self.coverage.count_conflict(noted);
        }
        Ok(())
    }

    /// Counts keys that are given to one row here and to another one there.
    fn count_keys(&mut self) {
        let mut known: BTreeMap<&Place, Who> = BTreeMap::new();
        let mut others = 0;
        for (place, row) in self.registers.iter().flat_map(|register| register.store.rows()) {
            let who = self.ledger.who(place.0, &place.1, row);
            others += usize::from(known.insert(place, who.clone()).is_some_and(|known| known != who));
        }
        if others > 0 {
            self.coverage.count("a key means another row elsewhere");
        }
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
            if register.is_copy() || register.state.parting {
                return Err(format!("register {number} is still a copy"));
            }
            if let Some(table) = register.state.refilling().first() {
                return Err(format!("register {number} has yet to fill new columns of {table:?}"));
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

    /// Every store holds what the hub does, as far as it has the tables and columns, and every row under one key.
    fn check_replicas(&self, rows: &BTreeMap<Key, Row>) -> Result<(), String> {
        for register in &self.registers {
            let mut identity = register.identity();
            let here: BTreeMap<Key, Row> = register.store.rows().iter().map(|(place, row)| identity.wire(place, row)).collect();
            if !identity.named.is_empty() || here.len() != register.store.rows().len() {
                return Err(format!("register {} does not know which rows {:?} are", register.number, identity.named));
            }
            let schema = &register.store.schema;
            let there = rows.iter().filter(|(key, _)| schema.has(key.0));
            let keys: BTreeSet<&Key> = there.map(|(key, _)| key).chain(here.keys()).collect();
            for key in keys {
                let (here, there) = (here.get(key), rows.get(key));
                let is_same = match (here, there) {
                    (Some(here), Some(there)) => schema.agrees(key.0, here, there),
                    (here, there) => here.is_none() && there.is_none(),
                };
                if !is_same {
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
