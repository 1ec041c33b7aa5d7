//! The simulated POS program.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use super::coverage::Coverage;
use super::ledger::Ledger;
use super::register::Around;
use super::shop::{Place, Table, numbered};
use super::store::Store;

/// Products that all registers share; few, so that they meet often.
const PRODUCTS: i64 = 6;

/// Products with numbers from here on were entered at one register.
const OWN_PRODUCTS: i64 = 100;

/// Offers that all registers share.
const OFFERS: i64 = 3;

/// Lines that a sale has at most.
const LINES_MAX: u32 = 3;

/// One register's POS program.
#[derive(Clone, Debug)]
pub struct Pos {
    pub register: usize,
    sales: u32,
    products: i64,
    /// Whether sales are voided. A restored journal brings lines back that its register had deleted and leaves out their sale where only the
    /// lines are named in it: a limit of restores that the simulator does not go into.
    voids: bool,
}

/// One transaction of it.
struct Till<'a> {
    register: usize,
    store: &'a mut Store,
    ledger: &'a mut Ledger,
    coverage: &'a mut Coverage,
    rng: &'a mut Rng,
    /// Rows that lack what the hub holds in new columns. What is typed there takes the place of that, unseen: a limit that the simulator does not
    /// go into.
    late: &'a BTreeSet<Place>,
}

impl Pos {
    pub fn new(register: usize, voids: bool) -> Self {
        Self { register, sales: 0, products: 0, voids }
    }

    /// The same program on another machine.
    pub fn at(&self, register: usize) -> Self {
        Self::new(register, self.voids)
    }

    /// Rows from before Tillsync: products that are the same everywhere or not, and sales.
    pub fn load(&mut self, store: &mut Store, ledger: &mut Ledger, shared: &BTreeMap<Place, Row>, rows: i64, rng: &mut Rng) {
        for (place, row) in shared.iter().filter(|_| rng.u8(0..4) > 0) {
            load(store, ledger, place, row);
        }
        for _ in 0..rng.i64(0..=rows) {
            let (place, id) = numbered(Table::Products, rng.i64(1..=PRODUCTS));
            if store.row(&place).is_none() {
                let columns = store.schema.facts(Table::Products);
                let row = ledger.new_row(&(place.0, place.1.clone()), id, &columns, rng);
                load(store, ledger, &place, &row);
            }
        }
        for _ in 0..rng.i64(0..=rows / 4) {
            let receipt = self.receipt(store, None, ledger, rng);
            for (place, row) in receipt {
                load(store, ledger, &place, &row);
            }
        }
    }

    /// One transaction. The agent has seen what the journal has up to `seen_up_to`.
    pub fn write(&mut self, store: &mut Store, seen_up_to: Option<i64>, late: &BTreeSet<Place>, around: &mut Around<'_>) {
        let Around { rng, ledger, coverage, .. } = around;
        let (draw, voids) = (rng.u32(0..100), self.voids);
        if draw < 30 {
            let receipt = self.receipt(store, seen_up_to, ledger, rng);
            Till { register: self.register, store, ledger, coverage, rng, late }.ring_up(receipt);
            return;
        }
        if (72..77).contains(&draw) {
            self.products += 1;
        }
        let (place, id) = numbered(Table::Products, rng.i64(1..=PRODUCTS));
        let there = store.row(&place).is_some();
        let own_product = OWN_PRODUCTS * (self.register as i64 + 1) + self.products;
        let mut till = Till { register: self.register, store, ledger, coverage, rng, late };
        match draw {
            30..40 => till.change_any(Table::Products),
            40..65 if there => till.update(&place),
            40..65 => till.insert(&place, id),
            65..69 if there => till.delete(&place),
            69..72 if there => {
                till.delete(&place);
                till.insert(&place, id);
            }
            72..77 => {
                let (place, id) = numbered(Table::Products, own_product);
                till.insert(&place, id);
            }
            77..80 => till.store.touch(&place),
            80..88 => till.change_own_sale(),
            88..92 if voids => till.void(),
            92..95 => till.change_any(Table::Sales),
            95..98 if till.store.schema.has(Table::Offers) => till.change_offer(),
            _ => {
                if there {
                    till.update(&place);
                }
            }
        }
    }

    /// A sale with its lines, each under the key that it is to have here.
    fn receipt(&mut self, store: &Store, seen_up_to: Option<i64>, ledger: &mut Ledger, rng: &mut Rng) -> Vec<(Place, Row)> {
        self.sales += 1;
        let many = rng.u32(1..=LINES_MAX);
        let name = format!("r{}-{}", self.register, self.sales);
        let mut next = |table: Table, name: String, given: i64| {
            let (place, id) = if ledger.shop.is_counted(table) {
                Store::place_of(table, store.next_key_after(table, seen_up_to) + given)
            } else {
                (Place(table, name.clone()), Value::Text(name.clone()))
            };
            let row = ledger.new_row(&(table, name), id.clone(), &store.schema.facts(table), rng);
            (place, row, id)
        };
        let (sale, row, id) = next(Table::Sales, name.clone(), 0);
        let lines = (1..=many).map(|line| {
            let (place, mut row, _) = next(Table::Lines, format!("{name}/{line}"), i64::from(line) - 1);
            row.push("sale", id.clone());
            (place, row)
        });
        let lines: Vec<(Place, Row)> = lines.collect();
        [(sale, row)].into_iter().chain(lines).collect()
    }
}

