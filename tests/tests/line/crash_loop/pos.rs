//! The POS program of the scenario: plain SQLite, every way to write that a journal must see.

use std::path::Path;

use rusqlite::Connection;

/// How the POS keeps its store.
#[derive(Clone, Copy, Debug)]
pub enum Journal {
    Wal,
    Delete,
}

const SCHEMA: &str = "
CREATE TABLE products(id INTEGER PRIMARY KEY, sku TEXT UNIQUE, name TEXT, price REAL, stock);
CREATE TABLE sales(id TEXT PRIMARY KEY, total INTEGER, note);
CREATE TABLE lines(id INTEGER PRIMARY KEY, sale TEXT NOT NULL REFERENCES sales(id) ON DELETE CASCADE, cents INTEGER);
CREATE INDEX lines_sale ON lines(sale);
CREATE TABLE texts(code TEXT, language TEXT, body, PRIMARY KEY(code, language)) WITHOUT ROWID;";

/// What register A has from before Tillsync.
pub const BEFORE: &str = "
INSERT INTO products VALUES (1, 'tea', 'Tea', 1.5, 10), (2, 'mint', 'Mint', 2.0, 20), (3, 'cake', 'Cake', 3.25, x'00ff'),
  (4, 'old', 'Old', 0.1, NULL), (5, 'bun', 'Bun', 1e300, 9007199254740993);
INSERT INTO sales VALUES ('a-1', 350, NULL), ('a-2', 200, 'void me');
INSERT INTO lines VALUES (1, 'a-1', 150), (2, 'a-1', 200), (3, 'a-2', 200);
INSERT INTO texts VALUES ('hi', 'en', 'Hello'), ('hi', 'ar', 'مرحبا');";

/// What A sells and changes once it syncs.
pub const ON_A: &str = "
BEGIN;
INSERT INTO sales VALUES ('a-3', 475, 'cash');
INSERT INTO lines VALUES (4, 'a-3', 150), (5, 'a-3', 325);
UPDATE products SET stock = 9 WHERE id = 1;
COMMIT;
UPDATE products SET price = 1.75 WHERE id = 1;
DELETE FROM products WHERE id = 4;
UPDATE products SET id = 50 WHERE id = 5;
INSERT OR REPLACE INTO products VALUES (99, 'mint', 'Fresh mint', 2.5, 20);
DELETE FROM sales WHERE id = 'a-2';
UPDATE texts SET body = 'Hi' WHERE code = 'hi' AND language = 'en';
UPDATE texts SET language = 'fr', body = 'Salut' WHERE code = 'hi' AND language = 'ar';";

/// Changes of one row that are captured one by one and sent together.
pub const AGAIN_AND_AGAIN: [&str; 4] = [
    "UPDATE products SET price = 4.25 WHERE id = 3",
    "UPDATE products SET price = 4.5 WHERE id = 3",
    "DELETE FROM products WHERE id = 3",
    "INSERT INTO products VALUES (3, 'cake', 'Cake', 3.25, 30)",
];

/// What both change before either syncs: different columns of one row.
pub const MEANWHILE_ON_A: &str = "UPDATE products SET name = 'Cheese cake' WHERE id = 3; INSERT INTO sales VALUES ('a-4', 1, 1.0);";
pub const MEANWHILE_ON_B: &str = "
UPDATE products SET price = 3.5 WHERE id = 3;
INSERT INTO sales VALUES ('b-1', 20, 'from B');
INSERT INTO lines VALUES (100, 'b-1', 20);";

/// What B changes of A's rows, and takes back.
pub const ON_B: &str = "
DELETE FROM lines WHERE id = 2;
UPDATE sales SET total = 150 WHERE id = 'a-1';
DELETE FROM products WHERE id = 99;
DELETE FROM sales WHERE id = 'b-1';
INSERT INTO products VALUES (4, 'new', 'New at 4', 4.0, 'four');
UPDATE products SET name = name;";

/// Makes a store that holds something before Tillsync comes.
pub fn make_store(path: &Path, journal: Journal, before: &str) {
    let mode = match journal {
        Journal::Wal => "WAL",
        Journal::Delete => "DELETE",
    };
    let conn = Connection::open(path).unwrap();
    conn.pragma_update(None, "journal_mode", mode).unwrap();
    conn.execute_batch(SCHEMA).unwrap();
    conn.execute_batch(before).unwrap();
}

/// Writes as the POS does.
pub fn write(path: &Path, sql: &str) {
    let conn = Connection::open(path).unwrap();
    conn.pragma_update(None, "foreign_keys", true).unwrap();
    conn.execute_batch(sql).unwrap();
}
