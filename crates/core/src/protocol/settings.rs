//! How a hub serves other people's protocols: where, to whom, how often, and what their entities are called here.

use serde::{Deserialize, Serialize};

use super::mapping::{Child, Entities, Entity};
use crate::policy::{Merging, Policies, Policy};

/// All of them. What a file does not say is as in the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// Orders and transactions, versions that clients count.
    pub auraflow: Settings,
    /// Changes as events, in two dialects.
    pub events: Settings,
    /// Operations of a user, and a queue.
    pub booky: Settings,
    /// Records by table.
    pub insight: Settings,
    /// Whose Google accounts may log in.
    pub google: Google,
}

/// How one protocol is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What its paths begin with; empty for the paths of the document.
    pub prefix: String,
    /// A name of the hub under which all paths are this protocol's.
    pub host: Option<String>,
    /// Who may ask.
    pub access: Access,
    /// How many requests one client may make in a while; any number when `None`.
    pub limit: Option<Limit>,
    /// What entities are called here.
    pub entities: Entities,
    /// How they are merged, by table, where the document says how.
    pub policies: Policies,
    /// How the others are.
    pub otherwise: Merging,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Whoever has a token or a login.
    #[default]
    Token,
    /// Everybody who can reach the hub, as some of the documents have it.
    Open,
}

/// How many requests in how many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// So many …
    pub requests: u32,
    /// … in so many seconds.
    pub seconds: u32,
}

/// Logging in with Google accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Google {
    /// The client id for which Google made the tokens.
    pub client_id: String,
    /// The file with Google's public keys, as downloaded from them (JWKS).
    pub keys: std::path::PathBuf,
    /// The addresses that may log in; `@shop.example` for all of a domain.
    pub accounts: Vec<String>,
}

/// The booky document's limit.
const BOOKY_LIMIT: Limit = Limit { requests: 100, seconds: 900 };

impl Default for Protocols {
    fn default() -> Self {
        Self { auraflow: auraflow(), events: events(), booky: booky(), insight: insight(), google: Google::default() }
    }
}

fn plainly() -> Settings {
    Settings {
        prefix: String::new(),
        host: None,
        access: Access::Token,
        limit: None,
        entities: Entities::new(),
        policies: Policies::new(),
        otherwise: Merging::default(),
    }
}

fn table(name: &str) -> Entity {
    Entity { table: Some(name.to_owned()), ..Entity::default() }
}

fn by(policy: Policy) -> Merging {
    Merging { policy, ..Merging::default() }
}

fn auraflow() -> Settings {
    let items = Child {
        table: "order_items".to_owned(),
        parent: "order_id".to_owned(),
        key: "id".to_owned(),
        position: None,
        fields: std::collections::BTreeMap::new(),
    };
    let order = Entity { children: [("items".to_owned(), items)].into_iter().collect(), ..table("orders") };
    let entities = [("order".to_owned(), order), ("transaction".to_owned(), table("transactions"))];
    Settings { entities: entities.into_iter().collect(), ..plainly() }
}

/// Its `/sync/push` is the hub's own path, too.
fn events() -> Settings {
    Settings { prefix: "/events".to_owned(), ..plainly() }
}

fn booky() -> Settings {
    let names = [
        ("book", "books"),
        ("rating", "ratings"),
        ("tag", "tags"),
        ("collection", "collections"),
        ("readingLog", "reading_logs"),
        ("userSettings", "user_settings"),
    ];
    let entities = names.into_iter().map(|(entity, name)| (entity.to_owned(), table(name))).collect();
    Settings { entities, limit: Some(BOOKY_LIMIT), otherwise: by(Policy::Json), ..plainly() }
}

fn insight() -> Settings {
    let managers = ["forms", "form_templates", "form_sections", "fields", "templates", "settings"];
    let latest = ["submissions", "submission_answers", "kpi_data"];
    let policies = managers.map(|table| (table.to_owned(), by(Policy::Manager))).into_iter();
    let policies = policies.chain(latest.map(|table| (table.to_owned(), by(Policy::Latest)))).collect();
    Settings { policies, otherwise: by(Policy::Server), ..plainly() }
}

