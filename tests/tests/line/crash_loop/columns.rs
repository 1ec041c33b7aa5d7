//! Columns and tables come and go on one register before the other, between any two steps: one story for each way in which that once went wrong.

use rusqlite::Connection;
use tillsync_agent::state::{inbox, marks};
use tillsync_core::sync::{Pulled, Pushed};

use super::line::{Fault, Plan};
use super::pos::Journal;
use super::shop::{Shop, on_runtime};

const CAKE: &str = "INSERT INTO products VALUES (1, 'cake', 'Cake', 1.5, 10), (2, 'tea', 'Tea', 2.5, 20);";

/// Enough for everything in these stories.
const BATCH: u32 = 100;

const VAT: &str = "SELECT coalesce(CAST(vat AS TEXT), 'none') FROM products WHERE id = 1";

/// The same columns and no triggers.
const REBUILD: &str = "CREATE TABLE other AS SELECT * FROM products; DROP TABLE products;
    CREATE TABLE products(id INTEGER PRIMARY KEY, sku TEXT UNIQUE, name TEXT, price REAL, stock);
    INSERT INTO products SELECT * FROM other; DROP TABLE other;";

async fn both(shop: &mut Shop) {
    for _ in 0..2 {
        shop.a.sync().await;
        shop.b.sync().await;
    }
}

/// Entries in the hub's conflict log. Rows that nobody has filled a new column in have none there, so the hub's are not the stores' to the letter.
fn conflicts(shop: &Shop) -> i64 {
    let hub = Connection::open(shop.hub()).unwrap();
    hub.query_row("SELECT count(*) FROM conflict_log", [], |row| row.get(0)).unwrap()
}

fn scan_is_due(shop: &Shop) -> bool {
    marks::get(shop.a.agent().state().conn(), marks::SCAN_DUE).unwrap().unwrap_or(false)
}

#[test]
fn a_row_that_is_made_anew_without_a_column_does_not_keep_the_deleted_ones_value_there() {
    on_runtime(async {
        let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::default()).await;
        both(&mut shop).await;
        shop.a.sell("ALTER TABLE products ADD COLUMN vat INTEGER; UPDATE products SET vat = 7 WHERE id = 1");
        both(&mut shop).await;
        // B's store has no such column.
        for sql in ["DELETE FROM products WHERE id = 1", "INSERT INTO products VALUES (1, 'pie', 'Pie', 2.0, 1)"] {
            shop.b.sell(sql);
            shop.b.capture();
        }
        both(&mut shop).await;
        assert_eq!(
            shop.a.value("SELECT name || coalesce(vat, ' without') FROM products WHERE id = 1").as_deref(),
            Some("Pie without")
        );
        shop.b.sell("ALTER TABLE products ADD COLUMN vat INTEGER");
        both(&mut shop).await;
        assert_eq!((shop.a.value(VAT).as_deref(), shop.b.value(VAT).as_deref()), (Some("none"), Some("none")));
        assert_eq!(conflicts(&shop), 0);
    });
}

#[test]
fn what_no_trigger_saw_during_the_first_full_sync_is_found_when_that_is_over() {
    on_runtime(async {
        let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::default()).await;
        assert!(matches!(shop.a.agent().push(1).await.unwrap(), Pushed::Done { .. }));
        shop.a.sell(REBUILD);
        shop.a.sell("UPDATE products SET name = 'Big cake' WHERE id = 1");
        shop.a.capture();
        assert!(scan_is_due(&shop));
        // The first row was sent as it was, and the table is not done yet: a look at every row now must not count as the one that is due.
        shop.a.agent().scan(false).unwrap();
        assert!(scan_is_due(&shop));
        // What the POS does meanwhile goes out as ever.
        shop.a.sell("INSERT INTO sales VALUES ('s-1', 100, NULL)");
        shop.a.capture();
        assert!(matches!(shop.a.agent().push(BATCH).await.unwrap(), Pushed::Done { .. }));
        shop.b.sync().await;
        assert_eq!(shop.b.value("SELECT id FROM sales").as_deref(), Some("s-1"));
        shop.a.sync().await;
        shop.a.agent().scan(false).unwrap();
        assert!(!scan_is_due(&shop));
        both(&mut shop).await;
        assert_eq!(shop.b.value("SELECT name FROM products WHERE id = 1").as_deref(), Some("Big cake"));
        assert_eq!(shop.end().conflicts, 0);
    });
}

#[test]
fn what_others_hold_in_a_new_column_is_not_overwritten_by_its_default() {
    // What B's POS does to the row before anybody has asked what the hub holds there, and what the name is then.
    for (on_b, name) in [("", "Cake"), ("UPDATE products SET name = 'Pie' WHERE id = 1", "Pie")] {
        on_runtime(async {
            let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::default()).await;
            both(&mut shop).await;
            let add = "ALTER TABLE products ADD COLUMN vat INTEGER NOT NULL DEFAULT 19";
            shop.a.sell(add);
            shop.a.sell("UPDATE products SET vat = 7 WHERE id = 1");
            shop.a.sync().await;
            shop.b.sell(add);
            shop.b.sell(on_b);
            shop.b.capture();
            both(&mut shop).await;
            for register in [&shop.a, &shop.b] {
                assert_eq!(register.value(VAT).as_deref(), Some("7"), "{on_b}");
                assert_eq!(register.value("SELECT name FROM products WHERE id = 1").as_deref(), Some(name));
            }
            // What holds the default was never a change of anybody's.
            let hub = Connection::open(shop.hub()).unwrap();
            let sent: i64 =
                hub.query_row("SELECT count(*) FROM change_log WHERE data ->> 'vat' = 19", [], |row| row.get(0)).unwrap();
            assert_eq!((sent, conflicts(&shop)), (0, 0), "{on_b}");
        });
    }
}

