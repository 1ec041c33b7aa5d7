//! `GET /sync/conflicts` and `POST /sync/conflicts/{id}/resolve`: looking up what two devices changed, and deciding about it.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tillsync_core::row::Row;
use tillsync_core::wire::hub::{ConflictsResponse, DEVICE_ID_HEADER, Resolution, ResolveRequest, ResolveResponse};

use crate::body::{self, SMALL_BODY_BYTES_MAX};
use crate::clock::now_ms;
use crate::credentials::{Credentials, require_admin};
use crate::database::{ConflictQuery, ConflictStatus, Resolve, ResolveOutcome, Resolved};
use crate::hub::Hub;
use crate::query::member;
use crate::refusal::Refusal;

/// A page has at most this many conflicts, each with up to four rows.
const LIMIT_MAX: usize = 500;

/// Without `limit` a page has this many.
const LIMIT: usize = 100;

pub(crate) async fn list(
    State(hub): State<Hub>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<ConflictsResponse>, Refusal> {
    let query = query.unwrap_or_default();
    let device_id = who(&hub, &headers, &query).await?;
    let mut wanted = query_of(&query)?;
    // A till sees what is about its own changes; a manager and the administrator see everything.
    if let Some(device_id) = device_id
        && !hub.database().sees_everything(&device_id).await?
    {
        wanted.device_id = Some(device_id);
    }
    let page = hub.database().conflicts(wanted).await?;
    let epoch = Some(hub.database().epoch().to_owned());
    Ok(Json(ConflictsResponse { success: true, conflicts: page.conflicts, has_more: page.has_more, epoch }))
}

pub(crate) async fn resolve(
    State(hub): State<Hub>,
    id: Result<Path<i64>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let device_id = who(&hub, &headers, "").await?;
    let Path(conflict_id) = id.map_err(|_| Refusal::no_such_conflict())?;
    let request: ResolveRequest = body::parse(&body::read(&headers, body, SMALL_BODY_BYTES_MAX).await?)?;
    let columns = columns_of(&request)?;
    let ResolveRequest { resolution, base_version, .. } = request;
    let wish = Resolve { conflict_id, device_id, resolution, base_version, columns, now_ms: now_ms() };
    match hub.database().resolve(wish).await? {
        ResolveOutcome::Resolved(resolved) => {
            tracing::info!(conflict_id, by = resolved.conflict.resolved_by, "resolved");
            Ok(Json(answer(*resolved, None)).into_response())
        }
        ResolveOutcome::RowChanged(resolved) => Ok(contradicted(*resolved, "row_changed")),
        ResolveOutcome::AlreadyResolved(resolved) => Ok(contradicted(*resolved, "already_resolved")),
        ResolveOutcome::Impossible(why) => Err(Refusal::bad_field("data", why)),
        ResolveOutcome::NotAllowed => Err(Refusal::not_your_conflict()),
        ResolveOutcome::Unknown => Err(Refusal::no_such_conflict()),
    }
}

/// The device that asks; `None` for the administrator, who names no device.
async fn who(hub: &Hub, headers: &HeaderMap, query: &str) -> Result<Option<String>, Refusal> {
    if headers.contains_key(DEVICE_ID_HEADER) || member(query, "deviceId").is_some() {
        let credentials = Credentials::from_headers(headers).or(Credentials::from_query(query));
        return credentials.authenticate(hub).await.map(Some);
    }
    require_admin(hub, headers).await.map(|()| None)
}

fn query_of(query: &str) -> Result<ConflictQuery, Refusal> {
    let number = |name: &'static str, otherwise: i64| match member(query, name) {
        None => Ok(otherwise),
        Some(text) => text.parse().ok().filter(|n| *n >= 0).ok_or_else(|| Refusal::bad_field(name, "this is not a number")),
    };
    let status = match member(query, "status").as_deref() {
        None => None,
        Some("pending") => Some(ConflictStatus::Pending),
        Some("automatic") => Some(ConflictStatus::Automatic),
        Some("resolved") => Some(ConflictStatus::Resolved),
        Some(_) => return Err(Refusal::bad_field("status", "a status is pending, automatic or resolved")),
    };
    let limit = usize::try_from(number("limit", LIMIT as i64)?).unwrap_or(LIMIT_MAX).clamp(1, LIMIT_MAX);
    Ok(ConflictQuery {
        device_id: member(query, "device"),
        entity: member(query, "entity"),
        status,
        after: number("after", 0)?,
        limit,
    })
}

fn columns_of(request: &ResolveRequest) -> Result<Row, Refusal> {
    match (&request.data, request.resolution) {
        (Some(data), Resolution::Merged) => serde_json::from_str(data.get())
            .map_err(|_| Refusal::bad_field("data", "data is an object of columns and SQLite values")),
        (None, Resolution::Merged) => Err(Refusal::bad_field("data", "merged needs the columns to set")),
        (_, Resolution::ClientWins | Resolution::ServerWins) => Ok(Row::default()),
    }
}

fn answer(resolved: Resolved, code: Option<&str>) -> ResolveResponse {
    let error = code.map(|code| match (code, &resolved.conflict.resolved_by) {
        ("already_resolved", Some(by)) => format!("the conflict is decided already ({}, by {by})", resolved.conflict.resolution),
        _ => "the row has changed since: look at it again, nothing was written".to_owned(),
    });
    let Resolved { conflict, data } = resolved;
    ResolveResponse { success: code.is_none(), conflict, data, error, code: code.map(str::to_owned) }
}

fn contradicted(resolved: Resolved, code: &str) -> Response {
    (StatusCode::CONFLICT, Json(answer(resolved, Some(code)))).into_response()
}
