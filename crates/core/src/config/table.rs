//! The settings of one table, and what is left out when nobody says otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::policy::{Detect, Lists, Merging, Policy, Rule};

/// How identities of rows come about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Key {
    /// The key means the same row on every register.
    #[default]
    Global,
    /// Every register counts for itself: a row has an id of its own on the wire and a fresh key on every other register.
    Register,
}

impl Key {
    /// The word in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Register => "register",
        }
    }
}

/// Which way the rows of a table go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Both ways.
    #[default]
    Both,
    /// Only from this register to the server.
    Push,
    /// Only from the server to this register.
    Pull,
}

impl Direction {
    /// The word in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }

    /// Whether this register's rows go to the server.
    pub fn pushes(self) -> bool {
        self != Self::Pull
    }

    /// Whether the server's rows come to this register.
    pub fn pulls(self) -> bool {
        self != Self::Push
    }
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The name on the wire; the table's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// How identities come about.
    #[serde(default)]
    pub key: Key,
    /// Which way its rows go.
    #[serde(default, skip_serializing_if = "is_default")]
    pub direction: Direction,
    /// What happens where two registers gave a column two values.
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: Policy,
    /// Columns that never leave the register and that no pull writes; secrets are among them unless the list is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<String>>,
    /// Columns whose change is no change; flip flags are among them unless the list is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<Vec<String>>,
    /// A condition in SQL; rows outside it do not sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Columns that refer to another table's key although the schema does not say so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, String>,
    /// How `json` columns merge lists.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lists: Lists,
    /// How concurrent changes are found.
    #[serde(default, skip_serializing_if = "is_default")]
    pub detect: Detect,
    /// The column that says when a row was written, for `detect = "timestamp"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_column: Option<String>,
    /// What the shadow keeps; chosen from the schema when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Merge>,
    /// Rules by column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, Rule>,
}

/// The settings of a table that the config does not mention.
pub(super) static PLAIN: Table = Table {
    entity: None,
    key: Key::Global,
    direction: Direction::Both,
    policy: Policy::Latest,
    exclude: None,
    ignore: None,
    filter: None,
    references: BTreeMap::new(),
    lists: Lists::Union,
    detect: Detect::Version,
    timestamp_column: None,
    merge: None,
    columns: BTreeMap::new(),
};

/// Why a column is not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LeftOut {
    /// It never leaves the register.
    Excluded,
    /// It is each register's own affair.
    Ignored,
}

impl Table {
    /// How its rows are merged.
    pub fn merging(&self) -> Merging {
        Merging {
            policy: self.policy,
            columns: self.columns.clone(),
            lists: self.lists,
            detect: self.detect,
            timestamp_column: self.timestamp_column.clone(),
        }
    }

    /// Why a column is left out; `None` for one that syncs. Names differ in more than case, as in SQLite.
    pub fn left_out(&self, column: &str) -> Option<LeftOut> {
        let listed = |list: &Option<Vec<String>>| list.iter().flatten().any(|name| name.eq_ignore_ascii_case(column));
        // An empty list says that nothing is left out, not even what usually is.
        let by_default = |list: &Option<Vec<String>>| list.as_ref().is_none_or(|list| !list.is_empty());
        let has_rule = self.columns.keys().any(|name| name.eq_ignore_ascii_case(column));
        if listed(&self.exclude) || (!has_rule && by_default(&self.exclude) && is_secret(column)) {
            Some(LeftOut::Excluded)
        } else if listed(&self.ignore) || (!has_rule && by_default(&self.ignore) && is_flip_flag(column)) {
            Some(LeftOut::Ignored)
        } else {
            None
        }
    }

