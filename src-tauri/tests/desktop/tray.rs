//! The tray item and its menu, read and clicked over the bus.

use std::fs;

use crate::desktop::Desktop;
use crate::panel::{Panel, find, labels};
use crate::support::{Shop, eventually};
use crate::till::{Till, start};

#[test]
fn a_person_sees_one_sentence_and_clicks_sync_now() {
    let till = Till::open();
    let mut app = till.start(&[]);
    let item = till.panel.item();
    item.says("Up to date");
    assert_eq!(item.urgency(), "Active");
    assert_eq!(
        labels(&item.menu()),
        [
            "Up to date",
            "Sync now",
            r#"Pause for ["30 minutes", "1 hour", "4 hours", "Until I resume"]"#,
            "Conflicts (0)…",
            "Open",
            r#"Help ["Copy diagnostics", "Open log folder", "About Tillsync"]"#,
            "Quit",
        ]
    );
    till.sells_elsewhere(7);
    assert!(!till.knows_sale(7), "nobody has asked yet");
    item.click("Sync now");
    till.has_sale(7);
    item.click("Quit");
    assert_eq!(app.wait(), 0, "nothing is unsent, so nobody is asked");
}

#[test]
fn the_icon_follows_the_state() {
    let till = Till::open();
    let _app = till.start(&[]);
    let item = till.panel.item();
    item.says("Up to date");
    let synced = item.icon();
    assert_eq!((synced.0, synced.1, synced.2.len()), (64, 64, 64 * 64 * 4));

    item.click("Until I resume");
    item.says("Paused");
    let paused = item.icon();
    assert!(!find(&item.menu(), "Sync now").unwrap().enabled);
    item.click("Resume");
    item.says("Up to date");

    till.goes_offline();
    till.pos().execute_batch("INSERT INTO sales VALUES (1, 100)").unwrap();
    item.click("Sync now");
    let sentence = item.begins("Offline, 1 change waiting since ");
    assert!(sentence.ends_with(char::is_numeric), "{sentence}");
    let offline = item.icon();
    till.is_online_again();
    item.click("Sync now");
    item.says("Up to date");
    assert_eq!(item.icon(), synced);

    till.disagrees_about_the_tea(120, 110);
    item.click("Sync now");
    item.says("Needs attention (1)");
    assert_eq!(item.urgency(), "NeedsAttention");
    assert!(find(&item.menu(), "Conflicts (1)…").unwrap().enabled);
    let attention = item.icon();
    let all = [synced, paused, offline, attention];
    for (place, icon) in all.iter().enumerate() {
        assert!(!all[..place].contains(icon), "two states have one drawing");
    }
}

#[test]
fn help_is_in_the_menu() {
    let till = Till::open();
    // What opens folders on this desktop notes which one it was asked for.
    let opened = till.desktop.home.join("opened");
    let programs = till.desktop.home.join("programs");
    fs::create_dir(&programs).unwrap();
    let script = programs.join("xdg-open");
    fs::write(&script, format!("#!/bin/sh\nprintf %s \"$1\" > {}\n", opened.display())).unwrap();
    crate::support::shell(&format!("chmod +x {}", script.display())).good();
    let mut till = till;
    till.desktop.set("PATH", &format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()));
    let _app = till.start(&[]);
    let item = till.panel.item();
    item.says("Up to date");

    item.click("Open log folder");
    let folder = eventually("the folder is opened", || fs::read_to_string(&opened).ok().filter(|folder| !folder.is_empty()));
    assert!(fs::read_dir(folder).unwrap().count() > 0, "the log is there");

    item.click("Copy diagnostics");
    let copied = eventually("the clipboard holds it", || {
        let got = till.desktop.command("xclip").args(["-selection", "clipboard", "-out"]).output().unwrap();
        got.status.success().then(|| String::from_utf8(got.stdout).unwrap())
    });
    let facts: serde_json::Value = serde_json::from_str(&copied).unwrap();
    assert_eq!((facts["state"].as_str(), facts["pending"].as_u64()), (Some("synced"), Some(0)), "{copied}");
    for private in [till.desktop.home.to_str().unwrap(), "Tea", "127.0.0.1"] {
        assert!(!copied.contains(private), "{private} is in {copied}");
    }

    item.click("About Tillsync");
    till.desktop.window("^Tillsync");
}

#[test]
fn a_machine_that_is_no_register_says_so() {
    let shop = Shop::open();
    let register = shop.empty_register("till-9");
    let mut desktop = Desktop::start(&register.folder);
    desktop.set("LANGUAGE", "ar");
    desktop.set("LANG", "ar_EG.UTF-8");
    let panel = Panel::start(&desktop);
    let mut app = start(&desktop, None, &[]);
    let item = panel.item();
    item.says("غير مُعَدّ");
    assert_eq!(labels(&item.menu()).len(), 4);
    item.click("إنهاء");
    assert_eq!(app.wait(), 0);
}
