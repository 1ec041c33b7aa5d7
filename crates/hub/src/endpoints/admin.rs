//! What only the administrator may do: numbers over the hub; suspending, resuming and deleting devices.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};
use tillsync_core::wire::hub::StatsResponse;

use crate::credentials::require_admin;
use crate::hub::Hub;
use crate::refusal::Refusal;

type DeviceId = Result<Path<String>, PathRejection>;

pub(crate) async fn stats(State(hub): State<Hub>, headers: HeaderMap) -> Result<Json<StatsResponse>, Refusal> {
    require_admin(&hub, &headers).await?;
    let stats = hub.database().stats().await?;
    Ok(Json(StatsResponse { success: true, stats }))
}

pub(crate) async fn suspend(State(hub): State<Hub>, id: DeviceId, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    require_admin(&hub, &headers).await?;
    let device_id = known(id)?;
    let found = hub.database().set_suspended(&device_id, true).await?;
    done(found, &device_id, "Device suspended")
}

pub(crate) async fn resume(State(hub): State<Hub>, id: DeviceId, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    require_admin(&hub, &headers).await?;
    let device_id = known(id)?;
    let found = hub.database().set_suspended(&device_id, false).await?;
    done(found, &device_id, "Device resumed")
}

pub(crate) async fn delete(State(hub): State<Hub>, id: DeviceId, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    require_admin(&hub, &headers).await?;
    let device_id = known(id)?;
    let found = hub.database().delete_device(&device_id).await?;
    done(found, &device_id, "Device deleted")
}

fn known(id: DeviceId) -> Result<String, Refusal> {
    id.map(|Path(id)| id).map_err(|_| Refusal::no_such_device())
}

fn done(found: bool, device: &str, message: &'static str) -> Result<Json<Value>, Refusal> {
    if !found {
        return Err(Refusal::no_such_device());
    }
    tracing::info!(device, message, "admin");
    Ok(Json(json!({ "success": true, "message": message })))
}
