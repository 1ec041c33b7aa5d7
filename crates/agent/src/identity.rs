//! Identity: between the local keys of the store and the ids on the wire. Everything behind this seam, the whole state, speaks of rows
//! as they are on the wire; see docs/decisions/0006.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, Result};
use tillsync_core::change::Operation;
use tillsync_core::kept::Kept;
use tillsync_core::key::{entity_id, is_nobody, parse_entity_id, parse_register_id, parse_uuid, register_id};
use tillsync_core::row::Row;
use tillsync_core::value::Value;
use uuid::Uuid;

use crate::agent::StoreSide;
use crate::state::ids::Named;

use crate::state::{ids, inbox, outbox, shadow};
use crate::store::ids as store_ids;
use crate::store::ids::Namespaces;
use crate::store::rows;
use crate::store::schema::{Link, Schema, Table};

/// Ids by table number and local key, as far as a visit has come across them.
pub type Known = RefCell<HashMap<(i64, String), Uuid>>;

/// One visit's view of all ids. It reads the store and the state and writes neither.
pub struct Identity<'a> {
    conn: &'a Connection,
    state: Option<&'a Connection>,
    store: &'a StoreSide,
    namespaces: Namespaces,
    known: &'a Known,
    named: RefCell<Vec<Named>>,
}

/// A row as it is on the wire.
#[derive(Clone, Debug)]
pub struct Wired {
    /// Its id.
    pub id: String,
    /// Its key columns.
    pub key: Row,
    /// The row.
    pub row: Row,
}

/// A row from the wire as it is to be in the store.
#[derive(Clone, Debug)]
pub enum Local {
    /// It has a key here.
    Known {
        /// The key.
        values: Vec<Value>,
        /// The row; `None` for a delete.
        row: Option<Row>,
    },
    /// It is new and gets a key in this column.
    New {
        /// The column.
        fresh: String,
        /// The row, with whatever is in that column.
        row: Row,
    },
    /// It is not here and has nothing to do here.
    Absent,
    /// Its id is none that a register gives: elsewhere the table's keys are not kept by register.
    Foreign,
    /// It refers to a row of this table that is not here.
    Orphan {
        /// The other table.
        parent: String,
        /// The other row's id.
        id: Uuid,
    },
}

impl<'a> Identity<'a> {
    /// A view of a store and a state that nobody else changes meanwhile. The state is there where [`Schema::needs_state`] says so.
    pub fn new(conn: &'a Connection, state: Option<&'a Connection>, store: &'a StoreSide, known: &'a Known) -> Result<Self> {
        let is_plain = store.schema.tables.iter().all(|table| !table.is_translated());
        let namespaces = if is_plain { Namespaces::default() } else { Namespaces::read(conn)? };
        Ok(Self { conn, state, store, namespaces, known, named: RefCell::default() })
    }

    /// The ids given so far that the state does not know yet.
    pub fn into_named(self) -> Vec<Named> {
        self.named.into_inner()
    }

    /// The state that it reads.
    pub fn state(&self) -> &Connection {
        self.state.expect("the state is there where rows are translated or filtered")
    }

    fn schema(&self) -> &Schema {
        &self.store.schema
    }

    /// A row of the store as it is on the wire.
    pub fn to_wire(&self, table: &Table, mut row: Row) -> Result<Wired> {
        if table.is_translated() {
            self.translate(table, &mut row)?;
        }
        let key: Row = table.key.iter().map(|name| (name.clone(), row.get(name).cloned().unwrap_or(Value::Null))).collect();
        Ok(Wired { id: wire_id(table, &key), key, row })
    }

    /// A key that no row has any more, as it is on the wire: its id and key columns. `None` when nobody else can know of it.
    pub fn gone(&self, table: &Table, key: &[Value]) -> Result<Option<(String, Row)>> {
        let row: Row = table.key.iter().cloned().zip(key.iter().cloned()).collect();
        if table.fresh.is_some() {
            let entity = self.store.entity(&table.name).number;
            if self.id_given(table, entity, &entity_id(key))?.is_none() {
                return Ok(None);
            }
        }
        let wired = self.to_wire(table, row)?;
        Ok(Some((wired.id, wired.key)))
    }

    fn translate(&self, table: &Table, row: &mut Row) -> Result<()> {
        let mut ids = Vec::with_capacity(table.links.len() + 1);
        for link in &table.links {
            if let Some(id) = self.id_of_parent(link, row)? {
                ids.push((&link.column, id));
            }
        }
        if let Some(fresh) = &table.fresh {
            ids.push((fresh, self.id_of(table, &rows::key_of(table, row))?));
        }
        for (column, id) in ids {
            row.set(column, Value::Text(id.to_string()));
        }
        Ok(())
    }

