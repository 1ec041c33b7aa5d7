//! Protocol × scenario, with real processes: agents that speak the five other protocols, to our hub and to twins that behave as deployed servers do.
//! Everywhere: nothing lost, nothing doubled, what no server takes is parked with its reason, and the rest is delivered.

mod across;
mod shop;

use std::time::Duration;

use shop::{Shop, note, try_sync};

use crate::stories::support::{Register, Running, count, eventually, pos};
use crate::twins::{POISON, Protocol, Way};

/// One module per protocol with a test for each scenario, and one with a test for each way of a twin.
macro_rules! matrix {
    ($($module:ident $protocol:ident)*) => { $(
        mod $module {
            use super::*;
            const PROTOCOL: Protocol = Protocol::$protocol;

            mod hub {
                use super::*;
                fn shop() -> Shop { Shop::with_hub(PROTOCOL) }
                #[test] fn full_sync_from_scratch() { super::full_sync_from_scratch(&shop()); }
                #[test] fn delta_sync_with_changes() { super::delta_sync_with_changes(&shop()); }
                #[test] fn conflict_resolution() { super::conflict_resolution(&shop()); }
                #[test] fn offline_queue() { super::offline_queue(&shop()); }
                #[test] fn network_interruption_during_sync() { super::network_interruption_during_sync(&shop()); }
                #[test] fn large_data_sets() { super::large_data_sets(&shop()); }
                #[test] fn concurrent_device_syncs() { super::concurrent_device_syncs(&shop()); }
                #[test] fn sync_retry_after_failure() { super::sync_retry_after_failure(&shop()); }
                #[test] fn submitted_three_times() { super::submitted_three_times(&shop()); }
                #[test] fn deletes() { super::deletes(&shop()); }
            }

            mod twin {
                use super::*;
                fn check(ways: &[(Way, u32)]) { super::live_through(PROTOCOL, ways); }
                #[test] fn as_documented() { check(&[]); }
                #[test] fn loses_answers() { check(&[(Way::LosesAnswers, 2)]); }
                #[test] fn cuts_answers_short() { check(&[(Way::CutsAnswersShort, 2)]); }
                #[test] fn fails_after_storing() { check(&[(Way::FailsAfterStoring, 2)]); }
                #[test] fn answers_in_html() { check(&[(Way::AnswersInHtml, 2), (Way::LogInPage, 2)]); }
                #[test] fn fails_and_says_no() { check(&[(Way::Fails, 3), (Way::SaysNoWith200, 2)]); }
                #[test] fn forgets_tokens() { super::tokens_are_forgotten(PROTOCOL); }
                #[test] fn limits_the_rate() { super::rate_is_limited(PROTOCOL); }
                #[test] fn refuses_one_item() { super::one_item_is_bad(PROTOCOL, &[]); }
                #[test] fn rolls_back_the_batch() { super::one_item_is_bad(PROTOCOL, &[Way::RollsBackTheBatch]); }
                #[test] fn drops_bad_items() { super::one_item_is_bad(PROTOCOL, &[Way::DropsBadItems]); }
                #[test] fn tells_all_again() { check(&[(Way::TellsAllAgain, ALWAYS), (Way::IgnoresSince, ALWAYS), (Way::MoreWithoutEnd, ALWAYS)]); }
                #[test] fn writes_in_other_shapes() { check(super::other_shapes(PROTOCOL)); }
                #[test] fn has_ways_of_its_own() { check(super::own_ways(PROTOCOL)); }
                #[test] fn large_batches() { super::large_data_sets(&Shop::with_twin(PROTOCOL, &[Way::SlowAbove100])); }
                #[test] fn commits_late() { super::late_commits(PROTOCOL); }
                #[test] fn starts_again_empty() { super::server_is_reset(PROTOCOL); }
                #[test] fn conflicts() { super::conflict_resolution(&Shop::with_twin(PROTOCOL, &[])); }
            }
        }
    )* };
}

matrix! {
    nuqta Nuqta
    auraflow Auraflow
    events Events
    booky Booky
    insight Insight
}

/// A way that does not end.
const ALWAYS: u32 = u32::MAX;

fn other_shapes(protocol: Protocol) -> &'static [(Way, u32)] {
    match protocol {
        Protocol::Nuqta => &[
            (Way::OtherKindsOfIds, ALWAYS),
            (Way::MoreMembers, ALWAYS),
            (Way::Wraps, ALWAYS),
            (Way::BareStatus, ALWAYS),
            (Way::WantsTextData, ALWAYS),
        ],
        Protocol::Auraflow | Protocol::Booky => &[(Way::MoreMembers, ALWAYS), (Way::ZonelessTimes, ALWAYS)],
        Protocol::Events => &[(Way::OtherKindsOfIds, ALWAYS), (Way::MoreMembers, ALWAYS), (Way::ZonelessTimes, ALWAYS)],
        Protocol::Insight => &[(Way::MoreMembers, ALWAYS), (Way::ZonelessTimes, ALWAYS), (Way::DecimalsAsText, ALWAYS)],
    }
}

