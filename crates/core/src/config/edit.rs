//! Changing a config file's text without losing what people wrote into it: comments, order and spacing stay.

use toml_edit::{Array, DocumentMut, InlineTable, Item, Table as TomlTable, TableLike, Value, value};

use super::{Config, ConfigError, Direction, Key};
use crate::policy::{Policy, Rule};

/// What to change in one table's settings; `None` and empty lists of pairs leave things as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableChange {
    /// How identities come about.
    pub key: Option<Key>,
    /// The policy.
    pub policy: Option<Policy>,
    /// Rules by column.
    pub columns: Vec<(String, Rule)>,
    /// Which way rows go.
    pub direction: Option<Direction>,
    /// The columns that never leave the register; an empty list excludes nothing, not even secrets.
    pub exclude: Option<Vec<String>>,
    /// The columns whose change is no change; an empty list ignores nothing.
    pub ignore: Option<Vec<String>>,
    /// The condition; an empty one takes it away.
    pub filter: Option<String>,
    /// The name on the wire; an empty one takes it away.
    pub entity: Option<String>,
    /// References that the schema does not declare, by column.
    pub references: Vec<(String, String)>,
    /// A line for people above the settings: its text up to the first colon tells it from other lines, and takes the place of one that
    /// begins with the same.
    pub remark: Option<String>,
}

