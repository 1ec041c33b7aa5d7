//! Whether a change is fit to be stored, judged by itself.

use std::collections::HashSet;

use tillsync_core::change::Operation;
use tillsync_core::row::Row;
use tillsync_core::wire::hub::PushChange;

/// Table names are short; the hub keeps one per row.
const ENTITY_TYPE_BYTES_MAX: usize = 200;

/// Keys are short, but a key of several columns travels as a list.
const ENTITY_ID_BYTES_MAX: usize = 4096;

/// The columns of a change, or why it is rejected. A delete has none, whatever it sent.
pub(super) fn row_of(change: &PushChange) -> Result<Row, String> {
    check_name("entityType", &change.entity_type, ENTITY_TYPE_BYTES_MAX)?;
    check_name("entityId", &change.entity_id, ENTITY_ID_BYTES_MAX)?;
    if change.operation == Operation::Delete {
        return Ok(Row::default());
    }
    let Some(data) = &change.data else {
        return Err("data is missing: a create or an update needs the row".to_owned());
    };
    if !data.get().trim_start().starts_with('{') {
        return Err("data is not an object of columns and values".to_owned());
    }
    let row: Row = serde_json::from_str(data.get()).map_err(|_| "data has a value that is no SQLite value".to_owned())?;
    check_columns(&row)?;
    Ok(row)
}

/// The columns as they were before the change, where the client says so.
pub(super) fn before_of(change: &PushChange) -> Result<Row, String> {
    let Some(before) = &change.base else { return Ok(Row::default()) };
    serde_json::from_str(before.get()).map_err(|_| "base is not an object of columns and SQLite values".to_owned())
}

fn check_name(field: &str, name: &str, bytes_max: usize) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("{field} is empty"));
    }
    if name.len() > bytes_max {
        return Err(format!("{field} is longer than {bytes_max} bytes"));
    }
    Ok(())
}

/// With a column named twice no two readers would agree on its value.
fn check_columns(row: &Row) -> Result<(), String> {
    let mut seen = HashSet::with_capacity(row.len());
    if row.iter().all(|(name, _)| seen.insert(name)) { Ok(()) } else { Err("data names a column twice".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operation: &str, entity_id: &str, data: &str, expected: Result<usize, &str>) {
        let json =
            format!(r#"{{"operation":"{operation}","entityType":"sales","entityId":"{entity_id}","timestamp":1,"data":{data}}}"#);
        let found = row_of(&serde_json::from_str(&json).unwrap());
        match expected {
            Ok(columns) => assert_eq!(found.unwrap().len(), columns, "{json}"),
            Err(part) => assert!(found.unwrap_err().contains(part), "{json}"),
        }
    }

    #[test]
    fn changes_are_judged_by_themselves() {
        check("create", "1", r#" {"a":1,"b":null}"#, Ok(2));
        check("update", "1", "{}", Ok(0));
        check("delete", "1", "null", Ok(0));
        check("delete", "1", "[]", Ok(0));
        check("create", "", "{}", Err("entityId is empty"));
        check("create", &"x".repeat(ENTITY_ID_BYTES_MAX + 1), "{}", Err("longer"));
        check("create", "1", "null", Err("missing"));
        check("create", "1", "[]", Err("not an object"));
        check("update", "1", "\"{}\"", Err("not an object"));
        check("create", "1", r#"{"a":{"$int":"x"}}"#, Err("no SQLite value"));
        check("create", "1", r#"{"a":1e999}"#, Err("no SQLite value"));
        check("create", "1", r#"{"a":"\ud800"}"#, Err("no SQLite value"));
        check("create", "1", r#"{"a":1,"a":2}"#, Ok(1));
    }
}
