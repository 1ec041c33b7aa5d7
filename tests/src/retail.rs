//! Stores of real retail data in the schema of a typical point-of-sale program; `data/README.md` names the source.

use std::path::Path;

use rusqlite::{Connection, Transaction, params_from_iter};

/// The schema, as the point-of-sale program makes it.
const SCHEMA: &str = "
CREATE TABLE products(product_id integer primary key, manufacturer_id integer not null, department text, brand text, category text, \
 type text, package_size text);
CREATE TABLE customers(household_id integer primary key, age text, income text, home_ownership text, marital_status text, \
 household_size text, household_comp text, kids_count text);
CREATE TABLE sales(basket_id integer primary key, store_id integer not null, household_id integer not null, sold_at text not null, \
 week integer not null);
CREATE TABLE sale_items(id integer primary key autoincrement, \
 basket_id integer not null references sales(basket_id) on delete cascade, \
 product_id integer not null references products(product_id), quantity integer not null, sales_cents integer not null, \
 retail_disc_cents integer not null, coupon_disc_cents integer not null, coupon_match_cents integer not null);
CREATE INDEX sale_items_basket on sale_items(basket_id);
";

const PRODUCTS: &str = include_str!("../data/products.tsv");
const CUSTOMERS: &str = include_str!("../data/customers.tsv");
const SALES: &str = include_str!("../data/sales.tsv");
const SALE_ITEMS: &str = include_str!("../data/sale_items.tsv");

/// SQLite's journal mode of a store; the point-of-sale program chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// Write-ahead log.
    Wal,
    /// Rollback journal, SQLite's default.
    Delete,
}

impl Journal {
    /// As the pragma writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wal => "wal",
            Self::Delete => "delete",
        }
    }
}

/// What a new store starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// Products, customers and a year of sales.
    Everything,
    /// Products and customers: a register that has sold nothing yet.
    Catalogue,
    /// Empty tables.
    SchemaOnly,
}

/// Builds a store at `path`, which must not exist yet.
pub fn create_store(path: &Path, journal: Journal, with: With) -> rusqlite::Result<()> {
    let mut db = Connection::open(path)?;
    db.pragma_update(None, "journal_mode", journal.name())?;
    db.pragma_update(None, "foreign_keys", true)?;
    let tx = db.transaction()?;
    tx.execute_batch(SCHEMA)?;
    if with != With::SchemaOnly {
        fill(&tx, "products", PRODUCTS)?;
        fill(&tx, "customers", CUSTOMERS)?;
    }
    if with == With::Everything {
        fill(&tx, "sales", SALES)?;
        fill(&tx, "sale_items", SALE_ITEMS)?;
    }
    tx.commit()
}

/// The columns' affinity turns the fields' text into numbers.
fn fill(tx: &Transaction, table: &str, tsv: &str) -> rusqlite::Result<()> {
    let mut lines = tsv.lines();
    let columns = lines.next().unwrap_or_default().replace('\t', ", ");
    let marks = vec!["?"; columns.split(',').count()].join(", ");
    let mut insert = tx.prepare(&format!("INSERT INTO {table}({columns}) VALUES ({marks})"))?;
    for line in lines {
        insert.execute(params_from_iter(line.split('\t').map(|field| Some(field).filter(|text| !text.is_empty()))))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(with: With, counts: [i64; 4]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        create_store(&path, Journal::Wal, with).unwrap();
        let db = Connection::open(&path).unwrap();
        let count = |table: &str| -> i64 { db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap() };
        assert_eq!(["products", "customers", "sales", "sale_items"].map(count), counts);
        let broken: i64 = db.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
        assert_eq!(broken, 0);
    }

    #[test]
    fn a_store_starts_with_what_was_asked() {
        check(With::Everything, [2000, 60, 1200, 8022]);
        check(With::Catalogue, [2000, 60, 0, 0]);
        check(With::SchemaOnly, [0, 0, 0, 0]);
    }

    #[test]
    fn numbers_are_stored_as_numbers_and_empty_fields_as_null() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        create_store(&path, Journal::Delete, With::Everything).unwrap();
        let db = Connection::open(&path).unwrap();
        let kinds: String = db
            .query_row(
                "SELECT group_concat(DISTINCT typeof(sales_cents) || (SELECT max(typeof(package_size)) FROM products)
                 || (SELECT min(typeof(package_size)) FROM products) || (SELECT max(typeof(kids_count)) FROM customers))
                 FROM sale_items",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(kinds, "integertextnulltext");
    }
}
