//! What becomes of a row that two registers change without knowing of each other.

use serde_json::Value;

use super::support::{Network, Register, Shop, Way, count, eventually, pos, same, text};

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
    assert_eq!(text(&pos(&a.store), "SELECT tags FROM products"), "[\"green\",\"new\"]");
}

/// The register's conflict log.
fn conflicts(register: &Register) -> Vec<Value> {
    serde_json::from_str(&register.tillsync(&["conflicts", "--json"]).good().out).unwrap()
}

/// Prices of 110 on A, which is sent first, and of 120 on B, where both know 100.
fn dispute(shop: &Shop, rule: &str) -> (Register, Register) {
    let (a, b) = pair(shop, &[rule]);
    pos(&a.store).execute_batch("UPDATE products SET price = 110").unwrap();
    a.sync();
    pos(&b.store).execute_batch("UPDATE products SET price = 120").unwrap();
    (a, b)
}

#[test]
fn a_person_decides_what_no_rule_decides() {
    for (decision, price) in [(["--keep", "local"], 120), (["--keep", "server"], 110), (["--set", "price=115"], 115)] {
        let shop = Shop::open();
        let (a, b) = dispute(&shop, "price=manual");
        b.tillsync(&["sync"]).said(3, &["1 waiting for a person", "tillsync conflicts"]);
        let status = b.status();
        assert_eq!((&status["state"], &status["conflicts"]), (&"attention".into(), &1.into()), "{status:#}");
        assert_eq!((number(&a, "price"), number(&b, "price")), (110, 120), "nobody has decided yet");
        let [conflict] = &conflicts(&b)[..] else { panic!("one conflict") };
        assert_eq!(
            (&conflict["id"], &conflict["state"], &conflict["entity"], &conflict["key"]),
            (&1.into(), &"pending".into(), &"products".into(), &"1".into())
        );
        let prices = ["base", "server", "local"].map(|side| conflict[side]["price"].as_i64().unwrap());
        assert_eq!((prices, conflict["server_by"].as_str()), ([100, 110, 120], Some("a")));
        assert_eq!(conflict["rules"][0]["rule"], "manual");
        b.tillsync(&["conflicts"]).said(0, &["1  pending", "products 1"]);
        b.tillsync(&["conflicts", "show", "1"]).said(0, &["price: 100 before, 120 local, 110 server", "--keep local|server"]);

        b.tillsync(&["conflicts", "resolve", "1", decision[0], decision[1]]).said(0, &["conflict 1 is decided"]);
        b.sync();
        a.sync();
        same(&a.store, &b.store);
        assert_eq!(number(&b, "price"), price);
        assert_eq!((b.status()["state"].clone(), b.status()["conflicts"].clone()), ("synced".into(), 0.into()));
        assert_eq!(conflicts(&b)[0]["state"], "resolved");
        assert_eq!(shop.hub.number("SELECT count(*) FROM conflict_log WHERE resolution = 'pending'"), 0);
        // Whose answer got lost may ask again; another decision comes too late.
        b.tillsync(&["conflicts", "resolve", "1", decision[0], decision[1]]).good();
        b.tillsync(&["conflicts", "resolve", "1", "--set", "price=1"]).said(1, &["decided already"]);
        assert_eq!(shop.hub.number("SELECT count(*) FROM change_log WHERE resolves = 1"), 1);
    }
}

#[test]
fn delete_against_update_is_decided_in_both_orders() {
    for (on_a, on_b) in
        [("DELETE FROM products", "UPDATE products SET price = 120"), ("UPDATE products SET price = 110", "DELETE FROM products")]
    {
        for keep in ["local", "server"] {
            let shop = Shop::open();
            let (a, b) = shop.pair(PRODUCTS, TEA);
            pos(&a.store).execute_batch(on_a).unwrap();
            a.sync();
            pos(&b.store).execute_batch(on_b).unwrap();
            b.tillsync(&["sync"]).said(3, &["1 waiting"]);
            b.tillsync(&["conflicts", "resolve", "1", "--keep", keep]).good();
            b.sync();
            a.sync();
            same(&a.store, &b.store);
            let wins = if keep == "local" { on_b } else { on_a };
            assert_eq!(
                count(&pos(&b.store), "SELECT count(*) FROM products"),
                i64::from(!wins.starts_with("DELETE")),
                "{on_a} {on_b} {keep}"
            );
        }
    }
}

