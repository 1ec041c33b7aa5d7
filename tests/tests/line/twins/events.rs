//! `events`: a log of events, each with an id for life, over tables that keep the latest write.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::clock::{now_ms, read, text};
use super::server::{Reply, Request, Server};
use super::ways::{Way, Ways};
use super::{is_bad, other_kind};

/// A page of a pull.
const PAGE: usize = 200;

/// What passes within a server's transaction where it is slow.
const IN_TIME: usize = 100;

const ENTITIES: [&str; 4] = ["customers", "debts", "products", "sales"];

#[derive(Default)]
pub struct Events {
    log: Vec<Value>,
    rows: BTreeMap<(String, String), Stored>,
    /// Cursors that were given out; others are errors.
    cursors: Vec<i64>,
    stored: u64,
}

#[derive(Clone)]
struct Stored {
    content: Value,
    updated_ms: i64,
    deleted: bool,
}

impl Server for Events {
    fn answer(&mut self, request: &Request, ways: &mut Ways) -> Reply {
        let camel = ways.has(Way::CamelDialect);
        let base = if camel { "/api/sync" } else { "/sync" };
        let Some(path) = request.line.split_once(' ').and_then(|(_, path)| path.strip_prefix(base)) else {
            return Reply::missing();
        };
        if request.bearer().is_none_or(str::is_empty) || ways.has(Way::ForgetsTokens) {
            return Reply::json(401, &json!({ "error": "Unauthorized" }));
        }
        if ways.take(Way::Fails) {
            return self.failure();
        }
        if ways.take(Way::SaysNoWith200) {
            return Reply::json(200, &json!({ "success": false, "message": "maintenance" }));
        }
        let said = match path {
            "/push" => self.push(&request.body, ways),
            "/pull" => self.pull(request.member("cursor").as_deref(), ways),
            _ => return Reply::missing(),
        };
        let Some(mut said) = said else { return self.failure() };
        if ways.has(Way::MoreMembers) {
            said["server_time"] = json!("now");
        }
        Reply::json(200, &said)
    }

    fn failure(&self) -> Reply {
        Reply::json(500, &json!({ "message": "Internal server error", "statusCode": 500 }))
    }

    fn rows(&self) -> Vec<(String, Value)> {
        let alive = self.rows.iter().filter(|(_, stored)| !stored.deleted);
        alive.map(|((_, id), stored)| (id.clone(), stored.content.clone())).collect()
    }

    fn other_device(&mut self, id: &str, row: Option<Value>) {
        let op = if row.is_some() { "upsert" } else { "delete" };
        let at = text(now_ms(), false);
        let event = json!({ "event_uuid": uuid::Uuid::new_v4(), "entity": "sales", "entity_id": id, "op": op, "payload": row, "client_updated_at": at });
        self.store(&event, "another", 2);
    }

    fn other_device_late(&mut self, id: &str, row: Value) {
        self.other_device(id, Some(row));
        // Its number was drawn before the one of the event before it.
        let late = self.log.len() - 1;
        let before = self.log[late]["event_id"].as_i64().unwrap() - 3;
        self.log[late]["event_id"] = json!(before);
        self.log.sort_by_key(|event| event["event_id"].as_i64());
    }

    fn restart(&mut self) {
        *self = Self { stored: self.stored, ..Self::default() };
    }

    fn stored(&self) -> u64 {
        self.stored
    }
}

/// A member under either spelling.
fn member<'a>(event: &'a Value, snake: &str, camel: &str) -> &'a Value {
    if event[snake].is_null() { &event[camel] } else { &event[snake] }
}

impl Events {
    fn push(&mut self, body: &Value, ways: &Ways) -> Option<Value> {
        let events = body["events"].as_array()?;
        if ways.has(Way::SlowAbove100) && events.len() > IN_TIME {
            return None;
        }
        if ways.has(Way::RollsBackTheBatch) && events.iter().any(|event| is_bad(event) || event.to_string().contains("\\u0000")) {
            return None;
        }
        let mut accepted = Vec::new();
        for event in events {
            let entity = event["entity"].as_str().unwrap_or_default();
            let uuid = member(event, "event_uuid", "eventUuid");
            let is_known = self.log.iter().any(|known| known["event_uuid"] == *uuid);
            if !ENTITIES.contains(&entity) || is_bad(event) || !uuid.is_string() || is_known {
                continue;
            }
            let device = member(body, "device_id", "deviceId").as_str().or(member(event, "device_id", "deviceId").as_str());
            self.store(event, device.unwrap_or_default(), 2);
            accepted.push(uuid.clone());
        }
        Some(if ways.has(Way::CamelDialect) {
            json!({ "pushed": accepted.len() })
        } else {
            json!({ "acceptedEventIds": accepted })
        })
    }

