//! The simulated POS program.

use std::collections::BTreeMap;

use fastrand::Rng;
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use super::ledger::Ledger;
use super::shop::{Key, Table, named, product};
use super::store::Store;

/// Products that all registers share; few, so that they meet often.
const PRODUCTS: i64 = 6;

/// Products with numbers from here on were entered at one register.
const OWN_PRODUCTS: i64 = 100;

/// Lines that a sale has at most.
const LINES_MAX: u32 = 3;

/// One register's POS program.
#[derive(Debug)]
pub struct Pos {
    register: usize,
    sales: u32,
    products: i64,
    /// Whether sales are voided. A restored journal brings lines back that its register had deleted and leaves out their sale where only the
    /// lines are named in it: a limit of restores that the simulator does not go into.
    voids: bool,
}

impl Pos {
    pub fn new(register: usize, voids: bool) -> Self {
        Self { register, sales: 0, products: 0, voids }
    }

    /// Rows from before Tillsync: some the same everywhere, some not.
    pub fn load(&mut self, store: &mut Store, ledger: &mut Ledger, shared: &BTreeMap<Key, Row>, rows: i64, rng: &mut Rng) {
        for (key, row) in shared.iter().filter(|_| rng.u8(0..4) > 0) {
            load(store, ledger, key, row);
        }
        for _ in 0..rng.i64(0..=rows) {
            let (key, id) = product(rng.i64(1..=PRODUCTS));
            if store.row(&key).is_none() {
                let row = ledger.new_row(&key, id, rng);
                load(store, ledger, &key, &row);
            }
        }
    }

    /// One transaction.
    pub fn write(&mut self, store: &mut Store, ledger: &mut Ledger, rng: &mut Rng) {
        let (key, id) = product(rng.i64(1..=PRODUCTS));
        let there = store.row(&key).is_some();
        match rng.u32(0..100) {
            0..30 => self.ring_up(store, ledger, rng),
            30..40 => change_any(store, ledger, Table::Products, rng),
            40..65 if there => update(store, ledger, &key, rng),
            40..65 => insert(store, ledger, &key, id, rng),
            65..69 if there => delete(store, ledger, self.register, &key),
            69..72 if there => {
                delete(store, ledger, self.register, &key);
                insert(store, ledger, &key, id, rng);
            }
            72..77 => self.enter_product(store, ledger, rng),
            77..80 => store.touch(&key),
            80..90 if self.sales > 0 => self.change_own_sale(store, ledger, rng),
            90..93 if self.sales > 0 && self.voids => self.void(store, ledger, rng),
            93..96 => change_any(store, ledger, Table::Sales, rng),
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
        insert(store, ledger, &sale, id.clone(), rng);
        for line in 1..=rng.u32(1..=LINES_MAX) {
            let (key, line) = named(Table::Lines, &format!("{name}/{line}"));
            let mut row = ledger.new_row(&key, line, rng);
            row.push("sale", id.clone());
            ledger.written(&key);
            store.pos_writes(&key, Some(row));
        }
        let (stocked, _) = product(rng.i64(1..=PRODUCTS));
        if store.row(&stocked).is_some() && rng.bool() {
            set(store, ledger, &stocked, "stock", rng);
        }
    }

    fn enter_product(&mut self, store: &mut Store, ledger: &mut Ledger, rng: &mut Rng) {
        self.products += 1;
        let (key, id) = product(OWN_PRODUCTS * (self.register as i64 + 1) + self.products);
        insert(store, ledger, &key, id, rng);
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

/// Products that were the same in every store before Tillsync came.
pub fn shared_products(ledger: &mut Ledger, rows: i64, rng: &mut Rng) -> BTreeMap<Key, Row> {
    let numbers = 1..=rows.min(PRODUCTS);
    numbers.map(product).map(|(key, id)| (key.clone(), ledger.new_row(&key, id, rng))).collect()
}

fn load(store: &mut Store, ledger: &mut Ledger, key: &Key, row: &Row) {
    ledger.load(key, row);
    store.load(key.clone(), row.clone());
}

fn insert(store: &mut Store, ledger: &mut Ledger, key: &Key, id: Value, rng: &mut Rng) {
    let row = ledger.new_row(key, id, rng);
    ledger.written(key);
    store.pos_writes(key, Some(row));
}

/// Changes a row that may be from anywhere.
fn change_any(store: &mut Store, ledger: &mut Ledger, table: Table, rng: &mut Rng) {
    let keys: Vec<Key> = store.rows_after(table, None, usize::MAX).into_iter().map(|(key, _)| key).collect();
    if !keys.is_empty() {
        update(store, ledger, &keys[rng.usize(..keys.len())], rng);
    }
}

fn update(store: &mut Store, ledger: &mut Ledger, key: &Key, rng: &mut Rng) {
    let columns = key.0.facts();
    set(store, ledger, key, columns[rng.usize(..columns.len())], rng);
    if rng.u8(0..3) == 0 {
        set(store, ledger, key, columns[rng.usize(..columns.len())], rng);
    }
}

fn set(store: &mut Store, ledger: &mut Ledger, key: &Key, column: &'static str, rng: &mut Rng) {
    let mut row = store.row(key).expect("only rows that are there are updated").clone();
    let value = ledger.write(key, column, row.get(column), rng);
    row.set(column, value);
    ledger.written(key);
    store.pos_writes(key, Some(row));
}

fn delete(store: &mut Store, ledger: &mut Ledger, register: usize, key: &Key) {
    let row = store.row(key).expect("only rows that are there are deleted");
    ledger.deleted(register, key, row);
    store.pos_writes(key, None);
}
