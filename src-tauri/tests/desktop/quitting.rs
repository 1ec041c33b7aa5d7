//! Quitting.

use crate::support::{count, eventually, pos};
use crate::till::Till;

#[test]
fn who_quits_with_unsent_changes_is_asked_first_and_loses_none() {
    let till = Till::open();
    let mut app = till.start(&[]);
    let item = till.panel.item();
    item.says("Up to date");
    till.goes_offline();
    till.pos().execute_batch("INSERT INTO sales VALUES (1, 100)").unwrap();
    item.click("Sync now");
    item.begins("Offline, 1 change waiting");

    item.click("Quit");
    let question = till.desktop.window("Quit Tillsync");
    till.desktop.press(&question, &["Escape"]);
    eventually("the question is gone", || till.desktop.windows("Quit Tillsync").is_empty().then_some(()));
    assert!(app.is_alive());
    item.begins("Offline, 1 change waiting");

    // Return means the harmless answer.
    item.click("Quit");
    let question = till.desktop.window("Quit Tillsync");
    till.desktop.press(&question, &["Return"]);
    eventually("the question is gone", || till.desktop.windows("Quit Tillsync").is_empty().then_some(()));
    assert!(app.is_alive());

    item.click("Quit");
    let question = till.desktop.window("Quit Tillsync");
    till.desktop.press(&question, &["Left", "Return"]);
    assert_eq!(app.wait(), 0);
    assert_eq!(till.register.outbox().len(), 1);

    till.is_online_again();
    let _app = till.start(&[]);
    till.panel.item().says("Up to date");
    till.other.sync();
    assert_eq!(count(&pos(&till.other.store), "SELECT total FROM sales WHERE id = 1"), 100);
}

#[test]
fn an_end_of_the_session_is_a_clean_end() {
    let till = Till::open();
    let mut app = till.start(&[]);
    let item = till.panel.item();
    item.says("Up to date");
    item.activate();
    till.desktop.window("^Tillsync");
    till.pos().execute_batch("INSERT INTO sales VALUES (1, 100)").unwrap();
    assert_eq!(app.stop(), 0);
    assert_eq!(till.shop.hub.number("SELECT count(*) FROM change_log WHERE entity_type = 'sales'"), 1, "it was sent at the end");
}
