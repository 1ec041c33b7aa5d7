//! `events`: changes as events with an id each, in two dialects.

use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::Value;
use tillsync_core::protocol::Fault;
use tillsync_core::protocol::events::{self, Dialect, Pulled, PushRequest};
use tillsync_core::wire::hub::BODY_BYTES_MAX;

use super::asked::Asked;
use super::intake::Numbered;
use super::outflow::tell;
use crate::clock::now_ms;
use crate::database::clients::{SinceQuery, Start};
use crate::hub::Hub;
use crate::refusal::Refusal;

/// A page has so many events …
const PAGE_EVENTS: usize = 500;

/// … and at most so many when the client asks for more.
const PAGE_EVENTS_MAX: usize = 1000;

pub(super) fn routes() -> Router<Hub> {
    let of = |dialect: Dialect| Router::new().route("/push", post(push)).route("/pull", get(pull)).layer(Extension(dialect));
    Router::new().nest("/sync", of(Dialect::Snake)).nest("/api/sync", of(Dialect::Camel))
}

async fn push(Extension(dialect): Extension<Dialect>, asked: Asked, body: Body) -> Result<Response, Refusal> {
    let request: PushRequest = asked.read(body, BODY_BYTES_MAX).await?;
    // Some clients name the device in each event only.
    let in_event =
        || request.events.iter().find_map(|event| event.get("device_id").or_else(|| event.get("deviceId"))).and_then(Value::as_str);
    let (client, _served) = asked.serve(request.device_id.as_deref().or_else(in_event)).await?;
    let (mut good, mut names, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
    for (name, said) in events::decode(&asked.settings().entities, &request.events) {
        match said {
            Ok(said) => {
                good.push(Numbered { said, number: String::new() });
                names.push(name);
            }
            Err(fault) => rejected.push((name, fault)),
        }
    }
    let mut accepted = Vec::new();
    for (name, stored) in names.into_iter().zip(asked.intake(&client, now_ms()).store(good).await?) {
        match stored.refusal() {
            Some(why) => rejected.push((name, Fault::new("event", why))),
            None => accepted.push(name),
        }
    }
    Ok(asked.answer(Json(events::pushed(dialect, &accepted, &rejected))))
}

async fn pull(Extension(dialect): Extension<Dialect>, asked: Asked) -> Result<Response, Refusal> {
    let number = |name: &'static str, otherwise: i64| match asked.member(name) {
        None => Ok(otherwise),
        Some(text) => text.parse().ok().filter(|n| *n >= 0).ok_or_else(|| Refusal::bad_field(name, "this is not a number")),
    };
    let cursor = number("cursor", 0)?;
    let limit = usize::try_from(number("limit", PAGE_EVENTS as i64)?).unwrap_or(PAGE_EVENTS_MAX).clamp(1, PAGE_EVENTS_MAX);
    let claimed = asked.member("device_id").or_else(|| asked.member("deviceId"));
    let (client, _served) = asked.serve(claimed.as_deref()).await?;
    let hub = &asked.hub;
    let now_ms = now_ms();
    let start = Start::After(cursor);
    let query =
        SinceQuery { device_id: client.device_id.clone(), start, limit, whole: false, exclude_own: false, tables: None, now_ms };
    let since = hub.database().since(query).await?;
    hub.database().note_cursor(&client.device_id, since.from, now_ms).await?;
    let told = tell(hub, asked.settings(), since.rows).await?;
    let cursor = since.upto + since.epoch_part;
    let events: Vec<Pulled> = told
        .into_iter()
        .map(|told| Pulled {
            event_id: told.written.version + since.epoch_part,
            event_uuid: told.written.event_id,
            device_id: told.written.device_id.clone(),
            entity_id: told.written.id.clone(),
            client_ms: told.written.client_ms,
            server_ms: told.written.server_ms,
            payload: (!told.is_deleted()).then_some(told.object),
            entity: told.entity,
        })
        .collect();
    Ok(asked.answer(Json(events::page(dialect, &events, cursor, since.has_more))))
}
