//! What syncs and what does not: tables, directions, columns, rows; and how people say so.

use std::fs;

use serde_json::Value;

use super::support::{Register, Shop, count, eventually, plain, pos, same, text};

const SCHEMA: &str =
    "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, password_hash TEXT NOT NULL, isSynced INTEGER DEFAULT 0);
    CREATE TABLE sales(id INTEGER PRIMARY KEY, store_id INTEGER, cents INTEGER)";

/// The line about a table in `tables --json`.
fn line(register: &Register, table: &str) -> Value {
    let lines: Value = serde_json::from_str(&register.tillsync(&["tables", "--json"]).good().out).unwrap();
    let found = lines.as_array().unwrap().iter().find(|line| line["table"] == table);
    found.unwrap_or_else(|| panic!("no {table} in {lines:#}")).clone()
}

#[test]
fn settings_of_tables_are_shown_and_changed() {
    let shop = Shop::open();
    let register = shop.register("a", SCHEMA);
    register.init(&shop.hub.url).good();
    let users = line(&register, "users");
    assert_eq!((&users["key"], &users["direction"], &users["policy"]), (&"global".into(), &"both".into(), &"latest".into()));
    let left_out: Vec<_> = users["left_out"].as_array().unwrap().iter().map(|column| column["column"].as_str().unwrap()).collect();
    assert_eq!(left_out, ["password_hash", "isSynced"]);
    let text = fs::read_to_string(&register.config).unwrap();
    let text = text.replace("[tables.sales]\n", "# From the office.\n[tables.sales]\npolicy = 'server' # for now\n");
    fs::write(&register.config, text).unwrap();

    let set = |arguments: &[&str]| register.tillsync(&[&["tables", "set"], arguments].concat());
    set(&["SALES", "--policy", "client", "--column", "cents=sum", "--direction", "push"]).good();
    set(&["sales", "--filter", "store_id = 367", "--entity", "invoices"]).good();
    set(&["users", "--exclude", "", "--ignore", "name"]).good();
    let sales = line(&register, "sales");
    assert_eq!((&sales["policy"], &sales["direction"]), (&"client".into(), &"push".into()));
    assert_eq!((&sales["columns"]["cents"], &sales["entity"]), (&"sum".into(), &"invoices".into()));
    assert_eq!(sales["filter"], "store_id = 367");
    let shown = register.tillsync(&["tables"]).good();
    shown.said(0, &["isSynced", "flip flag", "only rows where: store_id = 367", "on the wire: invoices", "cents = sum"]);
    let text = fs::read_to_string(&register.config).unwrap();
    assert!(text.contains("# From the office.") && text.contains("# for now"), "{text}");

    set(&["sales", "--filter", "shop = 367"]).said(1, &["no such column: shop", "nothing was changed"]);
    set(&["sales", "--filter", "store_id ="]).said(1, &["syntax error"]);
    set(&["sales", "--exclude", "cents"]).said(1, &["cents has a rule"]);
    set(&["sales", "--exclude", "margin"]).said(1, &["no column margin", "store_id"]);
    set(&["bills", "--policy", "server"]).said(1, &["no table bills", "sales"]);
    set(&["sales"]).said(1, &["say what to change"]);
    assert_eq!(fs::read_to_string(&register.config).unwrap(), text, "what was refused changed nothing");

    // What is not right in a file that people wrote is told, too.
    fs::write(&register.config, format!("{text}\n[tables.bills]\nkey = 'global'\n")).unwrap();
    register.tillsync(&["tables"]).said(1, &["no table bills"]);
    register.tillsync(&["doctor"]).said(1, &["no table bills", "tables set"]);
}

#[test]
fn a_running_agent_goes_on_with_changed_settings() {
    let shop = Shop::open();
    let (mut a, mut b) = shop.pair(SCHEMA, "");
    a.start();
    b.start();
    pos(&a.store).execute_batch("INSERT INTO sales VALUES (1, 367, 100)").unwrap();
    let there = pos(&b.store);
    eventually("a sale arrives", || (count(&there, "SELECT count(*) FROM sales") == 1).then_some(()));
    a.tillsync(&["tables", "set", "users", "--ignore", "name"]).said(0, &["the running agent goes on with it"]);
    pos(&a.store).execute_batch("INSERT INTO users VALUES (1, 'Ann', 'x', 0); INSERT INTO sales VALUES (2, 367, 200)").unwrap();
    eventually("the next sale arrives", || (count(&there, "SELECT count(*) FROM sales") == 2).then_some(()));
    eventually("the user arrives", || (count(&there, "SELECT count(*) FROM users") == 1).then_some(()));
    assert_eq!(text(&there, "SELECT name FROM users"), "");
    assert!(a.is_alive() && a.stop() == 0);
}

