//! Losses that are nobody's fault: what the POS wrote and the agent had not seen when the store's file went, or a column or table of it. What
//! anybody had heard of by then is no such loss.

use std::collections::BTreeSet;

use tillsync_core::row::Row;

use super::hub::Hub;
use super::ledger::{Deleted, Ledger, facts};
use super::register::Register;
use super::shop::{Place, Shop, Table, Who};
use super::store::Store;

/// What is safe: the hub has it, or a register's outbox, or the journal of a backup that is put back.
#[derive(Debug, Default)]
pub struct Heard {
    values: BTreeSet<i64>,
    rows: BTreeSet<Who>,
}

impl Heard {
    fn add(&mut self, shop: &Shop, table: Table, id: &str, row: &Row) {
        self.values.extend(facts(shop, table, row).map(|(_, value)| value));
        self.rows.extend(shop.who(table, id, row));
    }

    /// What the journal of a store names: the agent looks at it whatever happened to the store.
    pub fn add_journal(&mut self, shop: &Shop, store: &Store) {
        for place in store.touched_after(0) {
            if let Some(row) = store.row(&place) {
                self.add(shop, place.0, &place.1, row);
            }
        }
    }
}

impl Hub {
    /// What the hub has ever heard.
    pub fn heard(&self) -> Heard {
        let mut heard = Heard::default();
        let logged = self.log().iter().filter_map(|entry| Some((&entry.key, entry.row.as_ref()?)));
        let noted = self.conflicts.iter().map(|noted| (&noted.key, &noted.client));
        for (key, row) in logged.chain(noted) {
            heard.add(&self.shop, key.0, &key.1, row);
        }
        heard
    }
}

impl Register {
    /// What this register has yet to send is safe, too.
    pub fn add_outbox(&self, mut heard: Heard) -> Heard {
        for change in self.state.open() {
            heard.add(&self.shop, change.key.0, &change.key.1, &change.row);
        }
        heard
    }

    /// Whether a restore would lose a sale that no trigger saw, while lines of it were seen and sent: they would wait for it for ever, a limit
    /// of restores that the simulator does not go into.
    pub fn would_orphan_lines(&self, heard: &Heard) -> bool {
        let is_safe = |place: &Place| {
            let who = self.store.row(place).and_then(|row| self.shop.who(place.0, &place.1, row));
            who.is_some_and(|who| heard.rows.contains(&who))
        };
        let mut sales = self.unseen_rows().map(|(place, _)| place).filter(|place| place.0 == Table::Sales);
        sales.any(|sale| !is_safe(sale) && self.store.children(sale).iter().any(is_safe))
    }

    /// Rows that the POS may have changed since the agent looked at them.
    pub fn unseen_rows(&self) -> impl Iterator<Item = (&Place, &Row)> {
        let is_unseen = self.is_unseen();
        self.store.rows().iter().filter(move |(place, _)| is_unseen(place))
    }

    /// Whether the POS may have done something to a row since the agent looked at it.
    pub fn is_unseen(&self) -> impl Fn(&Place) -> bool + use<'_> {
        // What is captured of a restored store's journal is about another past.
        let touched = self.store.touched_after(if self.is_restored() { 0 } else { self.state.captured_seq });
        let may_be = |table: Table| self.state.scan_due || !self.state.is_sent(table) || self.store.schema.bare.contains(&table);
        move |place| touched.contains(place) || may_be(place.0)
    }
}

impl Ledger {
    /// What was done to the row last is lost with the store's file, and nobody else ever knew.
    pub fn lose(&mut self, place: &Place, row: &Row, heard: &Heard) {
        let who = self.who(place.0, &place.1, row);
        self.throw_away(place.0, row, None, heard);
        if !heard.rows.contains(&who) {
            self.sold.remove(&who);
        }
        self.uncounted.insert(who);
    }

    /// Somebody throws away what a row holds in a column, or all of it, before the agent has seen it.
    pub fn throw_away(&mut self, table: Table, row: &Row, column: Option<&str>, heard: &Heard) {
        let in_column = |name: &str| column.is_none_or(|column| column == name);
        let values: Vec<i64> = facts(&self.shop, table, row).filter(|(name, _)| in_column(name)).map(|(_, value)| value).collect();
        for value in values {
            self.lose_value(value, heard);
        }
    }

    /// A value that nobody has heard of is gone, and so are those that it replaced, as far as nobody has heard of them, either. Of others it
    /// never was the successor.
    fn lose_value(&mut self, value: i64, heard: &Heard) {
        if heard.values.contains(&value) {
            return;
        }
        let mut before = Vec::new();
        self.replaced.retain(|old, by| {
            let is_last = by.remove(&value) && by.is_empty();
            before.extend(is_last.then_some(*old));
            !is_last
        });
        self.let_go([value]);
        for old in before {
            self.lose_value(old, heard);
        }
    }

    /// A restored store may hold rows that its register had deleted. Of those that its journal names nobody can tell whether the POS wrote
    /// them anew.
    pub fn lose_deletes(&mut self, register: usize) {
        let lost: Vec<_> = self.deletes.extract_if(.., |deleted| deleted.register == register).collect();
        for deleted in lost {
            self.let_go(deleted.values);
            self.uncounted.insert(deleted.who);
        }
    }

    /// A table is gone, with deletes in it that nobody had seen: the rows are there elsewhere.
    pub fn lose_deletes_of(&mut self, register: usize, table: Table, is_unseen: impl Fn(&Place) -> bool) {
        let is_lost = |deleted: &Deleted| {
            deleted.register == register && deleted.who.0 == table && is_unseen(&Place(table, deleted.who.1.clone()))
        };
        for deleted in self.deletes.extract_if(.., |deleted| is_lost(deleted)).collect::<Vec<_>>() {
            self.let_go(deleted.values);
        }
    }

    /// The row of a backup may be sent anew.
    pub fn may_come_again(&mut self, register: usize, place: &Place, row: &Row) {
        let who = self.who(place.0, &place.1, row);
        self.written(register, &who);
        self.uploads_again(register, place, row);
    }

    /// The first full sync may bring the row once more.
    pub fn uploads_again(&mut self, register: usize, place: &Place, row: &Row) {
        let who = self.who(place.0, &place.1, row);
        *self.uploads_again.entry((register, who)).or_default() += 1;
    }
}
