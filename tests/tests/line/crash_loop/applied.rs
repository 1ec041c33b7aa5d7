//! The agent ends when rows of the server are in the store and the state does not know it yet; then the POS goes on with these rows.

use tillsync_agent::agent::AgentError;
use tillsync_agent::state::outbox;
use tillsync_core::sync::{Pulled, Pushed};

use super::line::{Fault, Plan};
use super::pos::Journal;
use super::shop::{Shop, on_runtime};

const BEFORE: &str = "INSERT INTO products VALUES (1, 'cake', 'Cake', 1.5, 10);";

/// Enough for everything in these stories.
const BATCH: u32 = 100;

/// How the server's rows come into the store.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// From the page that was pulled.
    Page,
    /// From the inbox, where they waited because the POS had just touched the row.
    Inbox,
}

/// What happens to product 1 or 2.
#[derive(Clone, Copy, Debug)]
struct Story {
    on_a: &'static str,
    /// Puts the key into B's journal and changes nothing.
    touch: &'static str,
    /// What B's POS does once A's change is in its store.
    on_b: &'static str,
    /// What all have in the end.
    look: &'static str,
    expected: Option<&'static str>,
}

const STORIES: [Story; 5] = [
    Story {
        on_a: "INSERT INTO products VALUES (2, 'tea', 'Tea', 2.5, 20)",
        touch: "INSERT INTO products VALUES (2, 'tea', 'x', 0, 0); DELETE FROM products WHERE id = 2",
        on_b: "DELETE FROM products WHERE id = 2",
        look: "SELECT name FROM products WHERE id = 2",
        expected: None,
    },
    Story {
        on_a: "INSERT INTO products VALUES (2, 'tea', 'Tea', 2.5, 20)",
        touch: "INSERT INTO products VALUES (2, 'tea', 'x', 0, 0); DELETE FROM products WHERE id = 2",
        on_b: "UPDATE products SET name = 'Mint tea' WHERE id = 2",
        look: "SELECT name FROM products WHERE id = 2",
        expected: Some("Mint tea"),
    },
    Story {
        on_a: "DELETE FROM products WHERE id = 1",
        touch: "UPDATE products SET name = name",
        on_b: "INSERT INTO products VALUES (1, 'bun', 'Bun', 1, 1)",
        look: "SELECT name FROM products WHERE id = 1",
        expected: Some("Bun"),
    },
    Story {
        on_a: "UPDATE products SET name = 'Big cake' WHERE id = 1",
        touch: "UPDATE products SET name = name",
        on_b: "UPDATE products SET name = 'Biggest cake' WHERE id = 1",
        look: "SELECT name FROM products WHERE id = 1",
        expected: Some("Biggest cake"),
    },
    Story {
        on_a: "UPDATE products SET name = 'Big cake' WHERE id = 1",
        touch: "UPDATE products SET name = name",
        on_b: "DELETE FROM products WHERE id = 1",
        look: "SELECT name FROM products WHERE id = 1",
        expected: None,
    },
];

/// Two registers in step, and a change of A in B's store that B's state does not know of.
async fn applied_and_ended(story: Story, way: Way) -> Shop {
    let mut shop = Shop::with(Journal::Wal, BEFORE, "", Plan::default()).await;
    shop.a.sync().await;
    shop.b.sync().await;
    shop.a.sell(story.on_a);
    shop.a.sync().await;
    assert!(matches!(shop.b.agent().pull(0).await.unwrap(), Pulled::Page { .. }));
    let ended = match way {
        Way::Page => {
            shop.b.end_at_point("page written");
            shop.b.agent().apply().err()
        }
        Way::Inbox => {
            shop.b.sell(story.touch);
            shop.b.agent().apply().unwrap();
            shop.b.end_at_point("inbox written");
            shop.b.agent().capture().err()
        }
    };
    assert!(matches!(ended, Some(AgentError::Ended(_))), "{story:?} {way:?}: {ended:?}");
    shop.b.reopen();
    shop
}

#[test]
fn what_the_pos_does_to_rows_just_received_is_a_change_of_the_servers_row() {
    for (story, way) in STORIES.iter().flat_map(|story| [Way::Page, Way::Inbox].map(|way| (*story, way))) {
        on_runtime(async {
            let mut shop = applied_and_ended(story, way).await;
            shop.b.sell(story.on_b);
            shop.b.sync().await;
            shop.a.sync().await;
            let end = shop.end();
            assert_eq!(shop.a.value(story.look).as_deref(), story.expected, "{story:?} {way:?}");
            assert_eq!(end.conflicts, 0, "B knew what it changed: {story:?} {way:?}");
        });
    }
}

