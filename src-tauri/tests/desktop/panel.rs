//! The panel: takes tray items in, and reads and clicks them as a desktop's panel does, over the bus.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use zbus::blocking::proxy::Builder;
use zbus::blocking::{Connection, Proxy};
use zbus::message::Header;
use zbus::proxy::CacheProperties;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Structure, Value};

use crate::desktop::Desktop;
use crate::support::eventually;

/// Longer than any start takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A drawing: width, height, and pixels with alpha first.
pub type Pixels = (i32, i32, Vec<u8>);

/// A node of a menu as it is on the bus: number, properties, nodes below.
type Node = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

struct Watcher(Mutex<Sender<(String, String)>>);

#[allow(clippy::needless_pass_by_value, reason = "so the bus hands it over")]
#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(&self, service: &str, #[zbus(header)] header: Header<'_>) {
        let sender = header.sender().unwrap().to_string();
        // Some name their object, some their name on the bus.
        let item = if service.starts_with('/') {
            (sender, service.to_owned())
        } else {
            (service.to_owned(), "/StatusNotifierItem".to_owned())
        };
        let _ = self.0.lock().unwrap().send(item);
    }

    fn register_status_notifier_host(&self, _service: &str) {}

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        Vec::new()
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }
}

/// A panel that is there before the apps.
pub struct Panel {
    bus: Connection,
    items: Receiver<(String, String)>,
}

impl Panel {
    pub fn start(desktop: &Desktop) -> Self {
        let (sender, items) = channel();
        let bus = desktop.bus().serve_at("/StatusNotifierWatcher", Watcher(Mutex::new(sender))).unwrap();
        let bus = bus.name("org.kde.StatusNotifierWatcher").unwrap().build().unwrap();
        Self { bus, items }
    }

    /// Waits for a tray item.
    #[track_caller]
    pub fn item(&self) -> Item {
        let (service, path) = self.items.recv_timeout(PATIENCE).expect("a tray item");
        Item { bus: self.bus.clone(), service, path }
    }
}

/// A tray item.
pub struct Item {
    bus: Connection,
    service: String,
    path: String,
}

/// A line of its menu.
#[derive(Clone, Debug)]
pub struct Line {
    id: i32,
    pub label: String,
    pub enabled: bool,
    pub below: Vec<Line>,
}

impl Item {
    fn proxy(&self, path: &str, interface: &'static str) -> Proxy<'static> {
        let builder = Builder::new(&self.bus).destination(self.service.clone()).unwrap().path(path.to_owned()).unwrap();
        builder.interface(interface).unwrap().cache_properties(CacheProperties::No).build().unwrap()
    }

    fn properties(&self) -> Proxy<'static> {
        self.proxy(&self.path, "org.kde.StatusNotifierItem")
    }

    /// The sentence, as a person sees it who points at the icon.
    pub fn tooltip(&self) -> String {
        let (_, _, title, text): (String, Vec<Pixels>, String, String) = self.properties().get_property("ToolTip").unwrap();
        assert_eq!(title, "Tillsync");
        plain(&text)
    }

    /// `Active` or `NeedsAttention`.
    pub fn urgency(&self) -> String {
        self.properties().get_property("Status").unwrap()
    }

    /// The drawing.
    pub fn icon(&self) -> Pixels {
        let mut pixels: Vec<Pixels> = self.properties().get_property("IconPixmap").unwrap();
        pixels.pop().expect("an icon")
    }

    /// Clicks the icon.
    pub fn activate(&self) {
        self.properties().call::<_, _, ()>("Activate", &(0, 0)).unwrap();
    }

    /// The menu.
    pub fn menu(&self) -> Vec<Line> {
        let nothing: Vec<&str> = Vec::new();
        let layout: (u32, Node) = self.menu_proxy().call("GetLayout", &(0, -1, nothing)).unwrap();
        layout.1.2.into_iter().filter_map(|line| parse(&line)).collect()
    }

    fn menu_proxy(&self) -> Proxy<'static> {
        let path: OwnedObjectPath = self.properties().get_property("Menu").unwrap();
        self.proxy(path.as_str(), "com.canonical.dbusmenu")
    }

    /// Clicks a line of the menu, wherever it is.
    #[track_caller]
    pub fn click(&self, label: &str) {
        let menu = self.menu();
        let line = find(&menu, label).unwrap_or_else(|| panic!("no {label} in {menu:#?}"));
        assert!(line.enabled, "{label} cannot be clicked");
        // Whoever quits may be gone before they have answered.
        self.menu_proxy().call_noreply("Event", &(line.id, "clicked", Value::from(0), 0_u32)).unwrap();
    }

    /// Waits for the sentence.
    #[track_caller]
    pub fn says(&self, sentence: &str) {
        self.says_something(sentence, |said| said == sentence);
    }

    /// Waits for a sentence that begins like this.
    #[track_caller]
    pub fn begins(&self, start: &str) -> String {
        self.says_something(start, |said| said.starts_with(start))
    }

    #[track_caller]
    fn says_something(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        eventually(&format!("the tray says {what}"), || {
            let now = self.tooltip();
            if now != last {
                eprintln!("the tray says: {now}");
                last.clone_from(&now);
            }
            is_it(&now).then_some(now)
        })
    }
}

/// The labels of lines, submenus' in brackets behind them.
pub fn labels(lines: &[Line]) -> Vec<String> {
    let one = |line: &Line| match line.below.is_empty() {
        true => line.label.clone(),
        false => format!("{} {:?}", line.label, labels(&line.below)),
    };
    lines.iter().map(one).collect()
}

/// A line by its label.
pub fn find<'a>(lines: &'a [Line], label: &str) -> Option<&'a Line> {
    lines.iter().find_map(|line| if line.label == label { Some(line) } else { find(&line.below, label) })
}

fn parse(line: &Value<'_>) -> Option<Line> {
    let line = match line {
        Value::Value(line) => line,
        line => line,
    };
    let line = Structure::try_from(line.try_clone().unwrap()).unwrap();
    let (id, properties, below): Node = line.try_into().unwrap();
    let text = |name: &str| properties.get(name).and_then(|value| String::try_from(value.try_clone().unwrap()).ok());
    if text("type").as_deref() == Some("separator") {
        return None;
    }
    let enabled = properties.get("enabled").is_none_or(|value| bool::try_from(value.try_clone().unwrap()).unwrap());
    let label = plain(&text("label").unwrap_or_default().replace("__", "_"));
    Some(Line { id, label, enabled, below: below.iter().filter_map(|line| parse(line)).collect() })
}

/// Without the marks that keep numbers in place in right-to-left sentences.
fn plain(text: &str) -> String {
    text.replace(['\u{2068}', '\u{2069}'], "")
}
