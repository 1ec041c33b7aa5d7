//! `POST /sync/snapshot` and `POST /sync/digest`: rows as they are now, and what to compare them by.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use tillsync_core::digest::BUCKETS;
use tillsync_core::wire::snapshot::{
    At, DigestRequest, DigestResponse, NAMED_MAX, SNAPSHOT_LIMIT_MAX, SnapshotRequest, SnapshotResponse,
};

use crate::body::SMALL_BODY_BYTES_MAX;
use crate::clock::now_ms;
use crate::credentials::{Credentials, admit};
use crate::database::{Place, SnapshotQuery, Wanted};
use crate::hub::Hub;
use crate::refusal::Refusal;

pub(crate) async fn snapshot(State(hub): State<Hub>, headers: HeaderMap, body: Body) -> Result<Json<SnapshotResponse>, Refusal> {
    let (device_id, request) = admit(&hub, &headers, body, SMALL_BODY_BYTES_MAX, |request: &mut SnapshotRequest| {
        Credentials::from_body(&mut request.device_id, &mut request.api_key)
    })
    .await?;
    let _served = hub.live().serve(&device_id);
    let limit = request.limit.unwrap_or(SNAPSHOT_LIMIT_MAX).min(SNAPSHOT_LIMIT_MAX);
    if limit == 0 {
        return Err(Refusal::bad_field("limit", format!("a page has 1 to {SNAPSHOT_LIMIT_MAX} rows")));
    }
    let wanted = match (request.entity_ids, request.after_version) {
        (Some(_), Some(_)) => {
            return Err(Refusal::bad_field("afterVersion", "ask for rows above a version, or for named ones, not for both"));
        }
        (Some(ids), None) if ids.len() > NAMED_MAX => {
            return Err(Refusal::bad_field("entityIds", format!("at most {NAMED_MAX} rows at once")));
        }
        (Some(ids), None) => Wanted::These(ids),
        (None, after) => Wanted::Above(after.unwrap_or(0)),
    };
    may_see(&hub, &device_id, &request.entity_type).await?;
    let query = SnapshotQuery { entity_type: request.entity_type, wanted, limit: limit as usize };
    let found = hub.database().snapshot(query).await?;
    Ok(Json(SnapshotResponse { success: true, rows: found.rows, has_more: found.has_more, at: at(&hub, found.place) }))
}

pub(crate) async fn digest(State(hub): State<Hub>, headers: HeaderMap, body: Body) -> Result<Json<DigestResponse>, Refusal> {
    let (device_id, request) = admit(&hub, &headers, body, SMALL_BODY_BYTES_MAX, |request: &mut DigestRequest| {
        Credentials::from_body(&mut request.device_id, &mut request.api_key)
    })
    .await?;
    let _served = hub.live().serve(&device_id);
    let answer = DigestResponse { success: true, ..DigestResponse::default() };
    if let Some(entity_type) = &request.entity_type {
        may_see(&hub, &device_id, entity_type).await?;
    }
    Ok(Json(match (request.entity_type, request.buckets) {
        (None, None) => {
            let mut compared = hub.database().entity_digests().await?;
            if let Some(allowed) = hub.database().entities_of(&device_id).await? {
                compared.found.retain(|entity| allowed.contains(&entity.entity_type));
            }
            DigestResponse { entities: compared.found, at: at(&hub, compared.place), ..answer }
        }
        (Some(entity_type), None) => {
            let compared = hub.database().bucket_digests(entity_type).await?;
            DigestResponse { buckets: compared.found, at: at(&hub, compared.place), ..answer }
        }
        (Some(entity_type), Some(buckets)) => {
            if buckets.len() > NAMED_MAX || buckets.iter().any(|bucket| *bucket >= BUCKETS) {
                let last = BUCKETS - 1;
                return Err(Refusal::bad_field("buckets", format!("at most {NAMED_MAX} buckets at once, from 0 to {last}")));
            }
            let compared = hub.database().rows_in_buckets(entity_type, buckets).await?;
            DigestResponse { rows: compared.found, at: at(&hub, compared.place), ..answer }
        }
        (None, Some(_)) => return Err(Refusal::bad_field("entityType", "say of which entity the buckets are")),
    }))
}

/// Only the entities that are the device's business.
async fn may_see(hub: &Hub, device_id: &str, entity_type: &str) -> Result<(), Refusal> {
    match hub.database().entities_of(device_id).await? {
        Some(allowed) if !allowed.contains(entity_type) => Err(Refusal::bad_field(
            "entityType",
            format!("this register may not have {entity_type}; ask the administrator of the server"),
        )),
        _ => Ok(()),
    }
}

fn at(hub: &Hub, place: Place) -> At {
    At {
        epoch: hub.database().epoch().to_owned(),
        head_cursor_id: place.head,
        pruned_through: place.pruned_through,
        server_timestamp: now_ms(),
    }
}
