//! Starting at login.

use std::fs;

use crate::desktop::Desktop;
use crate::panel::Panel;
use crate::support::{Shop, eventually};
use crate::till::{PROGRAM, Till, start};

#[test]
fn the_first_start_is_the_first_of_many() {
    let shop = Shop::open();
    let register = shop.empty_register("till-9");
    let desktop = Desktop::start(&register.folder);
    let panel = Panel::start(&desktop);
    let entry = desktop.home.join(".config/autostart/Tillsync.desktop");
    let mut app = start(&desktop, None, &[]);
    let item = panel.item();
    let text = eventually("the entry is there", || fs::read_to_string(&entry).ok().filter(|text| text.contains("Exec=")));
    assert!(text.lines().any(|line| line.trim_end() == format!("Exec={PROGRAM}")), "{text}");
    item.click("Quit");
    assert_eq!(app.wait(), 0);

    // Who takes it away means it.
    fs::remove_file(&entry).unwrap();
    let mut app = start(&desktop, None, &[]);
    let item = panel.item();
    item.says("Not set up");
    item.click("Quit");
    assert_eq!(app.wait(), 0);
    assert!(!entry.exists());
}

#[test]
fn what_the_administrator_says_about_the_login_holds() {
    let shop = Shop::open();
    let register = shop.empty_register("till-9");
    let mut desktop = Desktop::start(&register.folder);
    let panel = Panel::start(&desktop);
    let entry = desktop.home.join(".config/autostart/Tillsync.desktop");
    let policy = desktop.home.join("policy.toml");
    desktop.set("TILLSYNC_TEST_POLICY", policy.to_str().unwrap());
    let wanted = [("autostart = true", true), ("autostart = false", false), ("autostart = true\nlanguage = 'ar'", true)];
    for (text, is_there) in wanted {
        fs::write(&policy, text).unwrap();
        let mut app = start(&desktop, None, &[]);
        let item = panel.item();
        let (sentence, quit) = if text.contains("ar'") { ("غير مُعَدّ", "إنهاء") } else { ("Not set up", "Quit") };
        item.says(sentence);
        eventually("the entry is as it should be", || (entry.exists() == is_there).then_some(()));
        item.click(quit);
        assert_eq!(app.wait(), 0);
    }
}

#[test]
fn an_app_for_another_config_leaves_the_login_alone() {
    let till = Till::open();
    let _app = till.start(&[]);
    till.panel.item().says("Up to date");
    assert!(!till.desktop.home.join(".config/autostart").exists());
}