#[test]
fn a_running_agent_carries_a_decision_on_and_later_changes_of_the_row_follow() {
    let shop = Shop::open();
    let (a, mut b) = dispute(&shop, "price=manual");
    b.start();
    b.waits_for("in conflict", |status| status["conflicts"] == 1);
    pos(&b.store).execute_batch("UPDATE products SET name = 'Green tea'").unwrap();
    b.waits_for("behind the conflict", |status| status["pending"] == 1);
    b.tillsync(&["conflicts", "resolve", "1", "--keep", "local"]).good();
    b.waits_for("done", |status| status["conflicts"] == 0 && status["pending"] == 0 && status["state"] == "synced");
    a.sync();
    assert_eq!((number(&a, "price"), text(&pos(&a.store), "SELECT name FROM products")), (120, "Green tea".to_owned()));
    eventually("both stores are the same", || (number(&b, "price") == 120).then_some(()));
}

#[test]
fn the_servers_value_comes_back_also_when_an_earlier_change_of_the_same_batch_went_through() {
    let shop = Shop::open();
    let network = Network::new(Way::To(shop.hub.address().to_owned()));
    let (a, mut b) = (shop.register("a", PRODUCTS), shop.register("b", PRODUCTS));
    pos(&a.store).execute_batch(TEA).unwrap();
    for (register, url) in [(&a, &shop.hub.url), (&b, &network.url)] {
        register.init(url).good();
        register.tillsync(&["tables", "set", "products", "--column", "price=server"]).good();
        register.sync();
    }
    b.start();
    b.waits_for("up to date", |status| status["state"] == "synced");
    network.turn(Way::Cut);
    for price in [110, 100] {
        pos(&a.store).execute_batch(&format!("UPDATE products SET price = {price}")).unwrap();
        a.sync();
    }
    for (changes, change) in [(1, "name = 'Green tea'"), (2, "price = 120")] {
        pos(&b.store).execute_batch(&format!("UPDATE products SET {change}")).unwrap();
        // A change that was never sent would take the next one in.
        eventually("each change was sent in vain", || {
            b.tillsync(&["sync", "--timeout", "2"]);
            let outbox = b.outbox();
            (outbox.len() == changes && outbox.iter().all(|change| change["state"] == "unknown")).then_some(())
        });
    }
    network.turn(Way::To(shop.hub.address().to_owned()));
    b.waits_for("up to date again", |status| status["state"] == "synced" && status["pending"] == 0);
    eventually("the server's price is back", || (number(&b, "price") == 100).then_some(()));
    b.stop();
    b.sync();
    a.sync();
    same(&a.store, &b.store);
    assert_eq!(text(&pos(&a.store), "SELECT name FROM products"), "Green tea");
}

#[test]
fn a_managers_value_stays_whoever_is_later() {
    let shop = Shop::open();
    let (till, office) = (shop.register("till", PRODUCTS), shop.register("office", PRODUCTS));
    pos(&till.store).execute_batch(TEA).unwrap();
    till.init(&shop.hub.url).good();
    office.init_with(&shop.hub.url, &["--credentials", "file", "--role", "manager"]).good();
    for register in [&till, &office] {
        register.tillsync(&["tables", "set", "products", "--policy", "manager"]).good();
        register.sync();
    }
    for (first, second, price) in [(&office, &till, 110), (&till, &office, 120)] {
        pos(&office.store).execute("UPDATE products SET price = ?1", [price]).unwrap();
        pos(&till.store).execute("UPDATE products SET price = 1 + ?1", [price]).unwrap();
        for register in [first, second, first] {
            register.sync();
        }
        same(&till.store, &office.store);
        assert_eq!(number(&till, "price"), price);
    }
    let kept: Vec<Value> = conflicts(&till).iter().chain(&conflicts(&office)).map(|one| one["rules"][0]["kept"].clone()).collect();
    assert_eq!(kept, ["server", "client"]);
}

