//! The main job: what is sold on one register reaches the others, also after a day without a network.

use tillsync_tests::retail::{Journal, With, create_store};

use super::support::{Network, Shop, Way, count, eventually, pos, same};

const SALES: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY, cents INTEGER NOT NULL)";

#[test]
fn a_sale_reaches_the_other_register_at_once() {
    let shop = Shop::open();
    let (mut a, mut b) = shop.pair(SALES, "");
    // With an hour between two looks, only hints and the long poll can carry the sale.
    for register in [&mut a, &mut b] {
        register.configure("interval_ms", "3600000");
        register.start();
        register.waits_for("up to date", |status| status["state"] == "synced");
    }
    let (till, other) = (pos(&a.store), pos(&b.store));
    till.execute_batch("INSERT INTO sales VALUES (1, 250)").unwrap();
    eventually("the sale is on register b", || (count(&other, "SELECT count(*) FROM sales WHERE cents = 250") == 1).then_some(()));
    other.execute_batch("UPDATE sales SET cents = 199 WHERE id = 1").unwrap();
    eventually("the correction is on register a", || (count(&till, "SELECT cents FROM sales") == 199).then_some(()));
    till.execute_batch("DELETE FROM sales").unwrap();
    eventually("the void is on register b", || (count(&other, "SELECT count(*) FROM sales") == 0).then_some(()));
    assert_eq!((a.stop(), b.stop()), (0, 0));
}

#[test]
fn without_a_network_the_queue_grows_and_drains_by_itself() {
    let shop = Shop::open();
    let network = Network::new(Way::To(shop.hub.address().to_owned()));
    let (a, mut b) = (shop.register("a", SALES), shop.register("b", SALES));
    a.init(&shop.hub.url).good();
    b.init(&network.url).good();
    b.start();
    b.waits_for("up to date", |status| status["state"] == "synced" && status["sentence"] == "Up to date");

    network.turn(Way::Cut);
    let till = pos(&b.store);
    for sale in 1..=5 {
        till.execute("INSERT INTO sales VALUES (?1, 100)", [sale]).unwrap();
    }
    let status = b.waits_for("offline with five changes", |status| {
        status["state"] == "offline" && status["pending"] == 5 && status["oldest_pending_ms"].is_i64()
    });
    let sentence = status["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("Offline, 5 changes waiting since "), "{sentence}");
    pos(&a.store).execute_batch("INSERT INTO sales VALUES (100, 1)").unwrap();
    a.sync();

    network.turn(Way::To(shop.hub.address().to_owned()));
    let status = b.waits_for("up to date again", |status| status["state"] == "synced" && status["pending"] == 0);
    assert_eq!(status["sentence"], "Up to date");
    assert_eq!(status["problems"].as_array().unwrap().len(), 0, "{status}");
    eventually("the other register's sale has come", || (count(&till, "SELECT count(*) FROM sales") == 6).then_some(()));
    a.sync();
    same(&a.store, &b.store);
}

#[test]
fn an_empty_register_gets_the_whole_shop() {
    let shop = Shop::open();
    let (a, b) = (shop.empty_register("a"), shop.empty_register("b"));
    create_store(&a.store, Journal::Wal, With::Everything).unwrap();
    create_store(&b.store, Journal::Delete, With::SchemaOnly).unwrap();
    for register in [&a, &b] {
        register.init(&shop.hub.url).good();
        register.sync();
    }
    same(&a.store, &b.store);
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted"), 2000 + 60 + 1200 + 8022);
    let head = shop.hub.number("SELECT max(id) FROM change_log");
    a.sync();
    b.sync();
    assert_eq!(shop.hub.number("SELECT max(id) FROM change_log"), head, "nothing echoes");
    assert_eq!(b.status()["state"], "synced");
}

#[test]
fn two_stores_with_the_same_catalogue_send_it_once() {
    let shop = Shop::open();
    let (a, b) = (shop.empty_register("a"), shop.empty_register("b"));
    for register in [&a, &b] {
        create_store(&register.store, Journal::Wal, With::Catalogue).unwrap();
        register.init(&shop.hub.url).good();
        register.sync();
    }
    pos(&b.store)
        .execute_batch("UPDATE products SET brand = 'ours' WHERE product_id = (SELECT min(product_id) FROM products)")
        .unwrap();
    b.sync();
    a.sync();
    same(&a.store, &b.store);
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted"), 2060);
}
