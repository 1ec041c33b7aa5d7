//! Prints: 64-bit fingerprints of columns and rows, kept in the shadow instead of the values.
//!
//! A column's print is salted with its name and a row's print is the sum of them. So the order of columns does not matter,
//! and adding a column that is NULL changes no print.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::row::Row;
use crate::value::Value;

/// The print of one column; NULL's is 0.
pub fn column_print(name: &str, value: &Value) -> u64 {
    if value.is_null() {
        return 0;
    }
    let mut hash = Xxh3::with_seed(xxh3_64(name.as_bytes()));
    value.digest_parts(|part| hash.update(part));
    // 0 is taken by NULL.
    hash.digest().max(1)
}

/// The print of a whole row.
pub fn row_print(row: &Row) -> u64 {
    row.iter().fold(0, |sum, (name, value)| sum.wrapping_add(column_print(name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[(&str, Value)]) -> Row {
        columns.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn order_and_null_columns_do_not_matter() {
        let plain = row(&[("a", Value::Integer(1)), ("b", Value::Integer(2))]);
        let turned = row(&[("b", Value::Integer(2)), ("a", Value::Integer(1)), ("c", Value::Null)]);
        assert_eq!(row_print(&plain), row_print(&turned));
    }

    #[test]
    fn swapped_values_and_storage_classes_matter() {
        let base = row(&[("a", Value::Integer(1)), ("b", Value::Integer(2))]);
        for other in [
            row(&[("a", Value::Integer(2)), ("b", Value::Integer(1))]),
            row(&[("a", Value::Real(1.0)), ("b", Value::Integer(2))]),
            row(&[("a", Value::Text("1".into())), ("b", Value::Integer(2))]),
            row(&[("a", Value::Integer(1)), ("b", Value::Null)]),
        ] {
            assert_ne!(row_print(&base), row_print(&other));
        }
    }
}
