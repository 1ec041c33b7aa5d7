//! Who asks: the device and key of a request, wherever it put them.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use tillsync_core::wire::hub::DEVICE_ID_HEADER;

use crate::body;
use crate::clock::now_ms;
use crate::hub::Hub;
use crate::key::{Key, KeyHash};
use crate::query;
use crate::refusal::Refusal;

/// What a request says about itself; any part may be absent.
#[derive(Default)]
pub(crate) struct Credentials {
    device_id: Option<String>,
    key: Option<Key>,
}

impl Credentials {
    /// A device and its key.
    pub(crate) fn of(device_id: String, key: Key) -> Self {
        Self { device_id: Some(device_id), key: Some(key) }
    }

    /// From `Authorization: Bearer` and the device header.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let device_id = headers.get(DEVICE_ID_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { device_id, key: bearer(headers) }
    }

    /// From `deviceId` and `apiKey` of a query string.
    pub(crate) fn from_query(query: &str) -> Self {
        Self { device_id: query::member(query, "deviceId"), key: query::member(query, "apiKey").map(Key::from_text) }
    }

    /// From the members of a body, which it takes out.
    pub(crate) fn from_body(device_id: &mut Option<String>, api_key: &mut Option<String>) -> Self {
        Self { device_id: device_id.take(), key: api_key.take().map(Key::from_text) }
    }

    /// Fills what is absent from another place.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { device_id: self.device_id.or(other.device_id), key: self.key.or(other.key) }
    }

    /// Whether nothing is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.device_id.is_some() && self.key.is_some()
    }

    /// The id of the device, if it is registered, the key is its key and it is not suspended.
    pub(crate) async fn authenticate(self, hub: &Hub) -> Result<String, Refusal> {
        self.admit(hub, 0).await.map(|admitted| admitted.device_id)
    }

    /// The same, and when the key is to be replaced.
    pub(crate) async fn authenticate_with_key(self, hub: &Hub) -> Result<Admitted, Refusal> {
        self.admit(hub, 0).await
    }

    /// The same and the hash of the key, which may have expired a while ago.
    pub(crate) async fn authenticate_to_rekey(self, hub: &Hub) -> Result<(Admitted, KeyHash), Refusal> {
        let hash = self.key.as_ref().map(Key::hash).ok_or_else(Refusal::unauthorized)?;
        self.admit(hub, hub.keys().grace_ms).await.map(|admitted| (admitted, hash))
    }

    async fn admit(self, hub: &Hub, grace_ms: i64) -> Result<Admitted, Refusal> {
        let (Some(device_id), Some(key)) = (self.device_id, self.key) else {
            return Err(Refusal::unauthorized());
        };
        let Some(access) = hub.database().access_of(&device_id).await? else {
            return Err(Refusal::unauthorized());
        };
        let (keys, now_ms) = (hub.keys(), now_ms());
        let (expires_at, renew_at) = if access.key_hash.matches(&key) {
            let expires_at = keys.expires_at(access.since_ms);
            if expires_at.is_some_and(|expires_at| now_ms >= expires_at.saturating_add(grace_ms)) {
                return Err(Refusal::key_expired());
            }
            (expires_at, keys.renew_at(access.since_ms))
        } else {
            match access.old_key {
                Some((old, until_ms)) if old.matches(&key) && now_ms < until_ms => (Some(until_ms), None),
                Some((old, _)) if old.matches(&key) => return Err(Refusal::key_replaced()),
                _ => return Err(Refusal::unauthorized()),
            }
        };
        if access.suspended {
            return Err(Refusal::suspended());
        }
        Ok(Admitted { device_id, expires_at, renew_at })
    }
}

/// A device that may.
pub(crate) struct Admitted {
    /// Its id.
    pub device_id: String,
    /// When its key expires, Unix milliseconds.
    pub expires_at: Option<i64>,
    /// From when on the key should be replaced, Unix milliseconds.
    pub renew_at: Option<i64>,
}

/// Authenticates and parses a request; gives the device's id beside it. Who names itself in the headers is looked up first, so
/// that a stranger's body takes no memory.
pub(crate) async fn admit<T: DeserializeOwned>(
    hub: &Hub,
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    take_from: impl FnOnce(&mut T) -> Credentials,
) -> Result<(String, T), Refusal> {
    admit_with_key(hub, headers, body, bytes_max, take_from).await.map(|(admitted, request)| (admitted.device_id, request))
}

/// The same, with what there is to say of the key.
pub(crate) async fn admit_with_key<T: DeserializeOwned>(
    hub: &Hub,
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    take_from: impl FnOnce(&mut T) -> Credentials,
) -> Result<(Admitted, T), Refusal> {
    let in_headers = Credentials::from_headers(headers);
    if in_headers.is_complete() {
        return match in_headers.authenticate_with_key(hub).await {
            Ok(admitted) => Ok((admitted, body::parse(&body::read(headers, body, bytes_max).await?)?)),
            Err(refusal) => {
                body::discard(body).await;
                Err(refusal)
            }
        };
    }
    let mut request = body::parse(&body::read(headers, body, bytes_max).await?)?;
    let admitted = in_headers.or(take_from(&mut request)).authenticate_with_key(hub).await?;
    Ok((admitted, request))
}

/// The secret of `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<Key> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Key::from_text(secret.trim()))
}

/// Lets only the administrator pass.
pub(crate) async fn require_admin(hub: &Hub, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(key) = bearer(headers) else {
        return Err(Refusal::admin_key_needed());
    };
    let hash: Option<KeyHash> = hub.database().admin_key_hash().await?;
    if hash.is_some_and(|hash| hash.matches(&key)) { Ok(()) } else { Err(Refusal::admin_key_needed()) }
}
