//! A person's decision about a conflict: a change of the row that names the version the person saw. If the row has moved, or somebody
//! else has decided, nothing is written.

use rusqlite::Transaction;
use serde_json::value::RawValue;
use tillsync_core::change::Operation;
use tillsync_core::merge::Writer;
use tillsync_core::resolve::{self, Contested};
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
    let head = log::head_at(tx, place, "", Some(place.version), 0)?;
    if conflict.resolved_by.is_some() {
        return Ok(ResolveOutcome::AlreadyResolved(Box::new(resolved(conflict, head.row.as_ref())?)));
    }
    if wish.base_version != place.version {
        return Ok(ResolveOutcome::RowChanged(Box::new(resolved(conflict, head.row.as_ref())?)));
    }
    let row = match decide(&conflict, head.row.as_ref(), wish) {
        Ok(row) => row.map(|row| head.make_anew(row)),
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
            restored: None,
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
    let base = parse(conflict.base_value.as_deref())?;
    let contested = Contested {
        pending: conflict.is_pending(),
        operation: conflict.operation,
        client: client.as_ref(),
        server: server.as_ref(),
        base: base.as_ref(),
        updated_fields: conflict.updated_fields.as_deref(),
        disputes: &conflict.rules,
    };
    resolve::resolve(&contested, head, wish.resolution, &wish.columns)
}

fn parse(value: Option<&RawValue>) -> Result<Option<Row>, String> {
    let row = value.map(|value| serde_json::from_str(value.get())).transpose();
    row.map_err(|_| "the value in the conflict log cannot be read".to_owned())
}
