//! Looking before and after: what the server has of some rows, where its answers do not say, or where it would not notice that it gets something
//! twice. Nothing of what is seen is taken over; a pull does that.

use std::collections::HashMap;

use tillsync_core::change::Operation;
use tillsync_core::protocol::client::prints::Prints;
use tillsync_core::protocol::mapping::PartList;
use tillsync_core::protocol::plain;
use tillsync_core::row::Row;
use tillsync_core::sync::Trouble;

use super::parcel::Parcel;
use super::rows::{self, Located, locate};
use super::{Foreign, push::Step};
use crate::agent::{Agent, AgentError};
use crate::store::schema::{Schema, Table};

/// Pages looked at; what is further away is pulled first.
const PAGES_MAX: usize = 50;

/// The last that the server says of each row since the register's cursor.
pub(super) type Seen = HashMap<(String, String), Last>;

/// A row as it was last told.
#[derive(Debug, Default)]
pub(super) struct Last {
    /// What was told of it; `None` when it is gone.
    row: Option<Row>,
    parts: Vec<PartList>,
}

/// What a look says of a row that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing since the last pull, or only what was known.
    NothingNew,
    /// Exactly what is to be sent.
    This,
    /// Something else.
    Another,
}

impl Agent {
    /// Reads on from the register's cursor to the end.
    pub(super) async fn look(&self, foreign: &Foreign, device_id: &str) -> Result<Result<Seen, Trouble>, AgentError> {
        let mut seen = Seen::new();
        let key = match self.foreign_key(foreign, device_id) {
            Ok(key) => key,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let key = key.as_ref().map(|key| secrecy::ExposeSecret::expose_secret(key).to_owned());
        let names = tokio::task::block_in_place(|| self.wanted_entities(foreign))?;
        let mut from = self.foreign_cursor()?;
        let mut overlap_ms = foreign.facts.overlap_ms;
        for _ in 0..PAGES_MAX {
            let mut who = self.who(device_id, key.as_deref(), from.as_deref(), &names);
            (who.overlap_ms, who.with_own) = (overlap_ms, true);
            let answer = match self.ask_foreign(foreign, device_id, &foreign.client.pull(&who, from.as_deref())).await {
                Ok((answer, _)) => answer,
                Err(refused) => return Ok(Err(refused.into())),
            };
            let page = match foreign.client.pulled(&who, from.as_deref(), &answer) {
                Ok(page) => page,
                Err(why) => return Ok(Err(Trouble::NotTheServer(why))),
            };
            let (more, cursor) = (page.more && page.cursor.is_some() && page.cursor != from, page.cursor.clone());
            tokio::task::block_in_place(|| self.see(foreign, &page, &mut seen))?;
            if !more {
                return Ok(Ok(seen));
            }
            (from, overlap_ms) = (cursor, 0);
        }
        Ok(Ok(seen))
    }

    /// The entities that this register wants, by their names on the wire.
    pub(super) fn wanted_entities(&self, foreign: &Foreign) -> Result<Vec<String>, AgentError> {
        let store = self.ready_store()?;
        let entities = foreign.entities(&store.schema);
        let wanted = entities.iter().filter(|(name, entity)| {
            let table = store.schema.table(entity.table.as_deref().unwrap_or(name));
            table.is_some_and(|table| table.direction.pulls())
        });
        Ok(wanted.map(|(name, _)| name.clone()).collect())
    }

    fn see(&self, foreign: &Foreign, page: &tillsync_core::protocol::client::Page, seen: &mut Seen) -> Result<(), AgentError> {
        let store = self.ready_store()?;
        let entities = foreign.entities(&store.schema);
        let state = self.state();
        for told in &page.told {
            let Some(Located { table, key, row, parts, .. }) = locate(&entities, &store.schema, state.conn(), told)? else {
                continue;
            };
            let last = seen.entry((table, key)).or_default();
            match (last.row.as_mut(), row) {
                // A log may tell a part of a row only.
                (Some(before), Some(row)) => row.iter().for_each(|(name, value)| before.set(name, value.clone())),
                (_, row) => last.row = row,
            }
            if !parts.is_empty() {
                last.parts = parts;
            }
        }
        Ok(())
    }

    /// Takes out of a batch what the server has already; what others have changed is left for later.
    pub(super) fn sort_by_look(
        &self,
        foreign: &Foreign,
        parcels: Vec<Parcel>,
        seen: &Seen,
        step: &mut Step<'_>,
    ) -> Result<Vec<Parcel>, AgentError> {
        let mut left = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            match self.there(foreign, seen, &parcel)? {
                There::NothingNew => left.push(parcel),
                There::This => self.settle_taken(foreign, &parcel, &foreign.client.assumed(&parcel.item), step)?,
                There::Another => step.is_later = true,
            }
        }
        Ok(left)
    }

    /// What was seen of a parcel's row.
    pub(super) fn there(&self, foreign: &Foreign, seen: &Seen, parcel: &Parcel) -> Result<There, AgentError> {
        let Some(last) = seen.get(&(parcel.table.clone(), parcel.key.clone())) else { return Ok(There::NothingNew) };
        let schema = self.ready_store()?.schema.clone();
        let is_delete = parcel.item.operation == Operation::Delete;
        let (Some(row), Some(table)) = (&last.row, schema.table(&parcel.table)) else {
            return Ok(match (is_delete, parcel.told.gone) {
                (true, _) => There::This,
                (false, true) => There::NothingNew,
                (false, false) => There::Another,
            });
        };
        let same_as = |prints: &Prints| is_same(foreign, table, row, &parcel.row, prints);
        if !is_delete && same_as(&Prints::of(&parcel.row)) && parts_are_there(foreign, &schema, last, parcel) {
            return Ok(There::This);
        }
        if !table.direction.pulls() {
            // What others did to it is none of this register's business.
            return Ok(There::NothingNew);
        }
        let is_known = !parcel.told.gone && parcel.told.version > 0 && same_as(&parcel.told.prints);
        Ok(if is_known { There::NothingNew } else { There::Another })
    }
}

/// Whether what was told is what the prints are of; `here` says in which form values are kept.
fn is_same(foreign: &Foreign, table: &Table, told: &Row, here: &Row, prints: &Prints) -> bool {
    let mut told = rows::only_known(table, told);
    plain::fit(&mut told, here);
    let counts = |name: &str| !foreign.facts.loose.contains(&name);
    told.iter().filter(|(name, _)| counts(name)).all(|(name, value)| prints.holds(name, value))
}

/// Whether the rows inside are exactly those that are to be there.
fn parts_are_there(foreign: &Foreign, schema: &Schema, last: &Last, parcel: &Parcel) -> bool {
    if !parcel.is_nested {
        return true;
    }
    let told: Vec<(&PartList, &Row)> = last.parts.iter().flat_map(|list| list.rows.iter().map(move |row| (list, row))).collect();
    told.len() == parcel.parts.len()
        && parcel.parts.iter().all(|part| {
            let prints = Prints::of(&part.row);
            let Some(table) = schema.table(&part.table) else { return false };
            told.iter().any(|(list, row)| list.child.table == part.table && is_same(foreign, table, row, &part.row, &prints))
        })
}