#[test]
fn rows_just_received_are_not_sent_back() {
    for (story, way) in STORIES.iter().flat_map(|story| [Way::Page, Way::Inbox].map(|way| (*story, way))) {
        on_runtime(async {
            let mut shop = applied_and_ended(story, way).await;
            shop.b.sell("UPDATE products SET name = name");
            shop.b.capture();
            shop.b.agent().scan(true).unwrap();
            let counts = outbox::counts(shop.b.agent().state().conn()).unwrap();
            assert_eq!(counts, outbox::Counts::default(), "{story:?} {way:?}");
            shop.b.sync().await;
            shop.end();
        });
    }
}

#[test]
fn a_sale_after_such_an_end_is_captured_without_the_server() {
    for way in [Way::Page, Way::Inbox] {
        on_runtime(async {
            let mut shop = applied_and_ended(STORIES[3], way).await;
            shop.b.sell("INSERT INTO sales VALUES ('b-1', 5, NULL)");
            shop.b.capture();
            assert_eq!(outbox::counts(shop.b.agent().state().conn()).unwrap().pending, 1, "{way:?}");
            shop.b.agent().push(BATCH).await.unwrap();
            shop.a.sync().await;
            assert_eq!(shop.a.value("SELECT id FROM sales").as_deref(), Some("b-1"), "{way:?}");
        });
    }
}

#[test]
fn a_backup_from_before_the_inbox_was_emptied_loses_nothing_of_it() {
    on_runtime(async {
        let mut shop = Shop::with(Journal::Wal, BEFORE, "", Plan::default()).await;
        shop.a.sell("INSERT INTO products VALUES (2, 'tea', 'Tea of A', 2.5, 20)");
        shop.b.sell("INSERT INTO products VALUES (3, 'tea', 'Tea of B', 2.5, 20)");
        shop.a.sync().await;
        shop.b.sync().await;
        let name = "SELECT name FROM products WHERE id = 2";
        assert_eq!(shop.b.value(name), None, "no two rows have one sku");
        shop.b.sell("INSERT INTO sales VALUES ('b-1', 5, NULL)");
        shop.b.sync().await;
        // An agent that finds the POS idle trims the journal.
        shop.b.start_anew();
        shop.b.capture();
        let backup = shop.b.backup();
        shop.b.sell("UPDATE products SET sku = 'mint' WHERE id = 3");
        shop.b.sync().await;
        assert_eq!(shop.b.value(name).as_deref(), Some("Tea of A"));
        shop.b.restore(&backup);
        shop.b.sync().await;
        shop.b.agent().scan(true).unwrap();
        shop.b.sync().await;
        shop.a.sync().await;
        assert_eq!(shop.b.value(name).as_deref(), Some("Tea of A"));
        shop.end();
    });
}

#[test]
fn rows_of_the_inbox_that_a_power_cut_took_from_the_store_come_again() {
    on_runtime(async {
        let story = STORIES[3];
        let mut shop = Shop::with(Journal::Wal, BEFORE, "", Plan::default()).await;
        shop.a.sync().await;
        shop.b.sync().await;
        shop.b.sell("INSERT INTO sales VALUES ('b-1', 5, NULL)");
        shop.b.sync().await;
        shop.a.sell(story.on_a);
        shop.a.sync().await;
        shop.b.agent().pull(0).await.unwrap();
        shop.b.sell(story.touch);
        shop.b.sell("UPDATE sales SET total = 5");
        shop.b.agent().apply().unwrap();
        // The state is written through to the disk at once, the store is not.
        let before = shop.b.backup();
        shop.b.capture();
        assert_eq!(shop.b.value(story.look).as_deref(), Some("Big cake"));
        shop.b.restore(&before);
        shop.b.start_anew();
        shop.b.sync().await;
        shop.b.agent().scan(true).unwrap();
        shop.b.sync().await;
        shop.a.sync().await;
        assert_eq!(shop.a.value(story.look).as_deref(), Some("Big cake"));
        assert_eq!(shop.end().conflicts, 0);
    });
}

#[test]
fn what_a_restored_register_had_yet_to_send_comes_back_also_when_a_pull_is_faster_than_the_verdict() {
    on_runtime(async {
        let plan = Plan::at(i64::MAX, Fault::AnswerLost);
        let mut shop = Shop::with(Journal::Wal, BEFORE, "", plan.clone()).await;
        shop.a.sync().await;
        let backup = shop.a.backup();
        shop.a.sell("INSERT INTO sales VALUES ('a-1', 5, NULL)");
        shop.a.capture();
        shop.a.restore(&backup);
        shop.a.capture();
        plan.fail_next();
        assert!(matches!(shop.a.agent().push(BATCH).await.unwrap(), Pushed::Trouble(_)));
        assert!(matches!(shop.a.agent().pull(0).await.unwrap(), Pulled::Page { .. }));
        shop.a.agent().apply().unwrap();
        shop.a.sync().await;
        shop.a.agent().scan(false).unwrap();
        shop.a.sync().await;
        shop.b.sync().await;
        assert_eq!(shop.a.value("SELECT id FROM sales").as_deref(), Some("a-1"));
        shop.end();
    });
}
