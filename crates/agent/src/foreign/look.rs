//! Looking before and after: what the server has of some rows, where its answers do not say, or where it would not notice that it gets something
//! twice. Nothing of what is seen is taken over; a pull does that.

use std::collections::HashMap;

use tillsync_core::change::Operation;
use tillsync_core::protocol::client::prints::Prints;
use tillsync_core::protocol::plain;
use tillsync_core::row::Row;
use tillsync_core::sync::Trouble;

use super::parcel::Parcel;
use super::rows::{self, Located, locate};
use super::{Foreign, push::Step};
use crate::agent::{Agent, AgentError};
use crate::store::schema::Schema;

/// Pages looked at; what is further away is pulled first.
const PAGES_MAX: usize = 50;

/// The last that the server says of each row since the register's cursor.
pub(super) type Seen = HashMap<(String, String), Option<Row>>;

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
            let Some(Located { table, key, row, .. }) = locate(&entities, &store.schema, state.conn(), told)? else { continue };
            let place = seen.entry((table, key)).or_default();
            match (place.as_mut(), row) {
                // A log may tell a part of a row only.
                (Some(before), Some(row)) => row.iter().for_each(|(name, value)| before.set(name, value.clone())),
                (_, row) => *place = row,
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
        let schema = self.ready_store()?.schema.clone();
        let mut left = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            match there(foreign, &schema, seen, &parcel) {
                There::NothingNew => left.push(parcel),
                There::This => self.settle_taken(foreign, &parcel, &tillsync_core::protocol::Object::new(), step)?,
                There::Another => step.is_later = true,
            }
        }
        Ok(left)
    }
}

/// What was seen of a parcel's row.
pub(super) fn there(foreign: &Foreign, schema: &Schema, seen: &Seen, parcel: &Parcel) -> There {
    let Some(last) = seen.get(&(parcel.table.clone(), parcel.key.clone())) else { return There::NothingNew };
    let is_delete = parcel.item.operation == Operation::Delete;
    let (Some(last), Some(table)) = (last, schema.table(&parcel.table)) else {
        return match (is_delete, parcel.told.gone) {
            (true, _) => There::This,
            (false, true) => There::NothingNew,
            (false, false) => There::Another,
        };
    };
    let mut last = rows::only_known(table, last);
    plain::fit(&mut last, &parcel.row);
    let is_loose = |name: &str| foreign.facts.loose.contains(&name);
    let same_as = |prints: &Prints| last.iter().filter(|(name, _)| !is_loose(name)).all(|(name, value)| prints.holds(name, value));
    if !is_delete && same_as(&Prints::of(&parcel.row)) {
        There::This
    } else if !parcel.told.gone && parcel.told.version > 0 && same_as(&parcel.told.prints) {
        There::NothingNew
    } else {
        There::Another
    }
}
