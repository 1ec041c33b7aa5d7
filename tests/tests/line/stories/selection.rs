//! What syncs and what does not: tables, directions, columns, rows; and how people say so.

use std::fs;

use serde_json::Value;

use super::support::{Register, Shop, count, eventually, pos, text};

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
    fs::write(&register.config, format!("{text}\n# From the office.\n[tables.sales]\npolicy = 'server' # for now\n")).unwrap();

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
fn columns_that_are_left_out_stay_where_they_are() {
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
