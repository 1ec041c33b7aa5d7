//! The config file: raw TOML in, a finished [`Config`] out. A `Config` that exists is valid.

mod edit;
mod speech;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::policy::Policies;
use crate::protocol::Entities;

pub use edit::{TableChange, edit_table, merge_into};
pub use speech::{Dialect, Protocol, Wire};
pub use table::{Direction, Key, LeftOut, Merge, Table, is_flip_flag, is_secret};

/// The default time between two looks for work.
pub const INTERVAL_MS: i64 = 30_000;

/// The shortest interval that leaves the POS alone.
const INTERVAL_MS_MIN: i64 = 100;

/// Where the API key is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Credentials {
    /// The operating system's keychain.
    #[default]
    Keychain,
    /// A file in the state folder that only its owner can read.
    File,
}

/// What the register may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A till.
    #[default]
    Register,
    /// A manager's machine.
    Manager,
}

impl Role {
    /// The word in configs, on the wire and in databases.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Manager => "manager",
        }
    }

    /// The role that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Register, Self::Manager].into_iter().find(|role| role.as_str() == word)
    }
}

/// How changes are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capture {
    /// Triggers feed a journal in the store.
    #[default]
    Triggers,
    /// The store is compared with the shadow, for stores whose vendor forbids triggers.
    Scan,
}

/// The config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The POS's SQLite file.
    pub store: PathBuf,
    /// The server's address.
    pub server: String,
    /// The server's protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// What people call this register.
    pub name: String,
    /// What this register may do.
    #[serde(default)]
    pub role: Role,
    /// Where the agent keeps its state.
    pub state_dir: PathBuf,
    /// Where the API key is kept.
    #[serde(default)]
    pub credentials: Credentials,
    /// How changes are found.
    #[serde(default)]
    pub capture: Capture,
    /// The time between two looks for work, in milliseconds.
    #[serde(default = "interval_ms")]
    pub interval_ms: i64,
    /// Hold a pull open so that a change of another register arrives at once.
    #[serde(default = "yes")]
    pub long_poll: bool,
    /// Only these tables sync; all that can when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_tables: Option<Vec<String>>,
    /// These tables do not sync.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_tables: Vec<String>,
    /// Settings by table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, Table>,
    /// How the protocol is spoken, where that is not the hub's own.
    #[serde(default, skip_serializing_if = "Wire::is_plain")]
    pub wire: Wire,
    /// What such a protocol calls tables and columns, by its own names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub entities: Entities,
}

fn interval_ms() -> i64 {
    INTERVAL_MS
}

fn yes() -> bool {
    true
}

/// Why a text is no config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML, an unknown key, a wrong type.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// The server address cannot be one.
    #[error("server = \"{0}\" is not an address; write it like https://sync.example.com")]
    Server(String),
    /// Credentials in the address would end up in logs.
    #[error("server must not contain a user name or password; the key is kept in the keychain")]
    ServerCredentials,
    /// The name is empty.
    #[error("name is empty; give the register a name that people know, like \"Till 3\"")]
    Name,
    /// Settings of a table contradict each other.
    #[error("{0}")]
    Table(String),
    /// What the protocol is told contradicts itself.
    #[error("{0}")]
    Wire(String),
    /// The interval is out of range.
    #[error("interval_ms = {0} is too short; use at least {INTERVAL_MS_MIN}")]
    Interval(i64),
}

