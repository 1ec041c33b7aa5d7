//! A row: its columns by name, in the table's order.

use std::collections::HashMap;
use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::value::Value;

/// A row has at most this many columns, SQLite's own upper limit.
const COLUMNS_MAX: usize = 32_767;

/// Columns by name. As JSON: one object, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    columns: Vec<(String, Value)>,
}

impl Row {
    /// The value of a column, if the row has it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.columns.iter().find(|(column, _)| column == name).map(|(_, value)| value)
    }

    /// Sets a column, keeping its place when it is already there.
    pub fn set(&mut self, name: &str, value: Value) {
        match self.columns.iter_mut().find(|(column, _)| column == name) {
            Some((_, old)) => *old = value,
            None => self.columns.push((name.to_owned(), value)),
        }
    }

    /// Appends a column that the caller knows to be new.
    pub fn push(&mut self, name: &str, value: Value) {
        self.columns.push((name.to_owned(), value));
    }

    /// The columns in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.columns.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Whether both hold the same value in every column that either names; a missing column equals NULL, so a register
    /// whose POS is a version behind does not look different.
    pub fn same_as(&self, other: &Self) -> bool {
        let covered =
            |a: &Self, b: &Self| a.iter().all(|(name, value)| b.get(name).map_or(value.is_null(), |theirs| theirs == value));
        covered(self, other) && covered(other, self)
    }

    /// Whether the other row holds the same value in every column that this one names; a missing column equals NULL. So it is with a row
    /// that a POS brings whose schema has lost columns.
    pub fn is_part_of(&self, other: &Self) -> bool {
        self.iter().all(|(name, value)| other.get(name).map_or(value.is_null(), |theirs| theirs == value))
    }

    /// The row as JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a row always encodes")
    }
}

impl FromIterator<(String, Value)> for Row {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(columns: I) -> Self {
        Self { columns: columns.into_iter().collect() }
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(self.columns.len()))?;
        for (name, value) in &self.columns {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of column names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut columns = Vec::new();
        while let Some(column) = map.next_entry()? {
            columns.push(column);
            if columns.len() > COLUMNS_MAX {
                return Err(de::Error::custom(format!("a row has at most {COLUMNS_MAX} columns")));
            }
        }
        Ok(Row { columns: each_once(columns) })
    }
}

/// Up to so many columns comparing all with all is the fastest way.
const FEW_COLUMNS: usize = 32;

/// Of columns that are named twice the last value counts, as for every JSON reader.
fn each_once(mut columns: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let is_twice = |(place, (name, _)): (usize, &(String, Value))| columns[..place].iter().any(|(other, _)| other == name);
    if columns.len() <= FEW_COLUMNS && !columns.iter().enumerate().any(is_twice) {
        return columns;
    }
    let last: HashMap<String, usize> = columns.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
    let mut place = 0;
    columns.retain(|(name, _)| {
        place += 1;
        last.get(name) == Some(&(place - 1))
    });
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_named_twice_has_its_last_value() {
        let row: Row = serde_json::from_str(r#"{"a":1,"b":2,"a":3,"c":4,"a":5}"#).unwrap();
        assert_eq!(row.to_json(), r#"{"b":2,"c":4,"a":5}"#);
        assert!(row.same_as(&row));
    }
}
