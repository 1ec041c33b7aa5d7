//! Registers that were away for longer than the hub remembers deletes: what was deleted stays deleted, and what they did meanwhile is kept.

use std::fs;

use super::support::{Register, Shop, count, pos, same, text};

const SCHEMA: &str = "CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, cents INTEGER);
    CREATE TABLE sales(id TEXT PRIMARY KEY, cents INTEGER);
    CREATE TABLE lines(id TEXT PRIMARY KEY, sale TEXT NOT NULL REFERENCES sales(id), cents INTEGER);
    CREATE INDEX lines_sale ON lines(sale)";

const BEFORE: &str = "
    INSERT INTO products VALUES (1, 'tea', 100), (2, 'mint', 200), (3, 'cake', 300), (4, 'bun', 400), (5, 'pie', 500), (6, 'jam', 600);
    INSERT INTO sales VALUES ('a-1', 100), ('a-2', 200);
    INSERT INTO lines VALUES ('a-1', 'a-1', 100), ('a-2', 'a-2', 200)";

/// B falls asleep, A goes on, and the hub forgets what it may.
fn asleep(on_b: &str, on_a: &str) -> (Shop, Register, Register) {
    let mut shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, BEFORE);
    pos(&b.store).execute_batch(on_b).unwrap();
    pos(&a.store).execute_batch(on_a).unwrap();
    a.sync();
    shop.hub.forget();
    (shop, a, b)
}

fn live(shop: &Shop, entity: &str) -> i64 {
    shop.hub.number(&format!("SELECT count(*) FROM rows WHERE NOT deleted AND entity_type = '{entity}'"))
}

#[test]
fn hazard_21_a_register_that_slept_through_deletes_brings_nothing_back_and_loses_nothing() {
    let (shop, a, b) = asleep(
        "UPDATE products SET cents = 301 WHERE id = 3;
         UPDATE products SET name = 'apple pie' WHERE id = 5;
         UPDATE products SET name = 'big bun' WHERE id = 4;
         DELETE FROM products WHERE id = 2;
         INSERT INTO sales VALUES ('b-1', 7);
         INSERT INTO lines VALUES ('b-1', 'b-1', 7)",
        "DELETE FROM products WHERE id IN (1, 2, 5);
         DELETE FROM lines WHERE sale = 'a-1'; DELETE FROM sales WHERE id = 'a-1';
         UPDATE products SET cents = 444 WHERE id = 4;
         UPDATE products SET cents = 666 WHERE id = 6;
         INSERT INTO products VALUES (7, 'new', 700)",
    );
    // The pie was deleted there and changed here: a person decides. All else goes by itself.
    b.tillsync(&["sync", "--timeout", "60"]).said(3, &["1 waiting for a person"]);
    assert!(b.problems().contains(&"away_too_long".to_owned()), "{:#}", b.status());
    let here = pos(&b.store);
    assert_eq!(
        text(&here, "SELECT group_concat(id || name || cents, ' ') FROM products"),
        "3cake301 4big bun444 5apple pie500 6jam666 7new700"
    );
    assert_eq!(text(&here, "SELECT group_concat(id, ' ') FROM sales"), "a-2 b-1");
    assert_eq!((live(&shop, "products"), live(&shop, "sales"), live(&shop, "lines")), (4, 2, 2), "nothing is back at the hub");
    let id = shop.hub.number("SELECT id FROM conflict_log WHERE resolution = 'pending'").to_string();
    b.tillsync(&["conflicts", "show", &id]).said(0, &["apple pie"]);
    b.tillsync(&["conflicts", "resolve", &id, "--keep", "local"]).good();
    b.sync();
    a.sync();
    same(&a.store, &b.store);
    assert_eq!(text(&pos(&a.store), "SELECT name FROM products WHERE id = 5"), "apple pie");
    assert_eq!(b.status()["state"], "synced", "{:#}", b.status());
}

