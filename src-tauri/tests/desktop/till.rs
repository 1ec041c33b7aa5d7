//! A shop with two tills: one that its test works from the command line, and one with the tray app on a desktop.

use std::path::Path;

use rusqlite::Connection;

use crate::desktop::Desktop;
use crate::panel::Panel;
use crate::support::{Network, Register, Running, Shop, Way, count, eventually, pos};

const SCHEMA: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY, total INTEGER);
    CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, price INTEGER, shelf TEXT)";

const ROWS: &str = "INSERT INTO products VALUES (1, 'Tea', 100, 'B4'), (2, 'Coffee', 250, 'B5')";

/// A till that looks for news only when it is asked to: whatever happens, happens because somebody clicked.
pub struct Till {
    pub other: Register,
    pub register: Register,
    pub network: Network,
    pub panel: Panel,
    pub desktop: Desktop,
    pub shop: Shop,
}

impl Till {
    /// Both tills are set up and up to date; the tray app does not run yet.
    pub fn open() -> Self {
        let shop = Shop::open();
        let network = Network::new(Way::To(shop.hub.address().to_owned()));
        let (mut other, mut register) = (shop.register("till-1", SCHEMA), shop.register("till-2", SCHEMA));
        "Till 1".clone_into(&mut other.name);
        "Till 2".clone_into(&mut register.name);
        pos(&other.store).execute_batch(ROWS).unwrap();
        for (register, url) in [(&other, &shop.hub.url), (&register, &network.url)] {
            register.init(url).good();
            register.tillsync(&["tables", "set", "products", "--column", "price=manual"]).good();
            register.sync();
        }
        register.configure("long_poll", "false");
        register.configure("interval_ms", "3600000");
        let desktop = Desktop::start(&register.folder);
        let panel = Panel::start(&desktop);
        Self { other, register, network, panel, desktop, shop }
    }

    /// Starts the tray app.
    pub fn start(&self, more: &[&str]) -> Running {
        start(&self.desktop, Some(&self.register.config), more)
    }

    /// The POS of this till.
    pub fn pos(&self) -> Connection {
        pos(&self.register.store)
    }

    /// A sale at the other till, which is at the hub when this returns.
    pub fn sells_elsewhere(&self, id: i64) {
        pos(&self.other.store).execute("INSERT INTO sales VALUES (?1, 995)", [id]).unwrap();
        self.other.sync();
    }

    /// Waits for a sale in this till's store.
    #[track_caller]
    pub fn has_sale(&self, id: i64) {
        let sql = format!("SELECT count(*) FROM sales WHERE id = {id}");
        eventually("the sale is here", || (count(&self.pos(), &sql) == 1).then_some(()));
    }

    /// Whether a sale is in this till's store.
    pub fn knows_sale(&self, id: i64) -> bool {
        count(&self.pos(), &format!("SELECT count(*) FROM sales WHERE id = {id}")) == 1
    }

    /// The network is gone.
    pub fn goes_offline(&self) {
        self.network.turn(Way::Cut);
    }

    /// It is back.
    pub fn is_online_again(&self) {
        self.network.turn(Way::To(self.shop.hub.address().to_owned()));
    }

    /// Both tills have another price for the tea, and neither knows of the other's.
    pub fn disagrees_about_the_tea(&self, here: i64, there: i64) {
        pos(&self.other.store).execute("UPDATE products SET price = ?1 WHERE id = 1", [there]).unwrap();
        self.other.sync();
        self.pos().execute("UPDATE products SET price = ?1, shelf = 'C1' WHERE id = 1", [here]).unwrap();
    }
}

/// Starts the tray app on a desktop.
pub fn start(desktop: &Desktop, config: Option<&Path>, more: &[&str]) -> Running {
    let mut command = desktop.command(PROGRAM);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    Running::start(command.args(more), &desktop.home.join("tray.out"))
}

/// The tray app.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tillsync-tray");
