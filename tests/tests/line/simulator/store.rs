//! A register's store: the POS's rows under its own keys, the journal that its triggers fill, the ids of pulled rows, and the cursor. They
//! survive a crash together, and go back in time together.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

use tillsync_core::kept::Kept;
use tillsync_core::row::Row;
use tillsync_core::value::Value;
use uuid::Uuid;

use super::ids::{Namespaces, PulledIds};
use super::schema::{Schema, Upgrade};
use super::shop::{Key, Place, Shop, Table, parent};

/// An entry of the journal.
#[derive(Clone, Debug)]
pub struct Touched {
    pub seq: i64,
    /// `None` in an entry that means nothing and only keeps the numbers going.
    pub place: Option<Place>,
    /// A number that no other entry has, for the insertion of a row that gets an id of its own.
    pub birth: Option<u64>,
}

/// The store.
#[derive(Clone, Debug)]
pub struct Store {
    shop: Rc<Shop>,
    pub schema: Schema,
    /// Tables that the agent has set the store up for.
    set_up_for: BTreeSet<Table>,
    rows: BTreeMap<Place, Row>,
    journal: Vec<Touched>,
    next_seq: i64,
    /// The last key that was given in each table.
    last_given: BTreeMap<Table, i64>,
    pub ids: PulledIds,
    pub namespaces: Namespaces,
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
    pub fn new(shop: Rc<Shop>, namespace: Uuid) -> Self {
        let schema = Schema::before(&shop.upgrades, shop.is_counted(Table::Sales));
        Self {
            shop,
            schema,
            set_up_for: BTreeSet::new(),
            rows: BTreeMap::new(),
            journal: Vec::new(),
            next_seq: 0,
            last_given: BTreeMap::new(),
            ids: PulledIds::default(),
            namespaces: Namespaces::new(namespace),
            cursor: 0,
            applied: Vec::new(),
            applied_seq: 0,
            whole: 0,
            incarnation: 0,
        }
    }

    /// A row.
    pub fn row(&self, place: &Place) -> Option<&Row> {
        self.rows.get(place)
    }

    /// All rows.
    pub fn rows(&self) -> &BTreeMap<Place, Row> {
        &self.rows
    }

    /// The POS writes a row or, without one, deletes it; the triggers note the key, and an insertion's own number.
    pub fn pos_writes(&mut self, place: &Place, row: Option<Row>, birth: u64) {
        let is_born = row.is_some() && !self.rows.contains_key(place) && self.shop.is_counted(place.0);
        self.write(place, row);
        self.note(place, is_born.then_some(birth));
    }

    /// The POS writes a row without changing it.
    pub fn touch(&mut self, place: &Place) {
        self.note(place, None);
    }

    fn note(&mut self, place: &Place, birth: Option<u64>) {
        if !self.schema.bare.contains(&place.0) {
            self.next_seq += 1;
            self.journal.push(Touched { seq: self.next_seq, place: Some(place.clone()), birth });
        }
    }

    /// The agent writes what fits: no trigger fires. Columns that the row does not name keep what they hold. Gives back the row as it is now.
    pub fn put(&mut self, place: &Place, row: &Row) -> Row {
        let mut whole = self.rows.get(place).cloned().unwrap_or_default();
        for (name, value) in row.iter() {
            whole.set(name, value.clone());
        }
        let row = self.schema.fit(place.0, whole);
        self.write(place, Some(row.clone()));
        row
    }

    /// The agent deletes.
    pub fn remove(&mut self, place: &Place) {
        self.write(place, None);
    }

