//! The simulated POS program, and the ledger of everything it ever wrote.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use super::shop::{Key, Table, named, product};
use super::store::Store;

/// Products that all registers share; few, so that they meet often.
const PRODUCTS: i64 = 6;

/// Lines that a sale has at most.
const LINES_MAX: u32 = 3;

/// A delete by a POS program, and the values that it saw go.
#[derive(Debug)]
pub struct Deleted {
    pub register: usize,
    pub key: Key,
    pub values: BTreeSet<i64>,
}

/// What was written, where, and on top of what. Every value is written once, so a value says who wrote it and when.
#[derive(Debug, Default)]
pub struct Ledger {
    last_value: i64,
    /// Every value: the row and the column it was written to.
    pub values: BTreeMap<i64, (Key, &'static str)>,
    /// Values that somebody who saw them replaced, and by what.
    pub replaced: BTreeMap<i64, i64>,
    pub deletes: Vec<Deleted>,
    /// Values of rows from before Tillsync.
    pub loaded: BTreeSet<i64>,
    /// How often each row was written by any POS program.
    pub writes: BTreeMap<Key, usize>,
}

impl Ledger {
    /// A value that nobody has written before.
    pub fn fresh(&mut self, key: &Key, column: &'static str) -> Value {
        self.last_value += 1;
        self.values.insert(self.last_value, (key.clone(), column));
        Value::Integer(self.last_value)
    }

    /// A row that was not written after all.
    pub fn forget(&mut self, key: &Key, row: &Row) {
        for value in facts(key, row) {
            self.values.remove(&value);
        }
    }

    fn load(&mut self, store: &mut Store, key: &Key, row: &Row) {
        self.written(key);
        self.loaded.extend(facts(key, row));
        store.load(key.clone(), row.clone());
    }

    fn written(&mut self, key: &Key) {
        *self.writes.entry(key.clone()).or_default() += 1;
    }
}

/// The values in a row's fact columns.
pub fn facts(key: &Key, row: &Row) -> BTreeSet<i64> {
    let values = key.0.facts().iter().filter_map(|column| row.get(column));
    values.filter_map(|value| if let Value::Integer(n) = value { Some(*n) } else { None }).collect()
}

/// One register's POS program.
#[derive(Debug)]
pub struct Pos {
    register: usize,
    sales: u32,
}

impl Pos {
    pub fn new(register: usize) -> Self {
        Self { register, sales: 0 }
    }

    /// Rows from before Tillsync: some the same everywhere, some not.
    pub fn load(&mut self, store: &mut Store, ledger: &mut Ledger, shared: &BTreeMap<Key, Row>, rows: i64, rng: &mut Rng) {
        for (key, row) in shared.iter().filter(|_| rng.u8(0..4) > 0) {
            ledger.load(store, key, row);
        }
        for _ in 0..rng.i64(0..=rows) {
            let (key, id) = product(rng.i64(1..=PRODUCTS));
            if store.row(&key).is_none() {
                let row = new_row(ledger, &key, id);
                ledger.load(store, &key, &row);
            }
        }
    }

    /// One transaction.
    pub fn write(&mut self, store: &mut Store, ledger: &mut Ledger, rng: &mut Rng) {
        let (key, id) = product(rng.i64(1..=PRODUCTS));
        let there = store.row(&key).is_some();
        match rng.u32(0..100) {
            0..35 => self.ring_up(store, ledger, rng),
            35..65 if there => update(store, ledger, &key, rng),
            35..65 => insert(store, ledger, &key, id),
            65..70 if there => delete(store, ledger, self.register, &key),
            70..75 if there => {
                delete(store, ledger, self.register, &key);
                insert(store, ledger, &key, id);
            }
            75..80 => store.touch(&key),
            80..92 if self.sales > 0 => self.change_own_sale(store, ledger, rng),
            92..97 if self.sales > 0 => self.void(store, ledger, rng),
            _ => {
                if there {
                    update(store, ledger, &key, rng);
                }
            }
        }
    }

