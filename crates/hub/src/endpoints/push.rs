//! `POST /sync/push`: takes changes, each with its own verdict, all in one transaction.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use tillsync_core::change::Verdict;
use tillsync_core::clock::skew_ms;
use tillsync_core::wire::hub::{BODY_BYTES_MAX, PUSH_CHANGES_MAX, PushError, PushRequest, PushResponse, PushResult};

use crate::clock::now_ms;
use crate::credentials::{Credentials, admit};
use crate::database::{Batch, BatchOutcome};
use crate::hub::{Hub, Options};
use crate::refusal::Refusal;

/// A request names the policies of the tables of one store.
const POLICIES_MAX: usize = 1000;

pub(crate) async fn push(
    State(hub): State<Hub>,
    Extension(options): Extension<Options>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PushResponse>, Refusal> {
    let (device_id, request) = admit(&hub, &headers, body, BODY_BYTES_MAX, |request: &mut PushRequest| {
        Credentials::from_body(&mut request.device_id, &mut request.api_key)
    })
    .await?;
    if request.changes.len() > PUSH_CHANGES_MAX {
        return Err(Refusal::too_large(format!("a push carries at most {PUSH_CHANGES_MAX} changes: send fewer at once")));
    }
    if request.policies.len() > POLICIES_MAX {
        return Err(Refusal::bad_field("policies", format!("at most {POLICIES_MAX} entities")));
    }
    let _served = hub.live().serve(&device_id);
    let entity_ids: Vec<String> = request.changes.iter().map(|change| change.entity_id.clone()).collect();
    let now_ms = now_ms();
    let mut policies = request.policies;
    policies.extend(options.policies.iter().map(|(entity, merging)| (entity.clone(), merging.clone())));
    let skew_ms = skew_ms(request.sent_at, now_ms);
    let cursor_id = request.cursor_id;
    let restored_up_to = request.restored_up_to.unwrap_or(0);
    let changes = request.changes;
    let device = device_id.clone();
    let batch = Batch { device_id: device, cursor_id, changes, policies, skew_ms, restored_up_to, now_ms, ..Batch::default() };
    let outcome = hub.database().push(batch).await?;
    let response = answer(outcome, entity_ids, hub.database().epoch(), now_ms);
    let (stored, refused) = (response.synced_count, response.errors.len());
    tracing::info!(device = device_id, stored, refused, "push");
    Ok(Json(response))
}

fn answer(outcome: BatchOutcome, entity_ids: Vec<String>, epoch: &str, now_ms: i64) -> PushResponse {
    let stored = outcome.results.iter().filter(|result| is_stored(result)).count();
    let errors = outcome.results.iter().zip(entity_ids).filter_map(|(result, entity_id)| error_of(result, entity_id)).collect();
    PushResponse {
        success: true,
        synced_count: u32::try_from(stored).unwrap_or(u32::MAX),
        new_cursor_id: outcome.new_cursor_id,
        server_timestamp: now_ms,
        errors,
        results: outcome.results,
        epoch: Some(epoch.to_owned()),
    }
}

fn is_stored(result: &PushResult) -> bool {
    match result.status {
        Verdict::Applied | Verdict::Duplicate | Verdict::Merged => true,
        Verdict::Conflict | Verdict::Rejected => false,
    }
}

fn error_of(result: &PushResult, entity_id: String) -> Option<PushError> {
    if is_stored(result) {
        return None;
    }
    let error = result.error.clone().unwrap_or_default();
    Some(PushError { change_id: result.id, error, entity_id: Some(entity_id) })
}
