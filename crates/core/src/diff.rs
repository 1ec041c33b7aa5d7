//! Capture's question: what changed between what was last seen of a row and what is there now?

use crate::change::Operation;
use crate::print::{column_print, row_print};
use crate::row::Row;
use crate::value::Value;

/// What the shadow keeps of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// Print of the whole row.
    pub print: u64,
    /// Prints of the columns, in the entity's column order; empty for entities that do not merge by field.
    pub columns: Vec<u64>,
    /// The change id of the server that last wrote the row; 0 while it has none.
    pub version: i64,
    /// The columns whose rule merges from the value before a change: counters and JSON values.
    pub bases: Row,
}

/// A column that came to a table whose rows were seen without it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Added {
    /// Its name.
    pub name: String,
    /// What it holds in rows that were there before; NULL where the schema gives no default.
    pub default: Value,
    /// The name that it had before, if it is an old column under a new name.
    pub was: Option<String>,
}

impl Added {
    /// Whether a row still holds what the column came with. A default is a text of the schema, whatever the column makes of it.
    pub fn is_as_it_came(&self, value: &Value) -> bool {
        *value == self.default || (plain(value).is_some() && plain(value) == plain(&self.default))
    }

    /// The prints of what the column came with, whatever it makes of the schema's text.
    fn prints(&self) -> Vec<u64> {
        let text = plain(&self.default).unwrap_or_default();
        let integer = text.parse().ok().map(Value::Integer);
        let real = text.parse().ok().map(Value::Real);
        [Some(self.default.clone()), integer, real].iter().flatten().map(|value| column_print(&self.name, value)).collect()
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Integer(n) => Some(n.to_string()),
        Value::Real(r) => Some(r.to_string()),
        Value::Text(text) => Some(text.clone()),
        Value::Null | Value::RawText(_) | Value::Blob(_) => None,
    }
}

/// A row as it was seen before columns came: without those that nobody has filled yet, and with old names for renamed ones.
fn before_added(row: &Row, added: &[Added]) -> Row {
    let place = |name: &str, value: &Value| match added.iter().find(|added| added.name == name) {
        Some(Added { was: Some(old), .. }) => Some(old.clone()),
        Some(column) if column.is_as_it_came(value) => None,
        Some(_) | None => Some(name.to_owned()),
    };
    row.iter().filter_map(|(name, value)| Some((place(name, value)?, value.clone()))).collect()
}

/// Compares where columns came that the row may have been seen without. That they came is no change.
pub fn difference_beside(shadow: Option<&Shadow>, now: Option<&Row>, columns: &[String], added: &[Added]) -> Option<Difference> {
    let plainly = difference(shadow, now, columns)?;
    let (Some(seen), Some(row)) = (shadow, now) else { return Some(plainly) };
    // A column in which the row was seen with something has come for it already: nothing in it now is a change.
    let added: Vec<Added> = added.iter().filter(|column| !is_seen(seen, &column.name, columns)).cloned().collect();
    if added.is_empty() {
        return Some(plainly);
    }
    let mut older = difference(shadow, Some(&before_added(row, &added)), columns)?;
    let new_name = |name: &mut String| {
        if let Some(column) = added.iter().find(|added| added.was.as_deref() == Some(name)) {
            name.clone_from(&column.name);
        }
    };
    older.updated_fields.iter_mut().flatten().for_each(new_name);
    // The row was seen with its new columns or without them; what it was seen as explains more of it.
    let claims = |difference: &Difference| difference.updated_fields.as_ref().map_or(usize::MAX, Vec::len);
    Some(if claims(&older) < claims(&plainly) { older } else { plainly })
}

/// Whether the row was seen with something in a column that is more than what the column came with: then it has come for this row. Where no
/// column's print is kept, as far as the row is still as it was seen.
pub fn has_come(shadow: &Shadow, row: &Row, added: &Added, columns: &[String]) -> bool {
    if shadow.columns.is_empty() {
        let is_filled = |value: &Value| !value.is_null() && !added.is_as_it_came(value);
        return shadow.print == row_print(row) && row.get(&added.name).is_some_and(is_filled);
    }
    let place = columns.iter().position(|column| *column == added.name);
    let print = place.and_then(|place| shadow.columns.get(place)).copied().unwrap_or(0);
    print != 0 && !added.prints().contains(&print)
}

fn is_seen(shadow: &Shadow, name: &str, columns: &[String]) -> bool {
    let place = columns.iter().position(|column| column == name);
    place.and_then(|place| shadow.columns.get(place)).is_some_and(|print| *print != 0)
}

