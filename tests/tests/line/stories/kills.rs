//! Power cuts: agents and hub are killed again and again while a till sells. Nothing is lost, nothing is doubled.

use std::process::Command;

use tillsync_tests::pos::Receipts;
use tillsync_tests::retail::{Journal, With, create_store};

use super::support::{Running, Shop, count, eventually, pos, program, same};

/// How often each of the three programs is killed.
const ROUNDS: usize = 6;

/// Receipts printed between two kills, so that there is something on its way each time.
const RECEIPTS_PER_KILL: usize = 12;

#[test]
fn hazard_14_killing_agents_and_hub_loses_and_doubles_nothing() {
    let mut shop = Shop::open();
    let (mut a, mut b) = (shop.empty_register("a"), shop.empty_register("b"));
    for register in [&a, &b] {
        create_store(&register.store, Journal::Wal, With::Catalogue).unwrap();
        register.init(&shop.hub.url).good();
        register.sync();
    }
    let rolls = [&a, &b].map(|register| register.folder.join("roll"));
    let mut tills: Vec<Running> = [(&a, "1"), (&b, "2")]
        .iter()
        .zip(&rolls)
        .map(|((register, number), roll)| {
            let mut command = Command::new(program("pos-simulator"));
            command.arg("--store").arg(&register.store).args([
                "--register",
                number,
                "--per-second",
                "40",
                "--busy-timeout",
                "10000",
            ]);
            command.arg("--receipts").arg(roll);
            Running::start(&mut command, &register.folder.join("till.out"))
        })
        .collect();
    a.start_blindly();
    b.start_blindly();
    let printed = || -> usize { rolls.iter().map(|roll| Receipts::read(roll).map_or(0, |lines| lines.len())).sum() };
    let mut seen = printed();
    for _ in 0..ROUNDS {
        for victim in 0..3 {
            eventually("the tills go on selling", || (printed() >= seen + RECEIPTS_PER_KILL).then_some(()));
            seen = printed();
            match victim {
                0 => {
                    a.kill();
                    a.start_blindly();
                }
                1 => {
                    shop.hub.kill();
                    shop.hub.start_again();
                }
                _ => {
                    b.kill();
                    b.start_blindly();
                }
            }
        }
    }
    for till in &mut tills {
        assert_eq!(till.stop(), 0);
    }
    for register in [&a, &b] {
        // With faults over and no new sale, what is left goes by itself.
        register.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
    }
    eventually("both stores are the same", || {
        (super::support::content(&a.store) == super::support::content(&b.store)).then_some(())
    });
    same(&a.store, &b.store);
    let (till, mut sold) = (pos(&a.store), 0);
    for roll in &rolls {
        for (basket, cents) in Receipts::read(roll).unwrap() {
            let stored = count(&till, &format!("SELECT count(*) FROM sales WHERE basket_id = {basket}"));
            assert_eq!(stored, i64::from(cents.is_some()), "sale {basket}");
            let sum = count(&till, &format!("SELECT coalesce(sum(sales_cents), 0) FROM sale_items WHERE basket_id = {basket}"));
            assert_eq!(sum, cents.unwrap_or(0), "the cents of sale {basket}");
            sold += stored;
        }
    }
    assert_eq!(count(&till, "SELECT count(*) FROM sales"), sold, "no sale that nobody rang up");
    let rows = count(
        &till,
        "SELECT (SELECT count(*) FROM sales) + (SELECT count(*) FROM sale_items) + (SELECT count(*) FROM products) + (SELECT count(*) FROM customers)",
    );
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted"), rows);
    assert_eq!(shop.hub.number("SELECT count(*) - count(DISTINCT event_id) FROM change_log"), 0);
    eprintln!("{} kills, {sold} sales, 0 lost, 0 doubled", 3 * ROUNDS);
}
