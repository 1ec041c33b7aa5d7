//! The paths of the hub and what surrounds every request.

use std::any::Any;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::{CompressionLayer, Predicate, predicate::SizeAbove};
use tower_http::decompression::RequestDecompressionLayer;

use crate::endpoints::{admin, conflicts, health, pull, push, register, rekey, snapshot, status};
use crate::hub::{Hub, Options};
use crate::refusal::Refusal;
use crate::{openapi, protocols};

/// Answers below this many bytes fit into one packet anyway.
const COMPRESSION_BYTES_MIN: u16 = 1024;

/// The hub as a service.
pub fn router(hub: Hub, options: Options) -> Router {
    let compression = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESSION_BYTES_MIN).and(is_json));
    let protocols = options.protocols.clone();
    let hub = routes()
        .merge(protocols::routes(&protocols))
        .fallback(|| async { Refusal::no_such_path() })
        .method_not_allowed_fallback(|| async { Refusal::wrong_method() })
        .layer(Extension(protocols.clone()))
        .layer(Extension(options))
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true))
        .layer(CatchPanicLayer::custom(refuse_after_panic))
        .layer(compression)
        .layer(middleware::from_fn(note_request))
        .with_state(hub);
    protocols::at_hosts(hub, &protocols)
}

fn routes() -> Router<Hub> {
    Router::new()
        .route("/health", get(health::health))
        .route("/openapi.json", get(openapi::serve))
        .route("/sync/register", post(register::register))
        .route("/sync/rekey", post(rekey::rekey))
        .route("/sync/push", post(push::push))
        .route("/sync/pull", post(pull::pull))
        .route("/sync/snapshot", post(snapshot::snapshot))
        .route("/sync/digest", post(snapshot::digest))
        .route("/sync/status", get(status::status))
        .route("/sync/conflicts", get(conflicts::list))
        .route("/sync/conflicts/{id}/resolve", post(conflicts::resolve))
        .route("/sync/stats", get(admin::stats))
        .route("/sync/suspend/{device_id}", post(admin::suspend))
        .route("/sync/resume/{device_id}", post(admin::resume))
        .route("/sync/{device_id}", delete(admin::delete))
}

fn is_json(_: axum::http::StatusCode, _: axum::http::Version, headers: &axum::http::HeaderMap, _: &axum::http::Extensions) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
}

/// Logs a request without its query, which may hold a key, and tells the client that it may compress requests (RFC 7694).
async fn note_request(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let start = Instant::now();
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let (status, elapsed_ms) = (response.status().as_u16(), start.elapsed().as_millis());
    tracing::debug!(%method, path, status, elapsed_ms, "request");
    response
}

/// The panic itself is printed by the panic hook.
fn refuse_after_panic(_: Box<dyn Any + Send>) -> Response {
    Refusal::internal().into_response()
}
