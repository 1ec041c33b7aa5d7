//! Notifications: few, and never for an ordinary time offline.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use zbus::zvariant::OwnedValue;

use crate::till::Till;

/// Longer than anything takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

struct Notifications(Mutex<Sender<(String, String)>>);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Notifications {
    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value, reason = "so the bus has it")]
    fn notify(
        &self,
        _app: &str,
        _replaces: u32,
        _icon: &str,
        title: String,
        text: String,
        _actions: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        _expires: i32,
    ) -> u32 {
        let _ = self.0.lock().unwrap().send((title, text));
        1
    }
}

#[test]
fn a_person_is_told_of_a_conflict_and_of_nothing_else() {
    let till = Till::open();
    let (sender, told) = channel();
    let service = till.desktop.bus().serve_at("/org/freedesktop/Notifications", Notifications(Mutex::new(sender))).unwrap();
    let _service = service.name("org.freedesktop.Notifications").unwrap().build().unwrap();
    let _app = till.start(&[]);
    let item = till.panel.item();
    item.says("Up to date");
    till.goes_offline();
    till.pos().execute_batch("INSERT INTO sales VALUES (1, 100)").unwrap();
    item.click("Sync now");
    item.begins("Offline");
    till.is_online_again();
    item.click("Sync now");
    item.says("Up to date");
    till.disagrees_about_the_tea(120, 110);
    item.click("Sync now");
    let (title, text) = told.recv_timeout(PATIENCE).expect("a notification");
    assert_eq!(title, "Two registers disagree", "{text}");
    item.says("Needs attention (1)");
    assert!(told.try_recv().is_err());
}