    /// What contradicts itself, for people; `None` when nothing does.
    pub(super) fn contradiction(&self, name: &str) -> Option<String> {
        let wrong = |text: String| Some(format!("tables.{name}: {text}"));
        if self.entity.as_ref().is_some_and(|entity| entity.trim().is_empty()) {
            return wrong("entity is empty; leave it out to use the table's name".to_owned());
        }
        if self.filter.as_ref().is_some_and(|filter| filter.trim().is_empty()) {
            return wrong("filter is empty; leave it out to sync every row".to_owned());
        }
        let listed = |list: &Option<Vec<String>>, column: &str| list.iter().flatten().any(|c| c.eq_ignore_ascii_case(column));
        for column in self.exclude.iter().flatten() {
            if listed(&self.ignore, column) {
                return wrong(format!("{column} is in exclude and in ignore; one of them is enough"));
            }
        }
        for (what, column) in self.columns.keys().map(|c| ("has a rule", c)).chain(self.references.keys().map(|c| ("refers", c))) {
            if listed(&self.exclude, column) || listed(&self.ignore, column) {
                return wrong(format!("{column} {what} but is left out by exclude or ignore"));
            }
        }
        if self.merge == Some(Merge::Row) && !self.columns.is_empty() {
            return wrong(
                "merge = \"row\" looks at rows as a whole, so no column can have a rule; use merge = \"field\"".to_owned(),
            );
        }
        match (self.detect, &self.timestamp_column) {
            (Detect::Timestamp, None) => wrong("detect = \"timestamp\" needs timestamp_column".to_owned()),
            (Detect::Version | Detect::Hash, Some(_)) => {
                wrong("timestamp_column is only read with detect = \"timestamp\"".to_owned())
            }
            _ => None,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether a column's name says that it holds a secret: passwords, PINs, tokens, keys, hashes of them.
pub fn is_secret(column: &str) -> bool {
    const WORDS: [&str; 13] = [
        "password",
        "passwd",
        "pwd",
        "passcode",
        "passphrase",
        "pin",
        "secret",
        "token",
        "salt",
        "apikey",
        "credential",
        "credentials",
        "otp",
    ];
    const PAIRS: [[&str; 2]; 5] = [["api", "key"], ["private", "key"], ["secret", "key"], ["access", "key"], ["pass", "word"]];
    let words = words(column);
    words.iter().any(|word| WORDS.contains(&word.as_str()))
        || words.windows(2).any(|pair| PAIRS.iter().any(|known| pair == known))
        || (words.len() > 1 && words.last().is_some_and(|last| last == "hash"))
}

/// Whether a column's name says that the POS marks there what some other sync has taken.
pub fn is_flip_flag(column: &str) -> bool {
    const NAMES: [&str; 18] = [
        "synced",
        "is_synced",
        "sync_status",
        "sync_state",
        "synced_at",
        "sync_at",
        "last_sync",
        "last_sync_at",
        "last_synced",
        "last_synced_at",
        "needs_sync",
        "pending_sync",
        "sync_pending",
        "sync_flag",
        "sync_error",
        "sync_attempts",
        "is_dirty",
        "dirty",
    ];
    let name = words(column).join("_");
    NAMES.contains(&name.as_str()) || name == "issynced"
}

/// The words of a name in lower case: `passwordHash`, `password_hash` and `PASSWORD-HASH` have the same ones.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = None;
    for letter in name.chars() {
        let starts = letter.is_uppercase() && before.is_some_and(|before: char| before.is_lowercase() || before.is_numeric());
        let within = letter.is_alphanumeric() && before.is_some_and(char::is_alphanumeric) && !starts;
        match words.last_mut().filter(|_| within) {
            Some(word) => word.extend(letter.to_lowercase()),
            None if letter.is_alphanumeric() => words.push(letter.to_lowercase().collect()),
            None => {}
        }
        before = Some(letter);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_flip_flags_are_known_by_name() {
        let check = |names: &[&str], is_it: fn(&str) -> bool, expected: bool| {
            for name in names {
                assert_eq!(is_it(name), expected, "{name}");
            }
        };
        check(&["password", "passwordHash", "PASSWORD", "password_hash", "pin", "pin_code", "userPin"], is_secret, true);
        check(&["token", "refresh_token", "apiKey", "api_key", "client_secret", "salt", "card_hash"], is_secret, true);
        check(&["hash", "shipping", "opinion", "key", "spin", "tokens_sold", "pinned", "name"], is_secret, false);
        check(
            &["synced", "isSynced", "is_synced", "IsSynced", "sync_status", "syncedAt", "needs_sync", "ISSYNCED"],
            is_flip_flag,
            true,
        );
        check(&["status", "async", "synced_by_hand", "updated_at", "sync"], is_flip_flag, false);
    }

    #[test]
    fn an_empty_list_takes_the_usual_ones_back() {
        let check = |toml: &str, column: &str, expected: Option<LeftOut>| {
            let table: Table = toml::from_str(toml).unwrap();
            assert_eq!(table.left_out(column), expected, "{toml}: {column}");
        };
        check("", "PIN", Some(LeftOut::Excluded));
        check("", "isSynced", Some(LeftOut::Ignored));
        check("", "price", None);
        check("exclude = ['cost']", "Cost", Some(LeftOut::Excluded));
        check("exclude = ['cost']", "pin", Some(LeftOut::Excluded));
        check("exclude = []", "pin", None);
        check("ignore = []", "isSynced", None);
        check("ignore = ['seen']", "seen", Some(LeftOut::Ignored));
        check("columns = { token = 'latest' }", "token", None);
    }
}
