//! Where the store lies and what becomes of its file: made anew, moved, on a share, on a disk that cannot be written.

use std::fs;
use std::process::Command;

use super::support::{Register, Shop, count, end, eventually, open, program, same, shell};

const SCHEMA: &str = "CREATE TABLE customers(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);
    CREATE TABLE sales(id INTEGER PRIMARY KEY AUTOINCREMENT, customer_id INTEGER REFERENCES customers(id), what TEXT);";

const KEYS: [&str; 6] = ["--credentials", "file", "--key", "customers=register", "--key", "sales=register"];

fn sell(register: &Register, from: i64, to: i64, what: &str) {
    let sales = format!(
        "INSERT INTO customers(name) VALUES ('{what}');
         WITH n(v) AS (SELECT {from} UNION ALL SELECT v + 1 FROM n WHERE v < {to})
         INSERT INTO sales(customer_id, what) SELECT (SELECT max(id) FROM customers), '{what} ' || v FROM n"
    );
    open(&register.store).execute_batch(&sales).unwrap();
}

fn sold(register: &Register) -> (i64, String) {
    let till = open(&register.store);
    let sql = "SELECT group_concat(what || '/' || name, ' ') FROM (SELECT what, name FROM sales JOIN customers ON customers.id = customer_id ORDER BY 1)";
    (count(&till, "SELECT count(*) FROM sales"), super::support::text(&till, sql))
}

fn without_files(register: &Register) {
    for end in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(format!("{}{end}", register.store.display()));
    }
}

#[test]
fn hazard_03_a_store_that_was_made_anew_takes_no_old_sale_with_it() {
    type Wipe = fn(&Register);
    let wipes: [(&str, Wipe); 2] = [
        ("the file is a new one", |register| {
            without_files(register);
            open(&register.store).execute_batch(SCHEMA).unwrap();
        }),
        ("every table is dropped", |register| {
            let till = open(&register.store);
            let tables = "SELECT group_concat('DROP TABLE \"' || name || '\"', ';') FROM sqlite_schema WHERE type = 'table' AND name <> 'sqlite_sequence'";
            let drops = super::support::text(&till, tables);
            till.execute_batch(&format!("PRAGMA foreign_keys = OFF; {drops}; DELETE FROM sqlite_sequence; {SCHEMA}")).unwrap();
        }),
    ];
    for (way, wipe) in wipes {
        let shop = Shop::open();
        let (a, b) = (shop.register("a", SCHEMA), shop.register("b", SCHEMA));
        for register in [&a, &b] {
            register.init_with(&shop.hub.url, &KEYS).good();
        }
        sell(&a, 1, 80, "old");
        a.sync();
        b.sync();
        sell(&b, 1, 70, "of b");
        b.sync();
        a.sync();
        let before = sold(&b);
        assert_eq!((before.0, sold(&a).0), (150, 150));
        wipe(&a);
        // The till counts from 1 again, under keys of its own old sales and of B's.
        sell(&a, 1, 3, "new");
        a.tillsync(&["sync"]).said(3, &["have vanished", "--accept-deletes"]);
        assert_eq!(a.status()["state"], "attention", "{way}");
        b.sync();
        let (after, all) = sold(&b);
        assert_eq!(after, 153, "{way}");
        for number in 1..=3 {
            assert!(all.contains(&format!("new {number}/new")), "{way}: {all}");
            assert!(all.contains(&format!("old {number}/old")), "{way}: {all}");
            assert!(all.contains(&format!("of b {number}/of b")), "{way}: {all}");
        }
        assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE entity_type = 'sales' AND NOT deleted"), 153, "{way}");
        assert_eq!(shop.hub.number("SELECT count(*) FROM conflict_log"), 0, "{way}");
        // It was an accident, and a person wants the old sales back; the new ones stay.
        a.tillsync(&["status"]).said(0, &["--fetch-vanished"]);
        a.tillsync(&["verify", "--fetch-vanished"]).said(0, &["vanished rows come back"]);
        a.sync();
        b.sync();
        let (number, words) = sold(&a);
        assert_eq!((number, words), sold(&b), "{way}");
        assert_eq!(number, 153, "{way}");
        a.tillsync(&["verify"]).said(0, &[" 0 differences found"]);
        a.tillsync(&["verify", "--against-server"]).said(0, &["hold the same"]);
        assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE deleted"), 0, "{way}");
    }
}

#[test]
fn hazard_03_rows_that_vanished_come_back_to_a_running_agent_when_a_person_says_so() {
    let shop = Shop::open();
    let (mut a, b) = shop.pair("CREATE TABLE bills(id INTEGER PRIMARY KEY, cents INTEGER)", "");
    let fill = "WITH n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 300) INSERT INTO bills SELECT v, v FROM n";
    open(&a.store).execute_batch(fill).unwrap();
    a.sync();
    b.sync();
    a.start();
    a.waits_for("synced", |status| status["state"] == "synced");
    // Without triggers: as a rebuild does it, or a program that is none of the POS's.
    let till = open(&a.store);
    till.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    till.execute_batch("DELETE FROM bills WHERE id > 20; INSERT INTO bills VALUES (25, 1)").unwrap();
    a.tillsync(&["verify"]).said(1, &["279 rows have vanished", "--accept-deletes", "--fetch-vanished"]);
    a.tillsync(&["verify", "--fetch-vanished"]).said(0, &["279 vanished rows come back"]);
    eventually("they are back", || (count(&till, "SELECT count(*) FROM bills") == 300).then_some(()));
    a.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
    // What was made under an old number meanwhile is a change of that row.
    assert_eq!(count(&till, "SELECT cents FROM bills WHERE id = 25"), 1);
    b.sync();
    same(&a.store, &b.store);
}

