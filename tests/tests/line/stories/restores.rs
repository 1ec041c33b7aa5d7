//! The point-of-sale program restores a backup under a running agent: its file stays healthy, and what was sold since comes back.

use std::fs;
use std::path::Path;

use super::support::{Register, Shop, content, count, eventually, pos, same, text};

const SCHEMA: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY, cents INTEGER)";

fn sell(store: &Path, ids: std::ops::RangeInclusive<i64>) {
    let till = pos(store);
    for id in ids {
        till.execute("INSERT INTO sales VALUES (?1, ?1 * 100)", [id]).unwrap();
    }
}

/// A backup as point-of-sale programs make it: the program closes the store and copies the file.
fn back_up(register: &Register) -> std::path::PathBuf {
    let backup = register.folder.join("backup.db");
    let till = pos(&register.store);
    eventually("the log is in the file", || {
        (till.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).unwrap() == 0).then_some(())
    });
    drop(till);
    fs::copy(&register.store, &backup).unwrap();
    backup
}

fn without_log(store: &Path) {
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", store.display()));
    }
}

type Restore = fn(&Path, &Path);

const WAYS: [(&str, Restore); 2] = [
    ("copied over", |backup, store| {
        without_log(store);
        fs::copy(backup, store).unwrap();
    }),
    ("renamed over", |backup, store| {
        let beside = store.with_extension("new");
        fs::copy(backup, &beside).unwrap();
        without_log(store);
        fs::rename(beside, store).unwrap();
    }),
];

#[test]
fn hazard_02_a_restored_store_is_healthy_and_gets_back_what_it_lost() {
    for (way, restore) in WAYS {
        for running in [true, false] {
            let shop = Shop::open();
            let (mut a, b) = shop.pair(SCHEMA, "INSERT INTO sales VALUES (1, 100)");
            a.start();
            a.waits_for("synced", |status| status["state"] == "synced");
            let backup = back_up(&a);
            sell(&a.store, 2..=6);
            pos(&a.store).execute_batch("UPDATE sales SET cents = 1 WHERE id = 1").unwrap();
            a.waits_for("sent", |status| {
                status["state"] == "synced" && status["pending"] == 0 && status["sent"].as_i64() >= Some(6)
            });
            if !running {
                assert_eq!(a.stop(), 0);
            }
            restore(&backup, &a.store);
            // The till opens again at once and goes on selling.
            let till = pos(&a.store);
            assert_eq!(text(&till, "PRAGMA integrity_check"), "ok", "{way}");
            sell(&a.store, 20..=22);
            if !running {
                a.start();
            }
            eventually("what was sold since the backup is back", || {
                (count(&till, "SELECT count(*) FROM sales") == 9).then_some(())
            });
            a.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
            assert!(a.problems().contains(&"store_restored".to_owned()), "{way}: {:#}", a.status());
            b.sync();
            same(&a.store, &b.store);
            assert_eq!(count(&till, "SELECT cents FROM sales WHERE id = 1"), 1, "{way}");
            assert_eq!(text(&till, "PRAGMA integrity_check"), "ok", "{way}");
            assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted"), 9, "{way}: no sale became a delete");
        }
    }
}

#[test]
fn hazard_03_sales_that_were_captured_and_not_sent_survive_a_restore() {
    let shop = Shop::open();
    let (mut a, b) = shop.pair(SCHEMA, "INSERT INTO sales VALUES (1, 100)");
    a.start();
    a.waits_for("synced", |status| status["state"] == "synced");
    let backup = back_up(&a);
    a.tillsync(&["pause"]).good();
    sell(&a.store, 2..=4);
    // In the outbox and not only in the journal, which goes back with the store.
    eventually("captured", || (a.outbox().len() == 3).then_some(()));
    WAYS[0].1(&backup, &a.store);
    sell(&a.store, 10..=10);
    a.tillsync(&["resume"]).good();
    eventually("all five sales are at the hub", || {
        (shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted") == 5).then_some(())
    });
    let till = pos(&a.store);
    eventually("all five sales are in the store", || (count(&till, "SELECT count(*) FROM sales") == 5).then_some(()));
    a.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
    b.sync();
    assert_eq!(content(&a.store), content(&b.store));
}

#[test]
fn hazard_03_a_restore_that_the_pos_has_outrun_before_anybody_looked_is_noticed_all_the_same() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, "INSERT INTO sales VALUES (1, 100)");
    let backup = back_up(&a);
    sell(&a.store, 2..=6);
    a.sync();
    WAYS[0].1(&backup, &a.store);
    // More than before, so that the journal is longer than it was; some of it under the keys of what was lost.
    sell(&a.store, 5..=20);
    a.sync();
    b.sync();
    same(&a.store, &b.store);
    assert_eq!(count(&pos(&a.store), "SELECT count(*) FROM sales"), 20);
    assert!(a.problems().contains(&"store_restored".to_owned()), "{:#}", a.status());
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE deleted"), 0);
}

