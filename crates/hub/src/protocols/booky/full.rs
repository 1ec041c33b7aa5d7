//! Full syncs: everything that a client has, stored with its history, and taken back on request.

use std::collections::HashSet;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;
use tillsync_core::protocol::booky::{self, FullRequest};
use tillsync_core::protocol::{Mapping, time};
use tillsync_core::wire::hub::BODY_BYTES_MAX;

use super::answer;
use crate::clock::now_ms;
use crate::credentials::require_admin;
use crate::database::clients::{Full, Undone};
use crate::hub::Hub;
use crate::protocols::Served;
use crate::protocols::access::caller;
use crate::protocols::asked::Asked;
use crate::protocols::intake::Numbered;
use crate::refusal::Refusal;

/// Stores all rows that are sent, and deletes those that the client has been given and does not send any more.
pub(super) async fn full(asked: Asked, body: Body) -> Result<Response, Refusal> {
    let request: FullRequest = asked.read(body, BODY_BYTES_MAX).await?;
    let (client, _served) = asked.serve(None).await?;
    let now_ms = now_ms();
    let entities = &asked.settings().entities;
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
    let batch = asked.intake(&client, now_ms).prepare(&said).await?;
    let (id, outcome) = asked.hub.database().store_full(Full { batch, tables }).await?;
    let refused: Vec<&str> = outcome.results.iter().filter_map(|result| result.error.as_deref()).collect();
    tracing::info!(device = client.device_id, id, rows = outcome.results.len(), "full sync");
    let mut said = json!({ "success": true, "syncedAt": time::format(now_ms), "syncId": id });
    if !refused.is_empty() {
        said["errors"] = json!(refused);
    }
    Ok(answer(&asked, StatusCode::OK, said, now_ms))
}

/// By the client whose full sync it was, or by the administrator.
pub(super) async fn undo(
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