#[test]
fn hazard_03_a_small_store_that_was_made_anew_takes_nothing_with_it_either() {
    let shop = Shop::open();
    let (a, b) = (shop.register("a", SCHEMA), shop.register("b", SCHEMA));
    for register in [&a, &b] {
        register.init_with(&shop.hub.url, &KEYS).good();
    }
    sell(&a, 1, 3, "old");
    a.sync();
    b.sync();
    without_files(&a);
    open(&a.store).execute_batch(SCHEMA).unwrap();
    sell(&a, 1, 1, "new");
    a.tillsync(&["sync"]).said(3, &["have vanished", "--accept-deletes"]);
    b.sync();
    assert_eq!(sold(&b).0, 4);
    // A person says that it is right.
    a.tillsync(&["verify", "--accept-deletes"]).good();
    a.sync();
    b.sync();
    assert_eq!((sold(&a).0, sold(&b).0), (1, 1));
}

#[test]
fn hazard_03_a_store_that_moves_goes_on_where_it_was() {
    let shop = Shop::open();
    let mut a = shop.register("a", SCHEMA);
    a.init_with(&shop.hub.url, &KEYS).good();
    sell(&a, 1, 5, "old");
    a.sync();
    let moved = a.folder.join("moved").join("shop.sqlite");
    fs::create_dir(moved.parent().unwrap()).unwrap();
    fs::rename(&a.store, &moved).unwrap();
    a.tillsync(&["sync"]).said(1, &["there is no store", "correct `store` in the config"]);
    a.configure("store", &format!("'{}'", moved.display()));
    a.store = moved;
    sell(&a, 6, 6, "new");
    a.sync();
    assert_eq!(a.status()["state"], "synced");
    assert_eq!(shop.hub.number("SELECT count(*) FROM change_log WHERE entity_type = 'sales'"), 6, "nothing is sent twice");
}

/// `tillsync` on a machine whose table of mounts is this one; `None` where this user cannot make such a machine.
#[cfg(target_os = "linux")]
fn on_a_machine_with(register: &Register, mounts: &str, arguments: &[&str]) -> Option<super::support::Ended> {
    let table = register.folder.join("mounts");
    fs::write(&table, mounts).unwrap();
    let own = register.command(arguments);
    let script = format!("mount --bind {} /proc/$$/mounts && exec \"$0\" \"$@\"", table.display());
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).arg(program("tillsync")).args(own.get_args());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let possible = shell(&format!("unshare -m sh -c 'mount --bind {} /proc/$$/mounts'", table.display())).code == 0;
    possible.then(|| end(&mut command))
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_on_a_network_share_is_refused_with_the_reason() {
    let shop = Shop::open();
    let a = shop.register("a", SCHEMA);
    let (store, state) = (a.store.to_str().unwrap(), a.state.to_str().unwrap());
    let init = [&["init", "--store", store, "--server", &shop.hub.url, "--state-dir", state], &KEYS[..]].concat();
    let share = format!("/dev/sda1 / ext4 rw 0 0\n//nas/pos {} cifs rw 0 0\n", a.folder.display());
    let reason = ["lies on a network share", "run tillsync on the machine whose disk holds the store"];
    let Some(ended) = on_a_machine_with(&a, &share, &init) else {
        eprintln!("not tested: only root can make a table of mounts");
        return;
    };
    ended.said(1, &reason);
    let disk = "/dev/sda1 / ext4 rw 0 0\n";
    on_a_machine_with(&a, disk, &init).unwrap().good();
    // A store that is put on a share later is refused then.
    on_a_machine_with(&a, &share, &["run"]).unwrap().said(1, &reason);
    on_a_machine_with(&a, &share, &["sync"]).unwrap().said(1, &reason);
    sell(&a, 1, 2, "kept");
    on_a_machine_with(&a, disk, &["sync"]).unwrap().good();
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE entity_type = 'sales'"), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_becomes_read_only_is_named_and_loses_nothing() {
    use super::errors::Disk;
    let shop = Shop::open();
    let (mut a, b) = (shop.register("a", SCHEMA), shop.register("b", SCHEMA));
    let Some(disk) = Disk::mount(&a.folder.join("disk"), "8m") else { return };
    let store = disk.0.join("pos.db");
    fs::copy(&a.store, &store).unwrap();
    a.store = store;
    for register in [&a, &b] {
        register.init_with(&shop.hub.url, &KEYS).good();
    }
    sell(&a, 1, 2, "a");
    a.sync();
    b.sync();
    a.start();
    a.waits_for("synced", |status| status["state"] == "synced");
    // Not in the middle of a visit to the store.
    eventually("nobody has it open", || (shell(&format!("mount -o remount,ro {}", disk.0.display())).code == 0).then_some(()));
    sell(&b, 1, 2, "b");
    b.sync();
    a.waits_for("told", |status| status["state"] == "error");
    a.tillsync(&["doctor"]).said(1, &["cannot be opened for reading and writing", "read and write access"]);
    shell(&format!("mount -o remount,rw {}", disk.0.display())).good();
    eventually("it goes on by itself", || (sold(&a).0 == 4).then_some(()));
    a.waits_for("synced", |status| status["state"] == "synced");
    same(&a.store, &b.store);
}
