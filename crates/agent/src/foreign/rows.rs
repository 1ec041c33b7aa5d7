//! Rows as a server tells them, as rows of the store: which ones they are, and in which form they are kept here.

use rusqlite::{Connection, Result};
use tillsync_core::key::parse_uuid;
use tillsync_core::protocol::client::{Told, text};
use tillsync_core::protocol::mapping::PartList;
use tillsync_core::protocol::{Entities, Mapping, Object};
use tillsync_core::row::Row;
use tillsync_core::value::Value;
use uuid::Uuid;

use crate::agent::StoreSide;
use crate::identity::{Identity, Known};
use crate::state::told;
use crate::store::rows;
use crate::store::schema::{Schema, Table};

/// The namespace of ids for rows that the server calls by names that are none for tables in which each register counts for itself.
const NAMES: Uuid = Uuid::from_u128(0x2f4b_71aa_90c3_5e1d_8f60_77d3_14b2_e955);

/// A row that a server tells of.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub table: String,
    pub key: String,
    /// What the server calls it, where that is not its key.
    pub their_id: Option<String>,
    /// What was told of its columns; `None` when it is gone.
    pub row: Option<Row>,
    pub parts: Vec<PartList>,
    pub at_ms: Option<i64>,
    pub about: Object,
}

/// Which row it is; `None` for one that this register cannot have.
pub(super) fn locate(entities: &Entities, schema: &Schema, state: &Connection, told: &Told) -> Result<Option<Located>> {
    let mapping = Mapping::of_entity(entities, &told.entity);
    let Some(table) = schema.table(mapping.table()) else { return Ok(None) };
    let decoded = told.object.as_ref().map(|object| mapping.decode(object));
    let is_gone = told.object.as_ref().is_none_or(|object| mapping.is_deleted(object));
    let (mut row, parts) = decoded.map_or_else(Default::default, |decoded| (decoded.row, decoded.parts));
    let own_id = told.id.as_ref().or_else(|| told.object.as_ref().and_then(|object| object.get("id")));
    let known = own_id.map(|id| told::key_of(state, &table.name, &text(id))).transpose()?.flatten();
    let (key, their_id) = match (known, own_id) {
        (Some(key), id) => (key, id.map(text)),
        (None, Some(id)) if table.fresh.is_some() => own_key(&table.name, &text(id)),
        (None, id) => match mapping.identify(&mut row, id, &told.entity) {
            Ok(key) => (key, None),
            Err(fault) => {
                tracing::warn!(
                    entity = told.entity,
                    fault.field,
                    fault.text,
                    "a row of the server cannot be told from others and is passed over"
                );
                return Ok(None);
            }
        },
    };
    if let (Some(fresh), false) = (&table.fresh, is_gone) {
        row.set(fresh, Value::Text(key.clone()));
    }
    refer(table, &mut row, |parent, id| match told::key_of(state, parent, id)? {
        Some(key) => Ok(Some(key)),
        None => Ok(Some(own_key(parent, id).0)),
    })?;
    let at_ms = told.at_ms;
    Ok(Some(Located {
        table: table.name.clone(),
        key,
        their_id,
        row: (!is_gone).then_some(row),
        parts,
        at_ms,
        about: told.about.clone(),
    }))
}

/// The key of a row in a table in which each register counts for itself, and what the server calls it if that is something else.
pub(super) fn own_key(table: &str, id: &str) -> (String, Option<String>) {
    if parse_uuid(id).is_some() {
        return (id.to_owned(), None);
    }
    let key = Uuid::parse_str(id).unwrap_or_else(|_| Uuid::new_v5(&NAMES, format!("{table}\0{id}").as_bytes()));
    (key.to_string(), Some(id.to_owned()))
}

/// Puts other ids into the columns that refer to rows with ids of their own.
pub(super) fn refer(table: &Table, row: &mut Row, id_of: impl Fn(&str, &str) -> Result<Option<String>>) -> Result<()> {
    for link in &table.links {
        let there = match row.get(&link.column) {
            Some(Value::Text(id)) if !id.is_empty() => Some(id.clone()),
            Some(Value::Integer(id)) if *id > 0 => Some(id.to_string()),
            _ => None,
        };
        if let Some(id) = there.map(|id| id_of(&link.table, &id)).transpose()?.flatten() {
            row.set(&link.column, Value::Text(id));
        }
    }
    Ok(())
}

/// Rows of a table that belong to the row with this key, as they are on the wire.
pub(super) fn children(
    conn: &Connection,
    state: &Connection,
    store: &StoreSide,
    (table, column): (&Table, &str),
    (parent, key): (&Table, &str),
) -> Result<Vec<(String, Row)>> {
    let known = Known::default();
    let identity = Identity::new(conn, Some(state), store, &known)?;
    let Some(values) = identity.key_to_local(parent, key)? else { return Ok(Vec::new()) };
    let [value] = values.as_slice() else { return Ok(Vec::new()) };
    let found = rows::read_where(conn, table, column, value)?;
    found.into_iter().map(|row| identity.to_wire(table, row).map(|wired| (wired.id, wired.row))).collect()
}

/// A row without the columns that the table does not have.
pub(super) fn only_known(table: &Table, row: &Row) -> Row {
    let known = row.iter().filter(|(name, _)| table.columns.iter().any(|column| column == name));
    known.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}