    fn id_of_parent(&self, link: &Link, row: &Row) -> Result<Option<Uuid>> {
        let Some(parent) = self.schema().table(&link.table) else { return Ok(None) };
        let key: Option<Vec<Value>> = link.columns.iter().map(|column| row.get(column).cloned()).collect();
        match key.filter(|key| !key.iter().any(is_nobody)) {
            Some(key) => self.id_of(parent, &key).map(Some),
            None => Ok(None),
        }
    }

    /// The id of the row with this local key. A row that has none yet gets one.
    fn id_of(&self, table: &Table, key: &[Value]) -> Result<Uuid> {
        let local = entity_id(key);
        let place = (table.number, local);
        if let Some(id) = self.known.borrow().get(&place) {
            return Ok(*id);
        }
        let local = &place.1;
        let entity = self.store.entity(&table.name).number;
        let id = match self.id_given(table, entity, local)? {
            Some(id) => id,
            None => {
                let id = self.new_id(table, entity, key, local)?;
                self.named.borrow_mut().push(Named { entity, local: local.clone(), id });
                id
            }
        };
        self.known.borrow_mut().insert(place, id);
        Ok(id)
    }

    fn id_given(&self, table: &Table, entity: i64, local: &str) -> Result<Option<Uuid>> {
        if let Some(id) = ids::id_of(self.state(), entity, local)? {
            return Ok(Some(id));
        }
        let Some(id) = store_ids::id_of(self.conn, table.number, local)? else { return Ok(None) };
        // The pulled row was deleted here; whatever has its key now is another row.
        let is_over = matches!(shadow::get(self.state(), entity, &id.to_string())?, Some(Kept::Deleted(_)));
        Ok((!is_over).then_some(id))
    }

    /// The same row gets the same id again, also when the state was lost. An id that belongs to a row which had this key before is passed
    /// over, also when that is deleted or waits in the inbox: keys are used again, after a restore and where rows at the end were deleted.
    fn new_id(&self, table: &Table, entity: i64, key: &[Value], local: &str) -> Result<Uuid> {
        let namespace = self.namespaces.of(table, key);
        let mut generation = 0;
        loop {
            let id = register_id(namespace, &table.name, local, generation);
            if !self.is_taken(table, entity, id)? {
                return Ok(id);
            }
            generation += 1;
        }
    }

    fn is_taken(&self, table: &Table, entity: i64, id: Uuid) -> Result<bool> {
        let text = id.to_string();
        Ok(store_ids::local_of(self.conn, table.number, id)?.is_some()
            || ids::local_of(self.state(), entity, id)?.is_some()
            || shadow::get(self.state(), entity, &text)?.is_some()
            || inbox::version(self.state(), &table.name, &text)?.is_some()
            || outbox::has_unsent(self.state(), &table.name, &text)?)
    }

    /// The local key of the row with this id, if it has one.
    fn local_of(&self, table: &Table, id: Uuid) -> Result<Option<Vec<Value>>> {
        let entity = self.store.entity(&table.name).number;
        if let Some(local) = ids::local_of(self.state(), entity, id)? {
            return Ok(parse_entity_id(&local));
        }
        let Some(local) = store_ids::local_of(self.conn, table.number, id)? else { return Ok(None) };
        let is_over = ids::id_of(self.state(), entity, &local)?.is_some();
        Ok(parse_entity_id(&local).filter(|_| !is_over))
    }

    /// The local key that an id on the wire stands for, if there is one.
    pub fn key_to_local(&self, table: &Table, id: &str) -> Result<Option<Vec<Value>>> {
        match self.to_local(table, id, Operation::Delete, None)? {
            Local::Known { values, .. } => Ok(Some(values)),
            Local::New { .. } | Local::Absent | Local::Foreign | Local::Orphan { .. } => Ok(None),
        }
    }