fn own_ways(protocol: Protocol) -> &'static [(Way, u32)] {
    match protocol {
        Protocol::Nuqta => &[(Way::Wraps, ALWAYS), (Way::FailsAfterStoring, 1), (Way::LosesAnswers, 1)],
        Protocol::Auraflow => &[(Way::IgnoresSince, ALWAYS), (Way::LosesResults, ALWAYS)],
        Protocol::Events => &[(Way::CamelDialect, ALWAYS), (Way::LosesAnswers, 2)],
        Protocol::Booky => &[(Way::WantsNoTextTime, ALWAYS), (Way::WantsIdInData, ALWAYS), (Way::LosesAnswers, 2)],
        Protocol::Insight => &[(Way::AppliedInChanges, ALWAYS), (Way::EchoesNoDeletes, ALWAYS), (Way::LosesAnswers, 2)],
    }
}

/// A shop with two registers that hold orders 1 to 3.
#[track_caller]
fn shop_of_two(shop: &Shop) -> (Register, Register) {
    let (a, b) = (shop.register("a"), shop.register("b"));
    (1..=3).for_each(|n| shop.sell(&a, n));
    shop.settle(&[&a, &b]);
    (a, b)
}

/// Both hold the same, and so does the server.
#[track_caller]
fn all_is_well(shop: &Shop, registers: &[&Register], orders: usize) {
    shop.settle(registers);
    shop.has_the_orders_of(registers[0]);
    assert_eq!(shop.orders().len(), orders);
}

fn full_sync_from_scratch(shop: &Shop) {
    let a = shop.register("a");
    (1..=5).for_each(|n| shop.sell(&a, n));
    let b = shop.register("b");
    all_is_well(shop, &[&a, &b], 5);
    let late = shop.register("late");
    all_is_well(shop, &[&a, &late], 5);
}

fn delta_sync_with_changes(shop: &Shop) {
    let (a, b) = shop_of_two(shop);
    shop.sell(&a, 4);
    shop.change(&a, 1, "paid");
    shop.change(&b, 2, "taken away");
    pos(&b.store).execute("UPDATE order_items SET qty = 7 WHERE name = 'milk' AND order_id LIKE '%3'", []).unwrap();
    all_is_well(shop, &[&a, &b], 4);
    assert_eq!((note(&b, 1), note(&a, 2)), ("paid".to_owned(), "taken away".to_owned()));
}

/// Both change the same; both values are somewhere, one of them everywhere.
fn conflict_resolution(shop: &Shop) {
    let (a, b) = shop_of_two(shop);
    shop.change(&a, 1, "of a");
    try_sync(&a);
    shop.change(&b, 1, "of b");
    all_is_well(shop, &[&b, &a], 3);
    assert!(["of a", "of b"].contains(&note(&a, 1).as_str()), "{}", note(&a, 1));
    if shop.protocol == Protocol::Auraflow {
        assert_eq!(note(&b, 1), "of a", "the server wins");
    }
}

fn offline_queue(shop: &Shop) {
    let (a, b) = shop_of_two(shop);
    shop.cut(true);
    (4..=6).for_each(|n| shop.sell(&a, n));
    shop.change(&a, 4, "changed offline");
    a.tillsync(&["sync", "--timeout", "2"]).said(2, &["kept"]);
    assert!(a.status()["pending"].as_i64().unwrap() >= 3);
    shop.cut(false);
    all_is_well(shop, &[&a, &b], 6);
}

/// The wire is cut again and again while much is under way.
fn network_interruption_during_sync(shop: &Shop) {
    let (mut a, b) = shop_of_two(shop);
    a.start();
    for n in 4..=24 {
        shop.sell(&a, n);
        if n % 5 == 0 {
            shop.cut(true);
            shop.cut(false);
        }
    }
    a.waits_for("sent", |status| status["pending"] == 0);
    assert_eq!(a.stop(), 0);
    all_is_well(shop, &[&a, &b], 24);
}

