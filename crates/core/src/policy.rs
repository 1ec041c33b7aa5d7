//! Policies: what happens where two registers gave one column two values. Written in the register's config, sent with a push, or
//! set by the hub's operator; [`crate::merge`] carries them out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The policy of an entity, for every column that has no rule of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The value written later, by the hub's clock; ties by device id.
    #[default]
    Latest,
    /// The value that the hub has.
    Server,
    /// The value that is pushed.
    Client,
    /// The value of a manager's register; between two of the same rank the later one.
    Manager,
    /// A person decides.
    Manual,
    /// Numbers are counters: the difference is added. Other values as `latest`.
    Sum,
    /// Every column by its own rule; as `latest` where it has none.
    Field,
    /// JSON texts are merged member by member. Other values as `latest`.
    Json,
    /// The value written later, but an older one fills what is empty.
    Fill,
}

/// The rule of one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// The value written later, by the hub's clock; ties by device id.
    #[default]
    Latest,
    /// The value that the hub has.
    Server,
    /// The value that is pushed.
    Client,
    /// The value of a manager's register; between two of the same rank the later one.
    Manager,
    /// A person decides.
    Manual,
    /// A counter: the difference is added. Other values as `latest`.
    Sum,
    /// JSON texts are merged member by member. Other values as `latest`.
    Json,
    /// The value written later, but an older one fills what is empty.
    Fill,
}

impl Rule {
    /// The word in configs, on the wire and in conflict logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Server => "server",
            Self::Client => "client",
            Self::Manager => "manager",
            Self::Manual => "manual",
            Self::Sum => "sum",
            Self::Json => "json",
            Self::Fill => "fill",
        }
    }

    /// Whether the rule needs the value that the register saw before it changed it.
    pub fn needs_base(self) -> bool {
        matches!(self, Self::Sum | Self::Json)
    }
}

impl From<Policy> for Rule {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Latest | Policy::Field => Self::Latest,
            Policy::Server => Self::Server,
            Policy::Client => Self::Client,
            Policy::Manager => Self::Manager,
            Policy::Manual => Self::Manual,
            Policy::Sum => Self::Sum,
            Policy::Json => Self::Json,
            Policy::Fill => Self::Fill,
        }
    }
}

/// How lists in JSON values are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lists {
    /// Every element once.
    #[default]
    Union,
    /// What either side added is appended, equal elements too.
    Concat,
}

/// How it is found out that two changes of a row did not know of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detect {
    /// The row has a newer version than the one the change started from.
    #[default]
    Version,
    /// The row has a newer version, and its content is not what the change started from.
    Hash,
    /// As `version`, and how old a change is says the row itself, in the `timestamp_column`; when equal the hub's value stays.
    Timestamp,
}

/// How the rows of one entity are merged. As JSON and TOML: an object with the members that differ from the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merging {
    /// For columns that have no rule of their own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: Policy,
    /// Rules by column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, Rule>,
    /// How `json` merges lists.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lists: Lists,
    /// How concurrent changes are found.
    #[serde(default, skip_serializing_if = "is_default")]
    pub detect: Detect,
    /// The column that says when a row was written, for `timestamp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_column: Option<String>,
}

/// Merging by entity; an entity that is not in it has the default.
pub type Policies = BTreeMap<String, Merging>;

impl Merging {
    /// The rule of a column. Names differ in more than case, as in SQLite.
    pub fn rule(&self, column: &str) -> Rule {
        let own = self.columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(column));
        own.map_or_else(|| self.policy.into(), |(_, rule)| *rule)
    }

    /// Whether nobody has to be told of it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str, column: &str, expected: Rule) {
        let merging: Merging = toml::from_str(toml).unwrap();
        assert_eq!(merging.rule(column), expected, "{toml}");
        assert_eq!(serde_json::from_str::<Merging>(&serde_json::to_string(&merging).unwrap()).unwrap(), merging);
    }

    #[test]
    fn a_column_has_its_own_rule_or_the_entitys() {
        check("", "price", Rule::Latest);
        check("policy = 'server'", "price", Rule::Server);
        check("policy = 'field'\ncolumns = { stock = 'sum' }", "price", Rule::Latest);
        check("policy = 'manager'\ncolumns = { stock = 'sum' }", "Stock", Rule::Sum);
        for policy in ["latest", "server", "client", "manager", "manual", "sum", "json", "fill"] {
            let merging: Merging = toml::from_str(&format!("policy = '{policy}'\ncolumns = {{ a = '{policy}' }}")).unwrap();
            assert_eq!((merging.rule("a").as_str(), merging.rule("b").as_str()), (policy, policy));
        }
        assert!(toml::from_str::<Merging>("policy = 'newest'").is_err());
        assert!(toml::from_str::<Merging>("columns = { a = 'field' }").is_err());
    }

    #[test]
    fn the_default_says_nothing() {
        assert_eq!(serde_json::to_string(&Merging::default()).unwrap(), "{}");
        assert!(Merging::default().is_default());
        assert!(!toml::from_str::<Merging>("detect = 'hash'").unwrap().is_default());
    }
}
