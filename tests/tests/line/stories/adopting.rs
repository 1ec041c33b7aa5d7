//! Stores that are set up empty take over the kind of key that other registers' rows have.

use std::fs;

use super::support::{Register, Shop, eventually, open};

const SCHEMA: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
    CREATE TABLE items(id INTEGER PRIMARY KEY AUTOINCREMENT, sale_id INTEGER, what TEXT);
    CREATE TABLE customers(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);
    CREATE TABLE visits(id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id));";

/// Numbers that a head office gave to sales, and customers that this register counted.
const ROWS: &str = "INSERT INTO sales VALUES (2026000001, 'tea'), (2026000002, 'rum');
    INSERT INTO items VALUES (7026000001, 2026000001, 'leaf'), (7026000002, 2026000002, 'bottle');
    INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bo');
    INSERT INTO visits VALUES (1, 2);";

fn set_up(shop: &Shop, name: &str, rows: &str) -> Register {
    let register = shop.register(name, &format!("{SCHEMA}{rows}"));
    register.init_with(&shop.hub.url, &["--credentials", "file"]).good();
    register
}

/// How many rows `FROM …` finds.
fn rows(register: &Register, from: &str) -> i64 {
    open(&register.store).query_row(&format!("SELECT count(*) FROM {from}"), [], |row| row.get(0)).unwrap()
}

fn has_all(register: &Register) -> bool {
    rows(register, "sales WHERE id >= 2026000001") == 2
        && rows(register, "items JOIN sales ON sales.id = sale_id") == 2
        && rows(register, "visits JOIN customers ON customers.id = customer_id WHERE name = 'Bo'") == 1
}

#[test]
fn an_empty_store_takes_over_the_keys_that_the_other_registers_have() {
    let shop = Shop::open();
    // Both are set up before anything is sent, in either order.
    let (empty, full) = (set_up(&shop, "empty", ""), set_up(&shop, "full", ROWS));
    let later = set_up(&shop, "later", "");
    full.sync();
    for register in [&empty, &later] {
        let text = fs::read_to_string(&register.config).unwrap();
        assert!(text.contains("# sales: AUTOINCREMENT key"), "{text}");
        register.sync();
        assert!(has_all(register));
        assert_eq!((register.status()["parked"].as_u64(), register.status()["conflicts"].as_u64()), (Some(0), Some(0)));
        let text = fs::read_to_string(&register.config).unwrap();
        assert!(text.contains("# sales: as the other registers have it, with keys such as 2026000001"), "{text}");
        assert!(!text.contains("# sales: AUTOINCREMENT key"), "{text}");
    }
    open(&empty.store).execute("INSERT INTO sales VALUES (2026000003, 'ale')", []).unwrap();
    empty.sync();
    full.sync();
    assert_eq!(rows(&full, "sales WHERE id = 2026000003"), 1);
}

#[test]
fn a_running_agent_takes_them_over_too() {
    let shop = Shop::open();
    let mut empty = set_up(&shop, "empty", "");
    empty.start();
    empty.waits_for("up to date", |status| status["state"] == "synced");
    let full = set_up(&shop, "full", ROWS);
    full.sync();
    eventually("all rows", || has_all(&empty).then_some(()));
    empty.waits_for("up to date", |status| status["state"] == "synced" && status["parked"] == 0);
}

#[test]
fn a_table_with_rows_stays_what_it_is_and_says_what_to_do() {
    let shop = Shop::open();
    let (first, second) = (set_up(&shop, "first", ""), set_up(&shop, "second", ROWS));
    open(&first.store).execute("INSERT INTO sales(what) VALUES ('gin')", []).unwrap();
    first.sync();
    second.tillsync(&["sync", "--timeout", "60"]);
    let status = second.status();
    assert_eq!(status["state"], "attention", "{status:#}");
    assert_eq!(rows(&second, "sales"), 2);
}
