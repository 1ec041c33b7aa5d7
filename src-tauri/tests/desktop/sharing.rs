//! One register, one agent, one app: whatever is started twice.

use crate::support::eventually;
use crate::till::Till;

#[test]
fn a_second_start_shows_the_window_of_the_first() {
    let till = Till::open();
    let mut app = till.start(&[]);
    let item = till.panel.item();
    item.says("Up to date");
    assert!(till.desktop.windows("^Tillsync").is_empty(), "nobody has asked for the window");
    let mut second = till.start(&[]);
    assert_eq!(second.wait(), 0);
    till.desktop.window("^Tillsync");
    assert!(app.is_alive());
    // Another click on the icon finds the same window.
    item.activate();
    assert_eq!(till.desktop.windows("^Tillsync").len(), 1);
}

#[test]
fn the_app_attaches_to_a_headless_agent_and_takes_over_when_that_ends() {
    let mut till = Till::open();
    till.register.start();
    let mut app = till.start(&[]);
    let item = till.panel.item();
    item.says("Up to date");
    till.sells_elsewhere(7);
    item.click("Sync now");
    till.has_sale(7);
    assert_eq!(till.register.status()["running"], true);

    // Quitting the app is not the end of somebody else's agent.
    till.goes_offline();
    till.pos().execute_batch("INSERT INTO sales VALUES (1, 100)").unwrap();
    item.click("Sync now");
    item.begins("Offline, 1 change waiting");
    item.click("Quit");
    assert_eq!(app.wait(), 0);
    assert!(till.register.is_alive());
    till.is_online_again();

    let _app = till.start(&[]);
    let item = till.panel.item();
    item.click("Sync now");
    item.says("Up to date");
    assert_eq!(till.register.stop(), 0);
    eventually("the app is the agent", || (till.register.status()["running"] == true).then_some(()));
    till.sells_elsewhere(8);
    item.click("Sync now");
    till.has_sale(8);
}
