//! The agent ends while it takes up a changed schema or puts back what the POS removed.

use tillsync_agent::agent::AgentError;
use tillsync_agent::state::marks;

use super::line::Plan;
use super::pos::Journal;
use super::register::Register;
use super::shop::{Shop, on_runtime};

const CAKE: &str = "INSERT INTO products VALUES (1, 'cake', 'Cake', 1.5, 10);";
const NAME: &str = "SELECT name FROM products WHERE id = 1";

const POINTS: [&str; 2] = ["installed", "schema taken up"];

/// The agent ends at this point of the next capture and is started again.
fn end_in_capture(register: &mut Register, point: &'static str) {
    register.end_at_point(point);
    let ended = loop {
        match register.agent().capture() {
            Ok(captured) if captured.more => {}
            ended => break ended,
        }
    };
    assert!(matches!(ended, Err(AgentError::Ended(_))), "{point}: {ended:?}");
    register.reopen();
}

#[test]
fn what_no_trigger_saw_is_looked_for_also_when_the_agent_ends_while_it_puts_them_back() {
    for point in POINTS {
        on_runtime(async {
            let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::default()).await;
            shop.a.sync().await;
            shop.b.sync().await;
            for trigger in shop.a.triggers() {
                shop.a.sell(&format!("DROP TRIGGER {trigger}"));
            }
            shop.a.sell("UPDATE products SET name = 'Big cake'");
            end_in_capture(&mut shop.a, point);
            shop.a.sync().await;
            let due = marks::get::<bool>(shop.a.agent().state().conn(), marks::SCAN_DUE).unwrap();
            assert_eq!(due, Some(true), "{point}");
            shop.a.agent().scan(false).unwrap();
            shop.a.sync().await;
            shop.b.sync().await;
            assert_eq!(shop.b.value(NAME).as_deref(), Some("Big cake"), "{point}");
        });
    }
}

#[test]
fn a_new_table_gets_its_rows_also_when_the_agent_ends_while_it_takes_it_up() {
    for point in POINTS {
        on_runtime(async {
            let new_table = "CREATE TABLE customers(id TEXT PRIMARY KEY, name TEXT)";
            let mut shop = Shop::with(Journal::Wal, CAKE, "", Plan::default()).await;
            shop.a.sell(new_table);
            shop.a.sell("INSERT INTO customers VALUES ('c-1', 'Salma')");
            shop.a.sync().await;
            shop.b.sync().await;
            shop.b.sell(new_table);
            end_in_capture(&mut shop.b, point);
            shop.b.sync().await;
            assert_eq!(shop.b.value("SELECT name FROM customers").as_deref(), Some("Salma"), "{point}");
        });
    }
}
