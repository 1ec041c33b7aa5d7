//! The property: whatever was edited, pushed, pulled, lost and repeated, every edit is in the final state, was superseded by somebody
//! who knew of it, or is in the conflict log. Nothing is there twice, and what counts is counted once.

use std::collections::{BTreeMap, BTreeSet};

use tillsync_core::change::Operation;
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use super::conflicts::Standing;
use super::ledger::Deleted;
use super::shop::{Key, Who, parent};
use super::state::EventId;
use super::world::World;

impl World {
    /// Checks all of it, with the rows that all have in the end.
    pub fn check_property(&mut self, rows: &BTreeMap<Key, Row>) -> Result<(), String> {
        self.check_nothing_lost(rows)?;
        self.check_sold(rows)?;
        self.check_deletes(rows)?;
        self.check_log()?;
        self.check_identities(rows)?;
        self.check_counts(rows)
    }

    /// Every value that somebody wrote is there, or somebody who saw it replaced it, or the conflict log has it.
    fn check_nothing_lost(&self, rows: &BTreeMap<Key, Row>) -> Result<(), String> {
        let mut found: BTreeSet<i64> = rows.iter().flat_map(|(key, row)| self.ledger.facts(key, row)).collect();
        found.extend(self.hub.conflicts.iter().flat_map(|noted| noted.values(&self.ledger.shop)));
        found.extend(self.ledger.replaced.keys());
        found.extend(self.ledger.deletes.iter().flat_map(|deleted| &deleted.values));
        let went_unseen = |value: &i64, place| self.ledger.gone_unseen.get(place).is_some_and(|up_to| value <= up_to);
        let is_lost = |value: &i64, place| !found.contains(value) && !went_unseen(value, place);
        match self.ledger.values.iter().find(|(value, place)| is_lost(value, place)) {
            Some((value, (who, column))) => Err(format!("{value} in {column} of {who:?} is lost")),
            None => Ok(()),
        }
    }

    /// Every sale and every line that was rung up is there; that none is there twice is another check.
    fn check_sold(&self, rows: &BTreeMap<Key, Row>) -> Result<(), String> {
        let there: BTreeSet<Who> = rows.iter().map(|(key, row)| self.ledger.who(key.0, &key.1, row)).collect();
        match self.ledger.sold.iter().find(|who| !there.contains(who)) {
            Some(who) => Err(format!("{who:?} was sold and is not there")),
            None => Ok(()),
        }
    }

    /// No row is there with nothing but values that somebody saw and deleted.
    fn check_deletes(&self, rows: &BTreeMap<Key, Row>) -> Result<(), String> {
        for (key, row) in rows {
            let (values, who) = (self.ledger.facts(key, row), self.hub.who(key));
            let undone = self.ledger.deletes.iter().find(|deleted| {
                deleted.who == who
                    && !values.is_empty()
                    && values.is_subset(&deleted.values)
                    && !self.is_kept_delete(deleted)
                    && !self.was_brought_along(deleted, key, &values)
            });
            if let Some(deleted) = undone {
                return Err(format!("{key:?} is back although register {} deleted it", deleted.register));
            }
        }
        Ok(())
    }

    /// A register that joins late brings its copy of a row along, and one whose store was restored goes on with a row as it was; that may be
    /// after another one deleted the row.
    fn was_brought_along(&self, deleted: &Deleted, key: &Key, values: &BTreeSet<i64>) -> bool {
        let is_late = values.is_subset(&self.ledger.loaded);
        let may_be_late = |device: usize| (is_late && device != deleted.register) || self.ledger.restored.contains(&device);
        let brought = |row: &Row| values.is_subset(&self.ledger.facts(&deleted.who, row));
        let mut entries = self.hub.log().iter().filter(|entry| entry.key == *key && may_be_late(entry.device));
        entries.any(|entry| entry.row.as_ref().is_some_and(brought))
    }

    fn is_kept_delete(&self, deleted: &Deleted) -> bool {
        // A copy of the register may have sent it first.
        let by = |event: &EventId| matches!(event, EventId::Captured(register, _) if *register == deleted.register);
        let mut deletes = self.hub.conflicts.iter().filter(|noted| noted.operation == Operation::Delete);
        deletes.any(|noted| by(&noted.event) && self.hub.who(&noted.key) == deleted.who)
    }

    /// Every row that registers count for themselves is there under one id, and refers to the row that it was made for.
    fn check_identities(&self, rows: &BTreeMap<Key, Row>) -> Result<(), String> {
        let mut known: BTreeMap<Who, &Key> = BTreeMap::new();
        for (key, row) in rows {
            let who = self.ledger.who(key.0, &key.1, row);
            if let Some(other) = known.insert(who.clone(), key) {
                return Err(format!("{who:?} is there twice, as {other:?} and as {key:?}"));
            }
            let Some(sale) = parent(key.0, row) else { continue };
            let sale = self.hub.who(&sale);
            if who.1.split('/').next() != Some(sale.1.as_str()) {
                return Err(format!("{who:?} belongs to {sale:?}"));
            }
        }
        Ok(())
    }

    /// A column that counts holds the sum of all differences, except where a person has decided what it holds.
    fn check_counts(&mut self, rows: &BTreeMap<Key, Row>) -> Result<(), String> {
        let automatic = |key: &Who| {
            let mut noted = self.hub.conflicts.iter().filter(|noted| self.hub.who(&noted.key) == *key);
            noted.all(|noted| noted.standing == Standing::Automatic) && !self.ledger.uncounted.contains(key)
        };
        for ((key, column), sum) in self.ledger.counted.iter().filter(|((key, _), _)| automatic(key)) {
            let count = rows.get(key).map_or(Some(&Value::Integer(0)), |row| row.get(column));
            if count != Some(&Value::Integer(*sum)) {
                return Err(format!("{column} of {key:?} is {count:?}, and all differences come to {sum}"));
            }
            self.coverage.count("a count that adds up");
        }
        Ok(())
    }
}
