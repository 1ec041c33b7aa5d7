//! Rows that travel inside their parent, as the rows of their own table that they are.

use super::mapping::{Child, PartList};
use crate::key;
use crate::row::Row;
use crate::value::Value;

/// What the rows inside a parent come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Ids and rows that are there.
    pub rows: Vec<(String, Row)>,
    /// Ids of rows that are not there any more.
    pub removed: Vec<String>,
}

/// Finds out which rows the parts of a parent are. Text keys are theirs; numbers and none mean little outside the client, so that a row of the
/// same content or at the same place is taken for it. `known` are the rows that the parent has. A list without any says nothing: lines do not vanish
/// because somebody sends none.
pub fn settle(list: &PartList, parent: &Value, parent_id: &str, known: &[(String, Row)]) -> Settled {
    if list.rows.is_empty() {
        return Settled::default();
    }
    let mut left: Vec<&(String, Row)> = known.iter().collect();
    let mut take =
        |wanted: &dyn Fn(&(String, Row)) -> bool| left.iter().position(|known| wanted(known)).map(|place| left.remove(place));
    let mut settled = Settled::default();
    for (place, row) in list.rows.iter().enumerate() {
        let Child { parent: parent_column, key, position, .. } = &list.child;
        let mut row = row.clone();
        row.set(parent_column, parent.clone());
        if let Some(position) = position {
            row.set(position, Value::Integer(place as i64));
        }
        let own = row.get(key).filter(|value| !value.is_null()).map(|value| key::entity_id(std::slice::from_ref(value)));
        let by_place = format!("{parent_id}:{place}");
        let known = own.as_ref().and_then(|own| take(&|(id, _)| id == own)).or_else(|| take(&|(_, then)| holds(then, &row, key)));
        let is_name = matches!(row.get(key), Some(Value::Text(_)));
        let id = match (known, own) {
            (Some((id, then)), _) => {
                super::plain::fit(&mut row, then);
                id.clone()
            }
            (None, Some(own)) if is_name => own,
            (None, _) => {
                let _ = take(&|(id, _)| *id == by_place);
                by_place
            }
        };
        if let Some([value]) = key::parse_entity_id(&id).as_deref() {
            row.set(key, value.clone());
        }
        settled.rows.push((id, row));
    }
    settled.removed = left.into_iter().map(|(id, _)| id.clone()).collect();
    settled
}

/// Whether a row holds everything that another one says, but for its key.
fn holds(then: &Row, row: &Row, key: &str) -> bool {
    row.iter().filter(|(name, _)| *name != key).all(|(name, value)| {
        let mut fitted: Row = [(name.to_owned(), value.clone())].into_iter().collect();
        super::plain::fit(&mut fitted, then);
        then.get(name).map_or(value.is_null(), |then| fitted.get(name) == Some(then))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(items: &[&str], known: &[(&str, &str)], expected: &[&str], removed: &[&str]) {
        let child = Child {
            table: "lines".to_owned(),
            parent: "order_id".to_owned(),
            key: "id".to_owned(),
            position: None,
            fields: std::collections::BTreeMap::new(),
        };
        let rows = items.iter().map(|item| serde_json::from_str(item).unwrap()).collect();
        let known: Vec<(String, Row)> =
            known.iter().map(|(id, row)| ((*id).to_owned(), serde_json::from_str(row).unwrap())).collect();
        let settled = settle(&PartList { child, rows }, &Value::Text("o".to_owned()), "o", &known);
        let ids: Vec<&str> = settled.rows.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(
            (ids.as_slice(), settled.removed.as_slice()),
            (expected, removed.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>().as_slice())
        );
        assert!(settled.rows.iter().all(|(_, row)| row.get("order_id") == Some(&Value::Text("o".to_owned()))));
    }

    #[test]
    fn parts_are_known_again() {
        let tea = r#"{"name":"tea"}"#;
        check(&[tea, tea], &[], &["o:0", "o:1"], &[]);
        check(&[r#"{"id":"a","name":"tea"}"#], &[], &["a"], &[]);
        check(&[r#"{"id":1,"name":"tea"}"#], &[], &["o:0"], &[]);
        let here = [("o:0", r#"{"id":"o:0","name":"tea","order_id":"o"}"#), ("55", r#"{"id":55,"name":"milk","order_id":"o"}"#)];
        check(&[tea, r#"{"id":55,"name":"milk","qty":2}"#], &here, &["o:0", "55"], &[]);
        check(&[r#"{"name":"milk"}"#], &here, &["55"], &["o:0"]);
        check(&[r#"{"name":"bread"}"#, tea], &here, &["o:0", "o:1"], &["55"]);
        check(&[], &here, &[], &[]);
    }
}