impl TableChange {
    /// Whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The text with one table's settings changed. It is a valid config, or the error says why it would be none.
pub fn edit_table(text: &str, table: &str, change: &TableChange) -> Result<String, ConfigError> {
    let mut document = parse(text)?;
    let tables = document.entry("tables").or_insert_with(|| {
        let mut tables = TomlTable::new();
        tables.set_implicit(true);
        Item::Table(tables)
    });
    let tables = tables.as_table_like_mut().ok_or_else(|| ConfigError::Table("tables is not a table".to_owned()))?;
    // A table that is there is found in whatever case it was written.
    let there = tables.iter().find(|(name, _)| name.eq_ignore_ascii_case(table)).map(|(name, _)| name.to_owned());
    let name = there.unwrap_or_else(|| table.to_owned());
    let item = tables.entry(&name).or_insert(Item::Table(TomlTable::new()));
    if let (Some(remark), Some(table)) = (&change.remark, item.as_table_mut()) {
        let before = table.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or("\n").to_owned();
        table.decor_mut().set_prefix(with_remark(&before, &remark.replace('\n', " ")));
    }
    let settings = item.as_table_like_mut().ok_or_else(|| ConfigError::Table(format!("tables.{name} is not a table")))?;
    apply(settings, change)?;
    let text = document.to_string();
    Config::parse(&text)?;
    Ok(text)
}

/// What stands before a table, with the remark in its place.
fn with_remark(before: &str, remark: &str) -> String {
    let about = remark.split_once(':').map_or(remark, |(about, _)| about);
    let is_old = |line: &str| {
        let rest = line.trim_end().strip_prefix("# ").and_then(|line| line.strip_prefix(about));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    let kept: String = before.split_inclusive('\n').filter(|line| !is_old(line)).collect();
    format!("{kept}# {remark}\n")
}

fn apply(settings: &mut dyn TableLike, change: &TableChange) -> Result<(), ConfigError> {
    if let Some(key) = change.key {
        put(settings, "key", value(key.as_str()));
    }
    if let Some(policy) = change.policy {
        put(settings, "policy", value(word(policy)?));
    }
    if let Some(direction) = change.direction {
        put(settings, "direction", value(direction.as_str()));
    }
    for (name, list) in [("exclude", &change.exclude), ("ignore", &change.ignore)] {
        if let Some(list) = list {
            put(settings, name, value(list.iter().collect::<Array>()));
        }
    }
    for (name, text) in [("filter", &change.filter), ("entity", &change.entity)] {
        match text.as_deref().map(str::trim) {
            Some("") => drop(settings.remove(name)),
            Some(text) => put(settings, name, value(text)),
            None => {}
        }
    }
    let rules = change.columns.iter().map(|(column, rule)| (column, rule.as_str()));
    put_pairs(settings, "columns", rules)?;
    put_pairs(settings, "references", change.references.iter().map(|(column, table)| (column, table.as_str())))
}

/// A setting that is there keeps its place and the comment behind it.
fn put(settings: &mut dyn TableLike, name: &str, mut item: Item) {
    if let (Some(old), Some(new)) = (settings.get(name).and_then(Item::as_value), item.as_value_mut()) {
        *new.decor_mut() = old.decor().clone();
    }
    settings.insert(name, item);
}

fn put_pairs<'a>(
    settings: &mut dyn TableLike,
    name: &str,
    pairs: impl Iterator<Item = (&'a String, &'a str)>,
) -> Result<(), ConfigError> {
    for (column, word) in pairs {
        let item = settings.entry(name).or_insert_with(|| value(InlineTable::new()));
        let list = item.as_table_like_mut().ok_or_else(|| ConfigError::Table(format!("{name} is not a table")))?;
        let there = list.iter().find(|(known, _)| known.eq_ignore_ascii_case(column)).map(|(known, _)| known.to_owned());
        list.insert(there.as_deref().unwrap_or(column), value(word));
    }
    if let Some(Item::Value(Value::InlineTable(list))) = settings.get_mut(name) {
        list.fmt();
    }
    Ok(())
}

fn word(policy: Policy) -> Result<String, ConfigError> {
    let text = toml::Value::try_from(policy).ok().and_then(|value| value.as_str().map(str::to_owned));
    text.ok_or_else(|| ConfigError::Table("the policy has no word".to_owned()))
}

/// The text of a config file with the values of `config` in it, as far as they differ from what is there. Settings of tables are
/// left alone, unless the text has none.
pub fn merge_into(text: &str, config: &Config) -> Result<String, ConfigError> {
    let mut document = parse(text)?;
    let before = Config::parse(text)?;
    let (old, new) = (as_document(&before)?, as_document(config)?);
    for (name, item) in new.iter().filter(|(name, _)| *name != "tables") {
        if old.get(name).map(ToString::to_string) != Some(item.to_string()) {
            put(document.as_table_mut(), name, item.clone());
        }
    }
    for (name, _) in old.iter().filter(|(name, _)| *name != "tables" && !new.contains_key(name)) {
        document.remove(name);
    }
    let text = document.to_string();
    Config::parse(&text)?;
    Ok(text)
}

fn as_document(config: &Config) -> Result<DocumentMut, ConfigError> {
    let text = toml::to_string(config).map_err(|error| ConfigError::Table(error.to_string()))?;
    parse(&text)
}

fn parse(text: &str) -> Result<DocumentMut, ConfigError> {
    text.parse().map_err(|error: toml_edit::TomlError| ConfigError::Table(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# Ours.\nstore = 'pos.db'\nserver = 'https://hub.example' # the new one\nname = 'Till 1'\nstate_dir = 's'\n\n# Prices come from the office.\n[tables.Products]\npolicy = \"server\" # since May\ncolumns = { stock = 'sum' }\n";

    fn check(table: &str, change: &TableChange, expected: &[&str]) {
        let text = edit_table(FILE, table, change).unwrap();
        for part in ["# Ours.", "# the new one", "# Prices come from the office.", "# since May"].iter().chain(expected) {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(edit_table(&text, table, change).unwrap(), text, "the second time changes nothing");
    }

    #[test]
    fn comments_stay_and_settings_change() {
        let change = |make: fn(&mut TableChange)| {
            let mut change = TableChange::default();
            make(&mut change);
            change
        };
        check("products", &change(|c| c.policy = Some(Policy::Client)), &["[tables.Products]\npolicy = \"client\" # since May"]);
        check(
            "products",
            &change(|c| c.columns = vec![("price".into(), Rule::Manager), ("Stock".into(), Rule::Fill)]),
            &[r#"columns = { stock = "fill", price = "manager" }"#],
        );
        check("sales", &change(|c| c.key = Some(Key::Register)), &["\n[tables.sales]\nkey = \"register\"\n"]);
        check("order lines", &change(|c| c.filter = Some("a = 'b'".into())), &["[tables.\"order lines\"]\nfilter = \"a = 'b'\""]);
        check(
            "products",
            &change(|c| c.exclude = Some(vec!["cost".into(), "margin".into()])),
            &[r#"exclude = ["cost", "margin"]"#],
        );
        check("products", &change(|c| c.ignore = Some(Vec::new())), &["ignore = []"]);
        check(
            "products",
            &change(|c| c.references = vec![("maker_id".into(), "makers".into())]),
            &[r#"references = { maker_id = "makers" }"#],
        );
        let remark = change(|c| (c.key, c.remark) = (Some(Key::Register), Some("rows are made on each register".into())));
        check("sales", &remark, &["\n# rows are made on each register\n[tables.sales]\n"]);
    }

    #[test]
    fn a_remark_takes_the_place_of_the_one_before() {
        let remark = |text: &str| TableChange { remark: Some(text.to_owned()), ..TableChange::default() };
        let first = edit_table(FILE, "products", &remark("Products: counted")).unwrap();
        let second = edit_table(&first, "products", &remark("Products: given")).unwrap();
        assert!(second.contains("\n# Prices come from the office.\n# Products: given\n[tables.Products]"), "{second}");
        assert!(!second.contains("counted"), "{second}");
    }

    #[test]
    fn an_empty_text_takes_a_setting_away() {
        let set = TableChange { filter: Some("a = 1".into()), entity: Some("goods".into()), ..TableChange::default() };
        let text = edit_table(FILE, "products", &set).unwrap();
        let clear = TableChange { filter: Some(String::new()), entity: Some(String::new()), ..TableChange::default() };
        assert_eq!(edit_table(&text, "products", &clear).unwrap(), FILE);
    }

    #[test]
    fn what_would_be_no_config_is_refused() {
        let change = TableChange { exclude: Some(vec!["stock".into()]), ..TableChange::default() };
        assert!(edit_table(FILE, "products", &change).unwrap_err().to_string().contains("stock has a rule"));
    }

    #[test]
    fn other_settings_change_in_place() {
        let mut config = Config::parse(FILE).unwrap();
        config.name = "Till 2".to_owned();
        config.include_tables = Some(vec!["products".to_owned()]);
        let text = merge_into(FILE, &config).unwrap();
        assert_eq!(Config::parse(&text).unwrap(), config);
        assert!(text.contains("# the new one") && text.contains("# since May"), "{text}");
        config.include_tables = None;
        assert_eq!(Config::parse(&merge_into(&text, &config).unwrap()).unwrap(), config);
    }
}
