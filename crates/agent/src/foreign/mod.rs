//! Servers of other protocols: between the line, which counts versions and gives every change a verdict, and servers that do neither. What the
//! protocols say is pure and lives in the core; sending, logging in, trying again, finding the one change that a server fails over, and knowing
//! again what was sent are here, once. See docs/decisions/0014.

mod known;
mod look;
mod parcel;
mod pull;
mod push;
mod rows;
mod session;
mod settle;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Instant;

use tillsync_core::config::{Config, Protocol};
use tillsync_core::policy::{Merging, Policy};
use tillsync_core::protocol::client::{Client, Facts, Who};
use tillsync_core::protocol::mapping::{Key, USUAL_KEY};
use tillsync_core::protocol::{Entities, Entity, Mapping, Protocols};

use crate::agent::{Agent, AgentError};
use crate::state::{marks, told};
use crate::store::schema::{Schema, Table};

/// The other end, where it is no hub.
#[derive(Debug)]
pub struct Foreign {
    client: Box<dyn Client>,
    facts: Facts,
    entities: Entities,
    login: String,
    /// One request at a time: what is told and what is taken is counted in the server's order.
    turn: tokio::sync::Mutex<()>,
    /// The server asked for quiet until then.
    quiet_until: Mutex<Option<Instant>>,
    /// Refusals in a row for asking too often, none of which said how long to wait.
    limited: AtomicU32,
    /// The server takes rows in the other form only.
    other_form: AtomicBool,
    /// When the server last took something, by the wall clock, Unix milliseconds.
    taken_ms: Mutex<Option<i64>>,
}

impl Foreign {
    /// As the config says; `None` for a hub.
    pub fn new(config: &Config) -> Option<Self> {
        let client = config.client()?;
        let mut facts = client.facts();
        if let Some(max) = config.wire.batch_max {
            facts.batch_max = max as usize;
        }
        if let Some(seconds) = config.wire.overlap_seconds {
            facts.overlap_ms = i64::from(seconds) * 1000;
        }
        Some(Self {
            client,
            facts,
            entities: config.spoken_entities(),
            login: config.wire.login.clone().unwrap_or_else(|| tillsync_core::protocol::client::login::PATH.to_owned()),
            turn: tokio::sync::Mutex::default(),
            quiet_until: Mutex::default(),
            limited: AtomicU32::new(0),
            other_form: AtomicBool::new(false),
            taken_ms: Mutex::default(),
        })
    }

    /// What the protocol can do.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How a table is merged: as the config says, else as the protocol's document does.
    fn merging(&self, config: &Config, table: &str) -> Merging {
        let own = config.table(table).merging();
        if !own.is_default() {
            return own;
        }
        match config.protocol {
            Protocol::Auraflow => Merging { policy: Policy::Server, ..own },
            Protocol::Insight => Protocols::default().insight.merging(Mapping::of_table(&self.entities, table).name),
            Protocol::Hub | Protocol::Nuqta | Protocol::Events | Protocol::Booky => own,
        }
    }

    /// What the protocol calls things, with the keys that tables have.
    fn entities(&self, schema: &Schema) -> Entities {
        let mut entities = self.entities.clone();
        for table in &schema.tables {
            let is_named = entities.iter().any(|(name, entity)| entity.table.as_deref().unwrap_or(name) == table.name);
            let is_inside = entities.values().flat_map(|entity| entity.children.values()).any(|child| child.table == table.name);
            if !is_named && !is_inside {
                entities.insert(table.name.clone(), Entity { table: Some(table.name.clone()), ..Entity::default() });
            }
        }
        for (name, entity) in &mut entities {
            if let Some(table) = schema.table(entity.table.as_deref().unwrap_or(name)).filter(|_| entity.key.is_none()) {
                entity.key = Some(key_of(table));
            }
            for child in entity.children.values_mut().filter(|child| child.key == USUAL_KEY) {
                if let Some([key]) = schema.table(&child.table).map(|table| table.key.as_slice()) {
                    child.key.clone_from(key);
                }
            }
        }
        entities
    }

    /// The tables that the protocol can carry; all when `None`.
    pub fn tables(&self) -> Option<Vec<String>> {
        let carried = self.facts.entities?;
        let own = self.entities.iter().filter(|(name, _)| carried.contains(&name.as_str()));
        let all = own.flat_map(|(name, entity)| {
            let children = entity.children.values().map(|child| child.table.clone());
            std::iter::once(entity.table.clone().unwrap_or_else(|| name.clone())).chain(children)
        });
        Some(all.collect())
    }
}

fn key_of(table: &Table) -> Key {
    match table.key.as_slice() {
        [one] => Key::One(one.clone()),
        several => Key::Several(several.to_vec()),
    }
}

impl Agent {
    /// Whoever asks now.
    fn who<'a>(&self, device_id: &'a str, key: Option<&'a str>, cursor: Option<&'a str>, entities: &'a [String]) -> Who<'a> {
        let overlap_ms = self.foreign.as_ref().map_or(0, |foreign| foreign.facts.overlap_ms);
        Who { device_id, key, now_ms: self.clock.now_ms(), cursor, entities, overlap_ms, with_own: false }
    }

    /// Where the server's log was when the register last heard of it.
    fn foreign_cursor(&self) -> Result<Option<String>, AgentError> {
        let state = self.state();
        let position = marks::get(state.conn(), marks::CURSOR)?.unwrap_or(0);
        Ok(told::cursor_at(state.conn(), position)?)
    }
}
