//! The window of a register that is set up, used as a person uses it.

use crate::support::{count, eventually};
use crate::till::Till;
use crate::webdriver::Browser;

#[test]
fn a_person_syncs_decides_and_goes_on_after_an_outage() {
    let till = Till::open();
    let config = till.register.config.to_str().unwrap();
    let window = Browser::start(&till.desktop, &["--config", config]);
    let item = till.panel.item();
    window.shows("Up to date");
    window.shows("Till 2");

    till.sells_elsewhere(7);
    assert!(!till.knows_sale(7), "nobody has asked yet");
    window.click("Sync now");
    till.has_sale(7);
    window.picture("status-en");

    till.goes_offline();
    till.pos().execute_batch("INSERT INTO sales VALUES (1, 100)").unwrap();
    window.click("Sync now");
    window.shows("Offline, 1 change waiting since");
    item.begins("Offline, 1 change waiting since");
    till.is_online_again();
    window.click("Sync now");
    window.shows("Up to date");

    till.disagrees_about_the_tea(120, 110);
    window.click("Sync now");
    window.shows("Needs attention (1)");
    item.click("Conflicts (1)…");
    window.click("Tea");
    window.shows("120");
    window.shows("110");
    window.picture("conflict-en");
    window.click("Keep this register's");
    eventually("the decision is carried out", || {
        (till.shop.hub.number("SELECT count(*) FROM conflict_log WHERE resolution = 'pending'") == 0).then_some(())
    });
    till.other.sync();
    assert_eq!(count(&crate::support::pos(&till.other.store), "SELECT price FROM products WHERE id = 1"), 120);
    item.says("Up to date");

    window.click("Settings");
    window.choose("Language", "ar");
    eventually("the window is mirrored", || (window.run("return document.documentElement.dir", &[]) == "rtl").then_some(()));
    item.says("كل شيء محدَّث");
    window.click("الحالة");
    window.picture("status-ar");
}
