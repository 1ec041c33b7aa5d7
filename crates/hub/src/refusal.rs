//! Refusals: every answer that is not a success, in the one shape that clients know.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tillsync_core::wire::hub::ErrorResponse;

use crate::database::DatabaseError;

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub text: String,
    /// The member at fault.
    pub field: Option<String>,
    /// When to come again, seconds.
    pub retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into(), field: None, retry_after: None }
    }

    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", text)
    }

    pub(crate) fn bad_field(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::bad_request(text) }
    }

    pub(crate) fn unsupported_encoding() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_request", "send the body as it is or compressed with gzip")
    }

    pub(crate) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "bad_request", "the body did not arrive in time: send smaller requests")
    }

    pub(crate) fn unauthorized() -> Self {
        let text = "the device or its key is not known here: register the device again";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", text)
    }

    pub(crate) fn key_expired() -> Self {
        let text = "the key of this device has expired: replace it with /sync/rekey, or register the device again when that is refused, too";
        Self::new(StatusCode::UNAUTHORIZED, "key_expired", text)
    }

    pub(crate) fn key_replaced() -> Self {
        let text = "this key was replaced by another one: use that, or register the device again";
        Self::new(StatusCode::UNAUTHORIZED, "key_expired", text)
    }

    pub(crate) fn admin_key_needed() -> Self {
        let text = "this needs the admin key, shown when the hub first started, as Authorization: Bearer";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", text)
    }

    pub(crate) fn suspended() -> Self {
        Self::new(StatusCode::FORBIDDEN, "suspended", "this device is suspended: ask the hub's administrator to resume it")
    }

    pub(crate) fn enroll_token_required() -> Self {
        let text = "registration needs an enrolment token: ask for one made with `tillsync-hub enroll-token`";
        Self::new(StatusCode::UNAUTHORIZED, "enroll_token_required", text)
    }

    pub(crate) fn enroll_token_invalid(why: &str) -> Self {
        let text = format!("{why}: ask for a new one made with `tillsync-hub enroll-token`");
        Self::new(StatusCode::UNAUTHORIZED, "enroll_token_invalid", text)
    }

    pub(crate) fn cursor_expired() -> Self {
        let text = "this cursor is from before what is still known of deletes: fetch everything anew, from cursor 0 or by /sync/snapshot, \
                    and take out rows that do not come any more";
        Self::new(StatusCode::GONE, "cursor_expired", text)
    }

    pub(crate) fn too_large(text: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", text)
    }

    pub(crate) fn no_such_device() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such device")
    }

    pub(crate) fn no_such_conflict() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such conflict")
    }

    pub(crate) fn not_your_conflict() -> Self {
        let text = "this is a conflict of other devices: it is decided there, by a manager's device or by the administrator";
        Self::new(StatusCode::FORBIDDEN, "not_allowed", text)
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path: check the server address")
    }

    pub(crate) fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
    }

    pub(crate) fn token_needed() -> Self {
        let text = "this needs a token of this hub as Authorization: Bearer: a device's key, a user's token, or one from a login";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", text)
    }

    pub(crate) fn token_expired() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "token_expired", "this token is not good any more: refresh it, or log in again")
    }

    pub(crate) fn wrong_login() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "name or password is wrong")
    }

    pub(crate) fn google_refused(why: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", format!("this Google token does not let in: {why}"))
    }

    pub(crate) fn too_many_clients() -> Self {
        let text =
            "this user has too many devices: a device keeps its deviceId, and the administrator can delete those that are gone";
        Self { field: Some("deviceId".to_owned()), ..Self::new(StatusCode::FORBIDDEN, "not_allowed", text) }
    }

    pub(crate) fn rate_limited(retry_after: u64) -> Self {
        let text = format!("too many requests: come again in {retry_after} seconds");
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", text) }
    }

    pub(crate) fn not_found(text: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", text)
    }

    pub(crate) fn internal() -> Self {
        let text = "the hub failed; nothing of this request was stored: try again, and look into the hub's log if it stays";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
    }
}

impl From<DatabaseError> for Refusal {
    /// The cause goes to the log and not to the client.
    fn from(error: DatabaseError) -> Self {
        tracing::error!(%error, "database");
        Self::internal()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let said = self.clone();
        let body = ErrorResponse { success: false, error: self.text, code: Some(self.code.to_owned()), field: self.field };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // Protocols that say it in other words find it here.
        response.extensions_mut().insert(said);
        response
    }
}