impl Config {
    /// Reads a config file's text.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.check()
    }

    /// A config with every default.
    pub fn new(store: PathBuf, server: &str, name: &str, state_dir: PathBuf) -> Result<Self, ConfigError> {
        let config = Self {
            store,
            server: server.trim_end_matches('/').to_owned(),
            protocol: Protocol::default(),
            name: name.to_owned(),
            role: Role::default(),
            state_dir,
            credentials: Credentials::default(),
            capture: Capture::default(),
            interval_ms: INTERVAL_MS,
            long_poll: true,
            include_tables: None,
            exclude_tables: Vec::new(),
            tables: BTreeMap::new(),
            wire: Wire::default(),
            entities: Entities::new(),
        };
        config.check()
    }

    fn check(mut self) -> Result<Self, ConfigError> {
        self.server = self.server.trim().trim_end_matches('/').to_owned();
        let rest = self.server.strip_prefix("https://").or_else(|| self.server.strip_prefix("http://"));
        let Some(host) = rest.filter(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace)) else {
            return Err(ConfigError::Server(self.server));
        };
        if host.split('/').next().is_some_and(|authority| authority.contains('@')) {
            return Err(ConfigError::ServerCredentials);
        }
        if self.name.trim().is_empty() {
            return Err(ConfigError::Name);
        }
        if self.interval_ms < INTERVAL_MS_MIN {
            return Err(ConfigError::Interval(self.interval_ms));
        }
        self.check_tables()?;
        speech::contradiction(&self).map_or(Ok(()), |wrong| Err(ConfigError::Wire(wrong)))?;
        Ok(self)
    }

    fn check_tables(&self) -> Result<(), ConfigError> {
        let mut entities: BTreeMap<&str, &str> = BTreeMap::new();
        let mut names: BTreeMap<String, &str> = BTreeMap::new();
        for (name, table) in &self.tables {
            if let Some(other) = names.insert(name.to_ascii_lowercase(), name) {
                return Err(ConfigError::Table(format!("tables.{other} and tables.{name} are the same table; keep one of them")));
            }
            if let Some(wrong) = table.contradiction(name) {
                return Err(ConfigError::Table(wrong));
            }
            if let Some(other) = entities.insert(self.entity_of(name), name) {
                let entity = self.entity_of(name);
                return Err(ConfigError::Table(format!("tables.{other} and tables.{name} both have the entity \"{entity}\"")));
            }
        }
        Ok(())
    }

    /// Whether a table takes part.
    pub fn includes(&self, table: &str) -> bool {
        let listed = |list: &[String]| list.iter().any(|name| name.eq_ignore_ascii_case(table));
        self.include_tables.as_deref().is_none_or(listed) && !listed(&self.exclude_tables)
    }

    /// The settings of a table.
    pub fn table(&self, name: &str) -> &Table {
        self.tables.iter().find(|(table, _)| table.eq_ignore_ascii_case(name)).map_or(&table::PLAIN, |(_, settings)| settings)
    }

    /// A table's name on the wire.
    pub fn entity_of<'a>(&'a self, table: &'a str) -> &'a str {
        self.table(table).entity.as_deref().unwrap_or(table)
    }

    /// The policies of all tables that have any, by entity.
    pub fn policies(&self) -> Policies {
        let merged = self.tables.iter().map(|(name, table)| (self.entity_of(name).to_owned(), table.merging()));
        merged.filter(|(_, merging)| !merging.is_default()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "store = 'pos.db'\nserver = 'https://hub.example/'\nname = 'Till 1'\nstate_dir = 'state'\n";

    #[test]
    fn a_short_config_gets_the_defaults() {
        let config = Config::parse(PLAIN).unwrap();
        assert_eq!(config.server, "https://hub.example");
        assert_eq!((config.interval_ms, config.credentials, config.long_poll), (INTERVAL_MS, Credentials::Keychain, true));
        assert!(config.includes("anything"));
    }

    #[test]
    fn tables_are_chosen_by_name() {
        let config = Config::parse(&format!("{PLAIN}include_tables = ['a', 'b']\nexclude_tables = ['B']\n")).unwrap();
        assert_eq!(["A", "b", "c"].map(|table| config.includes(table)), [true, false, false]);
    }

    #[test]
    fn a_table_has_its_settings_or_the_usual_ones() {
        let table = "[tables.Sales]\nkey = 'register'\nentity = 'invoices'\npolicy = 'server'\nfilter = 'store_id = 367'\n";
        let config = Config::parse(&format!("{PLAIN}{table}")).unwrap();
        assert_eq!((config.table("sales").key, config.table("lines").key), (Key::Register, Key::Global));
        assert_eq!((config.entity_of("sales"), config.entity_of("lines")), ("invoices", "lines"));
        assert_eq!(config.policies().keys().collect::<Vec<_>>(), ["invoices"]);
        assert_eq!(Config::parse(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |text: &str, expected: &str| {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&PLAIN.replace("https://hub.example/", "hub.example"), "is not an address");
        check(&PLAIN.replace("https://", "https://u:p@"), "password");
        check(&PLAIN.replace("Till 1", " "), "name is empty");
        check(&format!("{PLAIN}interval_ms = 5\n"), "too short");
        check(&format!("{PLAIN}sever = 'x'\n"), "sever");
        check("store = 'pos.db'", "missing field");
        let table = |settings: &str, expected: &str| check(&format!("{PLAIN}[tables.t]\n{settings}\n"), expected);
        table("key = 'uuid'", "unknown variant");
        table("polcy = 'server'", "polcy");
        table("entity = ''", "entity is empty");
        table("filter = ' '", "filter is empty");
        table("exclude = ['a']\nignore = ['A']", "in exclude and in ignore");
        table("exclude = ['a']\ncolumns = { a = 'sum' }", "a has a rule");
        table("ignore = ['a']\nreferences = { a = 'sales' }", "a refers");
        table("merge = 'row'\ncolumns = { a = 'sum' }", "no column can have a rule");
        table("detect = 'timestamp'", "needs timestamp_column");
        table("timestamp_column = 'a'", "only read with");
        table("[tables.T]", "the same table");
        table("[tables.u]\nentity = 't'", "both have the entity");
    }
}