#[test]
fn hazard_06_columns_that_are_left_out_stay_where_they_are() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, "INSERT INTO users VALUES (1, 'Ann', 'secret of Ann', 1), (2, 'Bob', 'secret of Bob', 0)");
    let (here, there) = (pos(&a.store), pos(&b.store));
    assert_eq!(text(&there, "SELECT group_concat(name || password_hash || isSynced) FROM users"), "Ann0,Bob0");
    there.execute_batch("UPDATE users SET password_hash = 'another', isSynced = 7 WHERE id = 1").unwrap();
    here.execute_batch("UPDATE users SET isSynced = 5").unwrap();
    for register in [&a, &b] {
        register.sync();
    }
    assert_eq!(shop.hub.number("SELECT count(*) FROM change_log"), 2, "such a change is no change");
    here.execute_batch("UPDATE users SET name = 'Anna' WHERE id = 1").unwrap();
    for register in [&a, &b] {
        register.sync();
    }
    assert_eq!(text(&there, "SELECT name || password_hash || isSynced FROM users WHERE id = 1"), "Annaanother7");
    assert_eq!(text(&here, "SELECT password_hash FROM users WHERE id = 1"), "secret of Ann");
    let hub = shop.hub.number("SELECT count(*) FROM change_log WHERE data LIKE '%secret%' OR data LIKE '%isSynced%'");
    assert_eq!(hub, 0, "no secret reached the hub");
}

const SHOPS: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY, store_id TEXT, cents INTEGER);
    CREATE TABLE items(sale_id INTEGER REFERENCES sales(id) ON DELETE CASCADE, line INTEGER, what TEXT, PRIMARY KEY(sale_id, line));
    CREATE TABLE prices(id INTEGER PRIMARY KEY, cents INTEGER);
    CREATE TABLE audit(id INTEGER PRIMARY KEY, text TEXT)";

/// What `SELECT …` finds, in its order.
fn found(register: &Register, sql: &str) -> String {
    let store = pos(&register.store);
    let mut query = store.prepare(&format!("SELECT {sql}")).unwrap();
    let texts = query.query_map([], |row| row.get_ref(0).map(|value| plain(value))).unwrap();
    texts.collect::<rusqlite::Result<Vec<String>>>().unwrap().join(",")
}

#[test]
fn rows_outside_a_filter_stay_where_they_are_and_take_their_items_along() {
    let shop = Shop::open();
    let (a, b) = (shop.register("a", SHOPS), shop.register("b", SHOPS));
    for register in [&a, &b] {
        register.init(&shop.hub.url).good();
    }
    // A number against a text: only the column's own affinity makes them equal.
    a.tillsync(&["tables", "set", "sales", "--filter", "store_id = 367 -- ours"]).good();
    let (here, there) = (pos(&a.store), pos(&b.store));
    here.execute_batch(
        "INSERT INTO sales VALUES (1, 367, 100), (2, 368, 200); INSERT INTO items VALUES (1, 1, 'tea'), (2, 1, 'rum')",
    )
    .unwrap();
    there
        .execute_batch(
            "INSERT INTO sales VALUES (11, 367, 1), (12, 368, 2); INSERT INTO items VALUES (11, 1, 'ale'), (12, 1, 'gin')",
        )
        .unwrap();
    for register in [&a, &b, &a] {
        register.sync();
    }
    assert_eq!(found(&a, "id FROM sales ORDER BY 1"), "1,2,11");
    assert_eq!(found(&a, "what FROM items ORDER BY 1"), "ale,rum,tea");
    assert_eq!(found(&b, "id FROM sales ORDER BY 1"), "1,11,12");
    assert_eq!(found(&b, "what FROM items ORDER BY 1"), "ale,gin,tea");

    // What comes later about a row that is outside is outside, too; a row that leaves is not deleted, and follows nobody any more.
    there.execute_batch("INSERT INTO items VALUES (12, 2, 'cider'); UPDATE sales SET cents = 3 WHERE id = 12").unwrap();
    here.execute_batch("UPDATE sales SET store_id = 368 WHERE id = 1; UPDATE items SET what = 'coffee' WHERE sale_id = 1").unwrap();
    for register in [&a, &b, &a] {
        register.sync();
    }
    assert_eq!(found(&b, "store_id || what FROM sales JOIN items ON sale_id = id WHERE id = 1"), "367tea");
    assert_eq!(found(&a, "what FROM items ORDER BY 1"), "ale,coffee,rum");
    assert_eq!(a.status()["parked"], 0);

    // Who lets more through gets it, and gives it.
    a.tillsync(&["tables", "set", "sales", "--filter", ""]).good();
    for register in [&a, &b, &a] {
        register.sync();
    }
    assert_eq!(found(&a, "what FROM items ORDER BY 1"), "ale,cider,coffee,gin,rum");
    same(&a.store, &b.store);
}

