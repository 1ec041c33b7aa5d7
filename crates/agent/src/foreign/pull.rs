//! Pull from a server of another protocol: pages of any kind become a page of changes, under versions that the register counts itself. What is
//! known already, its own changes among it, is told again by overlapping reads and is not taken for new.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction};
use secrecy::ExposeSecret;
use serde_json::Value as Json;
use tillsync_core::change::Operation;
use tillsync_core::protocol::client::prints::Prints;
use tillsync_core::protocol::client::{self, Page};
use tillsync_core::protocol::mapping::PartList;
use tillsync_core::protocol::{Entities, Mapping, Object, parts, plain};
use tillsync_core::row::Row;
use tillsync_core::sync::Trouble;
use tillsync_core::value::Value;

use super::Foreign;
use super::known::{NAME, PARENT, PARTS};
use super::rows::{Located, children, locate, only_known, own_key};
use crate::agent::{Agent, AgentError, StoreSide};
use crate::clock::{Heard, now_ms};
use crate::reconcile::read_wired;
use crate::remote::{Incoming, PullQuery, PullReply, PulledPage};
use crate::state::told::{self, Told};
use crate::state::{inbox, marks, shadow};
use crate::store::open;
use crate::store::schema::Table;

/// Pages of the server are read on until so many rows are here: what a log says of a row later on takes the place of what it said before.
const ROWS_MAX: usize = 5_000;

/// The echo of a delete that a server only notes is no new row, if it was written until so long after.
const DELETE_ECHO_MS: i64 = 2_000;

/// What a server says of a row, until the end of the page.
struct Arrived {
    table: String,
    key: String,
    /// The whole row, or that it is gone.
    row: Option<Row>,
    their_id: Option<String>,
    parent: Option<String>,
    at_ms: Option<i64>,
    about: Object,
}

impl Agent {
    /// Fetches what came since the cursor.
    pub(crate) async fn pull_foreign(
        &self,
        foreign: &Foreign,
        device_id: &str,
        query: &PullQuery,
    ) -> Result<PullReply, AgentError> {
        let _turn = foreign.turn.lock().await;
        let key = match self.foreign_key(foreign, device_id) {
            Ok(key) => key,
            Err(refused) => return Ok(PullReply::Trouble(refused.into())),
        };
        let names = tokio::task::block_in_place(|| self.wanted_entities(foreign))?;
        let begun = {
            let state = self.state();
            let goes_on = marks::get::<bool>(state.conn(), marks::GOES_ON)?.unwrap_or(false);
            // Logs are told of late, too: transactions may end in another order than they began.
            if goes_on || !foreign.client.pull_is_by_place() {
                told::cursor_at(state.conn(), query.cursor)?
            } else {
                told::cursor_before(state.conn(), query.cursor, now_ms() - foreign.facts.overlap_ms)?
            }
        };
        let (mut from, mut told, mut last_heard) = (begun.clone(), Vec::new(), None::<Heard>);
        let (mut more, mut is_exact) = (true, !foreign.facts.ends_exactly);
        while more && told.len() < ROWS_MAX {
            let mut who = self.who(device_id, key.as_ref().map(|key| key.expose_secret()), from.as_deref(), &names);
            who.with_own = !query.exclude_own;
            if last_heard.is_some() {
                who.overlap_ms = 0;
            }
            let (answer, heard) = match self.ask_foreign(foreign, device_id, &foreign.client.pull(&who, from.as_deref())).await {
                Ok(answered) => answered,
                Err(refused) => return Ok(PullReply::Trouble(refused.into())),
            };
            let Page { told: page, cursor, more: goes_on, behind } = match foreign.client.pulled(&who, from.as_deref(), &answer) {
                Ok(page) => page,
                Err(why) => return Ok(PullReply::Trouble(Trouble::NotTheServer(why))),
            };
            if behind && begun.is_some() {
                tracing::warn!(from, cursor, "the server has not come as far as the cursor says");
                told::clear(self.state().conn())?;
                return Ok(PullReply::Page(reset(query.cursor), heard));
            }
            told.extend(page);
            // Without progress there is no more, whatever the server says.
            more = goes_on && cursor.is_some() && cursor != from;
            from = cursor.or(from);
            if !more && !is_exact && !told.is_empty() {
                // Some servers take for known what lies before the time that was asked from last.
                (more, is_exact) = (true, true);
            }
            last_heard = Some(heard);
        }
        let heard = last_heard.expect("at least one page was asked for");
        let known = told::cursor_at(self.state().conn(), query.cursor)?;
        let place = |cursor: &Option<String>| cursor.as_ref().and_then(|cursor| cursor.parse::<i64>().ok());
        let is_shorter = place(&known).zip(place(&from)).is_some_and(|(known, now)| now < known);
        if !more && is_shorter && foreign.client.pull_is_by_place() {
            tracing::warn!(known, now = from, "the server's log is shorter than it was");
            told::clear(self.state().conn())?;
            return Ok(PullReply::Page(reset(query.cursor), heard));
        }
        let page = tokio::task::block_in_place(|| self.take_told(foreign, &told, query.cursor, from.as_deref(), more))?;
        Ok(PullReply::Page(page, heard))
    }

