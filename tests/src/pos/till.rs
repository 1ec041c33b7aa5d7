//! One register at work: rings up sales, corrects lines, voids sales, edits products. Each of these is one transaction.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use rusqlite::{Connection, OpenFlags, params};

use super::{Receipt, Receipts, Tally};
use crate::retail::Journal;

/// Keys of register N start at N times this: above every key of the real data, and nine thousand registers below the
/// integers that JSON readers keep exact.
const KEYS_PER_REGISTER: i64 = 1_000_000_000_000;
/// A sale has at most this many lines; the real ones have ten on average.
const LINES_MAX: usize = 12;
/// Only the last sales are corrected or voided, as at a counter.
const RECENT_MAX: usize = 50;
/// Out of a hundred steps, so many correct a line, void a sale, edit a product; the others ring up a sale.
const CORRECTIONS_PERCENT: u32 = 6;
const VOIDS_PERCENT: u32 = 2;
const PRODUCT_EDITS_PERCENT: u32 = 2;
/// Each register edits its own share of the products, as departments do.
const PRODUCT_SHARES: i64 = 10;
/// The shop in the real data.
const STORE_ID: i64 = 367;

/// How a register opens its store.
#[derive(Clone, Debug)]
pub struct TillOptions {
    /// The store.
    pub store: PathBuf,
    /// Its number, which makes its keys unique in the shop.
    pub register: u32,
    /// The journal mode to set.
    pub journal: Journal,
    /// SQLite's busy timeout; many point-of-sale programs set none.
    pub busy_timeout: Duration,
    /// For the choice of products, quantities and steps.
    pub seed: u64,
    /// Where to print receipts.
    pub receipts: Option<PathBuf>,
    /// Whether the store is opened for every step and closed after it, as some programs do.
    pub anew: bool,
    /// Lines of every sale; as many as come up, when `None`.
    pub lines: Option<usize>,
}

struct Sale {
    basket_id: i64,
    /// Line, its product's price, its quantity.
    lines: Vec<(i64, i64, i64)>,
}

impl Sale {
    fn cents(&self) -> i64 {
        self.lines.iter().map(|(_, price, quantity)| price * quantity).sum()
    }
}

/// A register.
pub struct Till {
    /// The store, or an empty one in memory while it is closed.
    db: Connection,
    options: TillOptions,
    random: fastrand::Rng,
    products: Vec<i64>,
    own_products: Vec<i64>,
    households: Vec<i64>,
    next_basket_id: i64,
    next_line_id: i64,
    recent: VecDeque<Sale>,
    receipts: Option<Receipts>,
    tally: Tally,
}

impl Till {
    /// Opens the store and goes on after the last sale that this register made in it.
    pub fn open(options: &TillOptions) -> anyhow::Result<Self> {
        let db = connect(options).with_context(|| format!("cannot open the store {}", options.store.display()))?;
        let products = ids(&db, "SELECT product_id FROM products ORDER BY 1")?;
        anyhow::ensure!(!products.is_empty(), "{} has no products to sell; give it a catalogue first", options.store.display());
        let households = ids(&db, "SELECT household_id FROM customers ORDER BY 1")?;
        let share = i64::from(options.register) % PRODUCT_SHARES;
        let keys = &keys_of(options.register);
        let mut till = Self {
            next_basket_id: next_key(&db, "SELECT max(basket_id) FROM sales WHERE basket_id BETWEEN ?1 AND ?2", keys)?,
            next_line_id: next_key(&db, "SELECT max(id) FROM sale_items WHERE id BETWEEN ?1 AND ?2", keys)?,
            receipts: options.receipts.as_deref().map(Receipts::append_to).transpose()?,
            db,
            options: options.clone(),
            random: fastrand::Rng::with_seed(options.seed ^ u64::from(options.register).rotate_left(32)),
            own_products: products.iter().copied().filter(|id| id % PRODUCT_SHARES == share).collect(),
            products,
            households,
            recent: VecDeque::new(),
            tally: Tally::default(),
        };
        till.close()?;
        Ok(till)
    }

