//! Identity: between the local keys of a store and the ids on the wire, as the agent's has it.

use std::collections::{BTreeMap, BTreeSet};

use tillsync_core::kept::Kept;
use tillsync_core::key::{is_nobody, parse_register_id, parse_uuid};
use tillsync_core::row::Row;
use tillsync_core::value::Value;
use uuid::Uuid;

use super::register::Register;
use super::shop::{Key, Place, Shop, Table, parent};
use super::state::State;
use super::store::Store;

/// One visit's view of all ids.
pub struct Identity<'a> {
    shop: &'a Shop,
    store: &'a Store,
    state: &'a State,
    /// Ids given so far that the state does not know yet.
    pub named: BTreeMap<Place, Uuid>,
}

/// A row from the wire as it is to be in the store.
#[derive(Debug)]
pub enum Local {
    /// It has a key here.
    Known(Place, Option<Row>),
    /// It is new and gets a key.
    New(Row),
    /// It is not here and has nothing to do here.
    Absent,
    /// It refers to a row that is not here.
    Orphan,
}

impl Register {
    /// The view of a visit.
    pub fn identity(&self) -> Identity<'_> {
        Identity { shop: &self.shop, store: &self.store, state: &self.state, named: BTreeMap::new() }
    }
}

impl Identity<'_> {
    /// A row of the store as it is on the wire.
    pub fn wire(&mut self, place: &Place, row: &Row) -> (Key, Row) {
        let mut row = row.clone();
        if !self.shop.is_counted(place.0) {
            return ((place.0, place.1.clone()), row);
        }
        if row.get("sale").is_some_and(|sale| !is_nobody(sale))
            && let Some((table, key)) = parent(place.0, &row)
        {
            let id = self.id_of(&Place(table, key));
            row.set("sale", Value::Text(id.to_string()));
        }
        let id = self.id_of(place).to_string();
        row.set("id", Value::Text(id.clone()));
        ((place.0, id), row)
    }

    /// A key that no row has any more, as it is on the wire; `None` when nobody else can know of it.
    pub fn gone(&self, place: &Place) -> Option<Key> {
        if !self.shop.is_counted(place.0) {
            return Some((place.0, place.1.clone()));
        }
        self.id_given(place).map(|id| (place.0, id.to_string()))
    }

    /// The id of the row with this local key. A row that has none yet gets one.
    fn id_of(&mut self, place: &Place) -> Uuid {
        if let Some(id) = self.named.get(place) {
            return *id;
        }
        if let Some(id) = self.id_given(place) {
            return id;
        }
        let id = self.new_id(place);
        self.named.insert(place.clone(), id);
        id
    }

    fn id_given(&self, place: &Place) -> Option<Uuid> {
        if let Some(id) = self.state.ids.id_of(place) {
            return Some(id);
        }
        // The pulled row was deleted here; whatever has its key now is another row.
        let is_over = |id: &Uuid| matches!(self.state.shadow.get(&(place.0, id.to_string())), Some(Kept::Deleted(_)));
        self.store.ids.id_of(place).filter(|id| !is_over(id))
    }

    /// An id that belongs to a row which had this key before is passed over, also when that is deleted.
    fn new_id(&self, place: &Place) -> Uuid {
        let mut ids = (0..).map(|generation| self.store.namespaces.id(place, generation));
        ids.find(|id| !self.is_taken(place.0, *id)).expect("some generation is free")
    }

    fn is_taken(&self, table: Table, id: Uuid) -> bool {
        let key = (table, id.to_string());
        self.store.ids.place_of(table, id).is_some()
            || self.state.ids.place_of(table, id).is_some()
            || self.state.shadow.contains_key(&key)
            || self.state.inbox.contains_key(&key)
            || self.state.has_unsent(&key)
    }

    /// The local key of the row with this id, if it has one.
    fn place_of(&self, table: Table, id: Uuid) -> Option<Place> {
        if let Some(place) = self.state.ids.place_of(table, id) {
            return Some(place.clone());
        }
        self.store.ids.place_of(table, id).filter(|place| self.state.ids.id_of(place).is_none()).cloned()
    }

    /// The local key that an id on the wire stands for, if there is one.
    pub fn key_to_local(&self, key: &Key) -> Option<Place> {
        match self.to_local(key, None) {
            Local::Known(place, _) => Some(place),
            Local::New(_) | Local::Absent | Local::Orphan => None,
        }
    }

    /// A row from the wire as it is to be in the store.
    pub fn to_local(&self, key: &Key, row: Option<&Row>) -> Local {
        if !self.shop.is_counted(key.0) {
            return Local::Known(Place(key.0, key.1.clone()), row.cloned());
        }
        let Some(own) = parse_uuid(&key.1) else { return Local::Absent };
        let mut row = row.cloned();
        if let Some(row) = &mut row
            && let Some(wanted) = row.get("sale").and_then(parse_register_id)
        {
            let Some(place) = self.place_of(Table::Sales, wanted) else { return Local::Orphan };
            row.set("sale", number_of(&place));
        }
        match (self.place_of(key.0, own), row) {
            (Some(place), None) => Local::Known(place, None),
            (Some(place), Some(mut row)) => {
                row.set("id", number_of(&place));
                Local::Known(place, Some(row))
            }
            (None, None) => Local::Absent,
            (None, Some(row)) => Local::New(row),
        }
    }

    /// Gives a new row its key. No row that the state still knows by this key may take it for its own.
    pub fn give_key(&self, table: Table, mut row: Row, touched: &BTreeSet<Place>) -> (Place, Row) {
        let mut number = self.store.next_key(table);
        loop {
            let (place, id) = Store::place_of(table, number);
            if self.state.ids.id_of(&place).is_none() && !touched.contains(&place) && self.store.row(&place).is_none() {
                row.set("id", id);
                return (place, row);
            }
            number += 1;
        }
    }
}

fn number_of(place: &Place) -> Value {
    Value::Integer(place.1.parse().expect("counted keys are numbers"))
}