/// Both registers and the hub hold ten rows; then the hub is put back, and overtaken by B before A hears of it.
fn hub_goes_back(how: impl Fn(&mut Shop, &Path)) {
    let mut shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, "");
    sell(&a.store, 1..=10);
    for register in [&a, &b] {
        register.sync();
    }
    let backup = shop.path().join("backup");
    fs::create_dir(&backup).unwrap();
    shop.hub.kill();
    for file in ["hub.db", "hub.db-wal", "hub.db-head"] {
        let _ = fs::copy(shop.path().join(file), backup.join(file));
    }
    shop.hub.start_again();
    // What the hub is about to lose: new rows, changes of rows of both registers, and deletes. Some of it only B knows as its own.
    sell(&a.store, 11..=14);
    pos(&a.store).execute_batch("UPDATE sales SET cents = 111 WHERE id IN (1, 2); DELETE FROM sales WHERE id = 3").unwrap();
    a.sync();
    b.sync();
    sell(&b.store, 21..=23);
    pos(&b.store)
        .execute_batch("UPDATE sales SET cents = 222 WHERE id IN (2, 4, 11); DELETE FROM sales WHERE id IN (5, 12)")
        .unwrap();
    b.sync();
    a.sync();
    let expected = content(&a.store);
    shop.hub.kill();
    for file in ["hub.db", "hub.db-wal", "hub.db-shm"] {
        let _ = fs::remove_file(shop.path().join(file));
        let _ = fs::copy(backup.join(file), shop.path().join(file));
    }
    how(&mut shop, &backup);
    shop.hub.start_again();
    // B comes first and goes on so far that the head tells A nothing.
    sell(&b.store, 31..=60);
    b.sync();
    pos(&a.store).execute_batch("UPDATE sales SET cents = 666 WHERE id = 6").unwrap();
    for register in [&a, &b, &a] {
        register.sync();
    }
    same(&a.store, &b.store);
    let db = pos(&a.store);
    assert_eq!(
        count(&db, "SELECT count(*) FROM sales WHERE id < 30"),
        expected["sales"].len() as i64,
        "nothing is lost, nothing is back"
    );
    assert_eq!(count(&db, "SELECT count(*) FROM sales"), expected["sales"].len() as i64 + 30);
    assert_eq!(text(&db, "SELECT group_concat(cents) FROM sales WHERE id IN (1, 2, 4, 6, 11)"), "111,222,222,666,222");
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted"), count(&db, "SELECT count(*) FROM sales"));
    assert_eq!(shop.hub.number("SELECT count(*) FROM conflict_log WHERE resolution = 'pending'"), 0, "nobody is asked anything");
    for register in [&a, &b] {
        assert_eq!(register.status()["pending"], 0);
        assert!(register.problems().contains(&"server_reset".to_owned()), "{:#}", register.status());
        register.tillsync(&["verify", "--against-server"]).said(0, &["hold the same"]);
        // Nothing waits, and what the status needs attention for is said.
        register.tillsync(&["sync"]).said(0, &["up to date", "restored from an older backup"]);
    }
}

#[test]
fn hazard_12_a_hub_that_is_put_back_notices_it_by_itself_and_gets_back_what_it_lost() {
    hub_goes_back(|_, _| {});
}

#[test]
fn hazard_12_a_hub_that_is_put_back_with_everything_beside_it_is_told_so() {
    hub_goes_back(|shop, backup| {
        fs::copy(backup.join("hub.db-head"), shop.path().join("hub.db-head")).unwrap();
        shop.hub.begin_epoch();
    });
}

#[test]
fn hazard_12_a_hub_that_is_put_back_on_another_machine_is_told_so() {
    hub_goes_back(|shop, _| {
        fs::remove_file(shop.path().join("hub.db-head")).unwrap();
        shop.hub.begin_epoch();
    });
}

#[test]
fn a_hub_that_is_killed_or_stopped_stays_in_its_epoch() {
    let mut shop = Shop::open();
    let (a, _) = shop.pair(SCHEMA, "");
    let epoch = |shop: &Shop| text(&shop.hub.read(), "SELECT value FROM meta WHERE name = 'epoch'");
    let before = epoch(&shop);
    for round in 1..=5 {
        sell(&a.store, round..=round);
        a.sync();
        shop.hub.kill();
        shop.hub.enroll_token(1);
        shop.hub.start_again();
    }
    assert_eq!(epoch(&shop), before);
}

#[test]
fn hazard_12_a_hub_that_is_restored_gets_back_what_it_lost() {
    let mut shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, "INSERT INTO sales VALUES (1, 100)");
    let backup = shop.path().join("hub-backup.db");
    shop.hub.read().execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    sell(&a.store, 2..=9);
    a.sync();
    b.sync();
    shop.hub.kill();
    without_log(&shop.hub.database);
    fs::copy(&backup, &shop.hub.database).unwrap();
    shop.hub.start_again();
    sell(&b.store, 30..=30);
    for register in [&a, &b, &a, &b] {
        register.sync();
    }
    same(&a.store, &b.store);
    assert_eq!(count(&pos(&a.store), "SELECT count(*) FROM sales"), 10);
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted"), 10);
}

#[test]
fn hazard_03_a_backup_from_before_a_table_came_deletes_none_of_its_rows() {
    const UPGRADE: &str = "CREATE TABLE offers(id INTEGER PRIMARY KEY, what TEXT)";
    for looks_between in [true, false] {
        let shop = Shop::open();
        let (a, b) = shop.pair(SCHEMA, "INSERT INTO sales VALUES (1, 100)");
        let backup = back_up(&a);
        for (register, offers) in [(&a, "(1, 'tea'), (2, 'rum')"), (&b, "(3, 'ale')")] {
            pos(&register.store).execute_batch(&format!("{UPGRADE}; INSERT INTO offers VALUES {offers}")).unwrap();
            register.sync();
        }
        a.sync();
        same(&a.store, &b.store);
        // The upgrade went wrong, they thought: back to the backup, and then the upgrade once more.
        WAYS[0].1(&backup, &a.store);
        if looks_between {
            a.sync();
        }
        pos(&a.store).execute_batch(UPGRADE).unwrap();
        a.sync();
        b.sync();
        assert_eq!(count(&pos(&b.store), "SELECT count(*) FROM offers"), 3, "nobody said that they should go");
        same(&a.store, &b.store);
    }
}
