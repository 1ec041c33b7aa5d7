//! Upgrades: the POS program changes the schema of its store, and the agent takes it up as the real one does.

use tillsync_core::diff::Added;
use tillsync_core::kept::Columns;
use tillsync_core::sync::Event;

use super::faults::Crash;
use super::ledger::Ledger;
use super::losses::Heard;
use super::register::{Around, Register};
use super::schema::Upgrade;
use super::shop::Table;
use super::state::Due;

impl Register {
    /// Somebody upgrades the POS program. Says what that changes, if there is anything left to change.
    pub fn upgrade(&mut self, heard: Heard, ledger: &mut Ledger) -> Option<Upgrade> {
        let upgrade = self.shop.upgrades.get(self.store.schema.upgrades)?.clone();
        let lost = match upgrade {
            Upgrade::DropColumn(table, column) => Some((table, Some(column))),
            Upgrade::DropTable(table) => Some((table, None)),
            Upgrade::AddColumn { .. } | Upgrade::AddTable(_) | Upgrade::Rebuild(_) => None,
        };
        if let Some((table, column)) = lost {
            let heard = self.add_outbox(heard);
            for (_, row) in self.unseen_rows().filter(|(place, _)| place.0 == table) {
                ledger.throw_away(table, row, column, &heard);
            }
        }
        if let Upgrade::DropTable(table) = upgrade {
            ledger.lose_deletes_of(self.number, table, self.is_unseen());
        }
        if let Upgrade::AddColumn { table, .. } = upgrade {
            *ledger.columns_came.entry((self.number, table)).or_default() += 1;
        }
        if let Upgrade::AddColumn { table, .. } | Upgrade::DropColumn(table, _) = upgrade
            && !self.state.is_sent(table)
        {
            for (place, row) in self.store.rows_of(table) {
                // What is on its way goes once more, with other columns.
                ledger.uploads_again(self.number, place, row);
            }
        }
        self.store.upgrade(&upgrade);
        Some(upgrade)
    }

    /// Nothing is sent before the schema is known, and what apply has written.
    pub fn make_ready(&mut self, around: &mut Around<'_>) -> Result<(), Crash> {
        if self.agent().schema != self.store.schema.version {
            self.recover_schema(around)?;
        }
        self.learn_applied();
        Ok(())
    }

    /// Reads the schema again and puts triggers back where they are missing.
    pub fn recover_schema(&mut self, around: &mut Around<'_>) -> Result<(), Crash> {
        if !self.store.schema.bare.is_empty() {
            // Noted before what saw nothing is put back, so that no end of the agent hides it.
            self.state.scan_due = true;
        }
        let new: Vec<Table> = self.store.schema.tables().filter(|table| !self.store.is_set_up_for(*table)).collect();
        for table in &new {
            self.forget_table(*table);
        }
        self.point(around)?;
        self.store.set_up_for(&new);
        let fetch_again = self.take_up_schema();
        self.point(around)?;
        if fetch_again {
            self.store.cursor = 0;
            let agent = self.agent();
            agent.page = None;
            agent.sync.handle(Event::Asked, around.now);
        }
        self.agent().schema = self.store.schema.version;
        // A restored store forgets first what it has lost.
        if self.state.parting && !self.is_restored() {
            self.part_store();
        }
        Ok(())
    }

    /// What is known of a table that the store has never been set up for is about another past: it went back to a backup from before the table
    /// came. Here it is as new as on its first day.
    fn forget_table(&mut self, table: Table) {
        self.state.shadow.retain(|key, _| key.0 != table);
        self.state.ids.forget(table);
        if self.state.known_columns().remove(&table).is_some() {
            // Its rows come back from the hub, whoever wrote them.
            self.state.pull_own = true;
        }
        self.state.uploads.remove(&table);
    }

    /// From now on this is the schema. Gives back whether everything is to be fetched again: a table came, or is back, and what was pulled of it while it was not there was passed over.
    fn take_up_schema(&mut self) -> bool {
        let known = self.state.known_columns().len();
        for table in self.store.schema.tables().collect::<Vec<_>>() {
            self.take_up_table(table);
        }
        let is_back = self.store.schema.tables().filter(|table| self.state.absent.remove(table)).count() > 0;
        let has_gone = |table: &Table| !self.store.schema.has(*table);
        let gone: Vec<Table> = self.state.selection.keys().copied().filter(has_gone).collect();
        self.state.absent.extend(gone);
        let fetch_again = is_back || (known > 0 && self.state.known_columns().len() > known);
        if fetch_again {
            self.state.cursor = 0;
        }
        fetch_again
    }

    fn take_up_table(&mut self, table: Table) {
        let columns = self.store.schema.columns(table);
        let names: Vec<String> = columns.iter().map(|column| column.name.to_owned()).collect();
        let before = self.state.selection.insert(table, names.clone());
        if let Some(before) = before.filter(|before| *before != names) {
            let is_new = |name: &str| !before.iter().any(|known| known == name);
            let new = columns.iter().filter(|column| is_new(column.name));
            let added: Vec<Added> =
                new.map(|column| Added { name: column.name.to_owned(), default: column.default.clone(), was: None }).collect();
            if let Some(known) = self.state.known_columns().get_mut(&table) {
                // What rows were seen with under such a name is about a column that has gone since.
                known.prints.iter_mut().filter(|name| added.iter().any(|column| column.name == **name)).for_each(String::clear);
            }
            self.refill_later(table, added, &names);
        }
        let needs_base = |name: &&String| self.shop.rule(table, name).needs_base();
        let bases = names.iter().filter(needs_base).cloned().collect();
        let added = self.state.refill.get(&table).map(|due| due.added.clone()).unwrap_or_default();
        let known = self.state.known_columns().entry(table).or_default();
        let mut prints = std::mem::take(&mut known.prints);
        if table.has_prints() {
            prints.extend(names.into_iter().filter(|name| !prints.contains(name)).collect::<Vec<_>>());
        }
        *known = Columns { prints, bases, added };
    }

    /// Columns came to a table, and `present` are all that it has now: it begins again.
    fn refill_later(&mut self, table: Table, mut added: Vec<Added>, present: &[String]) {
        let mut before = self.state.refill.remove(&table).unwrap_or_default().added;
        before.retain(|earlier| present.contains(&earlier.name) && !added.iter().any(|column| column.name == earlier.name));
        added.extend(before);
        if !added.is_empty() {
            self.state.refill.insert(table, Due { added, ..Due::default() });
        }
    }
}
