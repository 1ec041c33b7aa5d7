//! `tillsync verify --against-server` and the daily look: what differs is found down to the row, and put right.

use std::fs;

use serde_json::Value;

use super::support::{Register, Shop, content, count, pos};

const SCHEMA: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY, cents INTEGER)";

fn sell(register: &Register, ids: std::ops::RangeInclusive<i64>) {
    let till = pos(&register.store);
    for id in ids {
        till.execute("INSERT INTO sales VALUES (?1, ?1 * 10)", [id]).unwrap();
    }
}

fn compare(register: &Register, options: &[&str]) -> (i32, Value) {
    let ended = register.tillsync(&[&["verify", "--against-server", "--json"], options].concat());
    (ended.code, serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:#?}")))
}

/// Two registers in step whose hub is put back to a backup, and overtaken before the one that sold meanwhile comes back: the
/// head of the log alone tells nothing.
fn overtaken() -> (Shop, Register, Register) {
    let mut shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, "");
    sell(&a, 1..=20);
    a.sync();
    b.sync();
    shop.hub.kill();
    let folder = shop.path().to_owned();
    let file = |name: &str| folder.join(name);
    let backup: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("hub.db"))
        .map(|name| (name.clone(), fs::read(file(&name)).unwrap()))
        .collect();
    shop.hub.start_again();
    sell(&a, 101..=103);
    a.sync();
    shop.hub.kill();
    for name in ["hub.db", "hub.db-wal", "hub.db-shm"] {
        let _ = fs::remove_file(file(name));
    }
    backup.iter().for_each(|(name, bytes)| fs::write(file(name), bytes).unwrap());
    shop.hub.start_again();
    sell(&b, 201..=205);
    b.sync();
    (shop, a, b)
}

#[test]
fn registers_in_step_hold_the_same_as_the_server() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, "");
    sell(&a, 1..=50);
    a.sync();
    b.sync();
    pos(&b.store).execute_batch("UPDATE sales SET cents = 1 WHERE id = 7; DELETE FROM sales WHERE id = 8").unwrap();
    b.sync();
    a.sync();
    for register in [&a, &b] {
        let (code, found) = compare(register, &[]);
        assert_eq!((code, &found["count"], &found["unsettled"]), (0, &0.into(), &0.into()), "{found:#}");
        assert_eq!(found["tables"][0]["here"], found["tables"][0]["server"]);
        assert_eq!(found["tables"][0]["here"]["rows"], 49);
    }
    sell(&a, 60..=60);
    a.tillsync(&["verify", "--against-server"]).said(0, &["49 rows here", "register and server hold the same"]);
}

#[test]
fn hazard_12_a_hub_that_was_restored_and_overtaken_is_fed_again() {
    let (_shop, a, b) = overtaken();
    a.sync();
    let (code, found) = compare(&a, &[]);
    assert_eq!(code, 1);
    let mut differing: Vec<(&str, &str)> = found["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["key"].as_str().unwrap(), row["kind"].as_str().unwrap()))
        .collect();
    differing.sort_unstable();
    let [lost, unseen] = ["missing-there", "missing-here"];
    assert_eq!(
        differing,
        [("101", lost), ("102", lost), ("103", lost), ("201", unseen), ("202", unseen), ("203", unseen)],
        "{found:#}"
    );
    a.tillsync(&["verify", "--against-server"]).said(1, &["sales 101: only here", "sales 201: only at the server", "--repair"]);
    assert_eq!(compare(&a, &["--repair"]).1["repaired"], 6);
    a.sync();
    b.sync();
    assert_eq!(content(&a.store), content(&b.store));
    assert_eq!(count(&pos(&b.store), "SELECT count(*) FROM sales"), 28);
    for register in [&a, &b] {
        assert_eq!(compare(register, &[]).0, 0);
    }
}

#[test]
fn the_daily_look_puts_it_right_by_itself() {
    let (_shop, mut a, b) = overtaken();
    a.sync();
    let yesterday = "UPDATE marks SET value = value - 90000000 WHERE name = 'reconciled_ms'";
    let state = rusqlite::Connection::open(a.folder.join("state/agent.db")).unwrap();
    state.execute_batch("INSERT OR IGNORE INTO marks VALUES ('reconciled_ms', strftime('%s', 'now') * 1000)").unwrap();
    state.execute_batch(yesterday).unwrap();
    drop(state);
    a.configure("interval_ms", "500");
    a.start();
    a.waits_for("the daily look", |_| count(&pos(&a.store), "SELECT count(*) FROM sales") == 28);
    a.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
    b.sync();
    assert_eq!(content(&a.store), content(&b.store));
}
