//! `POST /sync/rekey`: a device replaces its key. It makes the new one itself and sends only its hash, so that nothing is lost when the answer
//! is: it has the key, and asks again.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use tillsync_core::wire::hub::{RekeyRequest, RekeyResponse};

use crate::body::{self, SMALL_BODY_BYTES_MAX};
use crate::clock::now_ms;
use crate::credentials::{Admitted, Credentials};
use crate::database::{Rekey, RekeyOutcome};
use crate::hub::Hub;
use crate::key::KeyHash;
use crate::refusal::Refusal;

pub(crate) async fn rekey(State(hub): State<Hub>, headers: HeaderMap, body: Body) -> Result<Json<RekeyResponse>, Refusal> {
    let mut request: RekeyRequest = body::parse(&body::read(&headers, body, SMALL_BODY_BYTES_MAX).await?)?;
    let credentials = Credentials::from_headers(&headers).or(Credentials::from_body(&mut request.device_id, &mut request.api_key));
    let Some(new) = KeyHash::from_hex(&request.new_key_hash) else {
        return Err(Refusal::bad_field("newKeyHash", "the SHA-256 of the new key, as 64 hexadecimal digits"));
    };
    let (Admitted { device_id, expires_at, .. }, used) = credentials.authenticate_to_rekey(&hub).await?;
    let now_ms = now_ms();
    let keys = hub.keys();
    // A key that has expired does not come to life again by being replaced.
    let old_until_ms = now_ms.saturating_add(keys.grace_ms).min(expires_at.unwrap_or(i64::MAX));
    match hub.database().rekey(Rekey { device_id: device_id.clone(), used, new, old_until_ms, now_ms }).await? {
        RekeyOutcome::Done { since_ms, old_until_ms } => {
            tracing::info!(device = device_id, "the key is replaced");
            let key_expires_at = keys.expires_at(since_ms);
            Ok(Json(RekeyResponse { success: true, key_expires_at, old_key_until: old_until_ms, server_timestamp: now_ms }))
        }
        RekeyOutcome::NotItsKey => Err(Refusal::key_replaced()),
    }
}
