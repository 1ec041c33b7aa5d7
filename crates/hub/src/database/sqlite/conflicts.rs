//! The conflict log: both sides of every value that two devices changed, what decided, and what a person made of it.

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, Transaction, params, params_from_iter};
use serde_json::value::RawValue;
use tillsync_core::change::Operation;
use tillsync_core::merge::{Dispute, Kept, Writer};
use tillsync_core::row::Row;
use tillsync_core::wire::hub::{Conflict, PAGE_BYTES_MAX, PushChange};
use uuid::Uuid;

use super::log;
use crate::database::model::{ConflictPage, ConflictQuery, ConflictStatus};

/// What rules decided is kept this long. What waits, and what people decided, is kept for ever: a repeated event must hear of it.
const AUTOMATIC_KEPT_MS: i64 = 180 * 86_400_000;

/// So many old entries go with every new one, so that no request pays for all of them.
const PRUNED_MAX: i64 = 10;

/// What happened to the two values.
pub(super) enum Outcome<'a> {
    /// Nothing is stored; a person decides, for this reason.
    Pending(&'a str),
    /// The pushed values replaced the hub's.
    ClientWins,
    /// The hub's values stayed.
    ServerWins,
    /// Columns of both were kept, or made into new ones.
    Merged,
}

impl Outcome<'_> {
    /// What the rules came to, taken together.
    pub(super) fn of(disputes: &[Dispute]) -> Self {
        if disputes.iter().all(|dispute| dispute.kept == Kept::Client) {
            Self::ClientWins
        } else if disputes.iter().all(|dispute| dispute.kept == Kept::Server) {
            Self::ServerWins
        } else {
            Self::Merged
        }
    }

    fn as_str(&self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::ClientWins => "client-wins",
            Self::ServerWins => "server-wins",
            Self::Merged => "merged",
        }
    }
}

/// A new entry of the conflict log.
pub(super) struct NewConflict<'a> {
    pub change: &'a PushChange,
    pub base_version: Option<i64>,
    pub base: Option<&'a Row>,
    /// Who pushed, and when it was written.
    pub client: &'a Writer,
    /// The log entry that stored the change, or the one that it contradicts.
    pub change_log_id: i64,
    /// What the hub had, and who had written it.
    pub server: Option<&'a Row>,
    pub server_writer: Option<&'a Writer>,
    pub disputes: &'a [Dispute],
    pub outcome: Outcome<'a>,
    /// The row after it.
    pub result: Option<&'a Row>,
    pub now_ms: i64,
}

/// Adds an entry; gives its id.
pub(super) fn add(tx: &Transaction, conflict: &NewConflict) -> rusqlite::Result<i64> {
    prune(tx, conflict.now_ms)?;
    let NewConflict { change, client, server_writer, now_ms, .. } = conflict;
    let client_value = change.data.as_ref().map(|data| data.get()).filter(|_| change.operation != Operation::Delete);
    let (reason, decided) = match conflict.outcome {
        Outcome::Pending(reason) => (Some(reason), false),
        Outcome::ClientWins | Outcome::ServerWins | Outcome::Merged => (None, true),
    };
    let sql = "INSERT INTO conflict_log
        (change_log_id, device_id, event_id, operation, entity_type, entity_id, timestamp, base_version,
         client_value, server_value, reason, resolution, resolved_value, resolved_at, created_at,
         client_at, base_value, server_device_id, server_at, updated_fields, rules)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)";
    tx.prepare_cached(sql)?.insert(params![
        conflict.change_log_id,
        client.device,
        change.event_id.as_ref().map(Uuid::as_bytes),
        change.operation.as_str(),
        change.entity_type,
        change.entity_id,
        change.timestamp,
        conflict.base_version,
        client_value,
        conflict.server.map(Row::to_json),
        reason,
        conflict.outcome.as_str(),
        conflict.result.filter(|_| decided).map(Row::to_json),
        decided.then_some(now_ms),
        now_ms,
        client.at_ms,
        conflict.base.map(Row::to_json),
        server_writer.map(|writer| &writer.device),
        server_writer.map(|writer| writer.at_ms),
        change.updated_fields.as_ref().map(|fields| serde_json::to_string(fields).expect("names encode")),
        serde_json::to_string(conflict.disputes).expect("rules encode"),
    ])
}

/// Entries are in the order of their time, so only the first ones can be old.
fn prune(tx: &Transaction, now_ms: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM conflict_log WHERE created_at < ?1 AND id IN
        (SELECT id FROM conflict_log WHERE resolution <> 'pending' AND resolved_by IS NULL ORDER BY id LIMIT ?2)";
    tx.prepare_cached(sql)?.execute([now_ms - AUTOMATIC_KEPT_MS, PRUNED_MAX])?;
    Ok(())
}

const COLUMNS: &str = "conflict_log.id, conflict_log.entity_type, conflict_log.entity_id, operation, device_id,
    (SELECT name FROM devices WHERE id = device_id), event_id, coalesce(client_at, timestamp), client_value, updated_fields,
    base_version, base_value, server_device_id, (SELECT name FROM devices WHERE id = server_device_id), server_at, server_value,
    rules, reason, resolution, resolved_value, resolved_by, resolved_at, created_at,
    (SELECT version FROM rows WHERE rows.entity_type = conflict_log.entity_type AND rows.entity_id = conflict_log.entity_id)";

