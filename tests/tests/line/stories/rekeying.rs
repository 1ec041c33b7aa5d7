//! Keys have a life, too: they are replaced by command or by themselves, and whatever goes wrong meanwhile a register has one that works.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::support::{Register, Running, Shop, count, eventually, pos, same};

const SCHEMA: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY, cents INTEGER)";

fn sell(register: &Register, id: i64) {
    pos(&register.store).execute("INSERT INTO sales VALUES (?1, 100)", [id]).unwrap();
}

fn key(register: &Register) -> String {
    fs::read_to_string(register.state.join("api-key")).unwrap()
}

/// Whether the hub lets a register in that has this key.
fn is_let_in(shop: &Shop, register: &Register, key: &str) -> bool {
    let device = register.status()["device_id"].as_str().unwrap().to_owned();
    let headers = format!("authorization: Bearer {key}\r\nx-device-id: {device}\r\n");
    super::support::ask(shop.hub.address(), "GET /sync/status", &headers).starts_with("HTTP/1.1 200")
}

#[test]
fn a_key_is_replaced_and_the_one_before_works_for_a_while() {
    let mut shop = Shop::open();
    let (mut a, b) = shop.pair(SCHEMA, "");
    let before = key(&a);
    a.tillsync(&["rekey"]).said(0, &["this register has a new key"]);
    let after = key(&a);
    assert_ne!(before, after);
    assert!(is_let_in(&shop, &a, &after) && is_let_in(&shop, &a, &before), "both for a day");
    // By the running agent as well, which goes on without a pause.
    a.start();
    eventually("the agent replaces its key", || (a.tillsync(&["rekey"]).code == 0).then_some(()));
    sell(&a, 1);
    eventually("the sale is at the hub", || (shop.hub.number("SELECT count(*) FROM rows") == 1).then_some(()));
    assert!(is_let_in(&shop, &a, &key(&a)) && is_let_in(&shop, &a, &after));
    assert!(!is_let_in(&shop, &a, &before), "but the last two alone");
    b.sync();
    same(&a.store, &b.store);
    // The keys are nowhere but in their files.
    assert_eq!(a.stop(), 0);
    shop.hub.kill();
    let keys = [before, after, key(&a)];
    let files = [a.printed(), shop.path().join("hub.out"), shop.path().join("hub.db"), a.state.join("agent.db"), a.config.clone()];
    let logs = fs::read_dir(a.state.join("logs")).into_iter().flatten().map(|file| file.unwrap().path());
    for file in files.into_iter().chain(logs) {
        let bytes = fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!keys.iter().any(|key| text.contains(key.as_str())), "{}", file.display());
    }
}

#[test]
fn a_register_that_is_killed_while_it_replaces_its_key_has_one_that_works() {
    let mut shop = Shop::open();
    shop.hub.start_again_with(&["--key-grace", "1s"]);
    let (a, b) = shop.pair(SCHEMA, "");
    for round in 1..=12 {
        let mut command = a.command(&["rekey"]);
        let mut running = Running::start(&mut command, &a.printed());
        sleep(Duration::from_millis(3 + round * 4));
        running.kill();
        if round % 4 == 0 {
            // Also when the key before has come to its end meanwhile.
            sleep(Duration::from_millis(1_200));
        }
        sell(&a, round as i64);
        a.sync();
    }
    b.sync();
    same(&a.store, &b.store);
    assert_eq!(count(&pos(&b.store), "SELECT count(*) FROM sales"), 12);
}

#[test]
fn a_hub_that_is_put_back_to_before_the_key_was_replaced_still_knows_the_register() {
    let mut shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, "");
    let backup = shop.path().join("backup.db");
    shop.hub.read().execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    a.tillsync(&["rekey"]).good();
    sell(&a, 1);
    a.sync();
    shop.hub.kill();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", shop.hub.database.display()));
    }
    fs::copy(&backup, &shop.hub.database).unwrap();
    shop.hub.start_again();
    sell(&a, 2);
    for register in [&a, &b] {
        register.sync();
    }
    same(&a.store, &b.store);
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows"), 2);
}

#[test]
fn a_running_register_replaces_its_key_before_it_expires() {
    let mut shop = Shop::open();
    shop.hub.start_again_with(&["--key-lifetime", "6s", "--key-grace", "30s"]);
    let (mut a, b) = shop.pair(SCHEMA, "");
    let before = key(&a);
    a.configure("interval_ms", "500");
    a.configure("long_poll", "false");
    a.start();
    eventually("the key is another one", || (key(&a) != before).then_some(()));
    sleep(Duration::from_secs(8));
    sell(&a, 1);
    eventually("the sale is at the hub", || (shop.hub.number("SELECT count(*) FROM rows") == 1).then_some(()));
    assert_eq!(a.stop(), 0);
    drop(b);
}

#[test]
fn a_key_that_has_expired_is_replaced_for_a_while_and_then_a_person_is_told() {
    let mut shop = Shop::guarded();
    let a = shop.register("a", SCHEMA);
    a.init_with(&shop.hub.url, &["--credentials", "file", "--key", "*=global", "--enroll-token", &shop.hub.enroll_token(1)]).good();
    a.sync();
    shop.hub.start_again_with(&["--key-lifetime", "2s", "--key-grace", "1h"]);
    sleep(Duration::from_millis(2_500));
    sell(&a, 1);
    a.sync();
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows"), 1, "it came back late, but not too late");
    shop.hub.start_again_with(&["--key-lifetime", "2s", "--key-grace", "1s"]);
    sleep(Duration::from_millis(3_500));
    sell(&a, 2);
    a.tillsync(&["sync", "--timeout", "20"]).said(4, &["expired"]);
    assert!(a.status()["sentence"].as_str().unwrap().contains("expired"), "{:#}", a.status());
    a.tillsync(&["doctor"]).said(1, &["expired", "tillsync init"]);
    a.tillsync(&["rekey"]).said(1, &["expired", "tillsync init"]);
    a.init_with(&shop.hub.url, &["--enroll-token", &shop.hub.enroll_token(1)]).good();
    a.sync();
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows"), 2, "nothing was lost");
    assert_eq!(shop.hub.number("SELECT count(*) FROM devices"), 1);
}

#[test]
fn the_first_start_with_a_lifetime_locks_nobody_out() {
    let mut shop = Shop::open();
    let (a, _) = shop.pair(SCHEMA, "");
    shop.hub.read().execute_batch("UPDATE devices SET created_at = created_at - 86400000 * 1000").unwrap();
    shop.hub.start_again_with(&["--key-lifetime", "365d"]);
    sell(&a, 1);
    a.sync();
    let help = super::support::end(Command::new(super::support::program("tillsync")).arg("--help")).good();
    assert!(help.out.contains("rekey"));
}
