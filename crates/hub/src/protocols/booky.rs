//! `booky`: operations of a user, changes since a time, full syncs that can be taken back, and a queue.

use std::collections::HashSet;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tillsync_core::protocol::booky::{self, FullRequest, MarkSyncedRequest, Operation, OperationResult, OperationsRequest, codes};
use tillsync_core::protocol::{Mapping, time};
use tillsync_core::wire::hub::{BODY_BYTES_MAX, PUSH_CHANGES_MAX};

use super::access::{Caller, Client, caller};
use super::intake::{Intake, Numbered, Stored};
use super::outflow::{encode, tell};
use super::{Served, with_allowance};
use crate::body::{self, SMALL_BODY_BYTES_MAX};
use crate::clock::now_ms;
use crate::credentials::require_admin;
use crate::database::clients::{Full, Queued, SinceQuery, Start, Undone};
use crate::database::{ConflictQuery, ConflictStatus};
use crate::hub::{Hub, Options};
use crate::query::member;
use crate::refusal::Refusal;

/// The document knows no pages; an answer stops growing at about this many rows, with a transaction, and says so.
const PAGE_ROWS: usize = 20_000;

/// The status counts so many conflicts; more are as good as these.
const CONFLICTS_COUNTED_MAX: usize = 500;

/// So many operations a client should send at once, and after so many seconds look again, as the document has it.
const BATCH: u32 = 10;
const INTERVAL_SECONDS: u32 = 30;

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .route("/api/sync/operations", post(operations))
        .route("/api/sync/status", get(status))
        .route("/api/sync/pending", get(pending))
        .route("/api/sync/changes", get(changes))
        .route("/api/sync/full", post(full))
        .route("/api/sync/full/{id}/undo", post(undo))
        .route("/api/sync/queue", post(queue))
        .route("/api/sync/mark-synced", post(mark_synced))
        .route("/api/sync/clear", delete(clear))
}

/// An answer with what all of them carry.
fn answer(status: StatusCode, mut said: Value, at_ms: i64, caller: &Caller) -> Response {
    said["_meta"] = json!({ "timestamp": time::format(at_ms) });
    with_allowance((status, Json(said)).into_response(), caller.allowance)
}

async fn operations(
    State(hub): State<Hub>,
    Extension(served): Extension<Served>,
    Extension(options): Extension<Options>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let caller = caller(&hub, &served, &headers).await?;
    let request: OperationsRequest = body::parse(&body::read(&headers, body, BODY_BYTES_MAX).await?)?;
    let client = caller.client(&hub, &served, None).await?;
    let _served = hub.live().serve(&client.device_id);
    let now_ms = now_ms();
    let (mut good, mut rows, mut results) = (Vec::new(), Vec::new(), Vec::new());
    for (operation, said) in request.operations.iter().zip(booky::decode(&served.settings().entities, &request.operations)) {
        let of = |member: &str| operation.get(member).cloned().unwrap_or(Value::Null);
        let result = OperationResult {
            id: of("id"),
            status: "failed".to_owned(),
            entity: of("entity"),
            entity_id: of("entityId"),
            error: None,
            code: None,
            server_data: None,
        };
        match said {
            Ok(said) => {
                rows.push((results.len(), said.table.clone(), said.id.clone()));
                good.push(Numbered { said, number: of("id").to_string() });
                results.push(result);
            }
            Err(fault) => results.push(failed(result, format!("{}: {}", fault.field, fault.text))),
        }
    }
    let intake = Intake { hub: &hub, served: &served, options: &options, client: &client, skew_ms: 0, now_ms };
    let stored = intake.store(good).await?;
    let mut done = Vec::new();
    for ((place, table, id), stored) in rows.into_iter().zip(stored) {
        let result = judge(&hub, &served, results[place].clone(), (&table, &id), &stored).await?;
        if result.status == "success" {
            done.extend(result.id.as_str().map(str::to_owned));
        }
        results[place] = result;
    }
    if !done.is_empty() && hub.database().count_queued(&client.owner).await? > 0 {
        hub.database().mark_queued(&client.owner, done).await?;
    }
    Ok(answer(StatusCode::OK, json!({ "results": results }), now_ms, &caller))
}

fn failed(result: OperationResult, error: String) -> OperationResult {
    OperationResult { error: Some(error), code: Some(codes::VALIDATION_ERROR.to_owned()), ..result }
}

