//! A register's store: the POS's rows, the journal that its triggers fill, and the cursor. They survive a crash together.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

use tillsync_core::kept::Kept;
use tillsync_core::row::Row;

use super::shop::{Key, Shop, TABLES, Table, parent};

/// The store.
#[derive(Clone, Debug)]
pub struct Store {
    shop: Rc<Shop>,
    rows: BTreeMap<Key, Row>,
    journal: Vec<(i64, Key)>,
    next_seq: i64,
    /// How far it holds the hub's changes.
    pub cursor: i64,
    /// What apply wrote and the state may not know yet, by number.
    applied: Vec<(i64, Key, Kept)>,
    /// The last number.
    pub applied_seq: i64,
    /// Up to here nothing of the hub's is missing in it.
    pub whole: i64,
    /// Changes with every restore that is noticed; the state has the same one.
    pub incarnation: u64,
}

impl Store {
    pub fn new(shop: Rc<Shop>) -> Self {
        let (rows, journal, applied) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { shop, rows, journal, next_seq: 0, cursor: 0, applied, applied_seq: 0, whole: 0, incarnation: 0 }
    }

    /// A row.
    pub fn row(&self, key: &Key) -> Option<&Row> {
        self.rows.get(key)
    }

    /// All rows.
    pub fn rows(&self) -> &BTreeMap<Key, Row> {
        &self.rows
    }

    /// The POS writes a row or, without one, deletes it; the triggers note the key.
    pub fn pos_writes(&mut self, key: &Key, row: Option<Row>) {
        self.write(key, row);
        self.touch(key);
    }

    /// The POS writes a row without changing it.
    pub fn touch(&mut self, key: &Key) {
        self.next_seq += 1;
        self.journal.push((self.next_seq, key.clone()));
    }

    /// The agent writes: no trigger fires, and what it wrote is noted in the same commit.
    pub fn apply(&mut self, key: &Key, row: Option<Row>, version: i64) {
        let kept = Kept::received(row.as_ref(), version, self.shop.columns(key.0));
        self.write(key, row);
        self.applied_seq += 1;
        self.applied.push((self.applied_seq, key.clone(), kept));
    }

    /// What apply noted after this number.
    pub fn applied_after(&self, seq: i64) -> Vec<(i64, Key, Kept)> {
        self.applied.iter().filter(|(at, ..)| *at > seq).cloned().collect()
    }

    /// Forgets what the state has by now.
    pub fn forget_applied(&mut self, seq: i64) {
        self.applied.retain(|(at, ..)| *at > seq);
    }

    fn write(&mut self, key: &Key, row: Option<Row>) {
        match row {
            Some(row) => self.rows.insert(key.clone(), row),
            None => self.rows.remove(key),
        };
    }

    /// Rows that were there before Tillsync: no trigger saw them.
    pub fn load(&mut self, key: Key, row: Row) {
        self.rows.insert(key, row);
    }

    /// Journal entries after `seq`, at most `limit`.
    pub fn journal_after(&self, seq: i64, limit: usize) -> impl Iterator<Item = &(i64, Key)> {
        self.journal[self.journal.partition_point(|(at, _)| *at <= seq)..].iter().take(limit)
    }

    /// The first number in the journal.
    pub fn first_seq(&self) -> Option<i64> {
        self.journal.first().map(|(seq, _)| *seq)
    }

    /// The last number that was used.
    pub fn last_seq(&self) -> i64 {
        self.next_seq
    }

    /// The agent has noticed that the store is an older one. No number is used twice.
    pub fn begin_anew(&mut self, incarnation: u64, cursor: i64, seq: i64, applied_seq: i64) {
        self.next_seq = self.next_seq.max(seq);
        self.applied.clear();
        (self.incarnation, self.cursor, self.applied_seq) = (incarnation, cursor, applied_seq);
    }

    /// Keys that the POS touched after `seq`.
    pub fn touched_after(&self, seq: i64) -> BTreeSet<Key> {
        self.journal_after(seq, usize::MAX).map(|(_, key)| key.clone()).collect()
    }

    /// Removes entries up to `seq`; the last one always stays.
    pub fn trim(&mut self, seq: i64) {
        let last = self.next_seq;
        self.journal.retain(|(at, _)| *at > seq || *at == last);
    }

    /// Whether the row that this one refers to is missing.
    pub fn lacks_parent(&self, key: &Key, row: &Row) -> bool {
        parent(key, row).is_some_and(|parent| !self.rows.contains_key(&parent))
    }

    /// Whether rows refer to this one. A line's id starts with its sale's.
    pub fn has_children(&self, key: &Key) -> bool {
        let lines = self.rows.range((Table::Lines, key.1.clone())..).take_while(|(child, _)| child.1.starts_with(&key.1));
        key.0 == Table::Sales && lines.into_iter().any(|(child, row)| parent(child, row).as_ref() == Some(key))
    }

    /// Up to `limit` rows of a table after this key, in key order.
    pub fn rows_after(&self, table: Table, after: Option<&str>, limit: usize) -> Vec<(Key, Row)> {
        let from = after.map_or(Bound::Included((table, String::new())), |after| Bound::Excluded((table, after.to_owned())));
        let in_table = self.rows.range((from, Bound::Unbounded)).take_while(|(key, _)| key.0 == table);
        in_table.take(limit).map(|(key, row)| (key.clone(), row.clone())).collect()
    }

    /// The tables in order, for who goes through all of them.
    pub fn tables() -> [Table; 3] {
        TABLES
    }
}
