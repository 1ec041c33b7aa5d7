//! A person's decision about a conflict: a change of the row that names the version the person saw. If the row has moved, or somebody
//! else has decided, nothing is written.

use rusqlite::Transaction;
use serde_json::value::RawValue;
use tillsync_core::change::Operation;
use tillsync_core::merge::Writer;
use tillsync_core::row::Row;
use tillsync_core::wire::hub::{Conflict, Resolution};

use super::log::{self, Entry};
use super::{conflicts, devices};
use crate::database::model::{Resolve, ResolveOutcome, Resolved};

/// Who resolved, when it was not a device.
const ADMIN: &str = "admin";

pub(super) fn resolve(tx: &Transaction, wish: &Resolve) -> rusqlite::Result<ResolveOutcome> {
    let Some(conflict) = conflicts::get(tx, wish.conflict_id)? else {
        return Ok(ResolveOutcome::Unknown);
    };
    let manager = match &wish.device_id {
        None => true,
        Some(device_id) => devices::sees_everything(tx, device_id)?,
    };
    let parties = [Some(&conflict.device_id), conflict.server_device_id.as_ref()];
    if !manager && !parties.contains(&wish.device_id.as_ref()) {
        return Ok(ResolveOutcome::NotAllowed);
    }
    let Some(place) = log::place_of(tx, &conflict.entity_type, &conflict.entity_id)? else {
        return Ok(ResolveOutcome::Unknown);
    };
    let head = log::head_at(tx, place, "", Some(place.version))?;
    if conflict.resolved_by.is_some() {
        return Ok(ResolveOutcome::AlreadyResolved(Box::new(resolved(conflict, head.row.as_ref())?)));
    }
    if wish.base_version != place.version {
        return Ok(ResolveOutcome::RowChanged(Box::new(resolved(conflict, head.row.as_ref())?)));
    }
    let row = match decide(&conflict, head.row.as_ref(), wish) {
        Ok(row) => row,
        Err(why) => return Ok(ResolveOutcome::Impossible(why)),
    };
    let by = wish.device_id.as_deref().unwrap_or(ADMIN);
    let operation = match (&row, &head.row) {
        (None, _) => Operation::Delete,
        (Some(_), None) => Operation::Create,
        (Some(_), Some(_)) => Operation::Update,
    };
    let data = row.as_ref().map(Row::to_json);
    // Also when the row stays as it is: every device learns by this entry that the conflict is over.
    log::append(
        tx,
        &Entry {
            entity_type: &conflict.entity_type,
            entity_id: &conflict.entity_id,
            event_id: None,
            timestamp: wish.now_ms,
            writer: &Writer { device: by.to_owned(), manager, at_ms: wish.now_ms.max(head.at_ms) },
            operation,
            data: data.as_deref(),
            // Its own device, too, has yet to write it into its store.
            merged: true,
            previous: Some(place.version),
            resolves: Some(conflict.id),
            now_ms: wish.now_ms,
        },
    )?;
    let word = match wish.resolution {
        Resolution::ClientWins => "client-wins",
        Resolution::ServerWins => "server-wins",
        Resolution::Merged => "merged",
    };
    conflicts::resolve(tx, conflict.id, word, by, data.as_deref(), wish.now_ms)?;
    match conflicts::get(tx, conflict.id)? {
        Some(conflict) => Ok(ResolveOutcome::Resolved(Box::new(resolved(conflict, row.as_ref())?))),
        None => Ok(ResolveOutcome::Unknown),
    }
}

fn resolved(conflict: Conflict, row: Option<&Row>) -> rusqlite::Result<Resolved> {
    let data = row.map(|row| RawValue::from_string(row.to_json())).transpose().map_err(|_| log::damaged(0, "data"))?;
    Ok(Resolved { conflict, data })
}

/// The row as the person wants it.
fn decide(conflict: &Conflict, head: Option<&Row>, wish: &Resolve) -> Result<Option<Row>, String> {
    let client = parse(conflict.client_value.as_deref())?;
    let server = parse(conflict.server_value.as_deref())?;
    match wish.resolution {
        Resolution::ClientWins if conflict.operation == Operation::Delete => Ok(None),
        Resolution::ClientWins => match (client, head) {
            (Some(client), Some(head)) => Ok(Some(with_columns(head, &client, &claimed(conflict, &client)))),
            (client, _) => Ok(client),
        },
        // Nothing of the change was stored, so the hub's row is the one that is there.
        Resolution::ServerWins if conflict.is_pending() => Ok(head.cloned()),
        Resolution::ServerWins => match (server, head) {
            (Some(server), Some(head)) => Ok(Some(with_columns(head, &server, &claimed(conflict, &server)))),
            (server, _) => Ok(server),
        },
        Resolution::Merged => {
            let Some(mut row) = head.cloned().or(client.clone()).or(server) else {
                return Err("there is no row whose columns could be set".to_owned());
            };
            for (name, value) in wish.columns.iter() {
                if row.get(name).is_none() && client.as_ref().is_none_or(|client| client.get(name).is_none()) {
                    return Err(format!("the row has no column {name}"));
                }
                row.set(name, value.clone());
            }
            Ok(Some(row))
        }
    }
}

/// The columns that the conflict is about: those in dispute, else those that the client changed, else all that it sent.
fn claimed(conflict: &Conflict, row: &Row) -> Vec<String> {
    let disputed: Vec<String> = conflict.rules.iter().map(|dispute| dispute.column.clone()).collect();
    match &conflict.updated_fields {
        // A pending change was not stored at all, so all of it is to be decided.
        Some(fields) if conflict.is_pending() => fields.clone(),
        _ if !disputed.is_empty() && !conflict.is_pending() => disputed,
        _ => row.iter().map(|(name, _)| name.to_owned()).collect(),
    }
}

fn with_columns(row: &Row, from: &Row, columns: &[String]) -> Row {
    let mut row = row.clone();
    for (name, value) in from.iter().filter(|(name, _)| columns.iter().any(|column| column == name)) {
        row.set(name, value.clone());
    }
    row
}

fn parse(value: Option<&RawValue>) -> Result<Option<Row>, String> {
    let row = value.map(|value| serde_json::from_str(value.get())).transpose();
    row.map_err(|_| "the value in the conflict log cannot be read".to_owned())
}
