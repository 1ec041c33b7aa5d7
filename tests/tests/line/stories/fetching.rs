//! A register comes to a chain with a long history: it fetches the rows as they are now, and what both sides had before becomes one.

use super::support::{Register, Shop, count, pos, same, text};

const SCHEMA: &str = "CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, cents INTEGER);
    CREATE TABLE sales(id TEXT PRIMARY KEY, store_id INTEGER, cents INTEGER);
    CREATE TABLE lines(id TEXT PRIMARY KEY, sale TEXT NOT NULL REFERENCES sales(id), cents INTEGER);
    CREATE INDEX lines_sale ON lines(sale)";

const ROWS: i64 = 400;

/// A register whose 400 products have three versions each, and some sales.
fn elder(shop: &Shop) -> Register {
    let a = shop.register("a", SCHEMA);
    let till = pos(&a.store);
    till.execute_batch(&format!(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
         INSERT INTO products SELECT i, 'product ' || i, 0 FROM n;
         INSERT INTO sales SELECT 'a-' || id, 360 + id % 2, id FROM products WHERE id <= 50;
         INSERT INTO lines SELECT 'a-' || id, 'a-' || id, id FROM products WHERE id <= 50;"
    ))
    .unwrap();
    a.init(&shop.hub.url).good();
    a.sync();
    for cents in ["id", "id * 100"] {
        till.execute_batch(&format!("UPDATE products SET cents = {cents}")).unwrap();
        a.sync();
    }
    assert!(shop.hub.number("SELECT count(*) FROM change_log") > 1_000, "longer than a page");
    a
}

#[test]
fn a_new_register_fetches_rows_and_no_history() {
    let shop = Shop::open();
    let a = elder(&shop);
    let b = shop.register("b", SCHEMA);
    b.init(&shop.hub.url).good();
    b.sync();
    same(&a.store, &b.store);
    let status = b.status();
    assert_eq!(status["received"], ROWS + 100, "every row came once");
    assert_eq!((&status["full_sync"], &status["state"]), (&serde_json::Value::Null, &"synced".into()), "{status:#}");
    pos(&b.store).execute_batch("UPDATE products SET name = 'changed' WHERE id = 7").unwrap();
    b.sync();
    a.sync();
    same(&a.store, &b.store);
}

#[test]
fn sales_that_are_fetched_keep_the_order_in_which_they_were_rung_up() {
    const SALES: &str = "CREATE TABLE products(id INTEGER PRIMARY KEY, cents INTEGER);
        CREATE TABLE sales(id INTEGER PRIMARY KEY, what TEXT, refund_of INTEGER REFERENCES sales(id));
        CREATE INDEX sales_refund ON sales(refund_of)";
    let shop = Shop::open();
    let set_up = |name: &str| {
        let register = shop.register(name, SALES);
        let keys = ["--credentials", "file", "--key", "products=global", "--key", "sales=register"];
        register.init_with(&shop.hub.url, &keys).good();
        register
    };
    let a = set_up("a");
    let till = pos(&a.store);
    // Some of before the first sync and some of after it; every tenth refunds the one before it.
    for (from, to) in [(1, 500), (501, 700), (701, 701)] {
        till.execute_batch(&format!(
            "WITH RECURSIVE n(i) AS (VALUES ({from}) UNION ALL SELECT i + 1 FROM n WHERE i < {to})
             INSERT INTO sales SELECT i, 'sale ' || i, iif(i % 10 = 0, i - 1, NULL) FROM n;
             INSERT OR REPLACE INTO products SELECT id, {to} FROM sales WHERE id <= 300;"
        ))
        .unwrap();
        a.sync();
    }
    let log = shop.hub.number("SELECT count(*) FROM change_log");
    assert!(log > 1_000, "longer than a page: {log}");
    let b = set_up("b");
    // A number of its own: what comes has others than at A.
    pos(&b.store).execute("INSERT INTO sales VALUES (5000, 'sale of b', NULL)", []).unwrap();
    b.sync();
    assert_eq!(b.status()["received"], 1_001, "every row came once, and no history");
    let in_order = |db: &rusqlite::Connection| {
        let told = "SELECT group_concat(said, '; ' ORDER BY id) FROM (SELECT sales.id, sales.what || coalesce(' of ' || first.what, '') AS said
            FROM sales LEFT JOIN sales AS first ON first.id = sales.refund_of WHERE sales.what <> 'sale of b')";
        text(db, told)
    };
    let here = pos(&b.store);
    assert_eq!(in_order(&here), in_order(&till));
    assert_eq!(text(&here, "SELECT what FROM sales ORDER BY id DESC LIMIT 1"), "sale 701");
    assert!(count(&here, "SELECT count(*) FROM sales WHERE id > 5000") > 0, "keys of its own");
}