impl Till<'_> {
    fn ring_up(&mut self, receipt: Vec<(Place, Row)>) {
        for (place, row) in receipt {
            let who = self.ledger.who(place.0, &place.1, &row);
            self.ledger.written(self.register, &who);
            self.ledger.sell(&who);
            let birth = self.ledger.birth();
            if self.ledger.shop.is_counted(place.0) && self.ledger.is_used_again(self.register, &place) {
                self.coverage.count("a key is used again");
            }
            self.store.pos_writes(&place, Some(row), birth);
        }
        let (stocked, _) = numbered(Table::Products, self.rng.i64(1..=PRODUCTS));
        if self.store.row(&stocked).is_some() && self.rng.bool() {
            self.set(&stocked, "stock");
        }
    }

    /// Own sales are those whose numbers begin like this.
    fn own_sale(&mut self) -> Option<Place> {
        let (ledger, prefix) = (&*self.ledger, format!("r{}-", self.register));
        let is_own = |place: &Place, row: &Row| ledger.who(place.0, &place.1, row).1.starts_with(&prefix);
        let own = self.store.rows_of(Table::Sales).filter(|(place, row)| is_own(place, row));
        let own: Vec<Place> = own.map(|(place, _)| place.clone()).collect();
        (!own.is_empty()).then(|| own[self.rng.usize(..own.len())].clone())
    }

    fn change_own_sale(&mut self) {
        if let Some(sale) = self.own_sale() {
            self.update(&sale);
        }
    }

    /// Voids a sale with its lines. Where a copy may have sent it first, a person is asked about every row of it, and may answer one thing here
    /// and another there; that is left out.
    fn void(&mut self) {
        let Some(sale) = self.own_sale() else { return };
        let row = self.store.row(&sale).expect("own sales are there");
        if self.ledger.sent_by_two.contains(&self.ledger.who(sale.0, &sale.1, row)) {
            return;
        }
        for line in self.store.children(&sale) {
            self.delete(&line);
        }
        self.delete(&sale);
    }

    fn change_offer(&mut self) {
        let (place, id) = numbered(Table::Offers, self.rng.i64(1..=OFFERS));
        if self.store.row(&place).is_none() {
            self.insert(&place, id);
        } else if self.rng.u8(0..4) == 0 {
            self.delete(&place);
        } else {
            self.update(&place);
        }
    }

    /// Changes a row that may be from anywhere.
    fn change_any(&mut self, table: Table) {
        let places: Vec<Place> = self.store.rows_of(table).map(|(place, _)| place.clone()).collect();
        if !places.is_empty() {
            let place = &places[self.rng.usize(..places.len())];
            self.update(place);
        }
    }

    fn insert(&mut self, place: &Place, id: Value) {
        let who = (place.0, place.1.clone());
        let row = self.ledger.new_row(&who, id, &self.store.schema.facts(place.0), self.rng);
        self.ledger.written(self.register, &who);
        let birth = self.ledger.birth();
        self.store.pos_writes(place, Some(row), birth);
    }

    fn update(&mut self, place: &Place) {
        let columns = self.store.schema.facts(place.0);
        let many = if self.rng.u8(0..3) == 0 { 2 } else { 1 };
        for _ in 0..many {
            let column = columns[self.rng.usize(..columns.len())];
            self.set(place, column);
        }
    }

    fn set(&mut self, place: &Place, column: &'static str) {
        let mut row = self.store.row(place).expect("only rows that are there are updated").clone();
        let who = self.ledger.who(place.0, &place.1, &row);
        // A default is as good as nothing.
        let old = row.get(column).filter(|old| !matches!(old, Value::Text(_)) || column == "tags");
        if self.late.contains(place) {
            self.ledger.replace_unseen(&who, column);
        }
        let value = self.ledger.write(&who, column, old, self.rng);
        row.set(column, value);
        self.ledger.written(self.register, &who);
        let birth = self.ledger.birth();
        self.store.pos_writes(place, Some(row), birth);
    }

    fn delete(&mut self, place: &Place) {
        let row = self.store.row(place).expect("only rows that are there are deleted");
        let who = self.ledger.who(place.0, &place.1, row);
        self.ledger.deleted(self.register, &who, row);
        self.store.pos_writes(place, None, 0);
    }
}

/// Products that were the same in every store before Tillsync came.
pub fn shared_products(store: &Store, ledger: &mut Ledger, rows: i64, rng: &mut Rng) -> BTreeMap<Place, Row> {
    let columns = store.schema.facts(Table::Products);
    let numbers = (1..=rows.min(PRODUCTS)).map(|number| numbered(Table::Products, number));
    let row = |(place, id): (Place, Value)| {
        let who = (place.0, place.1.clone());
        (place, ledger.new_row(&who, id, &columns, rng))
    };
    numbers.map(row).collect()
}

fn load(store: &mut Store, ledger: &mut Ledger, place: &Place, row: &Row) {
    let who = ledger.who(place.0, &place.1, row);
    ledger.load(&who, row);
    store.load(place, row.clone());
}