/// A difference worth sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What happened to the row.
    pub operation: Operation,
    /// The columns that an update changed; `None` when only the whole row's print is kept, which means "all of them".
    pub updated_fields: Option<Vec<String>>,
}

/// The columns of a row whose values the shadow keeps.
pub fn bases(row: &Row, columns: &[String]) -> Row {
    columns.iter().filter_map(|name| Some((name.clone(), row.get(name)?.clone()))).collect()
}

/// What the kept columns were before an update, as far as it changed them.
pub fn before(shadow: &Shadow, difference: &Difference) -> Row {
    let changed = |name: &str| difference.updated_fields.as_ref().is_none_or(|fields| fields.iter().any(|field| field == name));
    let bases = shadow.bases.iter().filter(|(name, _)| difference.operation == Operation::Update && changed(name));
    bases.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// Compares; `None` when nothing really changed.
pub fn difference(shadow: Option<&Shadow>, now: Option<&Row>, columns: &[String]) -> Option<Difference> {
    match (shadow, now) {
        (None, None) => None,
        (None, Some(_)) => Some(Difference { operation: Operation::Create, updated_fields: None }),
        (Some(_), None) => Some(Difference { operation: Operation::Delete, updated_fields: None }),
        (Some(shadow), Some(row)) if shadow.print == row_print(row) => None,
        (Some(shadow), Some(row)) => match updated_fields(shadow, row, columns) {
            // The row's print differs but no column's does: a column was dropped, or does not sync any more.
            Some(fields) if fields.is_empty() => None,
            updated_fields => Some(Difference { operation: Operation::Update, updated_fields }),
        },
    }
}

/// The prints to keep of a row. `columns` is the entity's column order, or empty to keep none.
pub fn column_prints(row: &Row, columns: &[String]) -> Vec<u64> {
    columns.iter().map(|name| row.get(name).map_or(0, |value| column_print(name, value))).collect()
}

fn updated_fields(shadow: &Shadow, row: &Row, columns: &[String]) -> Option<Vec<String>> {
    if shadow.columns.is_empty() {
        return None;
    }
    let was = |name: &str| {
        let place = columns.iter().position(|column| column == name)?;
        // A column that came after the prints were taken was NULL then.
        Some(shadow.columns.get(place).copied().unwrap_or(0))
    };
    let changed = row.iter().filter(|(name, value)| was(name) != Some(column_print(name, value)));
    Some(changed.map(|(name, _)| name.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<String> {
        ["id", "name", "price"].map(str::to_owned).to_vec()
    }

    fn row(name: &str, price: i64) -> Row {
        [("id", Value::Integer(1)), ("name", Value::Text(name.into())), ("price", Value::Integer(price))]
            .map(|(column, value)| (column.to_owned(), value))
            .into_iter()
            .collect()
    }

    fn shadow(of: &Row, by_field: bool) -> Shadow {
        let columns = if by_field { column_prints(of, &columns()) } else { Vec::new() };
        Shadow { print: row_print(of), columns, version: 1, bases: Row::default() }
    }

    fn check(shadow: Option<&Shadow>, now: Option<&Row>, expected: Option<(Operation, Option<&[&str]>)>) {
        let expected = expected.map(|(operation, fields)| Difference {
            operation,
            updated_fields: fields.map(|fields| fields.iter().map(|&field| field.to_owned()).collect()),
        });
        assert_eq!(difference(shadow, now, &columns()), expected);
    }

    #[test]
    fn only_what_changed_is_named() {
        let old = row("tea", 3);
        check(None, Some(&old), Some((Operation::Create, None)));
        check(Some(&shadow(&old, true)), Some(&old), None);
        check(Some(&shadow(&old, true)), Some(&row("tea", 4)), Some((Operation::Update, Some(&["price"]))));
        check(Some(&shadow(&old, true)), Some(&row("mint", 4)), Some((Operation::Update, Some(&["name", "price"]))));
        check(Some(&shadow(&old, false)), Some(&row("tea", 4)), Some((Operation::Update, None)));
        check(Some(&shadow(&old, true)), None, Some((Operation::Delete, None)));
        check(None, None, None);
    }

    #[test]
    fn what_counters_were_before_is_known_where_they_changed() {
        let kept =
            Shadow { bases: bases(&row("tea", 3), &["price".to_owned(), "gone".to_owned()]), ..shadow(&row("tea", 3), true) };
        let before = |now: &Row| before(&kept, &difference(Some(&kept), Some(now), &columns()).unwrap());
        assert_eq!(before(&row("tea", 4)).get("price"), Some(&Value::Integer(3)));
        assert!(before(&row("mint", 3)).is_empty());
    }

    #[test]
    fn a_new_column_is_a_change_only_where_it_is_filled() {
        let old = shadow(&row("tea", 3), true);
        let mut columns = columns();
        columns.push("size".to_owned());
        let mut now = row("tea", 3);
        now.push("size", Value::Null);
        assert_eq!(difference(Some(&old), Some(&now), &columns), None);
        now.set("size", Value::Integer(5));
        assert_eq!(difference(Some(&old), Some(&now), &columns).unwrap().updated_fields, Some(vec!["size".to_owned()]));
    }

    #[test]
    fn a_new_column_that_was_filled_and_is_emptied_is_a_change() {
        let columns = ["id", "name", "price", "size"].map(str::to_owned);
        let added = [Added { name: "size".to_owned(), default: Value::Null, was: None }];
        let with = |size: Value| {
            let mut row = row("tea", 3);
            row.push("size", size);
            row
        };
        let filled = with(Value::Integer(5));
        let seen = Shadow { columns: column_prints(&filled, &columns), ..shadow(&filled, false) };
        let fields = difference_beside(Some(&seen), Some(&with(Value::Null)), &columns, &added).unwrap().updated_fields;
        assert_eq!(fields, Some(vec!["size".to_owned()]));
    }

    #[test]
    fn a_column_has_come_for_a_row_that_was_seen_with_something_in_it() {
        let columns = ["id", "name", "price", "size"].map(str::to_owned);
        let size = Added { name: "size".to_owned(), default: Value::Text("19".into()), was: None };
        let with = |size: Value| {
            let mut row = row("tea", 3);
            row.push("size", size);
            row
        };
        let seen = |row: &Row, by_field: bool| {
            let columns = if by_field { column_prints(row, &columns) } else { Vec::new() };
            Shadow { columns, ..shadow(row, false) }
        };
        let (filled, default) = (with(Value::Integer(5)), with(Value::Integer(19)));
        for by_field in [true, false] {
            assert!(!has_come(&seen(&row("tea", 3), by_field), &filled, &size, &columns));
            assert!(!has_come(&seen(&default, by_field), &default, &size, &columns));
            assert!(!has_come(&seen(&default, by_field), &filled, &size, &columns), "what others hold there nobody has seen here");
            assert!(has_come(&seen(&filled, by_field), &filled, &size, &columns));
            // Only a print of the column tells that somebody has changed it since.
            for now in [with(Value::Integer(6)), with(Value::Null)] {
                assert_eq!(has_come(&seen(&filled, by_field), &now, &size, &columns), by_field);
            }
        }
    }

    #[test]
    fn a_column_that_is_gone_is_no_change() {
        let old = shadow(&row("tea", 3), true);
        let without =
            |price| row("tea", price).iter().filter(|(name, _)| *name != "name").map(|(n, v)| (n.to_owned(), v.clone())).collect();
        check(Some(&old), Some(&without(3)), None);
        check(Some(&old), Some(&without(4)), Some((Operation::Update, Some(&["price"]))));
    }

    /// What is claimed of a row that was seen before `size` came (default 5) and `price` became `cents`.
    fn check_beside(by_field: bool, now: &[(&str, Value)], expected: Option<Option<&[&str]>>) {
        let shadow = shadow(&row("tea", 3), by_field);
        let now: Row = now.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let columns = ["id", "name", "price", "size", "cents"].map(str::to_owned);
        let added = [
            Added { name: "size".to_owned(), default: Value::Text("5".into()), was: None },
            Added { name: "cents".to_owned(), default: Value::Null, was: Some("price".to_owned()) },
        ];
        let found = difference_beside(Some(&shadow), Some(&now), &columns, &added).map(|found| found.updated_fields);
        let expected = expected.map(|fields| fields.map(|fields| fields.iter().map(|&field| field.to_owned()).collect::<Vec<_>>()));
        assert_eq!(found, expected);
    }

    #[test]
    fn columns_that_come_or_change_their_names_are_no_change() {
        let with = |name: &str, size: Value, cents: i64| {
            [("id", Value::Integer(1)), ("name", Value::Text(name.into())), ("size", size), ("cents", Value::Integer(cents))]
        };
        for by_field in [true, false] {
            check_beside(by_field, &with("tea", Value::Integer(5), 3), None);
            let fields = |fields: &'static [&'static str]| Some(by_field.then_some(fields));
            check_beside(by_field, &with("tea", Value::Integer(6), 3), fields(&["size"]));
            check_beside(by_field, &with("tea", Value::Integer(5), 4), fields(&["cents"]));
            check_beside(by_field, &with("mint", Value::Integer(5), 3), fields(&["name"]));
        }
    }
}