    /// What the agent wrote is noted in the same commit.
    pub fn note_applied(&mut self, key: &Key, kept: Kept) {
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

    fn write(&mut self, place: &Place, row: Option<Row>) {
        if let Ok(number) = place.1.parse::<i64>() {
            let last = self.last_given.entry(place.0).or_default();
            *last = number.max(*last);
        }
        match row {
            Some(row) => self.rows.insert(place.clone(), row),
            None => self.rows.remove(place),
        };
    }

    /// Rows that were there before Tillsync: no trigger saw them.
    pub fn load(&mut self, place: &Place, row: Row) {
        self.write(place, Some(row));
    }

    /// The POS program is another one from now on.
    pub fn upgrade(&mut self, upgrade: &Upgrade) {
        self.schema.upgrade(upgrade);
        let rows = std::mem::take(&mut self.rows).into_iter().filter(|(place, _)| self.schema.has(place.0));
        self.rows = rows.map(|(place, row)| (place.clone(), self.schema.fit(place.0, row))).collect();
    }

    /// The key that a counted table gives next.
    pub fn next_key(&self, table: Table) -> i64 {
        let numbers = self.rows_of(table).filter_map(|(place, _)| place.1.parse::<i64>().ok());
        let given = if self.shop.autoincrement { self.last_given.get(&table).copied().unwrap_or(0) } else { 0 };
        numbers.max().unwrap_or(0).max(given) + 1
    }

    /// The same for a POS that gives no key again before the agent has seen that its row is gone: for the agent it would be the same row,
    /// changed. It has seen what the journal has up to a number, or, with rows to scan, nobody can say what.
    pub fn next_key_after(&self, table: Table, seen_up_to: Option<i64>) -> i64 {
        let Some(seq) = seen_up_to.filter(|_| !self.schema.bare.contains(&table)) else {
            return self.last_given.get(&table).copied().unwrap_or(0) + 1;
        };
        let touched = self.journal_after(seq, usize::MAX).filter_map(|touched| touched.place.as_ref());
        let numbers = touched.filter(|place| place.0 == table).filter_map(|place| place.1.parse::<i64>().ok());
        self.next_key(table).max(numbers.max().unwrap_or(0) + 1)
    }

    /// Whether the agent has ever set the store up for a table.
    pub fn is_set_up_for(&self, table: Table) -> bool {
        self.set_up_for.contains(&table)
    }

    /// The agent sets the store up: triggers see everything from now on.
    pub fn set_up_for(&mut self, tables: &[Table]) {
        self.set_up_for.extend(tables);
        self.schema.bare.clear();
    }

    /// The place of a row with this key.
    pub fn place_of(table: Table, key: i64) -> (Place, Value) {
        (Place(table, key.to_string()), Value::Integer(key))
    }

    /// Journal entries after `seq`, at most `limit`.
    pub fn journal_after(&self, seq: i64, limit: usize) -> impl Iterator<Item = &Touched> {
        self.journal[self.journal.partition_point(|touched| touched.seq <= seq)..].iter().take(limit)
    }

    /// The first number in the journal.
    pub fn first_seq(&self) -> Option<i64> {
        self.journal.first().map(|touched| touched.seq)
    }

    /// The last number that was used.
    pub fn last_seq(&self) -> i64 {
        self.next_seq
    }

    /// The births in the journal by number.
    pub fn births(&self) -> BTreeMap<i64, u64> {
        self.journal.iter().filter_map(|touched| Some((touched.seq, touched.birth?))).collect()
    }

    /// The entry with this number, if it is there: the birth that it tells.
    pub fn entry_at(&self, seq: i64) -> Option<Option<u64>> {
        let place = self.journal.partition_point(|touched| touched.seq < seq);
        self.journal.get(place).filter(|touched| touched.seq == seq).map(|touched| touched.birth)
    }

    /// The agent has noticed that the store is an older one. No number is used twice.
    pub fn begin_anew(&mut self, incarnation: u64, cursor: i64, seq: i64, applied_seq: i64) {
        if self.next_seq < seq {
            self.next_seq = seq;
            self.journal.push(Touched { seq, place: None, birth: None });
        }
        self.applied.clear();
        (self.incarnation, self.cursor, self.applied_seq) = (incarnation, cursor, applied_seq);
    }

    /// Places that the POS touched after `seq`.
    pub fn touched_after(&self, seq: i64) -> BTreeSet<Place> {
        self.journal_after(seq, usize::MAX).filter_map(|touched| touched.place.clone()).collect()
    }

    /// Removes entries up to `seq`; the last one always stays.
    pub fn trim(&mut self, seq: i64) {
        let last = self.next_seq;
        self.journal.retain(|touched| touched.seq > seq || touched.seq == last);
    }

    /// Whether the row that this one refers to is missing.
    pub fn lacks_parent(&self, table: Table, row: &Row) -> bool {
        parent(table, row).is_some_and(|(table, id)| !self.rows.contains_key(&Place(table, id)))
    }

    /// The rows that refer to this one.
    pub fn children(&self, place: &Place) -> Vec<Place> {
        if place.0 != Table::Sales {
            return Vec::new();
        }
        let is_child = |row: &Row| parent(Table::Lines, row).is_some_and(|(_, id)| id == place.1);
        self.rows_of(Table::Lines).filter(|(_, row)| is_child(row)).map(|(place, _)| place.clone()).collect()
    }

    /// The rows of a table.
    pub fn rows_of(&self, table: Table) -> impl Iterator<Item = (&Place, &Row)> {
        self.rows.range(Place(table, String::new())..).take_while(move |(place, _)| place.0 == table)
    }

    /// Up to `limit` rows of a table after this key, in key order.
    pub fn rows_after(&self, table: Table, after: Option<&str>, limit: usize) -> Vec<(Place, Row)> {
        let place = |key: &str| Place(table, key.to_owned());
        let from = after.map_or(Bound::Included(place("")), |after| Bound::Excluded(place(after)));
        let in_table = self.rows.range((from, Bound::Unbounded)).take_while(|(place, _)| place.0 == table);
        in_table.take(limit).map(|(place, row)| (place.clone(), row.clone())).collect()
    }
}
