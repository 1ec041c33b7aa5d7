//! A change as a client of any protocol says it, in the words of the store.

use serde_json::Value as Json;
use uuid::Uuid;

use super::Object;
use super::mapping::{Mapping, PartList};
use crate::change::Operation;
use crate::row::Row;

/// The namespace of event ids that are made of a change's content.
const EVENTS: Uuid = Uuid::from_u128(0x6c1f_63d8_4e0b_5d0f_9a0e_2f1c_7c0a_51d7);

/// What a client did to a row.
#[derive(Clone, Debug)]
pub struct Said {
    /// Where in the request it stands, as a path.
    pub field: String,
    /// What the protocol calls the row's kind.
    pub entity: String,
    /// The table.
    pub table: String,
    /// The row's id on the wire.
    pub id: String,
    /// What happened.
    pub operation: Operation,
    /// The columns; none for a delete.
    pub row: Row,
    /// When, by the client's clock, Unix milliseconds.
    pub at_ms: Option<i64>,
    /// One for life, where the protocol has one.
    pub event_id: Option<Uuid>,
    /// The columns that were changed; all of the row when `None`.
    pub updated_fields: Option<Vec<String>>,
    /// Rows of other tables that came inside it.
    pub parts: Vec<PartList>,
    /// How often the client has written it, where the protocol counts.
    pub sync_version: Option<i64>,
    /// What the server said of the version that the client started from, where the protocol has that.
    pub known_hash: Option<String>,
}

/// What is wrong with one change of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands, as a path such as `changes.forms[3].id`.
    pub field: String,
    /// For people.
    pub text: String,
}

impl Fault {
    /// A fault at a member.
    pub fn new(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self { field: field.into(), text: text.into() }
    }
}

impl Said {
    /// A row that was written, from the object that says so.
    pub fn of(mapping: &Mapping, object: &Object, id: Option<&Json>, field: &str) -> Result<Self, Fault> {
        let mut decoded = mapping.decode(object);
        let id = mapping.identify(&mut decoded.row, id, field)?;
        Ok(Self { row: decoded.row, parts: decoded.parts, ..Self::bare(mapping, id, Operation::Update, field) })
    }

    /// A row that was deleted.
    pub fn delete(mapping: &Mapping, id: &Json, field: &str) -> Result<Self, Fault> {
        let id = mapping.identify(&mut Row::default(), Some(id), field)?;
        Ok(Self::bare(mapping, id, Operation::Delete, field))
    }

    fn bare(mapping: &Mapping, id: String, operation: Operation, field: &str) -> Self {
        Self {
            field: field.to_owned(),
            entity: mapping.name.to_owned(),
            table: mapping.table().to_owned(),
            id,
            operation,
            row: Row::default(),
            at_ms: None,
            event_id: None,
            updated_fields: None,
            parts: Vec::new(),
            sync_version: None,
            known_hash: None,
        }
    }

    /// The id of the event: the client's own, or one made of who says what, so that the same thing said again is no second change. `number`
    /// is what the client calls the change, if anything.
    pub fn event_id(&self, device: &str, number: &str) -> Uuid {
        let id = |name: &str| Uuid::new_v5(&EVENTS, name.as_bytes());
        if let Some(own) = self.event_id {
            return own;
        }
        let Self { table, id: row_id, operation, row, at_ms, updated_fields, sync_version, .. } = self;
        let operation = operation.as_str();
        id(&format!(
            "{device}\0{number}\0{table}\0{row_id}\0{operation}\0{}\0{at_ms:?}\0{updated_fields:?}\0{sync_version:?}",
            row.to_json()
        ))
    }
}
