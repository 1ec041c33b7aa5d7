//! What may come between two steps: one story for each way in which a change was once lost there.

use tillsync_agent::state::outbox;
use tillsync_core::sync::{Pulled, Pushed};

use super::line::{Fault, Plan};
use super::pos::Journal;
use super::shop::{Shop, on_runtime};

const CAKE: &str = "INSERT INTO products VALUES (1, 'cake', 'Cake', 1.5, 10), (2, 'tea', 'Tea', 2.5, 20);";
const NAME: &str = "SELECT name FROM products WHERE id = 1";

/// Enough for everything in these stories.
const BATCH: u32 = 100;

#[test]
fn a_row_deleted_while_the_full_sync_carries_it_is_deleted_everywhere() {
    on_runtime(async {
        // Two registrations, then the first rows: the hub stores them and nobody hears of it.
        let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::at(3, Fault::AnswerLost)).await;
        assert!(matches!(shop.a.agent().push(BATCH).await.unwrap(), Pushed::Trouble(_)));
        shop.a.sell("DELETE FROM products WHERE id = 1");
        shop.a.sync().await;
        shop.b.sync().await;
        assert_eq!(shop.b.value(NAME), None);
        shop.end();
    });
}

#[test]
fn a_row_that_the_server_has_merged_is_not_sent_again_by_the_full_sync() {
    on_runtime(async {
        let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::at(3, Fault::AnswerLost)).await;
        assert!(matches!(shop.a.agent().push(BATCH).await.unwrap(), Pushed::Trouble(_)));
        shop.b.sync().await;
        shop.b.sell("UPDATE products SET name = 'Big cake' WHERE id = 1");
        shop.b.sync().await;
        shop.a.sell("UPDATE products SET price = 9.5 WHERE id = 1");
        shop.a.agent().capture().unwrap();
        assert!(matches!(shop.a.agent().push(BATCH).await.unwrap(), Pushed::Done { .. }));
        shop.b.sync().await;
        shop.b.sell("DELETE FROM products WHERE id = 1");
        shop.b.sync().await;
        // A has not got to its inbox yet when the full sync goes on.
        while matches!(shop.a.agent().push(BATCH).await.unwrap(), Pushed::Done { .. }) {}
        shop.a.sync().await;
        shop.b.sync().await;
        assert_eq!(shop.b.value(NAME), None);
        assert_eq!(shop.end().conflicts, 0);
    });
}

#[test]
fn a_deleted_row_is_not_brought_back_by_an_older_change() {
    on_runtime(async {
        let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::default()).await;
        shop.a.sync().await;
        shop.b.sync().await;
        shop.b.sell("UPDATE products SET price = 9.5 WHERE id = 1");
        shop.b.sync().await;
        // A sends and does not fetch: it learns of B's price by the merge alone.
        shop.a.sell("UPDATE products SET name = 'Big cake' WHERE id = 1");
        for sql in ["", "DELETE FROM products WHERE id = 1"] {
            shop.a.sell(sql);
            shop.a.agent().capture().unwrap();
            assert!(matches!(shop.a.agent().push(BATCH).await.unwrap(), Pushed::Done { .. }));
            shop.a.agent().capture().unwrap();
        }
        shop.a.sync().await;
        shop.b.sync().await;
        assert_eq!(shop.a.value(NAME), None);
        shop.end();
    });
}

#[test]
fn two_changes_of_one_row_do_not_hide_what_was_merged_into_the_first() {
    on_runtime(async {
        let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::default()).await;
        shop.a.sync().await;
        shop.b.sync().await;
        shop.b.sell("UPDATE products SET name = 'Big cake' WHERE id = 1");
        shop.b.sync().await;
        for sql in ["UPDATE products SET price = 9.5 WHERE id = 1", "UPDATE products SET stock = 1 WHERE id = 1"] {
            shop.a.sell(sql);
            shop.a.agent().capture().unwrap();
        }
        shop.a.sync().await;
        shop.b.sync().await;
        assert_eq!(shop.a.value(NAME).as_deref(), Some("Big cake"));
        shop.end();
    });
}

