//! `insight`: records by table, pushed and pulled since a time.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use tillsync_core::clock::skew_ms;
use tillsync_core::protocol::insight::{self, Conflict, PullRequest, PullResponse, PushRequest, PushResponse, StatusResponse};
use tillsync_core::protocol::mapping::plain_id;
use tillsync_core::protocol::{Fault, Mapping, Object, time};
use tillsync_core::wire::hub::BODY_BYTES_MAX;

use super::asked::Asked;
use super::intake::{Intake, Numbered, Stored};
use super::outflow::{encode, tables_of, tell};
use crate::body::SMALL_BODY_BYTES_MAX;
use crate::clock::now_ms;
use crate::database::clients::{SinceQuery, Start};
use crate::hub::Hub;
use crate::refusal::Refusal;

/// A page stops growing at about this many records, with a transaction.
const PAGE_RECORDS: usize = 5000;

/// A shop has tens of tables.
const TABLES_MAX: usize = 1000;

/// The status names so many devices.
const DEVICES_MAX: i64 = 1000;

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .route("/api/v1/sync/pull", post(pull))
        .route("/api/v1/sync/push", post(push))
        .route("/api/v1/sync/status", get(status))
}

async fn pull(asked: Asked, body: Body) -> Result<Response, Refusal> {
    let request: PullRequest = asked.read(body, SMALL_BODY_BYTES_MAX).await?;
    if request.tables.as_ref().is_some_and(|tables| tables.len() > TABLES_MAX) {
        return Err(Refusal::bad_field("tables", format!("at most {TABLES_MAX} tables")));
    }
    let (client, _served) = asked.serve(Some(&request.device_id)).await?;
    let (hub, settings) = (&asked.hub, asked.settings());
    let now_ms = now_ms();
    let start = request.last_sync_timestamp.map_or(Start::After(0), |moment| Start::Time(moment.0));
    let query = SinceQuery {
        device_id: client.device_id.clone(),
        start,
        limit: PAGE_RECORDS,
        whole: true,
        exclude_own: false,
        tables: request.tables.as_deref().map(|tables| tables_of(settings, tables.iter().map(String::as_str))),
        now_ms,
    };
    let since = hub.database().since(query).await?;
    hub.database().note_cursor(&client.device_id, since.from, now_ms).await?;
    let mut changes: BTreeMap<String, Vec<Object>> =
        request.tables.unwrap_or_default().into_iter().map(|table| (table, Vec::new())).collect();
    for told in tell(hub, settings, since.rows).await? {
        let (written, deleted) = (told.written.server_ms, told.is_deleted());
        changes.entry(told.entity).or_default().push(insight::encode(told.object, written, deleted));
    }
    let answer =
        PullResponse { success: true, timestamp: time::format(since.at_ms), changes, conflicts: None, has_more: since.has_more };
    Ok(asked.answer(Json(answer)))
}

async fn push(asked: Asked, body: Body) -> Result<Response, Refusal> {
    let request: PushRequest = asked.read(body, BODY_BYTES_MAX).await?;
    let (client, _served) = asked.serve(Some(&request.device_id)).await?;
    let now_ms = now_ms();
    let skew_ms = skew_ms(Some(request.timestamp.0), now_ms);
    let (mut good, mut sent, mut conflicts) = (Vec::new(), Vec::new(), Vec::new());
    for (table, record, said) in insight::decode(&asked.settings().entities, &request.changes) {
        match said {
            Ok(said) => {
                good.push(Numbered { said, number: String::new() });
                sent.push((table, record));
            }
            Err(fault) => conflicts.push(refused(table, &record, &fault)),
        }
    }
    let rows: Vec<(String, String)> = good.iter().map(|numbered| (numbered.said.table.clone(), numbered.said.id.clone())).collect();
    let intake = Intake { skew_ms, ..asked.intake(&client, now_ms) };
    let stored = intake.store(good).await?;
    let mut applied: BTreeMap<String, Vec<Object>> = BTreeMap::new();
    for (((table, record), row), stored) in sent.into_iter().zip(rows).zip(stored) {
        match judge(&asked, table, record, row, &stored, now_ms).await? {
            Ok((table, object)) => applied.entry(table).or_default().push(object),
            Err(conflict) => conflicts.push(conflict),
        }
    }
    let answer = PushResponse { success: true, timestamp: time::format(now_ms), applied, conflicts };
    Ok(asked.answer(Json(answer)))
}

fn refused(table: String, record: &Value, fault: &Fault) -> Conflict {
    let record_id = record.get("id").cloned().unwrap_or(Value::Null);
    let error = Some(format!("{}: {}", fault.field, fault.text));
    Conflict { table, record_id, client_data: None, server_data: None, error }
}

/// What a client hears of one record.
async fn judge(
    asked: &Asked,
    table: String,
    record: Value,
    (own_table, id): (String, String),
    stored: &Stored,
    now_ms: i64,
) -> Result<Result<(String, Object), Conflict>, Refusal> {
    if let Some(why) = stored.refusal() {
        return Ok(Err(refused(table, &record, &Fault::new("record", why))));
    }
    let server = match stored.server_row() {
        Some(row) => Some(insight::encode(encode(&asked.hub, asked.settings(), &own_table, &id, &row).await?.1, now_ms, false)),
        None => None,
    };
    if stored.is_overruled() {
        let record_id = plain_id(&id);
        return Ok(Err(Conflict {
            table,
            record_id,
            client_data: Some(record),
            server_data: Some(server.map_or(Value::Null, Value::Object)),
            error: None,
        }));
    }
    let object = server.or_else(|| record.as_object().cloned()).unwrap_or_default();
    Ok(Ok((table, object)))
}

async fn status(asked: Asked) -> Result<Response, Refusal> {
    let client = asked.client(None).await?;
    let (hub, settings) = (&asked.hub, asked.settings());
    let allowed = hub.database().entities_of(&client.device_id).await?;
    let tables = hub.database().entity_digests().await?.found.into_iter().map(|entity| entity.entity_type);
    let tables = tables.filter(|table| allowed.as_ref().is_none_or(|allowed| allowed.contains(table)));
    let tables = tables.filter(|table| Mapping::parent_of(&settings.entities, table).is_none());
    let last_sync: BTreeMap<String, String> =
        hub.database().last_syncs(DEVICES_MAX).await?.into_iter().rev().map(|(name, at_ms)| (name, time::format(at_ms))).collect();
    let answer = StatusResponse {
        status: "online".to_owned(),
        timestamp: time::format(now_ms()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tables: tables.map(|table| Mapping::of_table(&settings.entities, &table).name.to_owned()).collect(),
        active_devices: last_sync.len(),
        last_sync,
    };
    Ok(asked.answer(Json(answer)))
}