fn large_data_sets(shop: &Shop) {
    let (a, b) = shop_of_two(shop);
    let many = "WITH n(v) AS (SELECT 4 UNION ALL SELECT v + 1 FROM n WHERE v < 250)";
    let id = "printf('00000000-0000-4000-8000-%012d', v)";
    pos(&a.store)
        .execute_batch(&format!(
            "BEGIN;
             {many} INSERT INTO orders SELECT {id}, 'ORD-' || v, v + 0.25, 'sold' FROM n;
             {many} INSERT INTO order_items SELECT {id} || '-1', {id}, 'tea', v FROM n;
             COMMIT"
        ))
        .unwrap();
    all_is_well(shop, &[&a, &b], 250);
}

fn concurrent_device_syncs(shop: &Shop) {
    let (a, b) = shop_of_two(shop);
    (10..30).for_each(|n| shop.sell(if n % 2 == 0 { &a } else { &b }, n));
    shop.change(&a, 1, "of a");
    shop.change(&b, 2, "of b");
    let mut both = [&a, &b]
        .map(|register| Running::start(&mut register.command(&["sync", "--timeout", "60"]), &register.folder.join("sync.out")));
    for sync in &mut both {
        sync.wait();
    }
    all_is_well(shop, &[&a, &b], 23);
}

fn sync_retry_after_failure(shop: &Shop) {
    let (mut a, b) = shop_of_two(shop);
    shop.cut(true);
    a.start();
    shop.sell(&a, 4);
    a.waits_for("told that it is offline", |status| status["pending"] != 0);
    shop.cut(false);
    a.waits_for("sent by itself", |status| status["pending"] == 0);
    assert_eq!(a.stop(), 0);
    all_is_well(shop, &[&a, &b], 4);
}

fn submitted_three_times(shop: &Shop) {
    let (a, b) = shop_of_two(shop);
    for _ in 0..3 {
        try_sync(&a);
    }
    // The same again, by a register that has lost its state and finds all of its rows unsent.
    std::fs::remove_dir_all(&a.state).unwrap();
    std::fs::remove_file(&a.config).unwrap();
    shop.set_up(&a);
    all_is_well(shop, &[&a, &b], 3);
}

/// Protocols that cannot tell of a delete keep the row for others; nothing brings it back where it was deleted.
fn deletes(shop: &Shop) {
    let (a, b) = shop_of_two(shop);
    pos(&a.store).execute_batch("DELETE FROM order_items WHERE order_id LIKE '%1'; DELETE FROM orders WHERE id LIKE '%1'").unwrap();
    try_sync(&a);
    try_sync(&b);
    shop.change(&b, 2, "still in step");
    for register in [&b, &a, &b] {
        try_sync(register);
    }
    assert_eq!((note(&a, 1), note(&a, 2)), (String::new(), "still in step".to_owned()));
    if matches!(shop.protocol, Protocol::Nuqta | Protocol::Events | Protocol::Insight) {
        all_is_well(shop, &[&a, &b], 2);
    }
}

/// Two registers live with a server that behaves so, from some moment on.
fn live_through(protocol: Protocol, ways: &[(Way, u32)]) {
    // What is never different later is so from the beginning.
    let always: Vec<Way> = ways.iter().filter(|(_, times)| *times == ALWAYS).map(|(way, _)| *way).collect();
    let shop = Shop::with_twin(protocol, &always);
    let (a, b) = shop_of_two(&shop);
    for (way, times) in ways.iter().filter(|(_, times)| *times != ALWAYS) {
        shop.twin().turn_on_for(*way, *times);
    }
    (4..=6).for_each(|n| shop.sell(&a, n));
    shop.change(&a, 1, "paid");
    shop.sell(&b, 7);
    shop.change(&b, 2, "taken away");
    all_is_well(&shop, &[&a, &b], 7);
    for (way, times) in ways {
        assert!(*times == ALWAYS || shop.twin().has_happened(*way), "{way:?} has not happened as often");
    }
    // A quiet shop stays quiet.
    let stored = shop.twin().stored();
    try_sync(&a);
    try_sync(&b);
    assert_eq!(shop.twin().stored(), stored, "nothing is written over and over");
}

fn one_item_is_bad(protocol: Protocol, ways: &[Way]) {
    let shop = Shop::with_twin(protocol, ways);
    let (a, b) = shop_of_two(&shop);
    (4..=6).for_each(|n| shop.sell(&a, n));
    shop.sell_with(&a, 7, POISON);
    (8..=10).for_each(|n| shop.sell(&a, n));
    all_is_well(&shop, &[&a, &b], 9);
    // Put right, it goes.
    shop.change(&a, 7, "good");
    let parked: Vec<serde_json::Value> = a.outbox();
    for entry in parked.iter().filter(|entry| entry["state"] == "parked") {
        a.tillsync(&["outbox", "retry", &entry["id"].to_string()]);
    }
    all_is_well(&shop, &[&a, &b], 10);
}

