//! How a protocol names tables and columns, and in which shape it writes values: settings, and the translation of rows both ways.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::said::Fault;
use super::{Object, plain, time};
use crate::key;
use crate::row::Row;
use crate::value::Value;

/// The entities of a protocol by their names on the wire. What is not in it has the same names in the store.
pub type Entities = BTreeMap<String, Entity>;

/// One entity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Entity {
    /// Its table; of the entity's name when absent.
    pub table: Option<String>,
    /// The column, or columns, of its key; `id` when absent.
    pub key: Option<Key>,
    /// Fields whose column has another name or another shape.
    pub fields: BTreeMap<String, Field>,
    /// Fields that hold rows of other tables.
    pub children: BTreeMap<String, Child>,
    /// `deleted_at` is an ordinary column of the table, and setting it no delete.
    pub soft_delete: bool,
}

/// The key's columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// What becomes of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Field {
    /// It is this column.
    Column(String),
    /// It is this column, or one of its own name, in another shape.
    Shaped(Shaped),
}

/// A field and how it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shaped {
    /// The column; of the field's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The shape.
    #[serde(rename = "as")]
    pub shape: Shape,
}

/// How the value of a column is written on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// As it is.
    #[default]
    Plain,
    /// Text that holds JSON, as the JSON that it holds.
    Json,
    /// Unix milliseconds, as RFC 3339 text.
    Iso,
    /// Text that holds a time, as Unix milliseconds.
    Millis,
    /// 0 or 1, as `false` or `true`.
    Bool,
    /// Numbers, as text.
    Text,
}

/// Rows of another table that travel inside their parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Child {
    /// Their table.
    pub table: String,
    /// Their column that holds the parent's key.
    pub parent: String,
    /// Their own key's column.
    #[serde(default = "id")]
    pub key: String,
    /// A column that holds their place in the list, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// Fields of theirs whose column has another name or another shape.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Field>,
}

/// What a child's key is called where nobody says.
pub const USUAL_KEY: &str = "id";

fn id() -> String {
    USUAL_KEY.to_owned()
}

/// The rows of one table that came inside a row.
#[derive(Clone, Debug)]
pub struct PartList {
    /// How they are kept.
    pub child: Child,
    /// In their order.
    pub rows: Vec<Row>,
}

/// What an object says.
pub struct Decoded {
    /// Its columns.
    pub row: Row,
    /// Rows of other tables.
    pub parts: Vec<PartList>,
}

/// One entity under its name on the wire.
#[derive(Clone, Copy)]
pub struct Mapping<'a> {
    /// The name on the wire.
    pub name: &'a str,
    entity: &'a Entity,
}

static AS_IT_IS: Entity = Entity { table: None, key: None, fields: BTreeMap::new(), children: BTreeMap::new(), soft_delete: false };

impl<'a> Mapping<'a> {
    /// By the name on the wire.
    pub fn of_entity(entities: &'a Entities, name: &'a str) -> Self {
        Self { name, entity: entities.get(name).unwrap_or(&AS_IT_IS) }
    }

    /// By the table.
    pub fn of_table(entities: &'a Entities, table: &'a str) -> Self {
        let own = entities.iter().find(|(name, entity)| entity.table.as_deref().unwrap_or(name) == table);
        own.map_or(Self { name: table, entity: &AS_IT_IS }, |(name, entity)| Self { name, entity })
    }

    /// The parent's mapping and the way it holds them, if rows of a table travel inside others.
    pub fn parent_of(entities: &'a Entities, table: &str) -> Option<(Self, &'a Child)> {
        entities.iter().find_map(|(name, entity)| {
            let child = entity.children.values().find(|child| child.table == table)?;
            Some((Self { name, entity }, child))
        })
    }

