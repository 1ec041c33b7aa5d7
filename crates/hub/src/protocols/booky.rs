//! `booky`: operations of a user and changes since a time; beside them full syncs that can be taken back ([`full`]) and a queue ([`queue`]).

mod full;
mod queue;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tillsync_core::protocol::booky::{self, OperationResult, OperationsRequest, codes};
use tillsync_core::protocol::time;
use tillsync_core::wire::hub::BODY_BYTES_MAX;

use super::asked::Asked;
use super::intake::{Numbered, Stored};
use super::outflow::{encode, tell};
use crate::clock::now_ms;
use crate::database::clients::{SinceQuery, Start};
use crate::database::{ConflictQuery, ConflictStatus};
use crate::hub::Hub;
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
        .route("/api/sync/pending", get(queue::pending))
        .route("/api/sync/changes", get(changes))
        .route("/api/sync/full", post(full::full))
        .route("/api/sync/full/{id}/undo", post(full::undo))
        .route("/api/sync/queue", post(queue::queue))
        .route("/api/sync/mark-synced", post(queue::mark_synced))
        .route("/api/sync/clear", delete(queue::clear))
}

/// An answer with what all of them carry.
fn answer(asked: &Asked, status: StatusCode, mut said: Value, at_ms: i64) -> Response {
    said["_meta"] = json!({ "timestamp": time::format(at_ms) });
    asked.answer((status, Json(said)))
}

async fn operations(asked: Asked, body: Body) -> Result<Response, Refusal> {
    let request: OperationsRequest = asked.read(body, BODY_BYTES_MAX).await?;
    let (client, _served) = asked.serve(None).await?;
    let now_ms = now_ms();
    let (mut good, mut rows, mut results) = (Vec::new(), Vec::new(), Vec::new());
    for (operation, said) in request.operations.iter().zip(booky::decode(&asked.settings().entities, &request.operations)) {
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
    let stored = asked.intake(&client, now_ms).store(good).await?;
    let mut done = Vec::new();
    for ((place, table, id), stored) in rows.into_iter().zip(stored) {
        let result = judge(&asked, results[place].clone(), (&table, &id), &stored).await?;
        if result.status == "success" {
            done.extend(result.id.as_str().map(str::to_owned));
        }
        results[place] = result;
    }
    let hub = &asked.hub;
    if !done.is_empty() && hub.database().count_queued(&client.owner).await? > 0 {
        hub.database().mark_queued(&client.owner, done).await?;
    }
    Ok(answer(&asked, StatusCode::OK, json!({ "results": results }), now_ms))
}

fn failed(result: OperationResult, error: String) -> OperationResult {
    OperationResult { error: Some(error), code: Some(codes::VALIDATION_ERROR.to_owned()), ..result }
}

/// Where the server's data stayed the conflict is resolved already: the operation is done, and the client learns of it.
async fn judge(
    asked: &Asked,
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
        Some(row) => Value::Object(encode(&asked.hub, asked.settings(), table, id, &row).await?.1),
        None => Value::Null,
    };
    Ok(OperationResult { code: Some(codes::CONFLICT_DETECTED.to_owned()), server_data: Some(server_data), ..result })
}

async fn status(asked: Asked) -> Result<Response, Refusal> {
    let client = asked.client(None).await?;
    let hub = &asked.hub;
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
    Ok(answer(&asked, StatusCode::OK, said, now_ms()))
}

async fn changes(asked: Asked) -> Result<Response, Refusal> {
    let said_since = asked.member("since");
    let start = match &said_since {
        None => Start::After(0),
        Some(text) => Start::Time(time::parse(text).ok_or_else(|| Refusal::bad_field("since", "this is not a time"))?),
    };
    let (client, _served) = asked.serve(None).await?;
    let hub = &asked.hub;
    let now_ms = now_ms();
    let device_id = client.device_id.clone();
    let since = SinceQuery { device_id, start, limit: PAGE_ROWS, whole: true, exclude_own: false, tables: None, now_ms };
    let since = hub.database().since(since).await?;
    hub.database().note_cursor(&client.device_id, since.from, now_ms).await?;
    let told = tell(hub, asked.settings(), since.rows).await?.into_iter();
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
    Ok(answer(&asked, StatusCode::OK, said, since.at_ms))
}