#[test]
fn what_a_rule_decided_is_looked_up_and_reverted() {
    let shop = Shop::open();
    let (a, b) = dispute(&shop, "price=server");
    b.sync();
    assert_eq!(number(&b, "price"), 110);
    let [conflict] = &conflicts(&b)[..] else { panic!("one conflict") };
    assert_eq!((&conflict["state"], &conflict["resolution"]), (&"automatic".into(), &"server-wins".into()));
    assert_eq!((&conflict["local"]["price"], &conflict["server"]["price"]), (&120.into(), &110.into()));
    assert_eq!(b.status()["state"], "synced", "nothing waits");
    b.tillsync(&["conflicts"]).said(0, &["automatic", "price (server: server)"]);
    b.tillsync(&["conflicts", "resolve", "1", "--keep", "local"]).good();
    b.sync();
    a.sync();
    same(&a.store, &b.store);
    assert_eq!(number(&a, "price"), 120);
    // The other register finds it at the hub, for it is about its value, too.
    let there: Vec<Value> = serde_json::from_str(&a.tillsync(&["conflicts", "--hub", "--json"]).good().out).unwrap();
    assert_eq!((&there[0]["state"], &there[0]["server"]["price"]), (&"resolved".into(), &110.into()));
}

#[test]
fn hazard_15_a_conflict_that_moved_meanwhile_is_not_overwritten() {
    let shop = Shop::open();
    let (a, b) = dispute(&shop, "price=manual");
    b.tillsync(&["sync"]).said(3, &[]);
    pos(&a.store).execute_batch("UPDATE products SET price = 130").unwrap();
    a.sync();
    // Fetched or not: nobody at B has looked at the new price.
    b.tillsync(&["sync"]).said(3, &[]);
    b.tillsync(&["conflicts", "resolve", "1", "--keep", "local"])
        .said(1, &["the row has changed", "\"price\":130", "its version is 3"]);
    a.sync();
    assert_eq!((number(&a, "price"), number(&b, "price")), (130, 120), "nothing is overwritten");
    assert_eq!(b.status()["conflicts"], 1);
    b.tillsync(&["conflicts", "resolve", "1", "--keep", "local"]).good();
    b.sync();
    a.sync();
    same(&a.store, &b.store);
    assert_eq!(number(&a, "price"), 120);
}

#[test]
fn hazard_15_two_managers_cannot_both_win() {
    let shop = Shop::open();
    let (a, b) = dispute(&shop, "price=manual");
    b.tillsync(&["sync"]).said(3, &[]);
    let managers = ["office", "home"].map(|name| {
        let manager = shop.register(name, PRODUCTS);
        manager.init_with(&shop.hub.url, &["--credentials", "file", "--role", "manager"]).good();
        manager.sync();
        manager
    });
    let [office, home] = &managers;
    for manager in &managers {
        manager.tillsync(&["conflicts", "--hub"]).said(0, &["1  pending", "products 1"]);
        manager.tillsync(&["conflicts", "show", "1"]).said(0, &["120 local, 110 server", "--version 2"]);
        manager.tillsync(&["conflicts", "resolve", "1", "--keep", "local"]).said(1, &["--version"]);
    }
    // A till has no say in it.
    let till = shop.register("c", PRODUCTS);
    till.init(&shop.hub.url).good();
    till.tillsync(&["conflicts", "resolve", "1", "--keep", "local", "--version", "2"]).said(1, &["not decided", "other devices"]);

    office.tillsync(&["conflicts", "resolve", "1", "--set", "price=140", "--version", "2"]).good();
    home.tillsync(&["conflicts", "resolve", "1", "--keep", "server", "--version", "2"])
        .said(1, &["decided already", "nothing was changed"]);
    // At B the conflict closes by itself.
    for register in [&a, &b, office, home] {
        register.sync();
        assert_eq!(number(register, "price"), 140, "{}", register.name);
    }
    assert_eq!((b.status()["state"].clone(), b.status()["conflicts"].clone()), ("synced".into(), 0.into()));
    let closed = &conflicts(&b)[0];
    assert_eq!((&closed["state"], &closed["resolved"]["price"]), (&"resolved".into(), &140.into()), "{closed:#}");
    home.tillsync(&["conflicts", "resolve", "7", "--keep", "local", "--version", "2"]).said(1, &["no such conflict"]);
}