    fn ring_up(&mut self, store: &mut Store, ledger: &mut Ledger, rng: &mut Rng) {
        self.sales += 1;
        let name = format!("r{}-{}", self.register, self.sales);
        let (sale, id) = named(Table::Sales, &name);
        insert(store, ledger, &sale, id.clone());
        for line in 1..=rng.u32(1..=LINES_MAX) {
            let (key, line) = named(Table::Lines, &format!("{name}/{line}"));
            let mut row: Row = [("id".to_owned(), line), ("sale".to_owned(), id.clone())].into_iter().collect();
            row.push("cents", ledger.fresh(&key, "cents"));
            ledger.written(&key);
            store.pos_writes(&key, Some(row));
        }
        let (stocked, _) = product(rng.i64(1..=PRODUCTS));
        if store.row(&stocked).is_some() && rng.bool() {
            set(store, ledger, &stocked, "stock");
        }
    }

    fn own_sale(&self, rng: &mut Rng) -> Key {
        named(Table::Sales, &format!("r{}-{}", self.register, rng.u32(1..=self.sales))).0
    }

    fn change_own_sale(&self, store: &mut Store, ledger: &mut Ledger, rng: &mut Rng) {
        let sale = self.own_sale(rng);
        if store.row(&sale).is_some() {
            update(store, ledger, &sale, rng);
        }
    }

    fn void(&self, store: &mut Store, ledger: &mut Ledger, rng: &mut Rng) {
        let sale = self.own_sale(rng);
        if store.row(&sale).is_none() {
            return;
        }
        for line in 1..=LINES_MAX {
            let (key, _) = named(Table::Lines, &format!("{}/{line}", sale.1));
            if store.row(&key).is_some() {
                delete(store, ledger, self.register, &key);
            }
        }
        delete(store, ledger, self.register, &sale);
    }
}

/// A new row; every value in it is fresh.
pub fn new_row(ledger: &mut Ledger, key: &Key, id: Value) -> Row {
    let mut row: Row = [("id".to_owned(), id)].into_iter().collect();
    for column in key.0.facts() {
        row.push(column, ledger.fresh(key, column));
    }
    row
}

/// Products that were the same in every store before Tillsync came.
pub fn shared_products(ledger: &mut Ledger, rows: i64) -> BTreeMap<Key, Row> {
    let mut shared = BTreeMap::new();
    for number in 1..=rows.min(PRODUCTS) {
        let (key, id) = product(number);
        let row = new_row(ledger, &key, id);
        shared.insert(key, row);
    }
    shared
}

fn insert(store: &mut Store, ledger: &mut Ledger, key: &Key, id: Value) {
    let row = new_row(ledger, key, id);
    ledger.written(key);
    store.pos_writes(key, Some(row));
}

fn update(store: &mut Store, ledger: &mut Ledger, key: &Key, rng: &mut Rng) {
    let columns = key.0.facts();
    set(store, ledger, key, columns[rng.usize(..columns.len())]);
    if rng.u8(0..3) == 0 {
        set(store, ledger, key, columns[rng.usize(..columns.len())]);
    }
}

fn set(store: &mut Store, ledger: &mut Ledger, key: &Key, column: &'static str) {
    let mut row = store.row(key).expect("only rows that are there are updated").clone();
    let fresh = ledger.fresh(key, column);
    if let (Some(Value::Integer(old)), Value::Integer(new)) = (row.get(column), &fresh) {
        ledger.replaced.insert(*old, *new);
    }
    row.set(column, fresh);
    ledger.written(key);
    store.pos_writes(key, Some(row));
}

fn delete(store: &mut Store, ledger: &mut Ledger, register: usize, key: &Key) {
    let row = store.row(key).expect("only rows that are there are deleted");
    ledger.deletes.push(Deleted { register, key: key.clone(), values: facts(key, row) });
    ledger.written(key);
    store.pos_writes(key, None);
}