fn tokens_are_forgotten(protocol: Protocol) {
    let shop = Shop::with_twin(protocol, &[]);
    let (a, b) = shop_of_two(&shop);
    if protocol == Protocol::Auraflow {
        // It knows no tokens.
        return;
    }
    (4..=5).for_each(|n| shop.sell(&a, n));
    shop.twin().turn_on(Way::ForgetsTokens);
    let refused = a.tillsync(&["sync", "--timeout", "5"]);
    if protocol == Protocol::Booky {
        // A log-in is renewed by itself.
        assert_eq!(refused.code, 0, "{refused:#?}");
    } else {
        assert_eq!(refused.code, 4, "{refused:#?}");
        assert!(a.status()["pending"].as_i64().unwrap() >= 2, "the queue is kept");
    }
    shop.twin().turn_off(Way::ForgetsTokens);
    all_is_well(&shop, &[&a, &b], 5);
}

fn rate_is_limited(protocol: Protocol) {
    let shop = Shop::with_twin(protocol, &[]);
    let (mut a, b) = shop_of_two(&shop);
    if protocol == Protocol::Insight {
        shop.twin().turn_on(Way::LimitsInSecondsLeft);
    }
    // Who asks again while it waits never gets through.
    shop.twin().limit(3, Duration::from_secs(4));
    (4..=8).for_each(|n| shop.sell(&a, n));
    a.start();
    eventually("everything has got through", || (shop.orders().len() == 8).then_some(()));
    assert_eq!(a.stop(), 0);
    let refused = shop.twin().requests("").iter().filter(|(_, status)| *status == 429).count();
    assert!(refused <= 12, "{refused} requests while it was to wait");
    shop.twin().limit(10_000, Duration::from_secs(1));
    all_is_well(&shop, &[&a, &b], 8);
}

/// A transaction of another device that began before the last pull and ended after it.
fn late_commits(protocol: Protocol) {
    let shop = Shop::with_twin(protocol, &[]);
    let (a, b) = shop_of_two(&shop);
    shop.sell(&a, 4);
    shop.settle(&[&a, &b]);
    let number = if protocol == Protocol::Auraflow { "orderNumber" } else { "order_number" };
    let order = serde_json::json!({
        "id": shop::id(9), number: "ORD-9", "total": 9.5, "note": "late",
        "items": [{ "id": "late-1", "order_id": shop::id(9), "name": "tea", "qty": 1 }],
    });
    shop.twin().other_device_late(&shop::id(9), order);
    shop.settle(&[&a, &b]);
    assert_eq!((note(&a, 9), note(&b, 9)), ("late".to_owned(), "late".to_owned()));
}

/// Orders are pulled without their lines, and as if they were made just now: where the lines are, they stay.
#[test]
fn lines_survive_a_server_that_pulls_without_them() {
    let shop = Shop::with_twin(Protocol::Auraflow, &[Way::PullsWithoutLines, Way::IgnoresSince, Way::TellsAllAgain]);
    let (a, b) = (shop.register("a"), shop.register("b"));
    (1..=3).for_each(|n| shop.sell(&a, n));
    for register in [&a, &b, &a, &b] {
        try_sync(register);
    }
    shop.change(&b, 1, "paid");
    for register in [&b, &a, &b] {
        try_sync(register);
    }
    let lines = |register: &Register| count(&pos(&register.store), "SELECT count(*) FROM order_items");
    assert_eq!((lines(&a), lines(&b)), (6, 0));
    assert_eq!((note(&a, 1), note(&b, 1)), ("paid".to_owned(), "paid".to_owned()));
}

/// A server that keeps everything in memory is started again: what registers hold goes there once more.
fn server_is_reset(protocol: Protocol) {
    let shop = Shop::with_twin(protocol, &[]);
    let (a, b) = shop_of_two(&shop);
    shop.twin().restart();
    shop.sell(&a, 4);
    let told = try_sync(&a);
    if protocol == Protocol::Nuqta {
        // It knows no device any more, and a new one is a person's decision.
        assert_eq!(told.code, 4, "{told:#?}");
        assert_eq!(a.status()["pending"].as_i64().map(|pending| pending > 0), Some(true));
        return;
    }
    try_sync(&b);
    assert_eq!(
        (note(&a, 1), note(&b, 1), note(&a, 4)),
        ("sold".to_owned(), "sold".to_owned(), "sold".to_owned()),
        "nothing is lost"
    );
}
