//! The agent at servers of other protocols: our own hub, which speaks them all.

use rusqlite::Connection;

use super::support::{Register, Shop, count, pos, same, text};

const SHOP: &str = "
    CREATE TABLE orders(id TEXT PRIMARY KEY, order_number TEXT, total REAL NOT NULL, note TEXT, created_at TEXT);
    CREATE TABLE order_items(id TEXT PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders(id), name TEXT, qty INTEGER)";

const FIRST: &str = "
    INSERT INTO orders VALUES ('11111111-0000-4000-8000-000000000001', 'A-1', 12.0, NULL, '2026-01-02T10:00:00Z'),
      ('11111111-0000-4000-8000-000000000002', 'A-2', 7.25, 'x', '2026-01-02 11:00:00');
    INSERT INTO order_items VALUES ('22222222-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000001', 'tea', 2),
      ('22222222-0000-4000-8000-000000000002', '11111111-0000-4000-8000-000000000001', 'milk', 1)";

/// A register that speaks a protocol with the hub, set up and in step.
fn speaker(shop: &Shop, protocol: &str, name: &str, rows: &str, more: &[&str]) -> Register {
    let register = shop.register(name, SHOP);
    pos(&register.store).execute_batch(rows).unwrap();
    let (url, usual) = (shop.hub.url.clone(), ["--credentials", "file", "--key", "*=global", "--protocol", protocol]);
    let url = if protocol == "events" { format!("{url}/events") } else { url };
    let token = if protocol == "nuqta" { Vec::new() } else { vec!["--token".to_owned(), shop.hub.user_token(name)] };
    let token: Vec<&str> = token.iter().map(String::as_str).collect();
    register.init_with(&url, &[&usual, token.as_slice(), more].concat()).good();
    register.sync();
    register
}

fn log(shop: &Shop) -> i64 {
    shop.hub.number("SELECT max(id) FROM change_log")
}

/// Two registers exchange what there is; nothing is lost, doubled or sent again.
fn exchange(protocol: &str, has_deletes: bool) {
    let shop = Shop::open();
    let a = speaker(&shop, protocol, "a", FIRST, &[]);
    let b = speaker(&shop, protocol, "b", "", &[]);
    same(&a.store, &b.store);
    let (first, second) = (pos(&a.store), pos(&b.store));
    second
        .execute_batch(
            "INSERT INTO orders VALUES ('11111111-0000-4000-8000-000000000003', 'B-1', 3.5, NULL, NULL);
             INSERT INTO order_items VALUES ('22222222-0000-4000-8000-000000000003', '11111111-0000-4000-8000-000000000003', 'bread', 3);
             UPDATE orders SET note = 'paid' WHERE order_number = 'A-1';
             UPDATE order_items SET qty = 5 WHERE name = 'milk'",
        )
        .unwrap();
    b.sync();
    a.sync();
    same(&a.store, &b.store);
    first.execute_batch("UPDATE orders SET total = 99.0 WHERE order_number = 'B-1'").unwrap();
    a.sync();
    b.sync();
    same(&a.store, &b.store);
    first.execute_batch("DELETE FROM order_items WHERE name = 'tea'; DELETE FROM orders WHERE order_number = 'A-2'").unwrap();
    a.sync();
    b.sync();
    if has_deletes {
        same(&a.store, &b.store);
    } else {
        assert_eq!((orders(&first), orders(&second)), (2, 3), "orders are not deleted elsewhere");
        a.tillsync(&["doctor"]).said(0, &["deletes", "has none"]);
    }
    let head = log(&shop);
    for register in [&a, &b, &a] {
        register.sync();
        assert_eq!(register.status()["state"], "synced");
    }
    assert_eq!(log(&shop), head, "nothing echoes");
    assert_eq!(
        shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted AND entity_type = 'orders'"),
        3 - i64::from(has_deletes)
    );
}

fn orders(db: &Connection) -> i64 {
    count(db, "SELECT count(*) FROM orders")
}

#[test]
fn registers_that_speak_events() {
    exchange("events", true);
}

#[test]
fn registers_that_speak_insight() {
    exchange("insight", true);
}

#[test]
fn registers_that_speak_booky() {
    exchange("booky", true);
}

#[test]
fn registers_that_speak_auraflow() {
    exchange("auraflow", false);
}

#[test]
fn registers_that_speak_nuqta() {
    exchange("nuqta", true);
}

#[test]
fn registers_that_count_for_themselves() {
    const SALES: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY AUTOINCREMENT, cents INTEGER NOT NULL);
        CREATE TABLE lines(id INTEGER PRIMARY KEY AUTOINCREMENT, sale_id INTEGER NOT NULL REFERENCES sales(id), name TEXT)";
    const SALE: &str = "INSERT INTO sales(cents) VALUES (100); INSERT INTO lines(sale_id, name) SELECT max(id), 'tea' FROM sales";
    for protocol in ["events", "insight", "nuqta"] {
        let shop = Shop::open();
        let url = if protocol == "events" { format!("{}/events", shop.hub.url) } else { shop.hub.url.clone() };
        let registers = ["a", "b"].map(|name| {
            let register = shop.register(name, SALES);
            pos(&register.store).execute_batch(&format!("{SALE}; {SALE}")).unwrap();
            let token = shop.hub.user_token(name);
            let token = if protocol == "nuqta" { Vec::new() } else { vec!["--token", &token] };
            let usual = ["--credentials", "file", "--key", "*=register", "--protocol", protocol];
            register.init_with(&url, &[&usual, token.as_slice()].concat()).good();
            register
        });
        let [a, b] = &registers;
        for register in [a, b, a] {
            register.sync();
        }
        pos(&b.store).execute_batch("UPDATE sales SET cents = 250 WHERE id = 4; DELETE FROM lines WHERE sale_id = 1").unwrap();
        for register in [b, a] {
            register.sync();
        }
        for register in [a, b] {
            let db = pos(&register.store);
            assert_eq!(count(&db, "SELECT count(*) * 1000 + sum(cents) FROM sales"), 4550, "{protocol}");
            assert_eq!(count(&db, "SELECT count(*) FROM lines JOIN sales ON sales.id = sale_id"), 3, "{protocol}");
        }
        assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted"), 7, "{protocol}");
    }
}

#[test]
fn what_two_registers_changed_at_once_is_brought_together() {
    for protocol in ["events", "booky", "nuqta", "insight"] {
        let shop = Shop::open();
        let (a, b) = (speaker(&shop, protocol, "a", FIRST, &[]), speaker(&shop, protocol, "b", "", &[]));
        pos(&a.store).execute_batch("UPDATE orders SET note = 'from a', total = 1.5 WHERE order_number = 'A-1'").unwrap();
        a.sync();
        pos(&b.store).execute_batch("UPDATE orders SET order_number = 'A-1b', total = 2.5 WHERE order_number = 'A-1'").unwrap();
        b.sync();
        a.sync();
        b.sync();
        same(&a.store, &b.store);
        let db = pos(&a.store);
        let row = text(&db, "SELECT order_number || ' ' || total || ' ' || note FROM orders WHERE id LIKE '%1'");
        // Of insight's tables the hub decides about all that it does not know otherwise.
        let expected = if protocol == "insight" { "A-1b 1.5 from a" } else { "A-1b 2.5 from a" };
        assert_eq!(row, expected, "{protocol}");
    }
}