    /// A row from the wire as it is to be in the store.
    pub fn to_local(&self, table: &Table, id: &str, operation: Operation, row: Option<&Row>) -> Result<Local> {
        let row = row.filter(|_| operation != Operation::Delete);
        let Some(mut values) = (if table.fresh.is_some() { Some(Vec::new()) } else { parse_entity_id(id) }) else {
            return Ok(Local::Absent);
        };
        if !table.is_translated() {
            return Ok(Local::Known { values, row: row.cloned() });
        }
        let own = parse_uuid(id);
        let mut row = row.cloned();
        for link in &table.links {
            let wanted = row.as_ref().and_then(|row| row.get(&link.column)).and_then(parse_register_id);
            let is_itself = wanted.is_some() && wanted == own && link.table == table.name;
            if let (Some(wanted), Some(row)) = (wanted.filter(|_| !is_itself), &mut row) {
                match self.link_to_local(link, wanted)? {
                    Some(value) => row.set(&link.column, value),
                    None => return Ok(Local::Orphan { parent: link.table.clone(), id: wanted }),
                }
            }
        }
        let Some(fresh) = &table.fresh else {
            for link in &table.links {
                let Some(place) = table.key.iter().position(|column| *column == link.column) else { continue };
                let Some(wanted) = values.get(place).and_then(parse_register_id) else { continue };
                match self.link_to_local(link, wanted)? {
                    Some(value) => values[place] = value,
                    None if row.is_none() => return Ok(Local::Absent),
                    None => return Ok(Local::Orphan { parent: link.table.clone(), id: wanted }),
                }
            }
            return Ok(Local::Known { values, row });
        };
        let Some(own) = own else { return Ok(Local::Foreign) };
        Ok(match (self.local_of(table, own)?, row) {
            (Some(values), None) => Local::Known { values, row: None },
            (Some(values), Some(mut row)) => {
                for (column, value) in table.key.iter().zip(&values) {
                    row.set(column, value.clone());
                }
                point_to_itself(table, own, fresh, &mut row);
                Local::Known { values, row: Some(row) }
            }
            (None, None) => Local::Absent,
            (None, Some(row)) => Local::New { fresh: fresh.clone(), row },
        })
    }

    fn link_to_local(&self, link: &Link, id: Uuid) -> Result<Option<Value>> {
        let Some(parent) = self.schema().table(&link.table) else { return Ok(None) };
        let Some(values) = self.local_of(parent, id)? else { return Ok(None) };
        let place = link.columns.iter().position(|column| *column == link.column);
        Ok(place.and_then(|place| values.into_iter().nth(place)))
    }

    /// Gives a new row its key: the key, and the row with it. No row that the state still knows by this key may take it for its own.
    pub fn give_key(
        &self,
        table: &Table,
        id: &str,
        fresh: &str,
        mut row: Row,
        touched: &HashSet<(i64, String)>,
    ) -> Result<(Vec<Value>, Row)> {
        let entity = self.store.entity(&table.name).number;
        let key: Vec<(String, Value)> =
            table.key.iter().map(|name| (name.clone(), row.get(name).cloned().unwrap_or(Value::Null))).collect();
        row.set(fresh, store_ids::fresh_value(self.conn, table, fresh, &key)?);
        let values = loop {
            let values = rows::key_of(table, &row);
            let local = entity_id(&values);
            let is_free = ids::id_of(self.state(), entity, &local)?.is_none()
                && !touched.contains(&(table.number, local))
                && rows::read(self.conn, table, &values)?.is_empty();
            if is_free {
                break values;
            }
            row.set(fresh, store_ids::after(row.get(fresh))?);
        };
        if let Some(own) = parse_uuid(id) {
            point_to_itself(table, own, fresh, &mut row);
        }
        Ok((values, row))
    }

    /// The row with this local key has this id from now on.
    pub fn know(&self, table: &Table, values: &[Value], id: &str) {
        if let Some(id) = parse_uuid(id).filter(|_| table.fresh.is_some()) {
            self.known.borrow_mut().insert((table.number, entity_id(values)), id);
        }
    }

    /// There is no row with this local key after all.
    pub fn forget(&self, table: &Table, values: &[Value]) {
        self.known.borrow_mut().remove(&(table.number, entity_id(values)));
    }
}

/// A row may refer to itself; then it refers to the key that it has here.
fn point_to_itself(table: &Table, own: Uuid, fresh: &str, row: &mut Row) {
    let itself = row.get(fresh).cloned().unwrap_or(Value::Null);
    for link in table.links.iter().filter(|link| link.table == table.name) {
        if row.get(&link.column).and_then(parse_register_id) == Some(own) {
            row.set(&link.column, itself.clone());
        }
    }
}

fn wire_id(table: &Table, key: &Row) -> String {
    match &table.fresh {
        Some(fresh) => entity_id(&[key.get(fresh).cloned().unwrap_or(Value::Null)]),
        None => entity_id(&key.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>()),
    }
}
