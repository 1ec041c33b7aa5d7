//! Two sides have changed a row, and the server cannot bring them together: the register does, by the table's rules, and a person is never waited
//! for. What both had is in the conflict log.

use rusqlite::{Connection, Transaction};
use serde_json::value::RawValue;
use tillsync_core::change::{Operation, Verdict};
use tillsync_core::config::Role;
use tillsync_core::merge::{self, Arbiter, Decision, Dispute, Entry, Head, Kept, Writer};
use tillsync_core::protocol::client::prints::{Prints, unchanged};
use tillsync_core::protocol::{Entities, Mapping, Object, plain};
use tillsync_core::row::Row;
use tillsync_core::wire::hub::Conflict;

use super::parcel::Parcel;
use super::{Foreign, rows};
use crate::agent::{Agent, AgentError, StoreSide};
use crate::clock::now_ms;
use crate::remote::Answer;
use crate::state::told::{self, Told};
use crate::state::{inbox, marks};

/// Who wrote what the server has; nobody says.
const SERVER: &str = "server";

/// So often a row is sent anew that the server answers with its own.
const TRIES_MAX: u8 = 4;

/// Answers to changes by their places in the batch.
pub(super) type Answers = Vec<(usize, Answer)>;

/// The other side's row.
struct Theirs {
    version: i64,
    at_ms: i64,
    row: Option<Row>,
    /// Its columns as they were before, as far as they are the same.
    base: Row,
}

impl Agent {
    /// A pulled change of the row waits for this one: the two become one before anything is sent.
    pub(super) fn beside_waiting(
        &self,
        tx: &Transaction<'_>,
        foreign: &Foreign,
        entities: &Entities,
        store: &StoreSide,
        parcel: Parcel,
    ) -> Result<Result<Parcel, Answers>, AgentError> {
        let waiting = inbox::entry(tx, &parcel.table, &parcel.key)?;
        let Some(waiting) = waiting.filter(|entry| entry.change_id == parcel.told.version) else {
            return Ok(Ok(parcel));
        };
        let row: Option<Row> = waiting.data.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let base = row.as_ref().map(|row| unchanged(&parcel.told.before, row)).unwrap_or_default();
        let theirs = Theirs { version: waiting.change_id, at_ms: parcel.told.at_ms.unwrap_or(0), row, base };
        self.bring_together(tx, foreign, entities, store, parcel, &theirs)
    }

    /// The server kept its own row and shows it.
    pub(super) fn beside_kept(
        &self,
        tx: &Transaction<'_>,
        foreign: &Foreign,
        entities: &Entities,
        store: &StoreSide,
        (mut parcel, object, about): (Parcel, &Object, &Object),
    ) -> Result<Result<Parcel, Answers>, AgentError> {
        let Some(table) = store.schema.table(&parcel.table) else { return Ok(Err(Answers::new())) };
        let mapping = Mapping::of_table(entities, &parcel.table);
        let is_gone = mapping.is_deleted(object);
        let mut row = rows::only_known(table, &mapping.decode(object).row);
        plain::fit(&mut row, &parcel.row);
        for (name, value) in parcel.row.iter() {
            // What the server does not say is as it is here.
            if row.get(name).is_none() {
                row.set(name, value.clone());
            }
        }
        let version = told::next(tx)?;
        let base = unchanged(&parcel.told.prints, &row);
        let at_ms = ["updatedAt", "updated_at"].iter().find_map(|name| object.get(*name));
        let at_ms = at_ms.and_then(tillsync_core::protocol::time::read).unwrap_or(0);
        let mut known = parcel.told.about.clone();
        known.extend(about.clone());
        let prints = if is_gone { Prints::default() } else { Prints::of(&row) };
        let told =
            Told { version, prints, gone: is_gone, at_ms: Some(at_ms), about: known.clone(), tries: 0, ..parcel.told.clone() };
        told::put(tx, &parcel.table, &parcel.key, &told)?;
        marks::set(tx, marks::SENT_SINCE, true)?;
        let tries = parcel.again + 1;
        parcel.told = told;
        parcel.item.known = known;
        let theirs = Theirs { version, at_ms, row: (!is_gone).then_some(row), base };
        if tries > TRIES_MAX {
            // The server insists.
            return Ok(Err(give_way(&parcel, &theirs)));
        }
        self.bring_together(tx, foreign, entities, store, parcel, &theirs).map(|brought| {
            brought.map(|parcel| Parcel {
                again: tries,
                item: tillsync_core::protocol::client::Item { at_ms: now_ms(), ..parcel.item },
                ..parcel
            })
        })
    }

