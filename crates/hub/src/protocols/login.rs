//! Logging in: by name and password, with a Google account, and staying in.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tillsync_core::protocol::Protocols;
use tillsync_core::protocol::settings::Limit;

use crate::body::{self, SMALL_BODY_BYTES_MAX};
use crate::clock::now_ms;
use crate::credentials::bearer;
use crate::database::clients::{Session, User};
use crate::google;
use crate::hub::Hub;
use crate::jwt::{self, Claims};
use crate::key::Key;
use crate::password::{self, PASSWORD_BYTES_MAX};
use crate::refusal::Refusal;

/// An access token is good for so long; then it is refreshed.
const ACCESS_SECONDS: i64 = 3600;

/// Who does not come for so long logs in again.
const REFRESH_MS: i64 = 90 * 86_400_000;

/// So many tries has a name; then guessing pauses.
const TRIES: Limit = Limit { requests: 10, seconds: 900 };

/// The file with Google's keys is a few kilobytes.
const KEYS_BYTES_MAX: u64 = 1024 * 1024;

pub(super) fn routes() -> Router<Hub> {
    ["/auth", "/api/auth"].into_iter().fold(Router::new(), |all, at| {
        all.route(&format!("{at}/login"), post(login))
            .route(&format!("{at}/refresh"), post(refresh))
            .route(&format!("{at}/logout"), post(logout))
            .route(&format!("{at}/google"), post(with_google))
    })
}

#[derive(Deserialize)]
struct LoginRequest {
    #[serde(alias = "username", alias = "email", alias = "user")]
    name: String,
    password: String,
}

async fn login(State(hub): State<Hub>, headers: HeaderMap, body: Body) -> Result<Json<Value>, Refusal> {
    let request: LoginRequest = body::parse(&body::read(&headers, body, SMALL_BODY_BYTES_MAX).await?)?;
    if request.password.len() > PASSWORD_BYTES_MAX || request.name.len() > PASSWORD_BYTES_MAX {
        return Err(Refusal::wrong_login());
    }
    let now_ms = now_ms();
    let tries = hub.rates().count(&format!("login {}", request.name.to_lowercase()), TRIES, now_ms);
    if tries.left.is_none() {
        return Err(Refusal::rate_limited(tries.wait_seconds(now_ms)));
    }
    let user = hub.database().user_named(&request.name).await?;
    let stored = user.as_ref().and_then(|user| user.password.clone());
    let matching = tokio::task::spawn_blocking(move || password::matches(&request.password, stored.as_deref()));
    match (matching.await.unwrap_or(false), user) {
        (true, Some(user)) => begin(&hub, &user, now_ms).await,
        _ => Err(Refusal::wrong_login()),
    }
}

async fn begin(hub: &Hub, user: &User, now_ms: i64) -> Result<Json<Value>, Refusal> {
    let (refresh, id) = (Key::make(), uuid::Uuid::new_v4().to_string());
    let expires_at_ms = now_ms.saturating_add(REFRESH_MS);
    let session = Session { id: id.clone(), user_id: user.id, refresh: refresh.hash(), expires_at_ms, now_ms };
    hub.database().begin_session(session).await?;
    tracing::info!(user = user.id, "login");
    answer(hub, user, &id, refresh.reveal(), now_ms).await
}

async fn answer(hub: &Hub, user: &User, session: &str, refresh: &str, now_ms: i64) -> Result<Json<Value>, Refusal> {
    let secret = hub.database().token_secret().await?;
    let now = now_ms / 1000;
    let claims = Claims { sub: user.id.to_string(), sid: session.to_owned(), iat: now, exp: now + ACCESS_SECONDS };
    let token = jwt::sign(&claims, &secret);
    Ok(Json(json!({
        "success": true,
        "accessToken": token,
        "refreshToken": refresh,
        "tokenType": "Bearer",
        "expiresIn": ACCESS_SECONDS,
        "user": { "id": user.id.to_string(), "name": user.name },
    })))
}

#[derive(Deserialize)]
struct RefreshRequest {
    #[serde(rename = "refreshToken", alias = "refresh_token")]
    refresh_token: String,
}

async fn refresh(State(hub): State<Hub>, headers: HeaderMap, body: Body) -> Result<Json<Value>, Refusal> {
    let request: RefreshRequest = body::parse(&body::read(&headers, body, SMALL_BODY_BYTES_MAX).await?)?;
    let (key, now_ms) = (Key::from_text(request.refresh_token), now_ms());
    let found = hub.database().refresh_session(key.hash(), now_ms.saturating_add(REFRESH_MS), now_ms).await?;
    let (session, user) = found.ok_or_else(Refusal::token_expired)?;
    answer(&hub, &user, &session, key.reveal(), now_ms).await
}

async fn logout(State(hub): State<Hub>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    let token = bearer(&headers).ok_or_else(Refusal::token_needed)?;
    let secret = hub.database().token_secret().await?;
    let claims = jwt::verify(token.reveal(), &secret).ok_or_else(Refusal::token_needed)?;
    hub.database().end_session(&claims.sid).await?;
    Ok(Json(json!({ "success": true })))
}

#[derive(Deserialize)]
struct GoogleRequest {
    #[serde(rename = "idToken", alias = "id_token", alias = "credential")]
    id_token: String,
}

async fn with_google(
    State(hub): State<Hub>,
    Extension(protocols): Extension<Arc<Protocols>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let request: GoogleRequest = body::parse(&body::read(&headers, body, SMALL_BODY_BYTES_MAX).await?)?;
    if protocols.google.client_id.is_empty() {
        return Err(Refusal::google_refused("this hub does not take Google accounts"));
    }
    let keys = read_keys(protocols.google.keys.clone()).await?;
    let now_ms = now_ms();
    let account = google::verify(&request.id_token, &keys, &protocols.google, now_ms).map_err(Refusal::google_refused)?;
    let user = hub.database().user_of_google(&account.id, &account.email, now_ms).await?;
    let user = user.ok_or_else(|| Refusal::google_refused("there is another user of that name"))?;
    begin(&hub, &user, now_ms).await
}

/// Read every time: it is small, and the operator's timer replaces it.
async fn read_keys(path: std::path::PathBuf) -> Result<Vec<u8>, Refusal> {
    let reading = tokio::task::spawn_blocking(move || {
        let too_large = || std::io::Error::other("the file is too large");
        if std::fs::metadata(&path)?.len() > KEYS_BYTES_MAX { Err(too_large()) } else { std::fs::read(&path) }
    });
    match reading.await {
        Ok(Ok(keys)) => Ok(keys),
        failed => {
            tracing::error!(?failed, "the file with Google's keys cannot be read");
            Err(Refusal::internal())
        }
    }
}