    /// The totals so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Does one thing a cashier does. What SQLite refuses is counted and rolled back; `Err` means that the paper roll failed.
    pub fn step(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let done = self.reopen().and_then(|()| match self.random.u32(0..100) {
            n if n < CORRECTIONS_PERCENT && !self.recent.is_empty() => self.correct_line(),
            n if n < CORRECTIONS_PERCENT + VOIDS_PERCENT && !self.recent.is_empty() => self.void_sale(),
            n if n >= 100 - PRODUCT_EDITS_PERCENT => self.edit_product(),
            _ => self.ring_up(),
        });
        self.close()?;
        match done {
            Ok(receipt) => {
                self.tally.note_commit(begun.elapsed());
                if let (Some(roll), Some(receipt)) = (&mut self.receipts, receipt) {
                    roll.print(receipt)?;
                }
            }
            Err(error) => {
                self.tally.failed_statements += 1;
                let code = error.sqlite_error().map(|error| error.extended_code);
                let (register, after) = (self.options.register, begun.elapsed());
                let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                eprintln!("register {register} at {at_ms} ms, after {after:?}: {error} {code:?}");
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> rusqlite::Result<()> {
        if self.options.anew {
            self.db = connect(&self.options)?;
        }
        Ok(())
    }

    fn close(&mut self) -> rusqlite::Result<()> {
        if self.options.anew {
            self.db = Connection::open_in_memory()?;
        }
        Ok(())
    }

    fn ring_up(&mut self) -> rusqlite::Result<Option<Receipt>> {
        let household = self.random.choice(&self.households).copied().unwrap_or_default();
        let basket_id = self.next_basket_id;
        let count = self.options.lines.unwrap_or_else(|| self.random.usize(1..=LINES_MAX));
        let lines: Vec<_> = (0..count)
            .map(|n| (self.next_line_id + n as i64, self.products[self.random.usize(..self.products.len())], self.quantity()))
            .collect();
        let tx = self.db.transaction()?;
        tx.prepare_cached(
            "INSERT INTO sales(basket_id, store_id, household_id, sold_at, week)
             VALUES (?1, ?2, ?3, strftime('%Y-%m-%dT%H:%M:%S', 'now'), strftime('%W', 'now') + 1)",
        )?
        .execute(params![basket_id, STORE_ID, household])?;
        let mut insert = tx.prepare_cached(
            "INSERT INTO sale_items(id, basket_id, product_id, quantity, sales_cents, retail_disc_cents, coupon_disc_cents,
             coupon_match_cents) VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0)",
        )?;
        for (line, product, quantity) in &lines {
            insert.execute(params![line, basket_id, product, quantity, price_cents(*product) * quantity])?;
        }
        drop(insert);
        tx.commit()?;

        self.next_basket_id += 1;
        self.next_line_id += lines.len() as i64;
        let lines = lines.into_iter().map(|(line, product, quantity)| (line, price_cents(product), quantity)).collect();
        let sale = Sale { basket_id, lines };
        self.tally.sales += 1;
        self.tally.lines += sale.lines.len() as u64;
        self.tally.cents += sale.cents();
        let receipt = Receipt { basket_id, cents: Some(sale.cents()) };
        self.recent.push_back(sale);
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        Ok(Some(receipt))
    }

    fn correct_line(&mut self) -> rusqlite::Result<Option<Receipt>> {
        let quantity = self.quantity();
        let sale = self.random.usize(..self.recent.len());
        let sale = &mut self.recent[sale];
        let before = sale.cents();
        let line = self.random.usize(..sale.lines.len());
        let (id, price, old_quantity) = &mut sale.lines[line];
        let sales_cents = *price * quantity;
        self.db.prepare_cached("UPDATE sale_items SET quantity = ?2, sales_cents = ?3 WHERE id = ?1")?.execute([
            *id,
            quantity,
            sales_cents,
        ])?;
        *old_quantity = quantity;
        self.tally.corrections += 1;
        self.tally.corrected_cents += sale.cents() - before;
        Ok(Some(Receipt { basket_id: sale.basket_id, cents: Some(sale.cents()) }))
    }

    fn void_sale(&mut self) -> rusqlite::Result<Option<Receipt>> {
        let index = self.random.usize(..self.recent.len());
        let basket_id = self.recent[index].basket_id;
        self.db.prepare_cached("DELETE FROM sales WHERE basket_id = ?1")?.execute([basket_id])?;
        if let Some(sale) = self.recent.remove(index) {
            self.tally.voided_sales += 1;
            self.tally.voided_lines += sale.lines.len() as u64;
            self.tally.voided_cents += sale.cents();
        }
        Ok(Some(Receipt { basket_id, cents: None }))
    }

    fn edit_product(&mut self) -> rusqlite::Result<Option<Receipt>> {
        let Some(product) = self.random.choice(&self.own_products).copied() else {
            return Ok(None);
        };
        self.db
            .prepare_cached("UPDATE products SET package_size = ?2 WHERE product_id = ?1")?
            .execute(params![product, format!("{} OZ", self.random.u32(1..64))])?;
        self.tally.product_edits += 1;
        Ok(None)
    }

    fn quantity(&mut self) -> i64 {
        if self.random.u32(0..5) == 0 { self.random.i64(2..=6) } else { 1 }
    }
}

/// The keys that a register gives to its sales and lines.
pub fn keys_of(register: u32) -> RangeInclusive<i64> {
    let first = i64::from(register) * KEYS_PER_REGISTER;
    first..=first + KEYS_PER_REGISTER - 1
}

/// The same product costs the same at every register.
fn price_cents(product_id: i64) -> i64 {
    99 + product_id % 900
}

fn connect(options: &TillOptions) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(&options.store, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(options.busy_timeout)?;
    let journal: String = db.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if journal != options.journal.name() {
        db.pragma_update(None, "journal_mode", options.journal.name())?;
    }
    db.pragma_update(None, "foreign_keys", true)?;
    Ok(db)
}

fn ids(db: &Connection, sql: &str) -> rusqlite::Result<Vec<i64>> {
    db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

fn next_key(db: &Connection, sql: &str, keys: &RangeInclusive<i64>) -> rusqlite::Result<i64> {
    let last: Option<i64> = db.query_row(sql, [keys.start(), keys.end()], |row| row.get(0))?;
    Ok(last.map_or(*keys.start(), |last| last + 1))
}