    fn bring_together(
        &self,
        conn: &Connection,
        foreign: &Foreign,
        entities: &Entities,
        store: &StoreSide,
        mut parcel: Parcel,
        theirs: &Theirs,
    ) -> Result<Result<Parcel, Answers>, AgentError> {
        let device: String = marks::get(conn, marks::DEVICE_ID)?.unwrap_or_default();
        let mapping = Mapping::of_table(entities, &parcel.table);
        let incoming = merge::Incoming {
            operation: parcel.item.operation,
            base_version: Some(0),
            updated_fields: parcel.item.updated_fields.as_ref().map(|fields| mapping.columns(fields)),
            row: if parcel.item.operation == Operation::Delete { Row::default() } else { parcel.row.clone() },
            before: parcel.before.clone(),
            writer: Writer { device: device.clone(), manager: self.config.role == Role::Manager, at_ms: parcel.item.at_ms },
            arbiter: Arbiter::Time,
        };
        let writer = Writer { device: SERVER.to_owned(), manager: false, at_ms: theirs.at_ms };
        let entry = Entry { writer, row: theirs.row.clone(), by_pull: false };
        let head = Head {
            version: theirs.version,
            at_ms: theirs.at_ms,
            by_same_device: false,
            row: theirs.row.clone(),
            deleted: None,
            since: vec![entry],
        };
        let merging = foreign.merging(&self.config, &parcel.table);
        // What changed inside a row goes there all the same.
        let goes_on = parcel.own.len() < parcel.places.len() && theirs.row.is_some();
        let (row, disputes) = match merge::decide(Some(&head), Some(&theirs.base), &incoming, &merging) {
            Decision::Duplicate if goes_on => (theirs.row.clone(), Vec::new()),
            Decision::Keep { disputes } | Decision::Conflict { disputes, .. } if goes_on => (theirs.row.clone(), disputes),
            Decision::Duplicate => return Ok(Err(give_way(&parcel, theirs))),
            Decision::Keep { disputes } | Decision::Conflict { disputes, .. } => {
                return Ok(Err(self.noted(conn, &device, &parcel, theirs, disputes)?));
            }
            Decision::Apply { row, disputes, .. } => (row, disputes),
            Decision::Merge { row, disputes, .. } => (Some(row), disputes),
        };
        if !disputes.is_empty() {
            parcel.conflict = Some(Box::new(self.conflict(conn, &device, &parcel, theirs, row.as_ref(), disputes)?));
        }
        if let (Some(row), Some(table)) = (row, store.schema.table(&parcel.table)) {
            parcel.merged = !row.same_as(&parcel.row);
            parcel.row = row;
            // The server may have lost what it does not show.
            parcel.item.updated_fields = None;
            parcel.encode(conn, entities, table)?;
        }
        Ok(Ok(parcel))
    }

    fn noted(
        &self,
        conn: &Connection,
        device: &str,
        parcel: &Parcel,
        theirs: &Theirs,
        disputes: Vec<Dispute>,
    ) -> Result<Answers, AgentError> {
        let conflict = self.conflict(conn, device, parcel, theirs, theirs.row.as_ref(), disputes)?;
        let mut answers = give_way(parcel, theirs);
        if let Some((_, answer)) = answers.first_mut() {
            answer.conflict = Some(Box::new(conflict));
        }
        Ok(answers)
    }

    fn conflict(
        &self,
        conn: &Connection,
        device: &str,
        parcel: &Parcel,
        theirs: &Theirs,
        result: Option<&Row>,
        rules: Vec<Dispute>,
    ) -> Result<Conflict, AgentError> {
        let raw = |row: Option<&Row>| row.and_then(|row| RawValue::from_string(row.to_json()).ok());
        let all = |kept: Kept| rules.iter().all(|rule| rule.kept == kept);
        let resolution = match () {
            () if all(Kept::Server) => "server-wins",
            () if all(Kept::Client) => "client-wins",
            () => "merged",
        };
        let is_delete = parcel.item.operation == Operation::Delete;
        Ok(Conflict {
            id: told::next(conn)?,
            entity_type: parcel.table.clone(),
            entity_id: parcel.key.clone(),
            operation: parcel.item.operation,
            device_id: device.to_owned(),
            device_name: Some(self.config.name.clone()),
            event_id: Some(parcel.item.event_id),
            client_at: parcel.item.at_ms,
            client_value: raw(Some(&parcel.row).filter(|_| !is_delete)),
            updated_fields: parcel.item.updated_fields.clone(),
            base_version: None,
            base_value: None,
            server_device_id: None,
            server_device_name: None,
            server_at: Some(theirs.at_ms).filter(|at_ms| *at_ms > 0),
            server_value: raw(theirs.row.as_ref()),
            rules,
            reason: None,
            resolution: resolution.to_owned(),
            resolved_value: raw(result),
            resolved_by: None,
            resolved_at: None,
            created_at: now_ms(),
            version: theirs.version,
        })
    }
}

/// The server's row takes the place of the register's.
fn give_way(parcel: &Parcel, theirs: &Theirs) -> Answers {
    let answer = Answer {
        version: Some(theirs.version),
        server_data: theirs.row.as_ref().map(Row::to_json),
        ..Answer::only(Some(Verdict::Merged), None)
    };
    let inside = match theirs.row {
        // What was inside is gone with it.
        None => Answer { version: Some(theirs.version), ..Answer::only(Some(Verdict::Applied), None) },
        Some(_) => Answer::only(Some(Verdict::Rejected), Some("the server keeps its own version of what it is inside".to_owned())),
    };
    let each = parcel.places.iter().map(|place| (*place, if parcel.own.contains(place) { &answer } else { &inside }));
    each.map(|(place, answer)| (place, answer.clone())).collect()
}