    fn take_told(
        &self,
        foreign: &Foreign,
        told: &[client::Told],
        asked_from: i64,
        cursor: Option<&str>,
        more: bool,
    ) -> Result<PulledPage, AgentError> {
        let store = self.store_to_read();
        let entities = foreign.entities(&store.schema);
        let conn = open::reader(&self.config.store)?;
        let mut state = self.state();
        let tx = state.write()?;
        let view = View { foreign, entities: &entities, store: &store, conn: &conn, tx: &tx };
        let arrived = view.arrive(told).map_err(|error| self.store_error(error))?;
        let mut changes = Vec::new();
        for arrived in arrived {
            changes.extend(view.count(arrived)?);
        }
        changes.sort_by_key(|change| change.id);
        let sent = marks::get::<bool>(&tx, marks::SENT_SINCE)?.unwrap_or(false);
        let position = if changes.is_empty() && !sent && !more { asked_from } else { told::next(&tx)? };
        if let Some(cursor) = cursor {
            told::set_cursor(&tx, position, cursor, now_ms())?;
        }
        marks::set(&tx, marks::GOES_ON, more)?;
        if position != asked_from && !more {
            marks::clear(&tx, marks::SENT_SINCE)?;
        }
        tx.commit()?;
        Ok(PulledPage { changes, more, cursor: position, ..nothing() })
    }
}

fn nothing() -> PulledPage {
    PulledPage {
        changes: Vec::new(),
        more: false,
        cursor: 0,
        head: None,
        epoch: None,
        pruned_through: 0,
        key_renew_at: None,
        forked_at: None,
    }
}

/// The server's log is shorter than it was.
fn reset(asked_from: i64) -> PulledPage {
    PulledPage { cursor: asked_from, head: Some(-1), ..nothing() }
}

/// Store and state while a page is taken in.
struct View<'a> {
    foreign: &'a Foreign,
    entities: &'a Entities,
    store: &'a StoreSide,
    conn: &'a Connection,
    tx: &'a Transaction<'a>,
}

