//! Keys that every register counts for itself are used again: one story for each way in which a new row was once taken for the one before.

use rusqlite::Connection;
use tillsync_agent::resolve::{Decided, Keep};
use tillsync_core::config::{Key, Table};
use tillsync_core::sync::Pushed;

use super::line::Plan;
use super::pos::Journal;
use super::register::Tables;
use super::shop::{Shop, on_runtime};

const CAKE: &str = "INSERT INTO products VALUES (1, 'cake', 'Cake', 1.5, 10);";
const PIE: &str = "INSERT INTO products VALUES (1, 'pie', 'Pie', 2.5, 20);";
const NAMES: &str = "SELECT group_concat(name) FROM (SELECT name FROM products ORDER BY name)";

/// Enough for everything in these stories.
const BATCH: u32 = 100;

/// Two registers that count their products for themselves, and both have A's cake.
async fn shop() -> Shop {
    let tables = Tables::from([("products".to_owned(), Table { key: Key::Register, ..Table::default() })]);
    let mut shop = Shop::with_tables(Journal::Wal, [CAKE, ""], &tables, Plan::default()).await;
    both(&mut shop).await;
    shop
}

async fn both(shop: &mut Shop) {
    for _ in 0..2 {
        shop.a.sync().await;
        shop.b.sync().await;
    }
}

fn in_both(shop: &Shop, names: &str) {
    for register in [&shop.a, &shop.b] {
        assert_eq!(register.value(NAMES).as_deref(), Some(names));
    }
}

/// How many rows the hub was ever told of.
fn rows_ever(shop: &Shop) -> i64 {
    let hub = Connection::open(shop.hub()).unwrap();
    let sql = "SELECT count(DISTINCT entity_id) FROM change_log WHERE entity_type = 'products'";
    hub.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_key_makes_another_row_while_the_delete_of_the_one_before_is_not_sent() {
    on_runtime(async {
        let mut shop = shop().await;
        shop.a.sell("DELETE FROM products");
        shop.a.capture();
        shop.a.sell(PIE);
        shop.a.capture();
        both(&mut shop).await;
        in_both(&shop, "Pie");
        assert_eq!(rows_ever(&shop), 2);
    });
}

#[test]
fn a_key_makes_another_row_while_the_one_before_waits_for_a_person() {
    on_runtime(async {
        let mut shop = shop().await;
        shop.b.sell("UPDATE products SET name = 'Big cake'");
        shop.b.sync().await;
        // A has not heard of that, and the hub leaves it to a person; until then what the hub has waits at A.
        shop.a.sell("DELETE FROM products");
        shop.a.capture();
        assert!(matches!(shop.a.agent().push(BATCH).await.unwrap(), Pushed::Done { .. }));
        shop.a.sell(PIE);
        shop.a.capture();
        both(&mut shop).await;
        assert_eq!(shop.b.value(NAMES).as_deref(), Some("Big cake,Pie"));
        assert!(matches!(shop.a.agent().resolve(1, &Keep::Server, None).await.unwrap(), Decided::Done(_)));
        both(&mut shop).await;
        in_both(&shop, "Big cake,Pie");
        assert_eq!(rows_ever(&shop), 2);
    });
}

#[test]
fn a_key_makes_another_row_after_a_restore_also_when_no_trigger_saw_the_one_before() {
    on_runtime(async {
        let mut shop = shop().await;
        let backup = shop.a.backup();
        for trigger in shop.a.triggers() {
            shop.a.sell(&format!("DROP TRIGGER {trigger}"));
        }
        shop.a.sell("INSERT INTO products VALUES (2, 'tea', 'Tea', 1.0, 5)");
        shop.a.capture();
        shop.a.scan().await;
        both(&mut shop).await;
        in_both(&shop, "Cake,Tea");
        shop.a.restore(&backup);
        // The agent notices, and before anything has come back the POS uses the key again.
        shop.a.capture();
        shop.a.sell("INSERT INTO products VALUES (2, 'bun', 'Bun', 0.5, 7)");
        shop.a.sync().await;
        shop.a.scan().await;
        both(&mut shop).await;
        in_both(&shop, "Bun,Cake,Tea");
        assert_eq!(rows_ever(&shop), 3);
    });
}
