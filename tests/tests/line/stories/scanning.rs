//! Stores without triggers: every row is looked at instead.

use super::support::{Register, Shop, content, count, eventually, open, pos, same};

const SCHEMA: &str = "CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, cents INTEGER);
    CREATE TABLE sales(id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
    CREATE TABLE items(id INTEGER PRIMARY KEY AUTOINCREMENT, sale_id INTEGER REFERENCES sales(id), cents INTEGER);";

fn scanning(shop: &Shop, name: &str) -> Register {
    let register = shop.register(name, SCHEMA);
    let keys = ["--credentials", "file", "--key", "products=global", "--key", "sales=register", "--key", "items=register"];
    register.init_with(&shop.hub.url, &keys).good();
    register.configure("capture", "'scan'");
    register.configure("interval_ms", "1000");
    register
}

fn sell(register: &Register, what: &str) {
    let sale =
        format!("INSERT INTO sales(what) VALUES ('{what}'); INSERT INTO items(sale_id, cents) SELECT max(id), 7 FROM sales;");
    pos(&register.store).execute_batch(&sale).unwrap();
}

fn sold(register: &Register) -> Vec<String> {
    let till = open(&register.store);
    let mut query = till
        .prepare("SELECT what || ':' || count(cents) FROM sales LEFT JOIN items ON sale_id = sales.id GROUP BY sales.id ORDER BY 1")
        .unwrap();
    query.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

#[test]
fn two_stores_without_triggers_end_with_all_of_both() {
    let shop = Shop::open();
    let (mut a, mut b) = (scanning(&shop, "a"), scanning(&shop, "b"));
    pos(&a.store).execute_batch("INSERT INTO products VALUES (1, 'milk', 100), (2, 'tea', 250), (3, 'bread', 80)").unwrap();
    for register in [&mut a, &mut b] {
        register.sync();
        register.start();
        register.waits_for("synced", |status| status["state"] == "synced");
        let triggers = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'";
        assert_eq!(count(&open(&register.store), triggers), 0, "the vendor forbids them");
    }
    for round in 0..4 {
        for (register, name) in [(&a, "a"), (&b, "b")] {
            sell(register, &format!("{name}{round}"));
        }
        pos(&a.store).execute_batch("UPDATE products SET cents = cents + 1 WHERE id = 1").unwrap();
        pos(&b.store).execute_batch(&format!("UPDATE products SET name = 'milk {round}' WHERE id = 1")).unwrap();
    }
    pos(&b.store).execute_batch("DELETE FROM products WHERE id = 3; INSERT INTO products VALUES (4, 'salt', 30)").unwrap();
    eventually("all sales are on both", || (sold(&a).len() == 8 && sold(&a) == sold(&b)).then_some(()));
    eventually("products are the same", || (content(&a.store)["products"] == content(&b.store)["products"]).then_some(()));
    for register in [&mut a, &mut b] {
        register.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
        assert_eq!(register.problems(), Vec::<String>::new(), "{:#}", register.status());
        assert_eq!(register.stop(), 0);
    }
    let till = open(&a.store);
    assert_eq!(count(&till, "SELECT cents FROM products WHERE id = 1"), 104);
    assert_eq!(count(&till, "SELECT count(*) FROM products WHERE name = 'milk 3' OR id = 3"), 1);
    assert!(sold(&a).iter().all(|sale| sale.ends_with(":1")), "{:?}", sold(&a));
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE entity_type = 'sales' AND NOT deleted"), 8);
}

#[test]
fn a_store_without_triggers_that_goes_back_gets_all_of_it_again() {
    let shop = Shop::open();
    let (a, b) = (scanning(&shop, "a"), scanning(&shop, "b"));
    pos(&a.store).execute_batch("INSERT INTO products VALUES (1, 'milk', 100), (2, 'tea', 250)").unwrap();
    a.sync();
    b.sync();
    let backup = a.folder.join("backup.db");
    open(&a.store).execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    pos(&b.store).execute_batch("UPDATE products SET cents = 1 WHERE id = 1; INSERT INTO products VALUES (3, 'salt', 30)").unwrap();
    pos(&a.store).execute_batch("INSERT INTO products VALUES (4, 'soap', 9); UPDATE products SET cents = 2 WHERE id = 2").unwrap();
    for register in [&a, &b, &a] {
        register.sync();
    }
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", a.store.display()));
    }
    std::fs::copy(&backup, &a.store).unwrap();
    pos(&a.store).execute_batch("INSERT INTO products VALUES (5, 'new', 5)").unwrap();
    for register in [&a, &b, &a] {
        register.sync();
    }
    same(&a.store, &b.store);
    let till = open(&a.store);
    assert_eq!(count(&till, "SELECT sum(id) FROM products"), 1 + 2 + 3 + 4 + 5);
    assert_eq!(count(&till, "SELECT cents FROM products WHERE id = 1"), 1);
}