impl View<'_> {
    /// One per row, as it is at the end, in the order of the last time that something was said of it.
    fn arrive(&self, told: &[client::Told]) -> rusqlite::Result<Vec<Arrived>> {
        let mut all: Vec<Option<Arrived>> = Vec::new();
        let mut places: HashMap<(String, String), usize> = HashMap::new();
        let mut add = |arrived: Arrived, all: &mut Vec<Option<Arrived>>| {
            if let Some(place) = places.insert((arrived.table.clone(), arrived.key.clone()), all.len()) {
                all[place] = None;
            }
            all.push(Some(arrived));
        };
        for told in told {
            let Some(located) = locate(self.entities, &self.store.schema, self.tx, told)? else { continue };
            let before = all.iter().rev().flatten().find(|known| known.table == located.table && known.key == located.key);
            let before = before.map(|known| known.row.clone());
            for arrived in self.whole(located, before)? {
                add(arrived, &mut all);
            }
        }
        Ok(all.into_iter().flatten().collect())
    }

    /// The whole row, in the form that it has here, and the rows inside it.
    fn whole(&self, located: Located, before: Option<Option<Row>>) -> rusqlite::Result<Vec<Arrived>> {
        let Located { table, key, their_id, row, parts, at_ms, about } = located;
        let Some(schema) = self.store.schema.table(&table) else { return Ok(Vec::new()) };
        let here = match before {
            Some(before) => before,
            None => read_wired(self.conn, self.tx, self.store, schema, &key)?,
        };
        let row = row.map(|told| self.beside(schema, &told, here.as_ref()));
        let mut all = Vec::new();
        let is_gone = row.is_none();
        let mut about = about;
        if is_gone {
            all.extend(self.gone_inside(schema, &key, at_ms)?);
        }
        for list in parts.iter().filter(|_| !is_gone) {
            all.extend(self.inside(schema, &key, list, at_ms)?);
        }
        if !parts.is_empty() && !is_gone {
            about.insert(PARTS.to_owned(), all.iter().filter(|part| part.row.is_some()).count().into());
        }
        // Parents come first, and go last.
        let place = if is_gone { all.len() } else { 0 };
        all.insert(place, Arrived { table, key, row, their_id, parent: None, at_ms, about });
        Ok(all)
    }

    /// What is inside a row goes with it.
    fn gone_inside(&self, parent: &Table, key: &str, at_ms: Option<i64>) -> rusqlite::Result<Vec<Arrived>> {
        let mut all = Vec::new();
        for (_, child) in Mapping::of_table(self.entities, &parent.name).children() {
            let Some(table) = self.store.schema.table(&child.table) else { continue };
            for (id, _) in children(self.conn, self.tx, self.store, (table, &child.parent), (parent, key))? {
                let (table, parent) = (table.name.clone(), Some(key.to_owned()));
                all.push(Arrived { table, key: id, row: None, their_id: None, parent, at_ms, about: Object::new() });
            }
        }
        Ok(all)
    }

    /// What was told over what is here, which says in which form values are kept.
    fn beside(&self, table: &Table, told: &Row, here: Option<&Row>) -> Row {
        let mut told = only_known(table, told);
        let Some(here) = here else { return told };
        plain::fit(&mut told, here);
        let mut whole = here.clone();
        let is_loose = |name: &str| self.foreign.facts.loose.contains(&name);
        told.iter().filter(|(name, _)| !is_loose(name)).for_each(|(name, value)| whole.set(name, value.clone()));
        whole
    }

    fn inside(&self, parent: &Table, key: &str, list: &PartList, at_ms: Option<i64>) -> rusqlite::Result<Vec<Arrived>> {
        let Some(table) = self.store.schema.table(&list.child.table) else { return Ok(Vec::new()) };
        let known = children(self.conn, self.tx, self.store, (table, &list.child.parent), (parent, key))?;
        let value = tillsync_core::key::parse_entity_id(key).and_then(|values| values.into_iter().next());
        let settled = parts::settle(list, &value.unwrap_or(Value::Null), key, &known);
        let mut all = Vec::new();
        for (id, mut row) in settled.rows {
            let here = known.iter().find(|(known, _)| *known == id).map(|(_, row)| row);
            let (child_key, their_id) = match (&table.fresh, here) {
                (Some(fresh), None) => {
                    let (child_key, their_id) = own_key(&table.name, &id);
                    row.set(fresh, Value::Text(child_key.clone()));
                    (child_key, their_id)
                }
                _ => (id, None),
            };
            let row = Some(self.beside(table, &row, here));
            let (table, parent) = (table.name.clone(), Some(key.to_owned()));
            all.push(Arrived { table, key: child_key, row, their_id, parent, at_ms, about: Object::new() });
        }
        for id in settled.removed {
            // What the server has never been told cannot be missing there.
            if told::get(self.tx, &table.name, &id)?.is_some_and(|told| told.version > 0 && !told.gone) {
                let parent = Some(key.to_owned());
                all.push(Arrived {
                    table: table.name.clone(),
                    key: id,
                    row: None,
                    their_id: None,
                    parent,
                    at_ms,
                    about: Object::new(),
                });
            }
        }
        Ok(all)
    }

    /// The change under its number; `None` when the register has it.
    fn count(&self, arrived: Arrived) -> Result<Option<Incoming>, AgentError> {
        let Arrived { table, key, row, their_id, parent, at_ms, about } = arrived;
        let (Some(entity), Some(schema)) = (self.store.entities.get(&table), self.store.schema.table(&table)) else {
            return Ok(None);
        };
        if !schema.direction.pulls() {
            return Ok(None);
        }
        let known = told::get(self.tx, &table, &key)?;
        let kept = shadow::get(self.tx, entity.number, &key)?;
        if row.is_none() && known.is_none() && kept.is_none() {
            return Ok(None);
        }
        let mut known = known.unwrap_or_default();
        if row.is_some() && known.gone && at_ms.zip(known.at_ms).is_some_and(|(at, gone)| at <= gone + DELETE_ECHO_MS) {
            return Ok(None);
        }
        let prints = row.as_ref().map(Prints::of).unwrap_or_default();
        let is_new = known.version == 0 || known.gone != row.is_none() || known.prints != prints;
        if is_new {
            if !inbox::holds(self.tx, &table, &key, 0)? {
                known.before = std::mem::take(&mut known.prints);
            }
            known.version = told::next(self.tx)?;
        }
        (known.prints, known.gone, known.at_ms) = (prints, row.is_none(), at_ms.or(known.at_ms));
        known.about.extend(about);
        if let Some(their_id) = &their_id {
            known.about.entry(NAME).or_insert_with(|| Json::String(their_id.clone()));
        }
        if let Some(parent) = parent {
            known.about.insert(PARENT.to_owned(), Json::String(parent));
        }
        known.their_id = their_id.or(known.their_id);
        told::put(self.tx, &table, &key, &known)?;
        let Told { version, .. } = known;
        if kept.is_some_and(|kept| kept.version() >= version) {
            return Ok(None);
        }
        let operation = if row.is_some() { Operation::Update } else { Operation::Delete };
        Ok(Some(Incoming { id: version, entity: table, key, operation, data: row.map(|row| row.to_json()), resolves: None }))
    }
}
