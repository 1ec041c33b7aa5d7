//! A conflict as people see it: which row, who wrote what, and where the two sides differ.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::change::Operation;
use crate::row::Row;
use crate::value::Value;
use crate::wire::hub;

/// A longer value is cut: the window compares, it does not edit.
const TEXT_CHARS_MAX: usize = 500;

/// Columns that people know a row by, the best first.
const TITLES: [&str; 12] = [
    "name",
    "title",
    "label",
    "description",
    "product_name",
    "full_name",
    "invoice_number",
    "receipt_number",
    "number",
    "sku",
    "barcode",
    "code",
];

/// What the two did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum ConflictKind {
    /// Both changed the row.
    Update,
    /// One deleted what the other changed.
    Delete,
    /// Both made a row with this key.
    Create,
}

/// One column of a row in conflict. `None` where it is empty or the row is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The value that both started from.
    pub base: Option<String>,
    /// The value of the register whose change it was.
    pub local: Option<String>,
    /// The server's value.
    pub server: Option<String>,
    /// Whether the register changed it.
    pub local_changed: bool,
    /// Whether the server's differs from what both started from.
    pub server_changed: bool,
}

/// A conflict that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Conflict {
    /// The server's number.
    pub id: i64,
    /// The table.
    pub entity: String,
    /// The row.
    pub key: String,
    /// What a person would call the row.
    pub title: Option<String>,
    /// What the two did.
    pub kind: ConflictKind,
    /// When the register wrote its value.
    pub local_at_ms: i64,
    /// Who; absent when that register is gone.
    pub local_by: Option<String>,
    /// When the server's value was written.
    pub server_at_ms: Option<i64>,
    /// Who; absent when that register is gone.
    pub server_by: Option<String>,
    /// The row's version that these values are: what a decision must name.
    pub version: i64,
    /// Whether the value that both started from is known.
    pub base_known: bool,
    /// The register deleted the row.
    pub local_gone: bool,
    /// The row is deleted on the server.
    pub server_gone: bool,
    /// Where the two differ.
    pub columns: Vec<Column>,
    /// How many columns do not.
    pub same: u64,
}

impl Conflict {
    /// The window's view of what the server noted. `entity` and `key` are the names that the store has for them.
    pub fn new(entity: &str, key: &str, noted: &hub::Conflict) -> Self {
        let [base, local, server] = [&noted.base_value, &noted.client_value, &noted.server_value].map(|json| read(json.as_deref()));
        let kind = match (noted.operation, &server) {
            (Operation::Delete, _) | (_, None) => ConflictKind::Delete,
            (Operation::Create, Some(_)) => ConflictKind::Create,
            (_, Some(_)) => ConflictKind::Update,
        };
        let (columns, same) = columns_of(base.as_ref(), local.as_ref(), server.as_ref());
        Self {
            id: noted.id,
            entity: entity.to_owned(),
            key: key.to_owned(),
            title: [&server, &local, &base].into_iter().flatten().find_map(title),
            kind,
            local_at_ms: noted.client_at,
            local_by: noted.device_name.clone(),
            server_at_ms: noted.server_at,
            server_by: noted.server_device_name.clone(),
            version: noted.version,
            base_known: base.is_some(),
            local_gone: noted.operation == Operation::Delete,
            server_gone: server.is_none(),
            columns,
            same,
        }
    }
}

/// The columns in which two sides differ, and how many do not. A side that does not name a column has not changed it.
pub fn columns_of(base: Option<&Row>, local: Option<&Row>, server: Option<&Row>) -> (Vec<Column>, u64) {
    let mut seen = BTreeSet::new();
    let rows = [server, local, base];
    let names = rows.into_iter().flatten().flat_map(Row::iter).map(|(name, _)| name).filter(|name| seen.insert(*name));
    let all: Vec<Column> = names
        .map(|name| {
            let [was, here, there] = [base, local, server].map(|row| row.and_then(|row| row.get(name)));
            let here = if local.is_some() { here.or(was).or(there) } else { None };
            let changed = |now: Option<&Value>| was.is_some_and(|was| now.is_some_and(|now| now != was));
            Column {
                name: name.to_owned(),
                base: was.and_then(text),
                local: here.and_then(text),
                server: there.and_then(text),
                local_changed: changed(here),
                server_changed: changed(there),
            }
        })
        .collect();
    let total = all.len();
    let differing: Vec<Column> = all.into_iter().filter(|column| column.local != column.server).collect();
    let same = (total - differing.len()) as u64;
    (differing, same)
}

/// What a person would call the row.
pub fn title(row: &Row) -> Option<String> {
    let column = |wanted: &&str| row.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).and_then(|(_, value)| text(value));
    TITLES.iter().find_map(column).filter(|title| !title.trim().is_empty())
}

fn read(json: Option<&RawValue>) -> Option<Row> {
    serde_json::from_str(json?.get()).ok()
}

/// A value for people; nothing where it is empty.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::Text(text) => text.clone(),
        other => serde_json::to_string(other).unwrap_or_default(),
    };
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(TEXT_CHARS_MAX).collect();
    Some(if chars.next().is_some() { format!("{start}…") } else { start })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap()
    }

    fn column(name: &str, values: [Option<&str>; 3], changed: [bool; 2]) -> Column {
        let [base, local, server] = values.map(|value| value.map(str::to_owned));
        let [local_changed, server_changed] = changed;
        Column { name: name.to_owned(), base, local, server, local_changed, server_changed }
    }

    #[test]
    fn only_what_differs_is_shown_side_by_side() {
        let base = row(r#"{"id":7,"name":"tea","price":3,"note":null}"#);
        let (local, server) = (row(r#"{"price":3.5,"note":"hot"}"#), row(r#"{"id":7,"name":"tea","price":4,"note":null}"#));
        let price = column("price", [Some("3"), Some("3.5"), Some("4")], [true, true]);
        let note = column("note", [None, Some("hot"), None], [true, false]);
        assert_eq!(columns_of(Some(&base), Some(&local), Some(&server)), (vec![price, note], 2));
    }

    #[test]
    fn a_deleted_row_stands_beside_all_that_the_other_has() {
        let server = row(r#"{"id":7,"name":"tea"}"#);
        let (columns, same) = columns_of(None, None, Some(&server));
        assert_eq!((columns.len(), same), (2, 0));
        assert_eq!(columns[1], column("name", [None, None, Some("tea")], [false, false]));
    }

    #[test]
    fn people_know_a_row_by_its_name() {
        assert_eq!(title(&row(r#"{"id":7,"sku":"A-1","Name":"tea"}"#)).as_deref(), Some("tea"));
        assert_eq!(title(&row(r#"{"id":7,"sku":"A-1","name":" "}"#)), None);
        assert_eq!(title(&row(r#"{"id":7}"#)), None);
        assert_eq!(title(&row(&format!(r#"{{"name":"{}"}}"#, "x".repeat(600)))).unwrap().chars().count(), TEXT_CHARS_MAX + 1);
    }
}
