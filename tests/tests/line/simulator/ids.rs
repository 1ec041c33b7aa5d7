//! Which row has which id on the wire: pulled rows as the store knows them, own rows as the state does, and what ids are made from.

use std::collections::{BTreeMap, BTreeSet};

use tillsync_core::key::{parse_uuid, register_id};
use uuid::Uuid;

use super::shop::{Key, Place, Table};

/// The ids of pulled rows, in the store: they go back in time with it.
#[derive(Clone, Debug, Default)]
pub struct PulledIds {
    by_id: BTreeMap<(Table, Uuid), Place>,
    by_place: BTreeMap<Place, Uuid>,
}

impl PulledIds {
    pub fn id_of(&self, place: &Place) -> Option<Uuid> {
        self.by_place.get(place).copied()
    }

    pub fn place_of(&self, table: Table, id: Uuid) -> Option<&Place> {
        self.by_id.get(&(table, id))
    }

    /// Notes a pulled row. What was noted of its id or its key before is over.
    pub fn put(&mut self, id: Uuid, place: &Place) {
        self.remove(place.0, id);
        if let Some(other) = self.by_place.insert(place.clone(), id) {
            self.by_id.remove(&(place.0, other));
        }
        self.by_id.insert((place.0, id), place.clone());
    }

    pub fn remove(&mut self, table: Table, id: Uuid) {
        if let Some(place) = self.by_id.remove(&(table, id)) {
            self.by_place.remove(&place);
        }
    }
}

/// What ids are made from.
#[derive(Clone, Debug)]
pub struct Namespaces {
    pub now: Uuid,
    /// By table, up to which key another namespace holds: the store is a copy of one that counted on elsewhere.
    before: Vec<(Table, i64, Uuid)>,
}

impl Namespaces {
    pub fn new(now: Uuid) -> Self {
        Self { now, before: Vec::new() }
    }

    /// The store is a copy: of each table rows up to a key keep their ids, which the original has too; later ones get others.
    pub fn part_from_original(&mut self, tables: &[(Table, i64)], namespace: Uuid) {
        self.before.extend(tables.iter().map(|(table, up_to)| (*table, *up_to, self.now)));
        self.before.sort_by_key(|(_, up_to, _)| *up_to);
        self.now = namespace;
    }

    /// The id of the row with this key in a generation of rows that had it.
    pub fn id(&self, place: &Place, generation: u32) -> Uuid {
        let number = place.1.parse().unwrap_or(i64::MAX);
        let before = self.before.iter().find(|(table, up_to, _)| *table == place.0 && number <= *up_to);
        let namespace = before.map_or(self.now, |(.., namespace)| *namespace);
        register_id(namespace, &format!("{:?}", place.0), &place.1, generation)
    }
}

/// When an own row was born.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// It was not seen yet; only other rows refer to it.
    Unseen,
    /// Before anybody looked.
    Before,
    /// With this entry of the journal, by its number and its own number.
    At(i64, u64),
}

/// The ids of own rows, in the state.
#[derive(Clone, Debug, Default)]
pub struct OwnIds {
    by_place: BTreeMap<Place, (Uuid, Birth)>,
    by_id: BTreeMap<(Table, Uuid), Place>,
    /// Pulled rows that the POS has deleted, until the store forgets them, too.
    pub over: BTreeSet<(Table, Uuid)>,
}

impl OwnIds {
    pub fn id_of(&self, place: &Place) -> Option<Uuid> {
        self.by_place.get(place).map(|(id, _)| *id)
    }

    pub fn place_of(&self, table: Table, id: Uuid) -> Option<&Place> {
        self.by_id.get(&(table, id))
    }

    /// Notes ids that were given to own rows.
    pub fn remember(&mut self, named: BTreeMap<Place, Uuid>) {
        for (place, id) in named {
            self.by_id.insert((place.0, id), place.clone());
            self.by_place.insert(place, (id, Birth::Unseen));
        }
    }

    /// The row with this id was seen, born then, or before anybody looked.
    pub fn seen(&mut self, key: &Key, birth: Option<Birth>) {
        let Some(place) = parse_uuid(&key.1).and_then(|id| self.by_id.get(&(key.0, id))) else { return };
        if let Some((_, known @ Birth::Unseen)) = self.by_place.get_mut(place) {
            *known = birth.unwrap_or(Birth::Before);
        }
    }

    /// The POS has deleted the row.
    pub fn give_up(&mut self, key: &Key) {
        let Some(id) = parse_uuid(&key.1) else { return };
        match self.by_id.remove(&(key.0, id)) {
            Some(place) => drop(self.by_place.remove(&place)),
            None => drop(self.over.insert((key.0, id))),
        }
    }

    /// The row is deleted elsewhere, and here, too: its key is free.
    pub fn remove(&mut self, key: &Key) {
        let place = parse_uuid(&key.1).and_then(|id| self.by_id.remove(&(key.0, id)));
        place.map(|place| self.by_place.remove(&place));
    }

    /// Forgets own rows that a store does not hold: rows that were never seen, rows whose birth is not in its journal any more or not yet, as
    /// far back as that goes, and of rows whose birth nobody saw those that are not there.
    pub fn forget_lost(&mut self, first: i64, births: &BTreeMap<i64, u64>, is_there: impl Fn(&Place) -> bool) {
        let is_lost = |place: &Place, birth: Birth| match birth {
            Birth::Unseen => true,
            Birth::Before => !is_there(place),
            Birth::At(seq, random) => seq >= first && births.get(&seq) != Some(&random),
        };
        let lost = self.by_place.iter().filter(|(place, (_, birth))| is_lost(place, *birth));
        let lost: Vec<(Place, Uuid)> = lost.map(|(place, (id, _))| (place.clone(), *id)).collect();
        for (place, id) in lost {
            self.by_place.remove(&place);
            self.by_id.remove(&(place.0, id));
        }
    }

    /// Forgets a table.
    pub fn forget(&mut self, table: Table) {
        self.by_place.retain(|place, _| place.0 != table);
        self.by_id.retain(|(there, _), _| *there != table);
        self.over.retain(|(there, _)| *there != table);
    }

    /// The largest key of an own row.
    pub fn largest(&self, table: Table) -> i64 {
        let own = self.by_place.keys().filter(|place| place.0 == table);
        own.filter_map(|place| place.1.parse().ok()).max().unwrap_or(0)
    }
}