    /// The table.
    pub fn table(&self) -> &'a str {
        self.entity.table.as_deref().unwrap_or(self.name)
    }

    /// The fields that hold rows of other tables.
    pub fn children(&self) -> impl Iterator<Item = (&'a str, &'a Child)> {
        self.entity.children.iter().map(|(field, child)| (field.as_str(), child))
    }

    /// Whether an object that names a time in `deleted_at` says that the row is gone.
    pub fn is_deleted(&self, object: &Object) -> bool {
        let named = ["deleted_at", "deletedAt"].iter().find_map(|field| object.get(*field));
        !self.entity.soft_delete && named.is_some_and(|at| !at.is_null() && at != false)
    }

    /// The columns that some fields are.
    pub fn columns(&self, fields: &[String]) -> Vec<String> {
        fields.iter().map(|field| column(&self.entity.fields, field).0.to_owned()).collect()
    }

    /// The fields that some columns are.
    pub fn fields(&self, columns: &[String]) -> Vec<String> {
        let own = |name: &String| self.entity.fields.keys().find(|field| column(&self.entity.fields, field).0 == name);
        columns.iter().map(|name| own(name).unwrap_or(name).clone()).collect()
    }

    /// The row that an object says.
    pub fn decode(&self, object: &Object) -> Decoded {
        let mut decoded = Decoded { row: Row::default(), parts: Vec::new() };
        for (field, value) in object {
            if let Some(child) = self.entity.children.get(field) {
                decoded.parts.extend(decode_parts(child, value));
            } else if self.entity.soft_delete || !matches!(field.as_str(), "deleted_at" | "deletedAt") || !value.is_null() {
                set(&mut decoded.row, &self.entity.fields, field, value);
            }
        }
        decoded
    }

    /// The object that says a row, with the rows of other tables that belong into it.
    pub fn encode(&self, id: &str, row: &Row, parts: &[(&str, Vec<Row>)]) -> Object {
        let mut object = encode_row(&self.entity.fields, row);
        if !object.contains_key("id") {
            object.insert("id".to_owned(), plain_id(id));
        }
        for (field, rows) in parts {
            let Some(child) = self.entity.children.get(*field) else { continue };
            let rows = rows.iter().map(|row| Json::Object(encode_row(&child.fields, row))).collect();
            object.insert((*field).to_owned(), Json::Array(rows));
        }
        object
    }

    /// The row's id: of its key columns, or as the client gives it beside the row, which then gets them.
    pub fn identify(&self, row: &mut Row, given: Option<&Json>, field: &str) -> Result<String, Fault> {
        let columns: Vec<&str> = match &self.entity.key {
            None => vec!["id"],
            Some(Key::One(column)) => vec![column],
            Some(Key::Several(columns)) => columns.iter().map(String::as_str).collect(),
        };
        let given = given.map(plain::from_plain).filter(|value| !value.is_null());
        let own: Option<Vec<Value>> =
            columns.iter().map(|column| row.get(column).filter(|value| !value.is_null()).cloned()).collect();
        match (given, own) {
            (None, None) => Err(Fault::new(format!("{field}.{}", columns.join(",")), "the row has no id")),
            (None, Some(own)) => Ok(key::entity_id(&own)),
            (Some(given), own) => {
                let id = match given {
                    Value::Text(text) => text,
                    other => key::entity_id(&[other]),
                };
                let values = key::parse_entity_id(&id).filter(|values| values.len() == columns.len());
                let Some(values) = values.filter(|_| !id.is_empty()) else {
                    return Err(Fault::new(field, "this is not an id of such a row"));
                };
                let same = |own: &[Value]| own.iter().zip(&values).all(|(a, b)| plain_text(a) == plain_text(b));
                if own.is_some_and(|own| !same(&own)) {
                    return Err(Fault::new(field, "the id beside the row and the one in it are not the same"));
                }
                for (column, value) in columns.iter().zip(values) {
                    row.set(column, value);
                }
                Ok(id)
            }
        }
    }
}

/// An id as a client knows it: a number where it is one.
pub fn plain_id(id: &str) -> Json {
    match key::parse_entity_id(id).as_deref() {
        Some([value]) => plain::to_plain(value),
        _ => Json::String(id.to_owned()),
    }
}

fn plain_text(value: &Value) -> String {
    match plain::to_plain(value) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

fn decode_parts(child: &Child, value: &Json) -> Option<PartList> {
    // Some servers keep a list as its text.
    let read = || value.as_str().filter(|text| text.starts_with('[')).and_then(|text| serde_json::from_str::<Vec<Json>>(text).ok());
    let items = value.as_array().cloned().or_else(read)?;
    let rows = items.iter().filter_map(Json::as_object).map(|item| {
        let mut row = Row::default();
        for (field, value) in item {
            set(&mut row, &child.fields, field, value);
        }
        row
    });
    Some(PartList { child: child.clone(), rows: rows.collect() })
}

fn column<'a>(fields: &'a BTreeMap<String, Field>, field: &'a str) -> (&'a str, Shape) {
    match fields.get(field) {
        None => (field, Shape::Plain),
        Some(Field::Column(column)) => (column, Shape::Plain),
        Some(Field::Shaped(Shaped { column, shape })) => (column.as_deref().unwrap_or(field), *shape),
    }
}

fn set(row: &mut Row, fields: &BTreeMap<String, Field>, field: &str, value: &Json) {
    let (column, shape) = column(fields, field);
    row.set(column, shape.decode(value));
}

fn encode_row(fields: &BTreeMap<String, Field>, row: &Row) -> Object {
    row.iter()
        .map(|(name, value)| {
            let own = fields.keys().find(|field| column(fields, field).0 == name);
            let (field, shape) = own.map_or((name, Shape::Plain), |field| (field.as_str(), column(fields, field).1));
            (field.to_owned(), shape.encode(value))
        })
        .collect()
}

