//! The config file: raw TOML in, a finished [`Config`] out. A `Config` that exists is valid.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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

/// The sync protocol of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The hub's own.
    #[default]
    Hub,
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

/// How identities of rows come about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Key {
    /// The key means the same row on every register.
    #[default]
    Global,
}

/// What the shadow keeps of a table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Merge {
    /// A print per column: an update names the columns that changed, and two registers may change different ones.
    Field,
    /// One print per row, for tables whose rows are written once.
    Row,
}

/// Settings of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// How identities come about.
    #[serde(default)]
    pub key: Key,
    /// What the shadow keeps; chosen from the schema when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Merge>,
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
        Ok(self)
    }

    /// Whether a table takes part.
    pub fn includes(&self, table: &str) -> bool {
        let listed = |list: &[String]| list.iter().any(|name| name.eq_ignore_ascii_case(table));
        self.include_tables.as_deref().is_none_or(listed) && !listed(&self.exclude_tables)
    }

    /// The settings of a table.
    pub fn table(&self, name: &str) -> Table {
        self.tables.iter().find(|(table, _)| table.eq_ignore_ascii_case(name)).map(|(_, settings)| *settings).unwrap_or_default()
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
    }
}
