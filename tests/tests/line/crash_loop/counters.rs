//! Counters: two registers sell of the same stock without knowing of each other, and whatever ends or gets lost, what is left is
//! what was there less what both sold.

use rusqlite::Connection;
use tillsync_core::config::Table;
use tillsync_core::policy::Rule;

use super::STEPS_MAX;
use super::line::{Fault, Plan};
use super::pos::Journal;
use super::register::Tables;
use super::shop::{Shop, on_runtime};

const TEA: &str = "INSERT INTO products VALUES (1, 'tea', 'Tea', 1.5, 20);";
const STOCK: &str = "SELECT CAST(stock AS TEXT) FROM products WHERE id = 1";
const SOLD: &str = "UPDATE products SET stock = stock -";

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    None,
    Call(i64, Fault),
    EndOfA(i64),
    EndOfB(i64),
}

/// A sells 1 and 2, B sells 4, each captured on its own before any of it is sent. Gives back whether the trouble came.
async fn run(trouble: Trouble) -> bool {
    let rule = Table { columns: [("stock".to_owned(), Rule::Sum)].into(), ..Table::default() };
    let tables = Tables::from([("products".to_owned(), rule)]);
    let plan = match trouble {
        // After the two registrations.
        Trouble::Call(call, fault) => Plan::at(call + 2, fault),
        Trouble::None | Trouble::EndOfA(_) | Trouble::EndOfB(_) => Plan::default(),
    };
    let mut shop = Shop::with_tables(Journal::Wal, [TEA, ""], &tables, plan.clone()).await;
    match trouble {
        Trouble::EndOfA(step) => shop.a.end_at(step),
        Trouble::EndOfB(step) => shop.b.end_at(step),
        Trouble::None | Trouble::Call(..) => {}
    }
    shop.a.sync().await;
    shop.b.sync().await;
    for sold in [1, 2] {
        shop.a.sell(&format!("{SOLD} {sold}"));
        shop.a.capture();
    }
    shop.b.sell(&format!("{SOLD} 4"));
    shop.b.sync().await;
    shop.a.sync().await;
    shop.b.sync().await;
    for register in [&shop.a, &shop.b] {
        assert_eq!(register.value(STOCK).as_deref(), Some("13"), "{trouble:?}");
    }
    let sql = "SELECT data ->> 'stock' FROM change_log ORDER BY id DESC LIMIT 1";
    let stock: i64 = Connection::open(shop.hub()).unwrap().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(stock, 13, "{trouble:?}");
    plan.happened() || shop.a.was_ended() || shop.b.was_ended()
}

fn check(places_min: i64, trouble: impl Fn(i64) -> Trouble) {
    for place in 1..STEPS_MAX {
        if !on_runtime(run(trouble(place))) {
            assert!(place > places_min, "only {} places", place - 1);
            return;
        }
    }
    panic!("the scenario never ends undisturbed");
}

#[test]
fn what_two_registers_sell_of_one_stock_is_gone_once() {
    assert!(!on_runtime(run(Trouble::None)));
}

#[test]
fn counters_survive_lost_and_repeated_calls() {
    for fault in [Fault::RequestLost, Fault::AnswerLost, Fault::Doubled] {
        check(8, |call| Trouble::Call(call, fault));
    }
}

#[test]
fn counters_survive_an_end_after_every_step() {
    check(15, Trouble::EndOfA);
    check(15, Trouble::EndOfB);
}