impl Shape {
    fn decode(self, value: &Json) -> Value {
        let plain = plain::from_plain(value);
        match (self, value) {
            (Self::Iso, _) => time::read(value).map_or(plain, Value::Integer),
            (Self::Millis, Json::Number(_)) => time::read(value).map_or(plain, |ms| Value::Text(time::format(ms))),
            (Self::Text, Json::String(text)) => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(n), _) => Value::Integer(n),
                (_, Ok(r)) if r.is_finite() => Value::Real(r),
                _ => plain,
            },
            _ => plain,
        }
    }

    fn encode(self, value: &Value) -> Json {
        let plain = plain::to_plain(value);
        match (self, value) {
            (Self::Json, Value::Text(text)) => serde_json::from_str(text).unwrap_or(plain),
            (Self::Iso, Value::Integer(ms)) => Json::String(time::format(*ms)),
            (Self::Millis, Value::Text(text)) => time::parse(text).map_or(plain, Json::from),
            (Self::Bool, Value::Integer(n @ (0 | 1))) => Json::Bool(*n == 1),
            (Self::Text, Value::Integer(_) | Value::Real(_)) => Json::String(plain.to_string()),
            _ => plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entities() -> Entities {
        toml::from_str(
            r#"
            [order]
            table = "orders"
            fields = { orderNumber = "order_number", paid = { as = "bool" }, madeAt = { column = "made_at", as = "iso" }, tags = { as = "json" } }
            children.items = { table = "order_items", parent = "order_id", position = "line" }
            [price]
            table = "prices"
            key = ["sku", "shop"]
            fields = { amount = { as = "text" } }
            "#,
        )
        .unwrap()
    }

    fn object(value: Json) -> Object {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_row_goes_both_ways() {
        let entities = entities();
        let mapping = Mapping::of_entity(&entities, "order");
        assert_eq!(mapping.table(), "orders");
        let sent = object(json!({
            "id": "o1", "orderNumber": "ORD-1", "paid": true, "madeAt": "2025-12-18T10:30:00Z", "tags": ["a"], "total": 45.5,
            "items": [{ "name": "tea", "qty": 2 }, { "name": "milk", "qty": 1 }]
        }));
        let mut decoded = mapping.decode(&sent);
        assert_eq!(
            decoded.row.to_json(),
            r#"{"id":"o1","made_at":1766053800000,"order_number":"ORD-1","paid":1,"tags":"[\"a\"]","total":45.5}"#
        );
        assert_eq!(mapping.identify(&mut decoded.row, None, "order").unwrap(), "o1");
        assert_eq!(decoded.parts[0].rows.len(), 2);
        let back = mapping.encode("o1", &decoded.row, &[("items", decoded.parts[0].rows.clone())]);
        assert_eq!(back, sent);
        let (parent, child) = Mapping::parent_of(&entities, "order_items").unwrap();
        assert_eq!((parent.name, child.parent.as_str()), ("order", "order_id"));
        assert_eq!(Mapping::of_table(&entities, "orders").name, "order");
        assert_eq!(Mapping::of_table(&entities, "customers").name, "customers");
    }

    #[test]
    fn a_row_is_identified_by_its_key_or_by_what_stands_beside_it() {
        let entities = entities();
        let check = |name: &str, given: Option<Json>, row: Json, expected: Option<(&str, &str)>| {
            let mapping = Mapping::of_entity(&entities, name);
            let mut row = mapping.decode(&object(row)).row;
            let id = mapping.identify(&mut row, given.as_ref(), "data");
            assert_eq!(
                id.ok().map(|id| (id, row.to_json())),
                expected.map(|(id, row)| (id.to_owned(), row.to_owned())),
                "{given:?}"
            );
        };
        check("book", Some(json!("book-456")), json!({}), Some(("book-456", r#"{"id":"book-456"}"#)));
        check("book", Some(json!("7")), json!({ "id": 7 }), Some(("7", r#"{"id":7}"#)));
        check("book", Some(json!(7)), json!({ "id": "7" }), Some(("7", r#"{"id":7}"#)));
        check("book", None, json!({ "id": 7 }), Some(("7", r#"{"id":7}"#)));
        check("book", Some(json!("8")), json!({ "id": 7 }), None);
        check("book", None, json!({}), None);
        check("book", Some(json!("")), json!({}), None);
        check(
            "price",
            None,
            json!({ "sku": "a", "shop": 1, "amount": "2.50" }),
            Some((r#"["a",1]"#, r#"{"amount":2.5,"shop":1,"sku":"a"}"#)),
        );
        check("price", Some(json!(r#"["a",1]"#)), json!({}), Some((r#"["a",1]"#, r#"{"sku":"a","shop":1}"#)));
        check("price", Some(json!("a")), json!({}), None);
    }

    #[test]
    fn deletes_are_told_by_a_time() {
        let entities = entities();
        let mapping = Mapping::of_entity(&entities, "book");
        let is_deleted = |value: Json| mapping.is_deleted(&object(value));
        assert!(is_deleted(json!({ "deleted_at": "2025-12-18T10:30:00Z" })));
        assert!(!is_deleted(json!({ "deleted_at": null })) && !is_deleted(json!({})));
        assert_eq!(mapping.decode(&object(json!({ "id": 1, "deleted_at": null }))).row.to_json(), r#"{"id":1}"#);
    }
}
