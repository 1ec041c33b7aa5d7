//! The log in the end: nothing is in it twice, nobody wrote more into it than was written at a register, and what gave way stays away.

use std::collections::{BTreeMap, BTreeSet};

use tillsync_core::key::parse_uuid;

use super::hub::Entry;
use super::ledger::facts;
use super::shop::{Key, Who};
use super::state::EventId;
use super::world::World;

/// How a row came into the log, and from which register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// The POS program there wrote it, or it was there before and came with the first full sync, or with the journal when that was faster.
    Written(usize),
    /// Columns came.
    Refilled(usize),
    /// A person decided.
    Decided,
}

impl World {
    /// Checks the log.
    pub fn check_log(&self) -> Result<(), String> {
        self.check_nothing_made_up()?;
        self.check_nothing_doubled()?;
        self.check_nothing_returns()
    }

    /// Every value in the log was written, and where it is.
    fn check_nothing_made_up(&self) -> Result<(), String> {
        for entry in self.hub.log() {
            let who = self.who(entry);
            let values = entry.row.iter().flat_map(|row| facts(&self.ledger.shop, entry.key.0, row));
            for (column, value) in values {
                if self.ledger.values.get(&value) != Some(&(who.clone(), column)) {
                    return Err(format!("nobody wrote {value} into {column} of {:?}", entry.key));
                }
            }
        }
        Ok(())
    }

    /// No event is in the log twice, and no register wrote a row more often than its POS program did.
    fn check_nothing_doubled(&self) -> Result<(), String> {
        let mut events = BTreeSet::new();
        let mut entries: BTreeMap<(Way, Who), usize> = BTreeMap::new();
        for entry in self.hub.log() {
            if !events.insert(&entry.event) {
                return Err(format!("{:?} is in the log twice", entry.event));
            }
            *entries.entry((way(entry), self.who(entry))).or_default() += 1;
        }
        for ((way, who), entries) in entries {
            let most = self.most(way, &who);
            // Of a row that only its delete was heard of nobody can say which one it was.
            let is_known = !self.ledger.shop.is_counted(who.0) || parse_uuid(&who.1).is_none();
            if most.is_some_and(|most| entries > most) && is_known {
                return Err(format!("{who:?} is in the log {entries} times as {way:?}, and may be {most:?} times"));
            }
        }
        Ok(())
    }

    /// How often a row may come into the log in a way.
    fn most(&self, way: Way, who: &Who) -> Option<usize> {
        let ledger = &self.ledger;
        match way {
            Way::Written(register) => {
                let times = |counts: &BTreeMap<_, usize>| counts.get(&(register, who.clone())).copied().unwrap_or(0);
                Some(1 + times(&ledger.written_at) + times(&ledger.uploads_again))
            }
            Way::Refilled(register) => Some(ledger.columns_came.get(&(register, who.0)).copied().unwrap_or(0)),
            Way::Decided => None,
        }
    }

    /// A value that has given way to another one, or went with its row, does not come back by itself: only a person brings it back, and a
    /// register that did not know better: one that joins with what it had before Tillsync, or whose store was restored. A cell of several
    /// values may go and come as a whole; and what a register sent of a new column may be sent once more with what its POS program did to the
    /// row meanwhile.
    fn check_nothing_returns(&self) -> Result<(), String> {
        let mut seen: BTreeMap<&Key, (BTreeSet<i64>, BTreeSet<i64>)> = BTreeMap::new();
        let mut refilled: BTreeSet<i64> = BTreeSet::new();
        for entry in self.hub.log() {
            let values = entry.row.iter().flat_map(|row| facts(&self.ledger.shop, entry.key.0, row));
            let now: BTreeSet<i64> = values.filter(|(column, _)| *column != "tags").map(|(_, value)| value).collect();
            let (before, gone) = seen.entry(&entry.key).or_default();
            gone.extend(before.difference(&now));
            if matches!(entry.event, EventId::Refilled(..)) {
                refilled.extend(now.difference(before));
            }
            let mut returned = now.intersection(gone);
            if let Some(value) = returned.find(|value| !self.ledger.loaded.contains(value) && !refilled.contains(value))
                && !self.may_bring_back(entry)
            {
                return Err(format!("{value} had given way in {:?} and is back with {:?}", entry.key, entry.event));
            }
            gone.retain(|value| !now.contains(value));
            *before = now;
        }
        Ok(())
    }

    fn may_bring_back(&self, entry: &Entry) -> bool {
        entry.resolves.is_some() || matches!(entry.event, EventId::Uploaded(..)) || self.ledger.restored.contains(&entry.device)
    }

    fn who(&self, entry: &Entry) -> Who {
        let says = |row| self.ledger.who(entry.key.0, &entry.key.1, row);
        entry.row.as_ref().map_or_else(|| self.hub.who(&entry.key), says)
    }
}

fn way(entry: &Entry) -> Way {
    match entry.event {
        EventId::Captured(register, _) => Way::Written(register),
        EventId::Uploaded(..) => Way::Written(entry.device),
        EventId::Refilled(register, _) => Way::Refilled(register),
        EventId::Decided(_) => Way::Decided,
    }
}
