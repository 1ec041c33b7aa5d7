//! A disk is copied, or put into another machine: two machines are never one register, and no sale is lost or doubled.

use super::support::{Network, Register, Shop, Way, count, eventually, open};

const SCHEMA: &str = "CREATE TABLE products(sku TEXT PRIMARY KEY, stock INTEGER);
    CREATE TABLE sales(id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
    CREATE TABLE receipts(id TEXT PRIMARY KEY, sale_id INTEGER REFERENCES sales(id));";

const KEYS: [&str; 8] =
    ["--credentials", "file", "--key", "products=global", "--key", "sales=register", "--key", "receipts=register"];

/// A register on the machine "first", with two sales that the hub has.
fn original(shop: &Shop, server: &str, more: &[&str]) -> Register {
    let mut a = shop.register("a", SCHEMA);
    a.set("TILLSYNC_MACHINE_ID", "first");
    a.init_with(server, &[&KEYS, more].concat()).good();
    open(&a.store).execute_batch("INSERT INTO products VALUES ('tea', 20)").unwrap();
    sell(&a, &["a1", "a2"]);
    a.sync();
    a
}

fn sell(register: &Register, sales: &[&str]) {
    let till = open(&register.store);
    for what in sales {
        till.execute("INSERT INTO sales(what) VALUES (?1)", [what]).unwrap();
        let number = till.last_insert_rowid();
        till.execute("INSERT INTO receipts VALUES ('R-' || ?1, ?1)", [number]).unwrap();
    }
}

/// What was sold, with the number of receipts of each sale.
fn sold(register: &Register) -> Vec<String> {
    let sql = "SELECT what || ':' || (SELECT count(*) FROM receipts WHERE sale_id = sales.id) FROM sales ORDER BY what";
    let till = open(&register.store);
    let mut query = till.prepare(sql).unwrap();
    query.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

#[track_caller]
fn all_have(shop: &Shop, registers: &[&Register], sales: &[&str]) {
    for register in registers.iter().chain(registers) {
        register.sync();
    }
    let expected: Vec<String> = sales.iter().map(|what| format!("{what}:1")).collect();
    for register in registers {
        assert_eq!(sold(register), expected, "{}", register.folder.display());
        assert_eq!((&register.status()["parked"], &register.status()["conflicts"]), (&0.into(), &0.into()));
    }
    for table in ["sales", "receipts"] {
        let rows = shop.hub.number(&format!("SELECT count(*) FROM rows WHERE entity_type = '{table}' AND NOT deleted"));
        assert_eq!(rows, sales.len() as i64, "{table}");
    }
}

fn device(register: &Register) -> String {
    register.status()["device_id"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn hazard_09_a_copied_disk_becomes_a_register_of_its_own_and_doubles_nothing() {
    let shop = Shop::open();
    let net = Network::new(Way::To(shop.hub.address().to_owned()));
    let a = original(&shop, &net.url, &[]);
    // What waits in the outbox is on both disks.
    net.turn(Way::Cut);
    sell(&a, &["a3 unsent"]);
    open(&a.store).execute_batch("UPDATE products SET stock = 19").unwrap();
    a.tillsync(&["sync"]).said(2, &["was not reached"]);
    let copy = a.copied_to(&shop.path().join("copy"), "second");
    // Both sell under the same numbers before anybody is asked.
    sell(&a, &["a4", "a5"]);
    sell(&copy, &["copy 1", "copy 2", "copy 3"]);
    copy.tillsync(&["sync"]).said(2, &["was not reached"]);
    assert_eq!(copy.status()["state"], "error", "{:#}", copy.status());
    net.turn(Way::To(shop.hub.address().to_owned()));
    let all = ["a1", "a2", "a3 unsent", "a4", "a5", "copy 1", "copy 2", "copy 3"];
    all_have(&shop, &[&copy, &a], &all);
    assert_ne!(device(&a), device(&copy));
    assert_eq!(shop.hub.number("SELECT count(*) FROM devices"), 2);
    assert!(copy.problems().contains(&"parted".to_owned()), "{:#}", copy.status());
    assert!(!a.problems().contains(&"parted".to_owned()));
    assert_eq!(count(&open(&copy.store), "SELECT stock FROM products"), 19);
    // The original's rows are still the original's.
    open(&copy.store).execute_batch("UPDATE sales SET what = 'a1 changed' WHERE what = 'a1'").unwrap();
    copy.sync();
    a.sync();
    assert_eq!(sold(&a)[0], "a1 changed:1");
}

#[test]
fn hazard_09_a_copy_without_a_token_touches_nothing_and_keeps_every_sale() {
    let shop = Shop::guarded();
    let a = original(&shop, &shop.hub.url, &["--enroll-token", &shop.hub.enroll_token(1)]);
    let mut copy = a.copied_to(&shop.path().join("copy"), "second");
    let way_out = ["this is a copy of the register a", "init --enroll-token", "init --replace"];
    copy.tillsync(&["run"]).said(1, &way_out);
    copy.tillsync(&["sync"]).said(1, &way_out);
    copy.tillsync(&["verify"]).said(1, &way_out);
    copy.tillsync(&["init"]).said(1, &way_out);
    copy.tillsync(&["doctor"]).said(1, &way_out);
    assert_eq!(copy.status()["state"], "error");
    assert!(copy.status()["sentence"].as_str().unwrap().contains("copy of the register a"), "{:#}", copy.status());
    sell(&copy, &["copy 1", "copy 2"]);
    sell(&a, &["a3"]);
    a.sync();
    copy.tillsync(&["sync"]).said(1, &way_out);
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE entity_type = 'sales'"), 3, "the copy has sent nothing");
    assert_eq!(copy.status()["pending"], 4, "the journal has two sales and their receipts");
    copy.tillsync(&["init", "--enroll-token", &shop.hub.enroll_token(1)]).said(0, &["it is one of its own now"]);
    all_have(&shop, &[&copy, &a], &["a1", "a2", "a3", "copy 1", "copy 2"]);
    assert_ne!(device(&a), device(&copy));
    // It says so once, and is an ordinary register from then on.
    copy.start();
    sell(&copy, &["copy 3"]);
    eventually("it is sent", || (shop.hub.number("SELECT count(*) FROM rows WHERE entity_type = 'sales'") == 6).then_some(()));
    assert_eq!(copy.stop(), 0);
    let third = copy.copied_to(&shop.path().join("third"), "third");
    third.tillsync(&["sync"]).said(1, &way_out);
}

#[test]
fn hazard_09_an_agent_that_starts_on_a_copy_before_the_network_waits_for_it() {
    let shop = Shop::open();
    let net = Network::new(Way::To(shop.hub.address().to_owned()));
    let a = original(&shop, &net.url, &[]);
    let mut copy = a.copied_to(&shop.path().join("copy"), "second");
    net.turn(Way::Cut);
    copy.start_blindly();
    copy.waits_for("told", |status| status["running"] == true && status["problems"][0]["code"] == "copied");
    sell(&copy, &["copy 1"]);
    net.turn(Way::To(shop.hub.address().to_owned()));
    copy.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
    assert_eq!(copy.stop(), 0);
    all_have(&shop, &[&a, &copy], &["a1", "a2", "copy 1"]);
}

#[test]
fn hazard_09_a_disk_that_moves_to_another_machine_stays_the_register_when_a_person_says_so() {
    let shop = Shop::guarded();
    let a = original(&shop, &shop.hub.url, &["--enroll-token", &shop.hub.enroll_token(1)]);
    let moved = a.copied_to(&shop.path().join("moved"), "second");
    sell(&moved, &["a3"]);
    moved.tillsync(&["sync"]).said(1, &["init --replace"]);
    moved.tillsync(&["init", "--replace"]).said(0, &["takes the other one's place", "enrolled before"]);
    moved.sync();
    assert_eq!(device(&moved), device(&a));
    assert_eq!(moved.status()["state"], "synced");
    assert_eq!(shop.hub.number("SELECT count(*) FROM devices"), 1);
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE entity_type = 'sales'"), 3);
}

#[test]
fn hazard_09_another_name_of_the_machine_makes_no_copy_and_its_id_is_kept_nowhere() {
    let shop = Shop::open();
    let mut a = original(&shop, &shop.hub.url, &[]);
    for name in ["HOSTNAME", "HOST", "COMPUTERNAME"] {
        a.set(name, "renamed");
    }
    let before = device(&a);
    sell(&a, &["a3"]);
    a.sync();
    assert_eq!(device(&a), before);
    a.tillsync(&["doctor"]).good();
    let b = shop.register("b", SCHEMA);
    b.init_with(&shop.hub.url, &KEYS).good();
    // The machine's own id this time; where it has none there is nothing to find.
    let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let secrets = [id.trim(), "first"];
    for (register, secret) in [(&b, secrets[0]), (&a, secrets[1])].into_iter().filter(|(_, secret)| !secret.is_empty()) {
        let state = open(&register.state.join("agent.db"));
        assert_eq!(count(&state, &format!("SELECT count(*) FROM marks WHERE value LIKE '%{secret}%'")), 0, "{secret}");
        assert_eq!(count(&state, "SELECT count(*) FROM marks WHERE name = 'machine'"), 1);
    }
}

#[test]
fn hazard_09_a_copy_that_goes_back_to_a_backup_of_the_original_still_counts_for_itself() {
    let shop = Shop::open();
    let a = original(&shop, &shop.hub.url, &[]);
    let backup = a.folder.join("backup.db");
    open(&a.store).execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    sell(&a, &["a3"]);
    a.sync();
    let copy = a.copied_to(&shop.path().join("copy"), "second");
    sell(&copy, &["copy 1"]);
    all_have(&shop, &[&copy, &a], &["a1", "a2", "a3", "copy 1"]);
    std::fs::copy(copy.folder.join("backup.db"), &copy.store).unwrap();
    sell(&copy, &["copy 2", "copy 3"]);
    sell(&a, &["a4"]);
    all_have(&shop, &[&copy, &a], &["a1", "a2", "a3", "a4", "copy 1", "copy 2", "copy 3"]);
}

#[test]
fn a_store_that_is_copied_without_its_agent_keeps_the_numbers_in_its_texts() {
    let shop = Shop::open();
    let a = original(&shop, &shop.hub.url, &[]);
    let b = shop.empty_register("b");
    std::fs::copy(&a.store, &b.store).unwrap();
    b.init_with(&shop.hub.url, &KEYS).good();
    sell(&a, &["a3"]);
    sell(&b, &["b3"]);
    all_have(&shop, &[&b, &a], &["a1", "a2", "a3", "b3"]);
}