/// Where the server's data stayed the conflict is resolved already: the operation is done, and the client learns of it.
async fn judge(
    hub: &Hub,
    served: &Served,
    result: OperationResult,
    (table, id): (&str, &str),
    stored: &Stored,
) -> Result<OperationResult, Refusal> {
    if let Some(why) = stored.refusal() {
        return Ok(failed(result, why.to_owned()));
    }
    let result = OperationResult { status: "success".to_owned(), ..result };
    if !stored.is_overruled() {
        return Ok(result);
    }
    let server_data = match stored.server_row() {
        Some(row) => Value::Object(encode(hub, served.settings(), table, id, &row).await?.1),
        None => Value::Null,
    };
    Ok(OperationResult { code: Some(codes::CONFLICT_DETECTED.to_owned()), server_data: Some(server_data), ..result })
}

async fn status(State(hub): State<Hub>, Extension(served): Extension<Served>, headers: HeaderMap) -> Result<Response, Refusal> {
    let caller = caller(&hub, &served, &headers).await?;
    let client = caller.client(&hub, &served, None).await?;
    let progress = hub.database().progress(&client.device_id).await?;
    let query = ConflictQuery {
        device_id: Some(client.device_id.clone()),
        entity: None,
        status: Some(ConflictStatus::Pending),
        after: 0,
        limit: CONFLICTS_COUNTED_MAX,
    };
    let conflicts = hub.database().conflicts(query).await?.conflicts.len();
    let said = json!({
        "success": true,
        "status": if hub.live().serves(&client.device_id) { "syncing" } else { "ready" },
        "lastSync": progress.last_sync_at.map(time::format),
        "pendingOperations": hub.database().count_queued(&client.owner).await?,
        "conflicts": conflicts,
        "batchSize": BATCH,
        "intervalSeconds": INTERVAL_SECONDS,
    });
    Ok(answer(StatusCode::OK, said, now_ms(), &caller))
}

async fn changes(
    State(hub): State<Hub>,
    Extension(served): Extension<Served>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = caller(&hub, &served, &headers).await?;
    let query = query.unwrap_or_default();
    let said_since = member(&query, "since").filter(|since| !since.is_empty());
    let start = match &said_since {
        None => Start::After(0),
        Some(text) => Start::Time(time::parse(text).ok_or_else(|| Refusal::bad_field("since", "this is not a time"))?),
    };
    let client = caller.client(&hub, &served, None).await?;
    let _served = hub.live().serve(&client.device_id);
    let now_ms = now_ms();
    let device_id = client.device_id.clone();
    let since = SinceQuery { device_id, start, limit: PAGE_ROWS, whole: true, exclude_own: false, tables: None, now_ms };
    let since = hub.database().since(since).await?;
    hub.database().note_cursor(&client.device_id, since.from, now_ms).await?;
    let told = tell(&hub, served.settings(), since.rows).await?.into_iter();
    let changes: Vec<Value> = told
        .map(|told| {
            let (written, deleted) = (told.written.server_ms, told.is_deleted());
            booky::encode(&told.entity, told.object, written, deleted)
        })
        .collect();
    let mut said = json!({ "success": true, "changes": changes, "since": said_since });
    if since.has_more {
        said["hasMore"] = json!(true);
    }
    Ok(answer(StatusCode::OK, said, since.at_ms, &caller))
}

async fn full(
    State(hub): State<Hub>,
    Extension(served): Extension<Served>,
    Extension(options): Extension<Options>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let caller = caller(&hub, &served, &headers).await?;
    let request: FullRequest = body::parse(&body::read(&headers, body, BODY_BYTES_MAX).await?)?;
    let client = caller.client(&hub, &served, None).await?;
    let _served = hub.live().serve(&client.device_id);
    let now_ms = now_ms();
    let entities = &served.settings().entities;
    let lists = booky::decode_full(entities, &request).map_err(|fault| Refusal::bad_field(fault.field, fault.text))?;
    let (mut tables, mut said) = (Vec::new(), Vec::new());
    for (entity, rows) in lists {
        let table = Mapping::of_entity(entities, &entity).table().to_owned();
        // There is one row of settings, and sending it says nothing of others.
        if entity != "userSettings" {
            tables.push((table, rows.iter().map(|row| row.id.clone()).collect::<HashSet<_>>()));
        }
        said.extend(rows.into_iter().map(|said| Numbered { said, number: "full".to_owned() }));
    }
    let intake = Intake { hub: &hub, served: &served, options: &options, client: &client, skew_ms: 0, now_ms };
    let batch = intake.prepare(&said).await?;
    let (id, outcome) = hub.database().store_full(Full { batch, tables }).await?;
    let refused: Vec<&str> = outcome.results.iter().filter_map(|result| result.error.as_deref()).collect();
    tracing::info!(device = client.device_id, id, rows = outcome.results.len(), "full sync");
    let mut said = json!({ "success": true, "syncedAt": time::format(now_ms), "syncId": id });
    if !refused.is_empty() {
        said["errors"] = json!(refused);
    }
    Ok(answer(StatusCode::OK, said, now_ms, &caller))
}

