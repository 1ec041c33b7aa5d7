//! `POST /sync/register`: makes a device and shows its key once.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use tillsync_core::wire::hub::{RegisterRequest, RegisterResponse};

use crate::body;
use crate::clock::now_ms;
use crate::credentials::bearer;
use crate::database::{Permission, Registration, RegistrationOutcome};
use crate::hub::{Hub, Options};
use crate::key::Key;
use crate::refusal::Refusal;

/// Names of devices, versions and platforms are for people to read; longer ones are a mistake.
const NAME_BYTES_MAX: usize = 200;

/// Metadata is a few remarks, not a place to keep data.
const METADATA_BYTES_MAX: usize = 16 * 1024;

pub(crate) async fn register(
    State(hub): State<Hub>,
    Extension(options): Extension<Options>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<RegisterResponse>), Refusal> {
    let bytes = body::read(&headers, body, body::SMALL_BODY_BYTES_MAX).await?;
    let mut request: RegisterRequest = body::parse(&bytes)?;
    check(&request)?;
    let token = request.enroll_token.take().map(Key::from_text).or_else(|| bearer(&headers));
    let permission = match token {
        _ if options.open_registration => Permission::Open,
        Some(token) => Permission::Token(token.hash()),
        None => return Err(Refusal::enroll_token_required()),
    };
    let key = Key::make();
    let registration = Registration { request, permission, key_hash: key.hash(), now_ms: now_ms() };
    match hub.database().register(registration).await? {
        RegistrationOutcome::Registered(device) => {
            tracing::info!(device = device.id, "registered");
            Ok((
                StatusCode::CREATED,
                Json(RegisterResponse {
                    success: true,
                    device,
                    api_key: key.reveal().to_owned(),
                    server_timestamp: Some(now_ms()),
                }),
            ))
        }
        RegistrationOutcome::TokenInvalid(why) => Err(Refusal::enroll_token_invalid(why)),
    }
}

fn check(request: &RegisterRequest) -> Result<(), Refusal> {
    if request.name.trim().is_empty() {
        return Err(Refusal::bad_field("name", "the device needs a name"));
    }
    if !matches!(request.kind.as_str(), "desktop" | "mobile" | "tablet") {
        return Err(Refusal::bad_field("type", "the type is desktop, mobile or tablet"));
    }
    let registration_id = request.registration_id.as_deref().unwrap_or_default();
    let texts = [
        ("name", request.name.as_str()),
        ("version", &request.version),
        ("platform", &request.platform),
        ("registrationId", registration_id),
    ];
    if let Some((field, _)) = texts.iter().find(|(_, text)| text.len() > NAME_BYTES_MAX) {
        return Err(Refusal::bad_field(*field, format!("at most {NAME_BYTES_MAX} bytes")));
    }
    if request.metadata.as_ref().is_some_and(|metadata| metadata.to_string().len() > METADATA_BYTES_MAX) {
        return Err(Refusal::bad_field("metadata", format!("at most {METADATA_BYTES_MAX} bytes")));
    }
    Ok(())
}