#[test]
fn all_conflicts_of_a_table_are_decided_at_once_and_none_without_the_server() {
    let shop = Shop::open();
    let network = Network::new(Way::To(shop.hub.address().to_owned()));
    let schema = "CREATE TABLE bills(id INTEGER PRIMARY KEY, number TEXT)";
    let (a, b) = (shop.register("a", schema), shop.register("b", schema));
    a.init(&shop.hub.url).good();
    b.init(&network.url).good();
    for (register, name) in [(&a, "A"), (&b, "B")] {
        let sql = format!("INSERT INTO bills VALUES (1, '{name}-1'), (2, '{name}-2'), (3, '{name}-3')");
        pos(&register.store).execute_batch(&sql).unwrap();
        let _ = register.tillsync(&["sync"]);
    }
    assert_eq!(b.status()["conflicts"], 3, "two bills with one number both survive");
    network.turn(Way::Cut);
    b.tillsync(&["conflicts", "resolve", "--all", "--entity", "bills", "--keep", "local"]).said(2, &["was not asked"]);
    network.turn(Way::To(shop.hub.address().to_owned()));
    b.tillsync(&["conflicts", "resolve", "--all", "--keep", "local"]).said(2, &["--entity"]);
    b.tillsync(&["conflicts", "resolve", "--all", "--entity", "BILLS", "--keep", "local"]).good();
    b.sync();
    a.sync();
    same(&a.store, &b.store);
    assert_eq!(text(&pos(&a.store), "SELECT group_concat(number) FROM bills"), "B-1,B-2,B-3");
    b.tillsync(&["conflicts", "resolve", "--all", "--entity", "bills", "--keep", "local"]).said(0, &["no conflict of bills waits"]);
}

#[test]
fn a_hub_that_begins_anew_judges_what_waited_again() {
    let mut shop = Shop::open();
    let (a, b) = dispute(&shop, "price=manual");
    b.tillsync(&["sync"]).said(3, &[]);
    shop.hub.kill();
    let copy = shop.path().join("hub.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", copy.display()));
    }
    shop.hub.start_again();
    for register in [&a, &b] {
        let token = shop.hub.enroll_token(1);
        register.init_with(&shop.hub.url, &["--credentials", "file", "--enroll-token", &token]).good();
    }
    // B comes first now, so its price is the one that is there.
    b.sync();
    assert!(conflicts(&b).is_empty(), "the log that it was in is gone");
    a.tillsync(&["sync"]).said(3, &["tillsync conflicts"]);
    assert_eq!(conflicts(&a)[0]["server"]["price"], 120);
}

#[test]
fn hazard_12_a_register_whose_clock_is_a_year_off_neither_always_wins_nor_always_loses() {
    const YEAR_MS: i64 = 365 * 86_400_000;
    for (off, since) in [(YEAR_MS, "ever"), (-YEAR_MS, "ever"), (YEAR_MS, "later"), (-YEAR_MS, "later")] {
        let shop = Shop::open();
        let (a, mut b) = (shop.register("a", PRODUCTS), shop.register("b", PRODUCTS));
        pos(&a.store).execute_batch(TEA).unwrap();
        let shift = ("TILLSYNC_CLOCK_SHIFT_MS", off.to_string());
        if since == "ever" {
            b.set(shift.0, &shift.1);
        }
        for register in [&a, &b] {
            register.init(&shop.hub.url).good();
            register.sync();
        }
        b.set(shift.0, &shift.1);
        // Each change is captured when it is made, and sent later, the older one last.
        let write = |register: &Register, price: i64| {
            pos(&register.store).execute("UPDATE products SET price = ?1", [price]).unwrap();
            register.tillsync(&["verify"]).good();
        };
        for (first, second, price) in [(&b, &a, 110), (&a, &b, 130)] {
            write(first, price);
            write(second, price + 1);
            for register in [second, first, second] {
                register.sync();
            }
            same(&a.store, &b.store);
            assert_eq!(number(&a, "price"), price + 1, "off by {off} ms for {since}: the later one wins");
        }
        let status = b.status();
        assert_eq!(status["state"], "synced", "{status:#}");
        write(&b, 200);
        let oldest = b.status()["oldest_pending_ms"].as_i64().unwrap();
        let wall = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap() + off;
        assert!((wall - oldest).abs() < 60_000, "people read it by the clock on the wall: {oldest} at {wall}");
        assert_eq!(b.status()["state"], "syncing", "and nobody cries wolf");
    }
}