/// By the client whose full sync it was, or by the administrator.
async fn undo(
    State(hub): State<Hub>,
    Extension(served): Extension<Served>,
    id: Result<Path<i64>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let unknown = || Refusal::not_found("there is no such full sync");
    let Path(id) = id.map_err(|_| unknown())?;
    let device_id = if require_admin(&hub, &headers).await.is_ok() {
        None
    } else {
        let caller = caller(&hub, &served, &headers).await?;
        Some(caller.client(&hub, &served, None).await?.device_id)
    };
    match hub.database().undo_full(id, device_id, now_ms()).await? {
        Undone::Done { rows, kept } => Ok(Json(json!({ "success": true, "restored": rows, "changedSince": kept })).into_response()),
        Undone::Unknown => Err(unknown()),
    }
}

async fn queue(
    State(hub): State<Hub>,
    Extension(served): Extension<Served>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let caller = caller(&hub, &served, &headers).await?;
    let said: Value = body::parse(&body::read(&headers, body, SMALL_BODY_BYTES_MAX).await?)?;
    let client = caller.client(&hub, &served, None).await?;
    let checked = booky::decode_operation(&served.settings().entities, &said, "operation");
    checked.map_err(|fault| Refusal::bad_field(fault.field.trim_start_matches("operation."), fault.text))?;
    let operation = Operation::deserialize(&said).map_err(|_| Refusal::bad_request("this is not an operation"))?;
    let id = match operation.id {
        Some(Value::String(id)) if !id.is_empty() => id,
        Some(Value::Number(number)) => number.to_string(),
        _ => format!("op-{}", uuid::Uuid::new_v4()),
    };
    let now_ms = now_ms();
    let at_ms = operation.timestamp.map_or(now_ms, |moment| moment.0);
    let queued = Queued { id, operation: said.to_string(), at_ms };
    let shown = shown(&queued, false)?;
    if !hub.database().queue(&client.owner, queued).await? {
        return Err(Refusal::too_large(
            "there are too many operations in the queue: send them, mark them as synced, and clear them",
        ));
    }
    Ok(answer(StatusCode::CREATED, json!({ "success": true, "operation": shown }), now_ms, &caller))
}

/// A queued operation; without its data where it was only just sent.
fn shown(queued: &Queued, with_data: bool) -> Result<Value, Refusal> {
    let mut operation: Value = serde_json::from_str(&queued.operation).map_err(|_| Refusal::internal())?;
    operation["id"] = json!(queued.id);
    operation["timestamp"] = json!(time::format(queued.at_ms));
    operation["synced"] = json!(false);
    if let (false, Some(object)) = (with_data, operation.as_object_mut()) {
        object.remove("data");
    }
    Ok(operation)
}

async fn pending(State(hub): State<Hub>, Extension(served): Extension<Served>, headers: HeaderMap) -> Result<Response, Refusal> {
    let caller = caller(&hub, &served, &headers).await?;
    let client: Client = caller.client(&hub, &served, None).await?;
    let queued = hub.database().queued(&client.owner).await?;
    let operations: Vec<Value> = queued.iter().map(|queued| shown(queued, true)).collect::<Result<_, _>>()?;
    Ok(answer(StatusCode::OK, json!({ "success": true, "operations": operations }), now_ms(), &caller))
}

async fn mark_synced(
    State(hub): State<Hub>,
    Extension(served): Extension<Served>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let caller = caller(&hub, &served, &headers).await?;
    let request: MarkSyncedRequest = body::parse(&body::read(&headers, body, SMALL_BODY_BYTES_MAX).await?)?;
    if request.operation_ids.len() > PUSH_CHANGES_MAX {
        return Err(Refusal::bad_field("operationIds", format!("at most {PUSH_CHANGES_MAX} at once")));
    }
    let client = caller.client(&hub, &served, None).await?;
    let marked = hub.database().mark_queued(&client.owner, request.operation_ids).await?;
    let said = json!({ "success": true, "message": format!("Marked {marked} operations as synced") });
    Ok(answer(StatusCode::OK, said, now_ms(), &caller))
}

async fn clear(State(hub): State<Hub>, Extension(served): Extension<Served>, headers: HeaderMap) -> Result<Response, Refusal> {
    let caller = caller(&hub, &served, &headers).await?;
    let client = caller.client(&hub, &served, None).await?;
    hub.database().clear_queued(&client.owner).await?;
    Ok(answer(StatusCode::OK, json!({ "success": true, "message": "Cleared synced operations" }), now_ms(), &caller))
}
