//! A shop whose server speaks another protocol: our hub or a twin, and registers whose agents speak it, too.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::stories::support::{Ended, Hub, Network, Register, Way as Road, pos, same, text};
use crate::twins::{PASSWORD, POISON, Protocol, Twin, Way};

/// Orders with their items. Ids are UUIDs, since one of the servers takes no others.
pub const SCHEMA: &str = "
    CREATE TABLE orders(id TEXT PRIMARY KEY, order_number TEXT UNIQUE, total REAL, note TEXT);
    CREATE TABLE order_items(id TEXT PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders(id), name TEXT, qty INTEGER);";

/// So often registers sync in turns until nothing is left to do; each fault costs a few.
const ROUNDS: usize = 12;

/// What the protocol calls an order.
fn entity(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Nuqta => "Sale",
        Protocol::Auraflow => "order",
        Protocol::Events => "sales",
        Protocol::Booky => "book",
        Protocol::Insight => "submissions",
    }
}

/// The protocol's name.
pub fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Nuqta => "nuqta",
        Protocol::Auraflow => "auraflow",
        Protocol::Events => "events",
        Protocol::Booky => "booky",
        Protocol::Insight => "insight",
    }
}

/// A config with what the protocol calls things, and `tillsync init` with it.
pub fn init(register: &Register, protocol: Protocol, server: &str, words: &str, more: &[&str]) {
    let (store, state) = (register.store.to_str().unwrap(), register.state.to_str().unwrap());
    let text = format!(
        "store = '{store}'\nserver = '{server}'\nname = '{}'\nprotocol = '{}'\nstate_dir = '{state}'\n{words}",
        register.name,
        name(protocol)
    );
    fs::write(&register.config, text).unwrap();
    let fixed = ["init", "--credentials", "file", "--key", "*=global"];
    let mut command = register.command(&[&fixed, more].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The same words for hub and agent: the items travel inside their order.
pub fn entities(protocol: Protocol, section: &str) -> String {
    let entity = entity(protocol);
    let number = if protocol == Protocol::Auraflow { "fields.orderNumber = 'order_number'\n" } else { "" };
    format!("\n[{section}.{entity}]\ntable = 'orders'\n{number}children.items = {{ table = 'order_items', parent = 'order_id' }}\n")
}

enum Server {
    Hub(Box<Hub>, String),
    Twin(Twin),
}

/// A server and its registers.
pub struct Shop {
    pub protocol: Protocol,
    server: Server,
    /// Of the server, by a network that can be cut.
    url: String,
    network: Network,
    folder: TempDir,
}

/// The id of an order.
pub fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

impl Shop {
    /// With our hub.
    pub fn with_hub(protocol: Protocol) -> Self {
        let folder = tempfile::Builder::new().prefix("matrix-").tempdir().unwrap();
        let file = folder.path().join("protocols.toml");
        let mut words = String::new();
        if protocol != Protocol::Nuqta {
            let limit = if protocol == Protocol::Booky { "[booky]\nlimit = false\n" } else { "" };
            words = format!("{limit}{}", entities(protocol, &format!("{}.entities", name(protocol))));
        }
        fs::write(&file, words).unwrap();
        let hub = Hub::start(&folder.path().join("hub.db"), &["--open-registration", "--protocols", file.to_str().unwrap()]);
        let token = hub.user_token("shop");
        let network = Network::new(Road::To(hub.address().to_owned()));
        // The hub's own paths are in the way there.
        let prefix = if protocol == Protocol::Events { "/events" } else { "" };
        let url = format!("{}{prefix}", network.url);
        Self { url, protocol, server: Server::Hub(Box::new(hub), token), network, folder }
    }

    /// With a twin that behaves in these ways from the beginning.
    pub fn with_twin(protocol: Protocol, ways: &[Way]) -> Self {
        let folder = tempfile::Builder::new().prefix("matrix-").tempdir().unwrap();
        let twin = protocol.twin(ways);
        let network = Network::new(Road::To(twin.url.trim_start_matches("http://").to_owned()));
        Self { url: network.url.clone(), protocol, server: Server::Twin(twin), network, folder }
    }

    /// The twin.
    pub fn twin(&self) -> &Twin {
        match &self.server {
            Server::Twin(twin) => twin,
            Server::Hub(..) => panic!("this shop has a hub"),
        }
    }

    /// Nothing gets through, or everything does again.
    pub fn cut(&self, is_cut: bool) {
        let address = match &self.server {
            Server::Hub(hub, _) => hub.address(),
            Server::Twin(twin) => twin.url.trim_start_matches("http://"),
        };
        self.network.turn(if is_cut { Road::Cut } else { Road::To(address.to_owned()) });
    }

    /// A register with a store that holds nothing yet, set up.
    pub fn register(&self, name: &str) -> Register {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        let register = Register::new(name, &folder);
        pos(&register.store).execute_batch(SCHEMA).unwrap();
        self.set_up(&register);
        register
    }

    /// `tillsync init`, and what the protocol calls things.
    pub fn set_up(&self, register: &Register) {
        let camel = matches!(&self.server, Server::Twin(twin) if !twin.has_happened(Way::CamelDialect));
        let dialect = if camel { "[wire]\ndialect = 'camel'\n" } else { "" };
        let words = format!("{dialect}{}", entities(self.protocol, "entities"));
        let credentials = match (&self.server, self.protocol) {
            (_, Protocol::Nuqta) | (Server::Twin(_), Protocol::Auraflow | Protocol::Insight) => vec![],
            (Server::Hub(_, token), _) => vec!["--token", token],
            (Server::Twin(_), Protocol::Events) => vec!["--token", "token"],
            (Server::Twin(_), Protocol::Booky) => vec!["--user", "owner@shop.example", "--password-stdin"],
        };
        init(register, self.protocol, &self.url, &words, &credentials);
    }

    /// Orders on the server by their ids: total, note and the number of items. None is there twice.
    pub fn orders(&self) -> BTreeMap<String, (f64, String, usize)> {
        let mut found = BTreeMap::new();
        for (id, row) in self.all_rows() {
            let number = row["total"].as_f64().or_else(|| row["total"].as_str()?.parse().ok()).unwrap_or_default();
            let order = (number, row["note"].as_str().unwrap_or_default().to_owned(), row["items"].as_array().map_or(0, Vec::len));
            assert!(found.insert(id.clone(), order).is_none(), "{id} is there twice");
        }
        found
    }

    fn all_rows(&self) -> Vec<(String, Value)> {
        let hub = match &self.server {
            Server::Twin(twin) => return twin.rows(),
            Server::Hub(hub, _) => hub,
        };
        let db = hub.read();
        let table = if self.protocol == Protocol::Nuqta { "Sale" } else { "orders" };
        let sql =
            "SELECT rows.entity_id, data FROM rows JOIN change_log ON id = version WHERE rows.entity_type = ?1 AND NOT deleted";
        let mut query = db.prepare(sql).unwrap();
        let rows = query.query_map([table], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).unwrap();
        let rows: Vec<(String, String)> = rows.collect::<Result<_, _>>().unwrap();
        rows.into_iter()
            .map(|(id, data)| {
                let mut row: Value = serde_json::from_str(&data).unwrap();
                if let Some(real) = row["total"]["$real"].as_str().map(|real| real.parse::<f64>().unwrap()) {
                    row["total"] = real.into();
                }
                // Lists are kept as their text.
                if let Some(items) = row["items"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()) {
                    row["items"] = items;
                }
                if self.protocol != Protocol::Nuqta {
                    let sql = "SELECT count(*) FROM rows JOIN change_log ON id = version WHERE rows.entity_type = 'order_items' AND NOT deleted AND json_extract(data, '$.order_id') = ?1";
                    let items: usize = db.query_row(sql, [&id], |row| row.get(0)).unwrap();
                    row["items"] = vec![Value::Null; items].into();
                }
                (id, row)
            })
            .collect()
    }

    /// Syncs in turns until every register has sent everything, and all stores are equal. How each sync ends is nobody's business on the way.
    #[track_caller]
    pub fn settle(&self, registers: &[&Register]) {
        let mut last = Vec::new();
        for _ in 0..ROUNDS {
            last = registers.iter().map(|register| register.tillsync(&["sync", "--timeout", "20"])).collect();
            if last.iter().all(|ended| matches!(ended.code, 0 | 3))
                && registers.iter().all(|register| is_done(register))
                && are_equal(registers)
            {
                return;
            }
        }
        let waiting: Vec<Vec<Value>> = registers.iter().map(|register| register.outbox()).collect();
        for pair in registers.windows(2) {
            same(&pair[0].store, &pair[1].store);
        }
        panic!("never done: {last:#?} {waiting:#?}");
    }

    /// The server has the orders of this store, each once and as they are; those that no server takes wait with a reason.
    #[track_caller]
    pub fn has_the_orders_of(&self, register: &Register) {
        let db = pos(&register.store);
        let sql = "SELECT id, total, note, (SELECT count(*) FROM order_items WHERE order_id = orders.id) FROM orders";
        let mut query = db.prepare(sql).unwrap();
        let rows = query
            .query_map([], |row| Ok((row.get::<_, String>(0)?, (row.get(1)?, row.get::<_, String>(2)?, row.get(3)?))))
            .unwrap();
        let (bad, good): (BTreeMap<String, (f64, String, usize)>, BTreeMap<_, _>) =
            rows.map(Result::unwrap).partition(|(_, (_, note, _))| note.contains(POISON));
        assert_eq!(self.orders(), good);
        let outbox = register.outbox();
        for id in bad.keys() {
            let parked = outbox.iter().find(|entry| entry["key"] == **id && entry["state"] == "parked");
            let parked = parked.unwrap_or_else(|| panic!("{id} is not parked: {outbox:#?}"));
            assert!(parked["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{parked:#}");
        }
        let stuck: Vec<&Value> =
            outbox.iter().filter(|entry| !bad.keys().any(|id| entry.to_string().contains(id.as_str()))).collect();
        // Items of an order that is parked wait behind it.
        let stuck: Vec<&&Value> = stuck.iter().filter(|entry| bad.is_empty() || entry["entity"] != "order_items").collect();
        assert!(stuck.is_empty(), "{stuck:#?}");
    }

    /// Sells an order with two items.
    pub fn sell(&self, register: &Register, n: u32) {
        self.sell_with(register, n, "sold");
    }

    /// The same with a note.
    pub fn sell_with(&self, register: &Register, n: u32, note: &str) {
        let (id, db) = (id(n), pos(&register.store));
        db.execute_batch(&format!(
            "BEGIN;
             INSERT INTO orders VALUES ('{id}', 'ORD-{n}', {n} + 0.5, '{note}');
             INSERT INTO order_items VALUES ('{id}-1', '{id}', 'tea', 2), ('{id}-2', '{id}', 'milk', 1);
             COMMIT"
        ))
        .unwrap();
    }

    /// Writes another note.
    pub fn change(&self, register: &Register, n: u32, note: &str) {
        let changed = pos(&register.store).execute("UPDATE orders SET note = ?1 WHERE id = ?2", (note, id(n))).unwrap();
        assert_eq!(changed, 1);
    }
}

/// The note of an order in a store.
pub fn note(register: &Register, n: u32) -> String {
    text(&pos(&register.store), &format!("SELECT note FROM orders WHERE id = '{}'", id(n)))
}

/// Syncs, however it ends.
pub fn try_sync(register: &Register) -> Ended {
    register.tillsync(&["sync", "--timeout", "20"])
}

fn is_done(register: &Register) -> bool {
    let status = register.status();
    status["pending"] == 0
}

/// All but what is poisoned is in all stores, value by value.
fn are_equal(registers: &[&Register]) -> bool {
    let lines = |register: &Register| -> Vec<String> {
        let db = pos(&register.store);
        let sql = "SELECT quote(orders.id) || quote(order_number) || quote(total) || quote(note) || ifnull(quote(name) || quote(qty) || quote(order_items.id), '')
                   FROM orders LEFT JOIN order_items ON order_id = orders.id WHERE note NOT LIKE '%poison%' ORDER BY 1";
        let mut query = db.prepare(sql).unwrap();
        let lines = query.query_map([], |row| row.get(0)).unwrap();
        lines.map(Result::unwrap).collect()
    };
    registers.windows(2).all(|pair| lines(pair[0]) == lines(pair[1]))
}

impl Drop for Shop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("stores, states and logs are in {}", self.folder.path().display());
        }
    }
}
