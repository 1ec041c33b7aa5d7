//! The point-of-sale program changes its schema while agents run: every statement of it works, and syncing goes on.

use super::support::{Register, Shop, content, count, eventually, open, pos, same, text};

struct Case {
    schema: &'static str,
    rows: &'static str,
    /// Run on both registers, one after the other, in the middle of their agents' work.
    migration: &'static [&'static str],
    /// Run on the first register at once afterwards.
    writes: &'static str,
    /// Both registers have sent the migrated table before the writes. A renamed table is a new one to everybody, and what is
    /// changed in it before the other register sends its copy is a conflict.
    settled_before: bool,
}

#[track_caller]
fn check(case: &Case) {
    let shop = Shop::open();
    let (mut a, mut b) = shop.pair(case.schema, case.rows);
    for register in [&mut a, &mut b] {
        register.start();
        register.waits_for("synced", |status| status["state"] == "synced");
        let till = pos(&register.store);
        for statement in case.migration {
            till.execute_batch(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
    if case.settled_before {
        eventually("both have sent it", || (shop.hub.number("SELECT count(*) FROM rows") == 6).then_some(()));
        for register in [&a, &b] {
            register.waits_for("in step", |status| status["full_sync"].is_null() && status["pending"] == 0);
        }
        settle(&a, &b);
    }
    pos(&a.store).execute_batch(case.writes).unwrap_or_else(|error| panic!("{}: {error}", case.writes));
    settle(&a, &b);
    // Only an update from the other side shows that its triggers are back, too.
    for (register, other) in [(&a, &b), (&b, &a)] {
        let table = text(
            &pos(&register.store),
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%tillsync%' AND name NOT LIKE 'sqlite%'",
        );
        pos(&register.store)
            .execute_batch(&format!("DELETE FROM \"{table}\" WHERE rowid = (SELECT max(rowid) FROM \"{table}\")"))
            .unwrap();
        eventually("a delete travels", || (content(&a.store) == content(&b.store)).then_some(()));
        other.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
    }
    for register in [&mut a, &mut b] {
        assert!(register.is_alive());
        assert_eq!(register.problems(), Vec::<String>::new(), "{:#}", register.status());
        assert_eq!(register.stop(), 0);
        healthy(register);
    }
    same(&a.store, &b.store);
}

#[track_caller]
fn settle(a: &Register, b: &Register) {
    eventually("both stores are the same", || (content(&a.store) == content(&b.store)).then_some(()));
    for register in [a, b] {
        register.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
    }
    same(&a.store, &b.store);
}

#[track_caller]
fn healthy(register: &Register) {
    let till = open(&register.store);
    assert_eq!(text(&till, "PRAGMA integrity_check"), "ok");
    assert_eq!(count(&till, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

const SCHEMA: &str = "CREATE TABLE products(id INTEGER PRIMARY KEY, sku TEXT, name TEXT, cents INTEGER); CREATE UNIQUE INDEX by_sku ON products(sku);";
const ROWS: &str = "INSERT INTO products VALUES (1, 's1', 'milk', 100), (2, 's2', 'tea', 250), (3, 's3', 'bread', 80);";

#[test]
fn hazard_05_columns_come_and_go() {
    check(&Case {
        schema: SCHEMA,
        rows: ROWS,
        migration: &[
            "ALTER TABLE products ADD COLUMN vat INTEGER NOT NULL DEFAULT 19",
            "ALTER TABLE products ADD COLUMN note TEXT",
        ],
        writes: "UPDATE products SET vat = 7, note = 'food' WHERE id = 1; INSERT INTO products VALUES (4, 's4', 'salt', 30, 7, NULL)",
        settled_before: false,
    });
    check(&Case {
        schema: SCHEMA,
        rows: ROWS,
        migration: &[
            "ALTER TABLE products RENAME COLUMN cents TO price_cents",
            "ALTER TABLE products RENAME COLUMN id TO product_id",
        ],
        writes: "UPDATE products SET price_cents = 1 WHERE product_id = 2; INSERT INTO products VALUES (4, 's4', 'salt', 30)",
        settled_before: false,
    });
    check(&Case {
        schema: SCHEMA,
        rows: ROWS,
        migration: &["ALTER TABLE products DROP COLUMN name", "DROP INDEX by_sku", "ALTER TABLE products DROP COLUMN sku"],
        writes: "UPDATE products SET cents = 5 WHERE id = 2; INSERT INTO products VALUES (4, 9)",
        settled_before: false,
    });
}

#[test]
fn hazard_05_tables_are_rebuilt_renamed_and_dropped() {
    check(&Case {
        schema: SCHEMA,
        rows: ROWS,
        migration: &["PRAGMA foreign_keys = OFF; BEGIN;
            CREATE TABLE products_new(id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE, name TEXT, cents INTEGER, CHECK(cents >= 0));
            INSERT INTO products_new SELECT id, sku, name, cents FROM products;
            DROP TABLE products; ALTER TABLE products_new RENAME TO products; PRAGMA foreign_key_check; COMMIT; PRAGMA foreign_keys = ON;"],
        writes: "UPDATE products SET cents = 5 WHERE id = 2; INSERT INTO products VALUES (4, 's4', 'salt', 30); REPLACE INTO products VALUES (9, 's1', 'x', 1)",
        settled_before: false,
    });
    check(&Case {
        schema: SCHEMA,
        rows: ROWS,
        migration: &["ALTER TABLE products RENAME TO articles"],
        writes: "UPDATE articles SET cents = 5 WHERE id = 2; INSERT INTO articles VALUES (4, 's4', 'salt', 30)",
        settled_before: true,
    });
    check(&Case {
        schema: "CREATE TABLE old(id INTEGER PRIMARY KEY, v); CREATE TABLE kept(id INTEGER PRIMARY KEY, v);",
        rows: "INSERT INTO old VALUES (1, 1); INSERT INTO kept VALUES (1, 1), (2, 2), (3, 3);",
        migration: &["DROP TABLE old", "CREATE TABLE fresh(id TEXT PRIMARY KEY, v)"],
        writes: "INSERT INTO fresh VALUES ('f', 1); UPDATE kept SET v = v + 1",
        settled_before: false,
    });
    check(&Case {
        schema: "CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE TABLE other(id INTEGER PRIMARY KEY);",
        rows: "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
        migration: &[
            "BEGIN; DROP TABLE t; CREATE TABLE t(id INTEGER PRIMARY KEY, v, w DEFAULT 'new'); INSERT INTO t(id, v) VALUES (1, 1), (2, 2), (3, 3); COMMIT",
        ],
        writes: "UPDATE t SET w = id; INSERT INTO t VALUES (4, 4, 4)",
        settled_before: false,
    });
}

#[test]
fn hazard_05_the_file_is_vacuumed_and_changes_its_journal_mode() {
    check(&Case {
        schema: SCHEMA,
        rows: ROWS,
        migration: &["VACUUM", "REINDEX", "ANALYZE"],
        writes: "UPDATE products SET cents = 5 WHERE id = 2; INSERT INTO products VALUES (4, 's4', 'salt', 30)",
        settled_before: false,
    });
    let shop = Shop::open();
    let (mut a, b) = shop.pair(SCHEMA, ROWS);
    a.start();
    a.waits_for("synced", |status| status["state"] == "synced");
    for (mode, id) in [("delete", 11), ("wal", 12), ("truncate", 13), ("persist", 14), ("wal", 15)] {
        let till = open(&a.store);
        eventually("the journal mode changes as soon as nobody reads", || {
            let now: rusqlite::Result<String> = till.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get(0));
            now.is_ok_and(|now| now == mode).then_some(())
        });
        if mode == "delete" {
            till.execute_batch("PRAGMA page_size = 8192; VACUUM").unwrap();
        }
        till.execute("INSERT INTO products(id, name) VALUES (?1, ?2)", (id, mode)).unwrap();
        eventually("it is at the hub", || (shop.hub.number("SELECT count(*) FROM rows") == i64::from(id) - 7).then_some(()));
    }
    a.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
    b.sync();
    same(&a.store, &b.store);
    healthy(&a);
}

#[test]
fn hazard_08_a_reset_that_deletes_the_journal_is_healed_before_the_next_sale() {
    let shop = Shop::open();
    let (mut a, b) = shop.pair(SCHEMA, ROWS);
    a.start();
    a.waits_for("synced", |status| status["state"] == "synced");
    let till = pos(&a.store);
    let ours =
        || count(&till, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_tillsync\\_%' ESCAPE '\\'");
    assert_eq!(ours(), 4);
    let all = ["_tillsync_journal", "_tillsync_marks", "_tillsync_tables", "_tillsync_applied"];
    for (round, dropped) in [&all[..1], &all[1..2], &all[..3], &all[3..], &all].into_iter().enumerate() {
        let drops: String = dropped.iter().map(|table| format!("DROP TABLE {table};")).collect();
        till.execute_batch(&format!("BEGIN; {drops} COMMIT;")).unwrap();
        eventually("the journal is back", || (ours() == 4).then_some(()));
        till.execute("INSERT INTO products(id, name) VALUES (?1, 'after the reset')", [100 + round as i64]).unwrap();
        a.waits_for("told", |status| {
            status["problems"].as_array().unwrap().iter().any(|problem| problem["code"] == "journal_lost")
        });
        a.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
        b.sync();
        same(&a.store, &b.store);
    }
    a.tillsync(&["doctor"]).said(0, &["removed a part of tillsync's journal"]);
    healthy(&a);
}

#[test]
fn hazard_08_a_reset_without_an_agent_is_told_by_doctor_and_healed_by_the_next_sync() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, ROWS);
    let till = pos(&a.store);
    for trigger in ["insert", "update", "delete"] {
        till.execute_batch(&format!("DROP TRIGGER _tillsync_1_{trigger}")).unwrap();
    }
    a.tillsync(&["doctor"]).said(0, &["triggers of products"]);
    till.execute_batch("INSERT INTO products VALUES (50, 'unseen', 'x', 1); DELETE FROM products WHERE id = 1; UPDATE products SET cents = 7 WHERE id = 2")
        .unwrap();
    a.sync();
    b.sync();
    same(&a.store, &b.store);
}

#[test]
fn hazard_03_a_store_that_is_emptied_does_not_empty_the_others() {
    let shop = Shop::open();
    let many: String = (1..=200).map(|id| format!("INSERT INTO products(id, name) VALUES ({id}, 'p{id}');")).collect();
    let (a, b) = shop.pair(SCHEMA, &many);
    pos(&a.store).execute_batch(&format!("DROP TABLE products; {SCHEMA}")).unwrap();
    a.tillsync(&["sync"]).said(3, &["200 rows have vanished", "--accept-deletes"]);
    assert_eq!(a.status()["state"], "attention");
    b.sync();
    assert_eq!(count(&pos(&b.store), "SELECT count(*) FROM products"), 200, "nobody said that they should go");
    a.tillsync(&["verify"]).said(1, &["200 rows have vanished", "--accept-deletes"]);
    a.tillsync(&["verify", "--accept-deletes"]).good();
    a.sync();
    assert_eq!(a.status()["state"], "synced");
    b.sync();
    same(&a.store, &b.store);
    assert_eq!(count(&pos(&b.store), "SELECT count(*) FROM products"), 0);
}