#[test]
fn rows_go_the_way_they_are_told() {
    let shop = Shop::open();
    let (a, b) = (shop.register("a", SHOPS), shop.register("b", SHOPS));
    for register in [&a, &b] {
        register.init(&shop.hub.url).good();
    }
    a.tillsync(&["tables", "set", "prices", "--direction", "pull"]).good();
    a.tillsync(&["tables", "set", "audit", "--direction", "push"]).good();
    let (here, there) = (pos(&a.store), pos(&b.store));
    for (store, id) in [(&here, 1), (&there, 2)] {
        store.execute_batch(&format!("INSERT INTO prices VALUES ({id}, 5); INSERT INTO audit VALUES ({id}, 'x')")).unwrap();
    }
    for register in [&a, &b, &a] {
        register.sync();
    }
    assert_eq!((found(&a, "id FROM prices"), found(&b, "id FROM prices")), ("1,2".to_owned(), "2".to_owned()));
    assert_eq!((found(&a, "id FROM audit"), found(&b, "id FROM audit")), ("1".to_owned(), "1,2".to_owned()));
    assert_eq!((&a.status()["pending"], &a.status()["parked"]), (&0.into(), &0.into()));
    // The other way after all: what waited here for nobody goes, and what waited there comes.
    a.tillsync(&["tables", "set", "prices", "--direction", "both"]).good();
    a.tillsync(&["tables", "set", "audit", "--direction", "both"]).good();
    for register in [&a, &b, &a] {
        register.sync();
    }
    same(&a.store, &b.store);
}

#[test]
fn one_table_has_two_names() {
    let shop = Shop::open();
    let (a, b) = (
        shop.register("a", "CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT)"),
        shop.register("b", "CREATE TABLE artikel(id INTEGER PRIMARY KEY, name TEXT)"),
    );
    for register in [&a, &b] {
        register.init(&shop.hub.url).good();
    }
    b.tillsync(&["tables", "set", "artikel", "--entity", "products"]).good();
    pos(&a.store).execute_batch("INSERT INTO products VALUES (1, 'tea')").unwrap();
    pos(&b.store).execute_batch("INSERT INTO artikel VALUES (2, 'rum')").unwrap();
    for register in [&a, &b, &a] {
        register.sync();
    }
    assert_eq!(found(&a, "name FROM products ORDER BY id"), "tea,rum");
    assert_eq!(found(&b, "name FROM artikel ORDER BY id"), "tea,rum");
    pos(&b.store).execute_batch("UPDATE artikel SET name = 'ale' WHERE id = 1; DELETE FROM artikel WHERE id = 2").unwrap();
    for register in [&b, &a] {
        register.sync();
    }
    assert_eq!(found(&a, "name FROM products"), "ale");
}

#[test]
fn the_hub_gives_a_register_only_what_its_token_names() {
    let shop = Shop::guarded();
    let (a, b) = (shop.register("a", SHOPS), shop.register("b", SHOPS));
    let limited = shop.hub.enroll_token_with(&["--entities", "sales,items"]);
    for (register, token) in [(&a, shop.hub.enroll_token(1)), (&b, limited)] {
        register.init_with(&shop.hub.url, &["--credentials", "file", "--key", "*=global", "--enroll-token", &token]).good();
    }
    let batch = "INSERT INTO sales VALUES (1, 367, 1); INSERT INTO items VALUES (1, 1, 'tea'); INSERT INTO prices VALUES (1, 5)";
    pos(&a.store).execute_batch(batch).unwrap();
    a.sync();
    b.sync();
    assert_eq!((found(&b, "what FROM items"), found(&b, "id FROM prices")), ("tea".to_owned(), String::new()));
    // What it may not send is parked and told; the rest goes on.
    pos(&b.store).execute_batch("INSERT INTO prices VALUES (2, 6); INSERT INTO sales VALUES (2, 367, 2)").unwrap();
    b.tillsync(&["sync"]).said(3, &["waiting for a person"]);
    b.tillsync(&["outbox", "--parked"]).said(0, &["prices", "may not send prices"]);
    a.sync();
    assert_eq!((found(&a, "id FROM sales"), found(&a, "id FROM prices")), ("1,2".to_owned(), "1".to_owned()));
}
