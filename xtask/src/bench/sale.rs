//! Sales as the benchmarks ring them up: all alike, so that only the surroundings differ.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

/// Above every key of the real data.
const FIRST_BASKET: i64 = 5_000_000_000_000;
/// What most database drivers set unless told otherwise.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A register that rings up the same sale again and again.
pub struct Counter {
    /// The POS's own connection.
    pub db: Connection,
    next_basket: i64,
}

impl Counter {
    /// Opens a store.
    pub fn open(store: &Path) -> rusqlite::Result<Self> {
        let db = Connection::open(store)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.pragma_update(None, "foreign_keys", true)?;
        let last: Option<i64> = db.query_row("SELECT max(basket_id) FROM sales", [], |row| row.get(0))?;
        Ok(Self { db, next_basket: last.map_or(FIRST_BASKET, |last| FIRST_BASKET.max(last + 1)) })
    }

    /// One sale in one transaction; its basket.
    pub fn ring_up(&mut self, lines: u32) -> rusqlite::Result<i64> {
        self.ring_up_many(1, lines).map(|()| self.next_basket - 1)
    }

    /// So many sales in one transaction.
    pub fn ring_up_many(&mut self, sales: u32, lines: u32) -> rusqlite::Result<()> {
        let tx = self.db.transaction()?;
        for _ in 0..sales {
            let mut sale = tx.prepare_cached(
                "INSERT INTO sales(basket_id, store_id, household_id, sold_at, week) VALUES (?1, 367, 31, '2017-06-01T12:00:00', 22)",
            )?;
            sale.execute([self.next_basket])?;
            let mut item = tx.prepare_cached(
                "INSERT INTO sale_items(basket_id, product_id, quantity, sales_cents, retail_disc_cents, coupon_disc_cents,
                 coupon_match_cents) VALUES (?1, (SELECT min(product_id) FROM products WHERE product_id >= ?2), 1, ?3, 22, 0, 0)",
            )?;
            for line in 0..lines {
                item.execute(params![self.next_basket, 818_980 + i64::from(line) * 131, 199 + line])?;
            }
            self.next_basket += 1;
        }
        tx.commit()
    }
}

/// How many sales a store holds.
pub fn count_sales(store: &Path) -> anyhow::Result<i64> {
    Ok(crate::content::open(store)?.query_row("SELECT count(*) FROM sales", [], |row| row.get(0))?)
}

/// How many sale lines a store holds.
pub fn count_lines(store: &Path) -> anyhow::Result<i64> {
    Ok(crate::content::open(store)?.query_row("SELECT count(*) FROM sale_items", [], |row| row.get(0))?)
}