impl Settings {
    /// How a table is merged.
    pub fn merging(&self, table: &str) -> Merging {
        self.policies.get(table).cloned().unwrap_or_else(|| self.otherwise.clone())
    }
}

/// What a file says of one protocol.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Said {
    prefix: Option<String>,
    host: Option<String>,
    access: Access,
    limit: Option<LimitSaid>,
    entities: Entities,
    policies: Policies,
    otherwise: Option<Merging>,
}

/// `limit = false` or `limit = { requests = 100, seconds = 900 }`.
#[derive(Deserialize)]
#[serde(untagged)]
enum LimitSaid {
    Word(bool),
    Limit(Limit),
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    auraflow: Said,
    events: Said,
    booky: Said,
    insight: Said,
    google: Google,
}

impl Protocols {
    /// From the text of a settings file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let found = Self {
            auraflow: file.auraflow.over("auraflow", auraflow())?,
            events: file.events.over("events", events())?,
            booky: file.booky.over("booky", booky())?,
            insight: file.insight.over("insight", insight())?,
            google: file.google,
        };
        found.check()?;
        Ok(found)
    }

    /// Each under its name.
    pub fn each(&self) -> [(&'static str, &Settings); 4] {
        [("auraflow", &self.auraflow), ("events", &self.events), ("booky", &self.booky), ("insight", &self.insight)]
    }

    fn check(&self) -> Result<(), String> {
        if self.events.prefix.is_empty() {
            return Err("events.prefix: /sync/push is a path of the hub's own, so the events need a prefix".to_owned());
        }
        Ok(())
    }
}

impl Said {
    fn over(self, name: &str, before: Settings) -> Result<Settings, String> {
        let prefix = self.prefix.unwrap_or(before.prefix);
        let good =
            prefix.is_empty() || (prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains(['{', '}', '?', '#', ' ']));
        if !good {
            return Err(format!("{name}.prefix: {prefix:?} is no beginning of a path: write it like \"/{name}\""));
        }
        let limit = match self.limit {
            None => before.limit,
            Some(LimitSaid::Word(false)) => None,
            Some(LimitSaid::Word(true)) => Some(before.limit.unwrap_or(BOOKY_LIMIT)),
            Some(LimitSaid::Limit(limit)) if limit.requests == 0 || limit.seconds == 0 => {
                return Err(format!("{name}.limit: requests and seconds are at least 1"));
            }
            Some(LimitSaid::Limit(limit)) => Some(limit),
        };
        let mut entities = before.entities;
        entities.extend(self.entities);
        let mut policies = before.policies;
        policies.extend(self.policies);
        let otherwise = self.otherwise.unwrap_or(before.otherwise);
        Ok(Settings { prefix, host: self.host, access: self.access, limit, entities, policies, otherwise })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_differs() {
        assert_eq!(Protocols::parse("").unwrap(), Protocols::default());
        let found = Protocols::parse(
            r#"
            [booky]
            prefix = "/booky"
            limit = false
            [booky.entities.book]
            table = "library"
            [insight]
            access = "open"
            limit = { requests = 5, seconds = 60 }
            policies.team = { policy = "client" }
            "#,
        )
        .unwrap();
        assert_eq!((found.booky.prefix.as_str(), found.booky.limit), ("/booky", None));
        assert_eq!(found.booky.entities["book"].table.as_deref(), Some("library"));
        assert_eq!(found.booky.entities["tag"].table.as_deref(), Some("tags"));
        assert_eq!((found.insight.access, found.insight.limit), (Access::Open, Some(Limit { requests: 5, seconds: 60 })));
        assert_eq!(found.insight.merging("team").policy, Policy::Client);
        assert_eq!(found.insight.merging("forms").policy, Policy::Manager);
        assert_eq!(found.insight.merging("other").policy, Policy::Server);
    }

    #[test]
    fn mistakes_are_told() {
        for (text, word) in [
            ("[bookys]", "bookys"),
            ("[booky]\nprefix = \"booky\"", "booky.prefix"),
            ("[events]\nprefix = \"\"", "events.prefix"),
            ("[booky]\nlimit = { requests = 0, seconds = 1 }", "booky.limit"),
            ("[booky.entities.book]\ntabel = \"x\"", "tabel"),
        ] {
            let error = Protocols::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