#[test]
fn hazard_21_a_register_that_is_restored_from_a_backup_older_than_the_retention_brings_nothing_back() {
    let mut shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, BEFORE);
    let backup = b.folder.join("backup.db");
    pos(&b.store).execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    pos(&a.store)
        .execute_batch("UPDATE products SET cents = 1 WHERE id IN (1, 2, 3); INSERT INTO sales VALUES ('a-3', 3)")
        .unwrap();
    a.sync();
    b.sync();
    pos(&b.store).execute_batch("INSERT INTO sales VALUES ('b-1', 1)").unwrap();
    b.sync();
    pos(&a.store).execute_batch("DELETE FROM products WHERE id IN (1, 4); DELETE FROM sales WHERE id = 'a-3'").unwrap();
    a.sync();
    b.sync();
    shop.hub.forget();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", b.store.display()));
    }
    fs::copy(&backup, &b.store).unwrap();
    pos(&b.store).execute_batch("INSERT INTO sales VALUES ('b-2', 2)").unwrap();
    b.sync();
    b.sync();
    a.sync();
    same(&a.store, &b.store);
    let here = pos(&b.store);
    assert_eq!(text(&here, "SELECT group_concat(id || ':' || cents, ' ') FROM products"), "2:1 3:1 5:500 6:600");
    assert_eq!(text(&here, "SELECT group_concat(id, ' ') FROM (SELECT id FROM sales ORDER BY id)"), "a-1 a-2 b-1 b-2");
}

#[test]
fn a_register_that_is_always_there_does_not_notice_that_the_hub_forgets() {
    let mut shop = Shop::open();
    shop.hub.start_again_with(&["--retention", "2s"]);
    let (mut a, mut b) = shop.pair(SCHEMA, BEFORE);
    a.start();
    b.start();
    for round in 0..6 {
        let till = pos(&a.store);
        till.execute("INSERT INTO sales VALUES ('x-' || ?1, ?1)", [round]).unwrap();
        till.execute("UPDATE products SET cents = ?1 WHERE id = 3", [round]).unwrap();
        till.execute("DELETE FROM sales WHERE id = 'x-' || (?1 - 1)", [round]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(700));
    }
    b.waits_for("in step", |status| status["state"] == "synced" && count(&pos(&b.store), "SELECT count(*) FROM sales") == 3);
    assert!(
        shop.hub.number("SELECT coalesce((SELECT value FROM meta WHERE name = 'pruned_through'), 0)") > 0,
        "the hub forgot something"
    );
    assert!(!b.problems().contains(&"away_too_long".to_owned()));
    a.waits_for("in step", |status| status["state"] == "synced" && status["pending"] == 0);
    assert_eq!(a.stop() + b.stop(), 0);
    same(&a.store, &b.store);
}

#[test]
fn conflicts_that_were_decided_during_a_long_absence_are_over() {
    let mut shop = Shop::open();
    let (a, b) = (shop.register("a", SCHEMA), shop.register("b", SCHEMA));
    pos(&a.store).execute_batch(BEFORE).unwrap();
    a.init_with(&shop.hub.url, &["--credentials", "file", "--key", "*=global", "--role", "manager"]).good();
    b.init(&shop.hub.url).good();
    for register in [&a, &b] {
        register.sync();
    }
    pos(&b.store).execute_batch("UPDATE products SET cents = 1 WHERE id = 1").unwrap();
    pos(&a.store).execute_batch("DELETE FROM products WHERE id = 1").unwrap();
    a.sync();
    b.tillsync(&["sync", "--timeout", "60"]).said(3, &["1 waiting"]);
    let id = shop.hub.number("SELECT id FROM conflict_log").to_string();
    let version = shop.hub.number("SELECT version FROM rows WHERE entity_type = 'products' AND entity_id = '1'").to_string();
    a.tillsync(&["conflicts", "resolve", &id, "--keep", "local", "--version", &version]).good();
    a.sync();
    pos(&a.store).execute_batch("UPDATE products SET cents = 2 WHERE id = 1; DELETE FROM products WHERE id = 6").unwrap();
    a.sync();
    a.sync();
    shop.hub.forget();
    b.sync();
    b.sync();
    same(&a.store, &b.store);
    assert_eq!(b.status()["conflicts"], 0);
    assert_eq!(count(&pos(&b.store), "SELECT cents FROM products WHERE id = 1"), 2);
}