#[test]
fn what_a_pull_brought_into_a_new_column_is_not_sent_back_when_others_have_changed_it_since() {
    on_runtime(async {
        let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::default()).await;
        both(&mut shop).await;
        let add = "ALTER TABLE products ADD COLUMN vat INTEGER";
        shop.a.sell(add);
        shop.b.sell(add);
        shop.b.capture();
        shop.a.sell("UPDATE products SET vat = 7 WHERE id = 1");
        shop.a.sync().await;
        assert!(matches!(shop.b.agent().pull(0).await.unwrap(), Pulled::Page { .. }));
        shop.b.agent().apply().unwrap();
        assert_eq!(shop.b.value(VAT).as_deref(), Some("7"));
        shop.a.sell("UPDATE products SET vat = 16 WHERE id = 1");
        shop.a.sync().await;
        // Only now does B ask what the hub holds in the column.
        both(&mut shop).await;
        assert_eq!((shop.a.value(VAT).as_deref(), shop.b.value(VAT).as_deref()), (Some("16"), Some("16")));
        assert_eq!(conflicts(&shop), 0);
    });
}

#[test]
fn what_waits_of_a_table_waits_no_longer_when_the_table_is_gone_and_what_is_new_comes_when_it_is_back() {
    on_runtime(async {
        let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::default()).await;
        both(&mut shop).await;
        // B has a change of the row on its way, so what A made of it waits.
        shop.a.sell("UPDATE products SET name = 'Big cake' WHERE id = 1");
        shop.a.sync().await;
        shop.b.sell("UPDATE products SET price = 9.5 WHERE id = 1");
        shop.b.agent().capture().unwrap();
        assert!(matches!(shop.b.agent().pull(0).await.unwrap(), Pulled::Page { .. }));
        shop.b.agent().apply().unwrap();
        let waits = |shop: &Shop| !inbox::is_empty(shop.b.agent().state().conn()).unwrap();
        assert!(waits(&shop));
        shop.b.sell("DROP TABLE products");
        shop.b.sync().await;
        assert!(!waits(&shop));
        shop.a.sync().await;
        shop.a.sell("INSERT INTO products VALUES (3, 'bun', 'Bun', 0.5, 5)");
        both(&mut shop).await;
        assert!(!waits(&shop));
        shop.b.sell("CREATE TABLE products(id INTEGER PRIMARY KEY, sku TEXT UNIQUE, name TEXT, price REAL, stock)");
        both(&mut shop).await;
        // What B had before it threw the table away does not come by itself, and nobody else loses it.
        let all = "SELECT group_concat(name || price, ' ') FROM (SELECT * FROM products ORDER BY id)";
        assert_eq!(shop.b.value(all).as_deref(), Some("Bun0.5"));
        assert_eq!(shop.a.value(all).as_deref(), Some("Big cake9.5 Tea2.5 Bun0.5"));
    });
}

#[test]
fn a_row_that_goes_once_more_without_a_column_is_not_made_anew_where_it_was_deleted() {
    on_runtime(async {
        // Two registrations, then the first rows: the hub stores them and nobody hears of it.
        let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::at(3, Fault::AnswerLost)).await;
        assert!(matches!(shop.a.agent().push(BATCH).await.unwrap(), Pushed::Trouble(_)));
        shop.b.sync().await;
        shop.b.sell("DELETE FROM products WHERE id = 1");
        shop.b.sync().await;
        shop.a.sell("ALTER TABLE products DROP COLUMN stock");
        shop.b.sell("ALTER TABLE products DROP COLUMN stock");
        both(&mut shop).await;
        let names = "SELECT group_concat(name) FROM products";
        assert_eq!((shop.a.value(names).as_deref(), shop.b.value(names).as_deref()), (Some("Tea"), Some("Tea")));
    });
}

#[test]
fn a_row_that_no_trigger_saw_being_made_is_not_overwritten_by_a_pulled_one() {
    on_runtime(async {
        let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::default()).await;
        both(&mut shop).await;
        for trigger in shop.b.triggers() {
            shop.b.sell(&format!("DROP TRIGGER {trigger}"));
        }
        shop.b.sell("INSERT INTO products VALUES (3, 'pie', 'Pie', 3.0, 30)");
        shop.b.capture();
        shop.a.sell("INSERT INTO products VALUES (3, 'bun', 'Bun', 0.5, 5)");
        shop.a.sync().await;
        shop.b.fetch_page().await;
        let name = "SELECT name FROM products WHERE id = 3";
        assert_eq!(shop.b.value(name).as_deref(), Some("Pie"));
        shop.b.scan().await;
        shop.b.sync().await;
        // Two rows with one key: a person decides, and has both.
        assert_eq!((shop.a.value(name).as_deref(), shop.b.value(name).as_deref()), (Some("Bun"), Some("Pie")));
        assert_eq!(conflicts(&shop), 1);
    });
}
