//! What becomes of a row that two registers change without knowing of each other.

use super::support::{Network, Register, Shop, Way, count, pos, same};

const PRODUCTS: &str =
    "CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, price INTEGER, stock INTEGER, margin REAL, tags TEXT)";
const TEA: &str = "INSERT INTO products VALUES (1, 'Tea', 100, 20, 20.5, '[\"hot\"]')";

/// Two registers that know the tea, with a rule for some columns.
fn pair(shop: &Shop, rules: &[&str]) -> (Register, Register) {
    let (a, b) = shop.pair(PRODUCTS, TEA);
    for register in [&a, &b] {
        for rule in rules {
            register.tillsync(&["tables", "set", "products", "--column", rule]).good();
        }
    }
    (a, b)
}

fn number(register: &Register, column: &str) -> i64 {
    count(&pos(&register.store), &format!("SELECT {column} FROM products"))
}

#[test]
fn two_registers_sell_three_and_four_of_twenty_and_thirteen_are_left() {
    let shop = Shop::open();
    let (a, b) = pair(&shop, &["stock=sum", "margin=sum"]);
    pos(&a.store).execute_batch("UPDATE products SET stock = stock - 3, margin = 20.4").unwrap();
    pos(&b.store).execute_batch("UPDATE products SET stock = stock - 4, margin = 19.3").unwrap();
    for register in [&a, &b, &a] {
        register.sync();
    }
    same(&a.store, &b.store);
    assert_eq!(number(&a, "stock"), 13);
    assert_eq!(number(&a, "margin = 19.2"), 1, "as a person adds decimals");
    assert_eq!(shop.hub.number("SELECT data ->> 'stock' FROM change_log ORDER BY id DESC LIMIT 1"), 13);
    assert_eq!((a.status()["state"].clone(), b.status()["state"].clone()), ("synced".into(), "synced".into()));
}

#[test]
fn counters_add_up_over_offline_phases_and_what_the_pos_does_meanwhile() {
    let shop = Shop::open();
    let network = Network::new(Way::To(shop.hub.address().to_owned()));
    let (a, mut b) = (shop.register("a", PRODUCTS), shop.register("b", PRODUCTS));
    pos(&a.store).execute_batch(TEA).unwrap();
    for (register, url) in [(&a, &shop.hub.url), (&b, &network.url)] {
        register.init(url).good();
        register.tillsync(&["tables", "set", "products", "--column", "stock=sum"]).good();
        register.sync();
    }
    b.start();
    b.waits_for("up to date", |status| status["state"] == "synced");
    for _ in 0..3 {
        network.turn(Way::Cut);
        let till = pos(&b.store);
        for _ in 0..3 {
            till.execute_batch("UPDATE products SET stock = stock - 1").unwrap();
            pos(&a.store).execute_batch("UPDATE products SET stock = stock - 2").unwrap();
            a.sync();
            b.waits_for("captured", |status| status["pending"].as_i64() >= Some(1));
        }
        till.execute_batch("UPDATE products SET stock = stock + 5, name = 'Tea ' || stock").unwrap();
        network.turn(Way::To(shop.hub.address().to_owned()));
        b.waits_for("up to date again", |status| status["state"] == "synced" && status["pending"] == 0);
        a.sync();
    }
    b.waits_for("settled", |status| status["state"] == "synced" && status["pending"] == 0);
    b.stop();
    b.sync();
    same(&a.store, &b.store);
    assert_eq!(number(&a, "stock"), 20 - 3 * (3 + 6 - 5));
}

#[test]
fn json_values_merge_and_lists_are_united() {
    let shop = Shop::open();
    let (a, b) = pair(&shop, &["tags=json"]);
    pos(&a.store).execute_batch("UPDATE products SET tags = '[\"hot\",\"green\"]'").unwrap();
    pos(&b.store).execute_batch("UPDATE products SET tags = '[\"new\"]', price = 90").unwrap();
    for register in [&a, &b, &a] {
        register.sync();
    }
    same(&a.store, &b.store);
    assert_eq!(super::support::text(&pos(&a.store), "SELECT tags FROM products"), "[\"green\",\"new\"]");
}
