//! Other people's protocols, one file each: HTTP in, the pure functions of [`tillsync_core::protocol`], the one change log, HTTP out. What they share
//! is written once: who asks ([`access`], [`asked`]), taking changes in ([`intake`]), telling rows ([`outflow`]), logging in ([`login`]).

mod access;
mod asked;
mod intake;
mod login;
mod outflow;

mod auraflow;
mod booky;
mod events;
mod insight;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use tillsync_core::protocol::booky::codes;
use tillsync_core::protocol::{Protocols, Settings};

use crate::hub::Hub;
use crate::refusal::Refusal;

/// One protocol as it is served.
#[derive(Clone)]
pub(crate) struct Served {
    /// Its name.
    pub name: &'static str,
    /// How it is served.
    pub settings: Arc<Settings>,
}

/// All their paths.
pub(crate) fn routes(protocols: &Arc<Protocols>) -> Router<Hub> {
    let mut all = Router::new();
    let mut prefixes = BTreeSet::from([""]);
    for (name, settings) in protocols.each() {
        let (own, say): (Router<Hub>, fn(&Refusal) -> Value) = match name {
            "auraflow" => (auraflow::routes(), say_auraflow),
            "events" => (events::routes(), say_plainly),
            "booky" => (booky::routes(), say_booky),
            _ => (insight::routes(), say_plainly),
        };
        let served = Served { name, settings: Arc::new(settings.clone()) };
        let own = own.layer(from_fn(move |request, next| in_its_words(say, request, next))).layer(Extension(served));
        all = if settings.prefix.is_empty() { all.merge(own) } else { all.nest(&settings.prefix, own) };
        prefixes.insert(&settings.prefix);
    }
    for prefix in prefixes {
        let own = login::routes().layer(Extension(protocols.clone()));
        all = if prefix.is_empty() { all.merge(own) } else { all.nest(prefix, own) };
    }
    all
}

/// Puts the prefix of a protocol before paths that come under its host.
pub(crate) fn at_hosts(inner: Router, protocols: &Protocols) -> Router {
    let hosts: Vec<(String, String)> = protocols
        .each()
        .into_iter()
        .filter_map(|(_, settings)| settings.host.clone().map(|host| (host, settings.prefix.clone())))
        .filter(|(_, prefix)| !prefix.is_empty())
        .collect();
    if hosts.is_empty() {
        return inner;
    }
    let rewrite = move |mut request: Request, next: Next| {
        let named = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .map(|host| host.split(':').next().unwrap_or(host));
        let prefix =
            named.and_then(|named| hosts.iter().find(|(host, _)| host.eq_ignore_ascii_case(named))).map(|(_, prefix)| prefix);
        if let Some(uri) = prefix.and_then(|prefix| prefixed(request.uri(), prefix)) {
            *request.uri_mut() = uri;
        }
        next.run(request)
    };
    Router::new().fallback_service(inner).layer(from_fn(rewrite))
}

fn prefixed(uri: &Uri, prefix: &str) -> Option<Uri> {
    let rest = uri.path_and_query().map_or("/", |rest| rest.as_str());
    format!("{prefix}{rest}").parse().ok()
}

/// Says a refusal as the protocol's clients know it.
async fn in_its_words(say: fn(&Refusal) -> Value, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let Some(refusal) = response.extensions().get::<Refusal>().cloned() else { return response };
    let mut said = (refusal.status, Json(say(&refusal))).into_response();
    for name in [header::WWW_AUTHENTICATE, header::RETRY_AFTER] {
        if let Some(value) = response.headers().get(&name) {
            said.headers_mut().insert(name, value.clone());
        }
    }
    said
}

fn say_plainly(refusal: &Refusal) -> Value {
    json!({ "success": false, "error": refusal.text, "code": refusal.code, "field": refusal.field })
}

fn say_auraflow(refusal: &Refusal) -> Value {
    json!({ "success": false, "error": "SYNC_FAILED", "message": refusal.text, "code": refusal.code, "field": refusal.field })
}

fn say_booky(refusal: &Refusal) -> Value {
    let code = match refusal.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => codes::UNAUTHORIZED,
        StatusCode::TOO_MANY_REQUESTS => codes::RATE_LIMITED,
        StatusCode::CONFLICT => codes::CONFLICT_DETECTED,
        status if status.is_server_error() => codes::SYNC_FAILED,
        _ => codes::VALIDATION_ERROR,
    };
    json!({ "success": false, "error": refusal.text, "code": code, "field": refusal.field })
}

/// Tells a client how it stands with its limit.
fn with_allowance(mut response: Response, allowance: Option<crate::rate::Allowance>) -> Response {
    if let Some(allowance) = allowance {
        let headers = response.headers_mut();
        headers.insert("x-ratelimit-limit", HeaderValue::from(allowance.limit));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(allowance.left.unwrap_or(0)));
        headers.insert("x-ratelimit-reset", HeaderValue::from(allowance.until_ms.div_euclid(1000) + 1));
    }
    response
}