    /// Numbers have gaps: transactions that failed have drawn some, too.
    fn store(&mut self, event: &Value, device: &str, step: i64) {
        let number = self.log.last().and_then(|last| last["event_id"].as_i64()).unwrap_or(0) + step;
        let at = member(event, "client_updated_at", "clientUpdatedAt");
        let (entity, id) = (event["entity"].as_str().unwrap_or_default(), member(event, "entity_id", "entityId"));
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        let at_ms = read(at).or(at.as_i64()).unwrap_or_else(now_ms);
        let payload = event["payload"].clone();
        self.log.push(json!({
            "event_id": number, "event_uuid": member(event, "event_uuid", "eventUuid"), "device_id": device, "entity": entity,
            "entity_id": id, "op": event["op"], "payload": payload, "client_ms": at_ms, "server_ms": now_ms(),
        }));
        self.stored += 1;
        let stored =
            self.rows.entry((entity.to_owned(), id)).or_insert(Stored { content: json!({}), updated_ms: i64::MIN, deleted: false });
        if at_ms < stored.updated_ms {
            return;
        }
        stored.updated_ms = at_ms;
        stored.deleted = event["op"] == "delete";
        let named = [member(event, "updated_fields", "updatedFields"), member(&payload, "updated_fields", "updatedFields")];
        let named = named.into_iter().find_map(Value::as_array).cloned();
        for (field, value) in payload.as_object().into_iter().flatten() {
            if named.as_ref().is_none_or(|named| named.contains(&json!(field))) {
                stored.content[field] = value.clone();
            }
        }
    }

    fn pull(&mut self, cursor: Option<&str>, ways: &Ways) -> Option<Value> {
        let cursor: i64 = cursor.filter(|cursor| !cursor.is_empty()).map_or(Some(0), |cursor| cursor.parse().ok())?;
        if cursor != 0 && !self.cursors.contains(&cursor) {
            return None;
        }
        // A page that begins a little before where the client is.
        let after = if ways.has(Way::TellsAllAgain) { cursor.saturating_sub(4) } else { cursor };
        let later = self.log.iter().filter(|event| event["event_id"].as_i64() > Some(after));
        let page: Vec<&Value> = later.take(PAGE).collect();
        let is_new = page.iter().any(|event| event["event_id"].as_i64() > Some(cursor));
        let reached = page.last().and_then(|event| event["event_id"].as_i64()).unwrap_or(cursor).max(cursor);
        let page: Vec<Value> = page.into_iter().filter(|_| is_new).map(|event| tell(event, ways)).collect();
        self.cursors.push(reached);
        // The one dialect writes text, the other one numbers; some servers do it the other way round.
        let as_text = ways.has(Way::CamelDialect) == ways.has(Way::OtherKindsOfIds);
        Some(json!({ "events": page, "cursor": other_kind(reached, as_text) }))
    }
}

fn tell(event: &Value, ways: &Ways) -> Value {
    let zoneless = ways.has(Way::ZonelessTimes);
    let as_text = ways.has(Way::CamelDialect) == ways.has(Way::OtherKindsOfIds);
    let number = other_kind(event["event_id"].as_i64().unwrap(), as_text);
    let at = |member: &str| json!(text(event[member].as_i64().unwrap(), zoneless));
    let (client, server) = (at("client_ms"), at("server_ms"));
    if ways.has(Way::CamelDialect) {
        return json!({
            "eventId": number, "eventUuid": event["event_uuid"], "deviceId": event["device_id"], "entity": event["entity"],
            "entityId": event["entity_id"], "op": event["op"], "payload": event["payload"], "clientUpdatedAt": client,
            "serverReceivedAt": server,
        });
    }
    json!({
        "event_id": number, "event_uuid": event["event_uuid"], "device_id": event["device_id"], "entity": event["entity"],
        "entity_id": event["entity_id"], "op": event["op"], "payload": event["payload"], "client_updated_at": client,
        "server_received_at": server,
    })
}
