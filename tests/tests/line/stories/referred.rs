//! Something is deleted on one register just when another one sells it: the sale counts.

use super::support::{Register, Shop, count, eventually, pos, same, text};

const SCHEMA: &str = "CREATE TABLE products(sku TEXT PRIMARY KEY, name TEXT);
    CREATE TABLE customers(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);
    CREATE TABLE sales(id INTEGER PRIMARY KEY AUTOINCREMENT, customer_id INTEGER REFERENCES customers(id));
    CREATE TABLE lines(id INTEGER PRIMARY KEY AUTOINCREMENT, sale_id INTEGER NOT NULL REFERENCES sales(id) ON DELETE CASCADE,
      sku TEXT NOT NULL REFERENCES products(sku), cents INTEGER);";

const ROWS: &str = "INSERT INTO products VALUES ('tea', 'Tea'), ('rum', 'Rum');
    INSERT INTO customers(name) VALUES ('Ada');";

const INDEX: &str = "CREATE INDEX lines_sku ON lines(sku); CREATE INDEX sales_customer ON sales(customer_id);";

/// Two registers that know the catalogue; sales, their lines and customers are counted by each register.
fn pair(shop: &Shop, index: &str) -> (Register, Register) {
    let (a, b) = (shop.register("a", SCHEMA), shop.register("b", SCHEMA));
    pos(&a.store).execute_batch(ROWS).unwrap();
    for register in [&a, &b] {
        pos(&register.store).execute_batch(index).unwrap();
        let keys = ["customers", "sales", "lines"].map(|table| format!("{table}=register"));
        let keys = keys.iter().flat_map(|key| ["--key", key.as_str()]);
        let arguments: Vec<&str> = ["--credentials", "file", "--key", "products=global"].into_iter().chain(keys).collect();
        register.init_with(&shop.hub.url, &arguments).good();
        register.sync();
    }
    (a, b)
}

fn sell(register: &Register) {
    let till = pos(&register.store);
    till.execute_batch(
        "BEGIN; INSERT INTO sales(customer_id) SELECT id FROM customers WHERE name = 'Ada';
         INSERT INTO lines(sale_id, sku, cents) VALUES (last_insert_rowid(), 'tea', 250); COMMIT;",
    )
    .unwrap();
}

fn discontinue(register: &Register) {
    pos(&register.store)
        .execute_batch("PRAGMA foreign_keys = ON; DELETE FROM products WHERE sku = 'tea'; DELETE FROM customers")
        .unwrap();
}

/// What was sold to whom, by names alone.
fn receipts(register: &Register) -> String {
    text(
        &pos(&register.store),
        "SELECT group_concat(products.name || ' to ' || customers.name || ' ' || cents, ', ') FROM lines JOIN products USING (sku)
         JOIN sales ON sales.id = sale_id JOIN customers ON customers.id = customer_id",
    )
}

fn check(index: &str, deleted_first: bool) {
    let shop = Shop::open();
    let (a, b) = pair(&shop, index);
    sell(&a);
    discontinue(&b);
    let (first, second) = if deleted_first { (&b, &a) } else { (&a, &b) };
    for register in [first, second, first, second, &a, &b, &a, &b] {
        register.tillsync(&["sync", "--timeout", "60"]).good();
    }
    for register in [&a, &b] {
        assert_eq!(receipts(register), "Tea to Ada 250");
        assert_eq!(text(&pos(&register.store), "PRAGMA foreign_key_check"), "");
        let status = register.status();
        assert_eq!((status["parked"].as_u64(), status["conflicts"].as_u64()), (Some(0), Some(0)), "{status:#}");
    }
    assert!(a.problems().contains(&"given_back".to_owned()), "{:?}", a.problems());
    assert_eq!(count(&pos(&a.store), "SELECT count(*) FROM products"), 2);
}

#[test]
fn what_a_sale_refers_to_comes_back_whoever_was_first() {
    for deleted_first in [true, false] {
        check(INDEX, deleted_first);
    }
}

#[test]
fn what_a_sale_refers_to_comes_back_also_without_an_index() {
    for deleted_first in [true, false] {
        check("", deleted_first);
    }
}

#[test]
fn running_registers_settle_it_by_themselves() {
    let shop = Shop::open();
    let (mut a, mut b) = pair(&shop, INDEX);
    for register in [&mut a, &mut b] {
        register.start();
        register.waits_for("synced", |status| status["state"] == "synced");
    }
    for register in [&a, &b] {
        register.tillsync(&["pause"]).good();
    }
    sell(&a);
    discontinue(&b);
    for register in [&b, &a] {
        register.tillsync(&["resume"]).good();
    }
    eventually("the sale on both", || [&a, &b].iter().all(|register| receipts(register) == "Tea to Ada 250").then_some(()));
    for register in [&a, &b] {
        register.waits_for("synced", |status| status["state"] == "synced" && status["parked"] == 0 && status["pending"] == 0);
    }
    drop((a, b));
}

#[test]
fn a_delete_with_everything_that_refers_to_it_is_a_delete() {
    let shop = Shop::open();
    let (a, b) = pair(&shop, INDEX);
    sell(&a);
    for register in [&a, &b] {
        register.sync();
    }
    pos(&b.store)
        .execute_batch("PRAGMA foreign_keys = ON; DELETE FROM sales; DELETE FROM products; DELETE FROM customers")
        .unwrap();
    for register in [&b, &a, &b, &a] {
        register.sync();
    }
    for register in [&a, &b] {
        assert_eq!(count(&pos(&register.store), "SELECT (SELECT count(*) FROM lines) + (SELECT count(*) FROM products)"), 0);
    }
    same(&a.store, &b.store);
}
