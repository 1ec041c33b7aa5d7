//! `events`: changes as events with an id each, in two dialects: snake case with ids as text under `/sync`, camel case with ids as numbers under
//! `/api/sync`. Paths: `POST …/push`, `GET …/pull?cursor=`.

use serde::Deserialize;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::Object;
use super::mapping::{Entities, Mapping};
use super::said::{Fault, Said};
use super::time::{self, Moment};

/// How names and ids are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `entity_id`, and ids of events as text.
    Snake,
    /// `entityId`, and ids of events as numbers.
    Camel,
}

/// What a client has done, in its order.
#[derive(Clone, Debug, Deserialize)]
pub struct PushRequest {
    /// The client's own name for itself.
    #[serde(default, alias = "deviceId")]
    pub device_id: Option<String>,
    /// Each on its own, so that one that cannot be read does not hold up the others.
    pub events: Vec<Json>,
}

/// One event of a push.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// One for life.
    #[serde(default, alias = "eventUuid")]
    pub event_uuid: Option<Uuid>,
    /// What the client calls it where it has no id for life.
    #[serde(default)]
    pub id: Option<Json>,
    /// The kind of row.
    pub entity: String,
    /// The row.
    #[serde(alias = "entityId")]
    pub entity_id: Json,
    /// What happened.
    pub op: Op,
    /// The row's columns, for an upsert.
    #[serde(default)]
    pub payload: Option<Json>,
    /// The same as text.
    #[serde(default, alias = "payloadJson")]
    pub payload_json: Option<String>,
    /// When, by the client's clock.
    #[serde(default, alias = "clientUpdatedAt")]
    pub client_updated_at: Option<Moment>,
    /// The fields that were changed; all when absent. May stand in the payload, too.
    #[serde(default, alias = "updatedFields")]
    pub updated_fields: Option<Vec<String>>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// The row is there.
    #[serde(alias = "create", alias = "update", alias = "insert")]
    Upsert,
    /// It is gone.
    Delete,
}

/// The events of a push, each as a change or as what is wrong with it, with what the client calls it.
pub fn decode(entities: &Entities, events: &[Json]) -> Vec<(Json, Result<Said, Fault>)> {
    let each = events.iter().enumerate();
    each.map(|(place, event)| {
        let name = ["event_uuid", "eventUuid", "id"].iter().find_map(|member| event.get(member)).cloned().unwrap_or(Json::Null);
        (name, decode_event(entities, event, &format!("events[{place}]")))
    })
    .collect()
}

fn decode_event(entities: &Entities, event: &Json, field: &str) -> Result<Said, Fault> {
    let event = Event::deserialize(event).map_err(|error| Fault::new(field, error.to_string()))?;
    let mapping = Mapping::of_entity(entities, &event.entity);
    let mut said = match event.op {
        Op::Delete => Said::delete(&mapping, &event.entity_id, &format!("{field}.entity_id"))?,
        Op::Upsert => upsert(&mapping, &event, field)?,
    };
    said.at_ms = event.client_updated_at.map(|moment| moment.0);
    said.event_id = event.event_uuid;
    Ok(said)
}

fn upsert(mapping: &Mapping, event: &Event, field: &str) -> Result<Said, Fault> {
    let wrong = || Fault::new(format!("{field}.payload"), "an upsert needs the row as an object");
    let text = event.payload_json.as_deref().or_else(|| event.payload.as_ref().and_then(Json::as_str));
    let payload = match text {
        Some(text) => serde_json::from_str(text).map_err(|_| wrong())?,
        None => event.payload.clone().ok_or_else(wrong)?,
    };
    let Json::Object(mut payload) = payload else { return Err(wrong()) };
    let inside = ["updated_fields", "updatedFields"].iter().find_map(|member| payload.remove(*member));
    let named = event.updated_fields.clone().or_else(|| inside.and_then(|fields| Vec::deserialize(&fields).ok()));
    let mut said = Said::of(mapping, &payload, Some(&event.entity_id), &format!("{field}.entity_id"))?;
    said.updated_fields = named.map(|fields| mapping.columns(&fields));
    Ok(said)
}

/// The answer to a push: what is stored now, and what was refused.
pub fn pushed(dialect: Dialect, accepted: &[Json], rejected: &[(Json, Fault)]) -> Json {
    let uuid = match dialect {
        Dialect::Snake => "event_uuid",
        Dialect::Camel => "eventUuid",
    };
    let rejected: Vec<Json> =
        rejected.iter().map(|(name, fault)| json!({ uuid: name, "error": fault.text, "field": fault.field })).collect();
    match dialect {
        Dialect::Snake => json!({ "success": true, "acceptedEventIds": accepted, "rejected": rejected }),
        Dialect::Camel => json!({ "success": true, "pushed": accepted.len(), "rejected": rejected }),
    }
}

/// One event of a pull.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// Where it stands in the log.
    pub event_id: i64,
    /// The client's id of it, if it had one.
    pub event_uuid: Option<Uuid>,
    /// Who made it.
    pub device_id: String,
    /// The kind of row.
    pub entity: String,
    /// The row.
    pub entity_id: String,
    /// The row's fields; `None` when it is gone.
    pub payload: Option<Object>,
    /// When, by the client's clock, Unix milliseconds.
    pub client_ms: i64,
    /// When it came, Unix milliseconds.
    pub server_ms: i64,
}

/// A page of events and where to go on from.
pub fn page(dialect: Dialect, events: &[Pulled], cursor: i64, has_more: bool) -> Json {
    let events: Vec<Json> = events.iter().map(|event| event.encode(dialect)).collect();
    match dialect {
        Dialect::Snake => json!({ "events": events, "cursor": cursor.to_string(), "has_more": has_more }),
        Dialect::Camel => json!({ "events": events, "cursor": cursor, "hasMore": has_more }),
    }
}

impl Pulled {
    fn encode(&self, dialect: Dialect) -> Json {
        let op = if self.payload.is_some() { "upsert" } else { "delete" };
        let (client, server) = (time::format(self.client_ms), time::format(self.server_ms));
        let Self { event_uuid, device_id, entity, entity_id, payload, .. } = self;
        match dialect {
            Dialect::Snake => json!({
                "event_id": self.event_id.to_string(), "event_uuid": event_uuid, "device_id": device_id, "entity": entity,
                "entity_id": entity_id, "op": op, "payload": payload, "client_updated_at": client, "server_received_at": server,
            }),
            Dialect::Camel => json!({
                "eventId": self.event_id, "eventUuid": event_uuid, "deviceId": device_id, "entity": entity,
                "entityId": entity_id, "op": op, "payload": payload, "clientUpdatedAt": client, "serverReceivedAt": server,
            }),
        }
    }
}
