//! `GET /sync/status`: a device's own state.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use tillsync_core::wire::hub::{DeviceStatus, StatusResponse};

use crate::credentials::Credentials;
use crate::hub::Hub;
use crate::refusal::Refusal;

pub(crate) async fn status(
    State(hub): State<Hub>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<StatusResponse>, Refusal> {
    let in_query = Credentials::from_query(query.as_deref().unwrap_or_default());
    let device_id = Credentials::from_headers(&headers).or(in_query).authenticate(&hub).await?;
    let progress = hub.database().progress(&device_id).await?;
    let status = if progress.pending == 0 { "synced" } else { "pending" };
    let status = DeviceStatus {
        is_syncing: hub.live().serves(&device_id),
        device_id,
        last_sync_at: progress.last_sync_at,
        pending_changes: progress.pending,
        cursor_id: progress.cursor,
        status: status.to_owned(),
        epoch: Some(hub.database().epoch().to_owned()),
        head_cursor_id: Some(progress.head),
    };
    Ok(Json(StatusResponse { success: true, status }))
}
