//! The queue: operations that a user leaves here until they are carried out.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tillsync_core::protocol::booky::{self, MarkSyncedRequest, Operation};
use tillsync_core::protocol::time;
use tillsync_core::wire::hub::PUSH_CHANGES_MAX;

use super::answer;
use crate::body::SMALL_BODY_BYTES_MAX;
use crate::clock::now_ms;
use crate::database::clients::Queued;
use crate::protocols::asked::Asked;
use crate::refusal::Refusal;

/// Keeps an operation.
pub(super) async fn queue(asked: Asked, body: Body) -> Result<Response, Refusal> {
    let said: Value = asked.read(body, SMALL_BODY_BYTES_MAX).await?;
    let client = asked.client(None).await?;
    let checked = booky::decode_operation(&asked.settings().entities, &said, "operation");
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
    if !asked.hub.database().queue(&client.owner, queued).await? {
        return Err(Refusal::too_large(
            "there are too many operations in the queue: send them, mark them as synced, and clear them",
        ));
    }
    Ok(answer(&asked, StatusCode::CREATED, json!({ "success": true, "operation": shown }), now_ms))
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

/// The queue of the user who asks.
pub(super) async fn pending(asked: Asked) -> Result<Response, Refusal> {
    let client = asked.client(None).await?;
    let queued = asked.hub.database().queued(&client.owner).await?;
    let operations: Vec<Value> = queued.iter().map(|queued| shown(queued, true)).collect::<Result<_, _>>()?;
    Ok(answer(&asked, StatusCode::OK, json!({ "success": true, "operations": operations }), now_ms()))
}

/// They are done.
pub(super) async fn mark_synced(asked: Asked, body: Body) -> Result<Response, Refusal> {
    let request: MarkSyncedRequest = asked.read(body, SMALL_BODY_BYTES_MAX).await?;
    if request.operation_ids.len() > PUSH_CHANGES_MAX {
        return Err(Refusal::bad_field("operationIds", format!("at most {PUSH_CHANGES_MAX} at once")));
    }
    let client = asked.client(None).await?;
    let marked = asked.hub.database().mark_queued(&client.owner, request.operation_ids).await?;
    let said = json!({ "success": true, "message": format!("Marked {marked} operations as synced") });
    Ok(answer(&asked, StatusCode::OK, said, now_ms()))
}

/// Forgets those that are done.
pub(super) async fn clear(asked: Asked) -> Result<Response, Refusal> {
    let client = asked.client(None).await?;
    asked.hub.database().clear_queued(&client.owner).await?;
    Ok(answer(&asked, StatusCode::OK, json!({ "success": true, "message": "Cleared synced operations" }), now_ms()))
}