/// One entry.
pub(super) fn get(connection: &Connection, id: i64) -> rusqlite::Result<Option<Conflict>> {
    let sql = format!("SELECT {COLUMNS} FROM conflict_log WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], read).optional()
}

/// What was noted about an event before.
pub(super) fn find_event(tx: &Transaction, event_id: &Uuid) -> rusqlite::Result<Option<Conflict>> {
    let sql = format!("SELECT {COLUMNS} FROM conflict_log WHERE event_id = ?1");
    tx.prepare_cached(&sql)?.query_row([event_id.as_bytes()], read).optional()
}

/// A part of the log.
pub(super) fn page(connection: &Connection, query: &ConflictQuery) -> rusqlite::Result<ConflictPage> {
    let status = match query.status {
        None => "",
        Some(ConflictStatus::Pending) => " AND resolution = 'pending'",
        Some(ConflictStatus::Automatic) => " AND resolution <> 'pending' AND resolved_by IS NULL",
        Some(ConflictStatus::Resolved) => " AND resolution <> 'pending' AND resolved_by IS NOT NULL",
    };
    let mut values: Vec<rusqlite::types::Value> = vec![query.after.into(), (query.limit as i64 + 1).into()];
    let mut wanted = String::new();
    if let Some(device_id) = &query.device_id {
        values.push(device_id.clone().into());
        wanted += &format!(" AND ?{} IN (device_id, server_device_id)", values.len());
    }
    if let Some(entity) = &query.entity {
        values.push(entity.clone().into());
        wanted += &format!(" AND entity_type = ?{}", values.len());
    }
    let sql = format!("SELECT {COLUMNS} FROM conflict_log WHERE id > ?1{status}{wanted} ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut page = ConflictPage { conflicts: Vec::new(), has_more: false };
    let mut bytes = 0;
    for conflict in statement.query_map(params_from_iter(values), read)? {
        let conflict = conflict?;
        bytes += size(&conflict);
        page.has_more = page.conflicts.len() >= query.limit || (bytes > PAGE_BYTES_MAX && !page.conflicts.is_empty());
        if page.has_more {
            break;
        }
        page.conflicts.push(conflict);
    }
    Ok(page)
}

/// How many bytes the rows of an entry take.
pub(super) fn size(conflict: &Conflict) -> usize {
    let rows = [&conflict.client_value, &conflict.server_value, &conflict.base_value, &conflict.resolved_value];
    rows.into_iter().flatten().map(|row| row.get().len()).sum()
}

/// An answer that would get too long has the entries without their rows; they are in the log.
pub(super) fn leave_rows_out(conflict: &mut Conflict) {
    let Conflict { client_value, server_value, base_value, resolved_value, .. } = conflict;
    for row in [client_value, server_value, base_value, resolved_value] {
        *row = None;
    }
}

/// Notes how a person decided.
pub(super) fn resolve(
    tx: &Transaction,
    id: i64,
    resolution: &str,
    by: &str,
    result: Option<&str>,
    now_ms: i64,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE conflict_log SET resolution = ?2, resolved_by = ?3, resolved_value = ?4, resolved_at = ?5 WHERE id = ?1",
    )?
    .execute(params![id, resolution, by, result, now_ms])?;
    Ok(())
}

fn read(row: &SqlRow) -> rusqlite::Result<Conflict> {
    let raw = |place: usize| -> rusqlite::Result<Option<Box<RawValue>>> {
        let text: Option<String> = row.get(place)?;
        text.map(RawValue::from_string).transpose().map_err(|_| log::damaged(place, "value"))
    };
    let operation: String = row.get(3)?;
    let event_id: Option<[u8; 16]> = row.get(6)?;
    let fields: Option<String> = row.get(9)?;
    let rules: Option<String> = row.get(16)?;
    Ok(Conflict {
        id: row.get(0)?,
        entity_type: row.get(1)?,
        entity_id: row.get(2)?,
        operation: Operation::parse(&operation).ok_or_else(|| log::damaged(3, "operation"))?,
        device_id: row.get(4)?,
        device_name: row.get(5)?,
        event_id: event_id.map(Uuid::from_bytes),
        client_at: row.get(7)?,
        client_value: raw(8)?,
        updated_fields: fields.and_then(|json| serde_json::from_str(&json).ok()),
        base_version: row.get(10)?,
        base_value: raw(11)?,
        server_device_id: row.get(12)?,
        server_device_name: row.get(13)?,
        server_at: row.get(14)?,
        server_value: raw(15)?,
        rules: rules.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
        reason: row.get(17)?,
        resolution: row.get(18)?,
        resolved_value: raw(19)?,
        resolved_by: row.get(20)?,
        resolved_at: row.get(21)?,
        created_at: row.get(22)?,
        version: row.get::<_, Option<i64>>(23)?.unwrap_or(0),
    })
}