#[test]
fn a_page_from_before_a_merge_does_not_take_the_row_back_behind_it() {
    on_runtime(async {
        let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::default()).await;
        shop.a.sync().await;
        shop.b.sync().await;
        shop.a.sell("UPDATE products SET name = 'Big cake' WHERE id = 1");
        shop.a.sync().await;
        assert!(matches!(shop.b.agent().pull(0).await.unwrap(), Pulled::Page { .. }));
        shop.b.sell("UPDATE products SET price = 9.5 WHERE id = 1");
        shop.b.agent().capture().unwrap();
        assert!(matches!(shop.b.agent().push(BATCH).await.unwrap(), Pushed::Done { .. }));
        shop.b.agent().apply().unwrap();
        let price = "SELECT quote(price) FROM products WHERE id = 1";
        assert_eq!(shop.b.value(price).as_deref(), Some("9.5"), "the till still shows what was typed there");
        shop.b.sync().await;
        shop.a.sync().await;
        assert_eq!(shop.a.value(price).as_deref(), Some("9.5"));
        assert_eq!(shop.b.value(NAME).as_deref(), Some("Big cake"));
        shop.end();
    });
}

#[test]
fn a_pulled_row_does_not_overwrite_one_that_the_full_sync_has_yet_to_send() {
    on_runtime(async {
        let other = CAKE.replace("'Cake'", "'Cheese cake'");
        let mut shop = Shop::with(Journal::Wal, CAKE, &other, Plan::default()).await;
        shop.a.sync().await;
        assert!(matches!(shop.b.agent().pull(0).await.unwrap(), Pulled::Page { .. }));
        shop.b.agent().apply().unwrap();
        assert_eq!(shop.b.value(NAME).as_deref(), Some("Cheese cake"));
        shop.b.sync().await;
        assert_eq!(shop.b.value(NAME).as_deref(), Some("Cheese cake"), "a person decides");
        let counts = outbox::counts(shop.b.agent().state().conn()).unwrap();
        assert_eq!((counts.pending, counts.conflicts), (0, 1));
    });
}

#[test]
fn what_the_pos_did_to_a_row_without_triggers_is_not_overwritten_before_it_is_seen() {
    const SWAP: &str = "UPDATE products SET sku = 'x' WHERE id = 1; UPDATE products SET sku = 'cake' WHERE id = 2;
        UPDATE products SET sku = 'tea' WHERE id = 1";
    // What A does, what B's POS does when the page is there and no scan was, and what all have in the end.
    let stories: [(&str, &str, Option<&str>); 5] = [
        ("UPDATE products SET price = 9.5 WHERE id = 1", "UPDATE products SET name = 'Pie' WHERE id = 1", Some("Pie 9.5")),
        ("UPDATE products SET price = 9.5 WHERE id = 1", "UPDATE products SET price = price WHERE id = 1", Some("Cake 9.5")),
        ("UPDATE products SET price = 9.5 WHERE id = 1", "UPDATE products SET price = 9.5 WHERE id = 1", Some("Cake 9.5")),
        ("DELETE FROM products WHERE id = 1", "DELETE FROM products WHERE id = 1", None),
        (SWAP, "UPDATE products SET name = 'Pie' WHERE id = 1", Some("Pie 1.5")),
    ];
    for mode in [Journal::Wal, Journal::Delete] {
        for (on_a, on_b, expected) in stories {
            on_runtime(async {
                let mut shop = Shop::with(mode, CAKE, "", Plan::default()).await;
                shop.a.sync().await;
                shop.b.scans();
                shop.b.sync().await;
                shop.a.sell(on_a);
                shop.a.sync().await;
                assert!(matches!(shop.b.agent().pull(0).await.unwrap(), Pulled::Page { .. }));
                shop.b.sell(on_b);
                shop.b.agent().apply().unwrap();
                for _ in 0..2 {
                    shop.b.sync().await;
                    shop.a.sync().await;
                }
                let look = "SELECT name || ' ' || price FROM products WHERE id = 1";
                assert_eq!(shop.b.value(look).as_deref(), expected, "{on_a}; {on_b}");
                assert_eq!(shop.end().conflicts, 0, "{on_a}; {on_b}");
            });
        }
    }
}