#[test]
fn a_register_that_is_killed_again_and_again_fetches_all_the_same() {
    let shop = Shop::open();
    let a = elder(&shop);
    let mut b = shop.register("b", SCHEMA);
    b.init(&shop.hub.url).good();
    let here = pos(&b.store);
    let mut fetched = 0;
    for round in 0..8 {
        b.start_blindly();
        std::thread::sleep(std::time::Duration::from_millis(60 + round * 15));
        b.kill();
        let now =
            count(&here, "SELECT (SELECT count(*) FROM products) + (SELECT count(*) FROM sales) + (SELECT count(*) FROM lines)");
        assert!(now >= fetched, "what is here stays here");
        fetched = now;
        pos(&b.store).execute("INSERT INTO sales VALUES ('b-' || ?1, 361, 1)", [round]).unwrap();
        fetched += 1;
    }
    b.sync();
    a.sync();
    same(&a.store, &b.store);
    assert_eq!(count(&here, "SELECT count(*) FROM sales"), 58);
}

#[test]
fn two_stores_that_both_hold_data_become_one() {
    let shop = Shop::open();
    let a = elder(&shop);
    let b = shop.register("b", SCHEMA);
    let here = pos(&b.store);
    // Equal rows, rows of its own, and one that is another row under the same key.
    here.execute_batch(&format!(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
         INSERT INTO products SELECT i, 'product ' || i, i * 100 FROM n;
         UPDATE products SET name = 'something else' WHERE id = 9;
         INSERT INTO sales VALUES ('b-1', 361, 5), ('a-1', 361, 1);
         INSERT INTO lines VALUES ('b-1', 'b-1', 5);"
    ))
    .unwrap();
    b.init(&shop.hub.url).good();
    b.tillsync(&["sync", "--timeout", "60"]).said(3, &["1 waiting for a person"]);
    assert_eq!(b.status()["conflicts"], 1);
    assert_eq!(text(&here, "SELECT name FROM products WHERE id = 9"), "something else", "nobody has decided yet");
    let id = shop.hub.number("SELECT id FROM conflict_log WHERE resolution = 'pending'").to_string();
    b.tillsync(&["conflicts", "resolve", &id, "--keep", "server"]).good();
    b.sync();
    a.sync();
    same(&a.store, &b.store);
    assert_eq!(text(&here, "SELECT name FROM products WHERE id = 9"), "product 9");
    let versions =
        "SELECT max(n) FROM (SELECT count(*) AS n FROM change_log WHERE entity_type <> 'products' GROUP BY entity_type, entity_id)";
    assert_eq!(shop.hub.number(versions), 1, "equal rows are recognised");
    assert_eq!(
        shop.hub.number("SELECT count(*) FROM change_log WHERE entity_type = 'products'"),
        3 * ROWS + 1,
        "and so are products"
    );
}

#[test]
fn only_what_the_register_takes_is_fetched() {
    let shop = Shop::open();
    let a = elder(&shop);
    let b = shop.register("b", SCHEMA);
    b.init(&shop.hub.url).good();
    b.tillsync(&["tables", "set", "products", "--direction", "push"]).good();
    b.tillsync(&["tables", "set", "sales", "--filter", "store_id = 361"]).good();
    b.sync();
    let here = pos(&b.store);
    assert_eq!(count(&here, "SELECT count(*) FROM products"), 0);
    assert_eq!(count(&here, "SELECT count(*) FROM sales"), 25);
    assert_eq!(count(&here, "SELECT count(*) FROM lines"), 25, "a line follows its sale");
    assert_eq!(b.status()["state"], "synced", "{:#}", b.status());
    // Now the products, too: they are fetched, and nothing else changes.
    b.tillsync(&["tables", "set", "products", "--direction", "both"]).good();
    b.sync();
    assert_eq!(count(&here, "SELECT count(*) FROM products"), ROWS);
    assert_eq!(count(&here, "SELECT count(*) FROM sales"), 25);
    a.sync();
    assert_eq!(count(&pos(&a.store), "SELECT count(*) FROM sales"), 50);
}
