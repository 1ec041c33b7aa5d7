//! Which server's language the agent speaks, and what it calls things.

use serde::{Deserialize, Serialize};

use super::Config;
use crate::protocol::{Entities, Entity, Protocols, client};

/// The sync protocol of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The hub's own.
    #[default]
    Hub,
    /// A log of changes by devices.
    Nuqta,
    /// Orders and transactions.
    Auraflow,
    /// Events.
    Events,
    /// Operations of a user.
    Booky,
    /// Records by table.
    Insight,
}

impl Protocol {
    /// The word in configs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Nuqta => "nuqta",
            Self::Auraflow => "auraflow",
            Self::Events => "events",
            Self::Booky => "booky",
            Self::Insight => "insight",
        }
    }
}

/// How the names of members are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// `entity_id`, under `/sync`.
    #[default]
    Snake,
    /// `entityId`, under `/api/sync`.
    Camel,
}

/// How a protocol that is not the hub's own is spoken; what is absent is as in its document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wire {
    /// Which of its two dialects, for `events`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// The largest batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_max: Option<u32>,
    /// Changes are asked for again from so far back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_seconds: Option<u32>,
    /// Where log-ins are taken: the path before `/login`, `/refresh` and `/google`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

impl Wire {
    /// Whether everything is as in the document.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// The largest batch that anybody should want to see refused as a whole.
const BATCH_MAX: u32 = 2_000;

pub(super) fn contradiction(config: &Config) -> Option<String> {
    let Config { protocol, wire, entities, .. } = config;
    if *protocol == Protocol::Hub && !(wire.is_plain() && entities.is_empty()) {
        return Some("[wire] and [entities] are for other protocols than the hub's; remove them, or name the protocol".to_owned());
    }
    if wire.dialect.is_some() && *protocol != Protocol::Events {
        return Some("wire.dialect is for protocol = \"events\" only".to_owned());
    }
    if wire.batch_max.is_some_and(|max| !(1..=BATCH_MAX).contains(&max)) {
        return Some(format!("wire.batch_max is between 1 and {BATCH_MAX}"));
    }
    if wire.login.as_ref().is_some_and(|path| !path.is_empty() && (!path.starts_with('/') || path.ends_with('/'))) {
        return Some("wire.login is the beginning of a path, such as \"/api/auth\"".to_owned());
    }
    None
}

impl Config {
    /// The server as it is told from others: the same address may speak several protocols.
    pub fn server_name(&self) -> String {
        match self.protocol {
            Protocol::Hub => self.server.clone(),
            other => format!("{} ({})", self.server, other.as_str()),
        }
    }

    /// The language to speak; `None` for the hub's own.
    pub fn client(&self) -> Option<Box<dyn client::Client>> {
        client::of(self.protocol.as_str(), client::Speech { camel: self.wire.dialect == Some(Dialect::Camel) })
    }

    /// What the protocol calls things: as its document says, unless the config does.
    pub fn spoken_entities(&self) -> Entities {
        let mut all = Protocols::default();
        let mut entities = match self.protocol {
            Protocol::Auraflow => std::mem::take(&mut all.auraflow.entities),
            Protocol::Booky => std::mem::take(&mut all.booky.entities),
            Protocol::Hub | Protocol::Nuqta | Protocol::Events | Protocol::Insight => Entities::new(),
        };
        entities.extend(self.entities.clone());
        for (table, settings) in &self.tables {
            if let Some(name) = settings.entity.as_ref().filter(|name| !entities.contains_key(*name)) {
                entities.insert(name.clone(), Entity { table: Some(table.clone()), ..Entity::default() });
            }
        }
        entities
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "store = 'pos.db'\nserver = 'https://hub.example/'\nname = 'Till 1'\nstate_dir = 'state'\n";

    #[test]
    fn a_config_names_things_in_the_words_of_the_protocol() {
        let config = Config::parse(&format!(
            "{PLAIN}protocol = 'booky'\n[wire]\nbatch_max = 50\n[entities.book]\ntable = 'library'\n[tables.shelves]\nentity = 'shelf'\n"
        ))
        .unwrap();
        let entities = config.spoken_entities();
        let table = |name: &str| entities[name].table.clone();
        assert_eq!([table("book"), table("tag"), table("shelf")].map(Option::unwrap), ["library", "tags", "shelves"]);
        assert_eq!(config.client().unwrap().facts().name, "booky");
        assert_eq!(Config::parse(&toml::to_string(&config).unwrap()).unwrap(), config);
        assert!(Config::parse(PLAIN).unwrap().client().is_none());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |text: &str, expected: &str| {
            let error = Config::parse(&format!("{PLAIN}{text}")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("[wire]\nbatch_max = 5\n", "for other protocols");
        check("protocol = 'booky'\n[wire]\ndialect = 'camel'\n", "only");
        check("protocol = 'events'\n[wire]\nbatch_max = 0\n", "between 1");
        check("protocol = 'events'\n[wire]\nlogin = 'auth/'\n", "wire.login");
        check("protocol = 'books'\n", "unknown variant");
    }
}
