//! `events` as its client speaks it.

use serde_json::{Value as Json, json};

use super::{
    Ask, Became, Client, Facts, Fate, Item, Page, Told, Who, Whole, error_text, in_query, list, member, number, object, text,
};
use crate::change::Operation;
use crate::protocol::time;

/// One of its two dialects.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    /// Camel case and numbers, under `/api/sync`.
    pub camel: bool,
}

impl Events {
    fn path(self, end: &str) -> String {
        let start = if self.camel { "/api/sync" } else { "/sync" };
        format!("{start}/{end}")
    }

    fn event(self, device_id: &str, item: &Item) -> Json {
        let op = if item.operation == Operation::Delete { "delete" } else { "upsert" };
        let at = time::format(item.at_ms);
        let payload = (item.operation != Operation::Delete).then(|| {
            let mut payload = item.object.clone();
            if let Some(fields) = item.updated_fields.as_ref().filter(|_| item.operation == Operation::Update) {
                payload.insert("updated_fields".to_owned(), json!(fields));
            }
            payload
        });
        let (id, payload) = (item.id_text(), payload.map_or(Json::Null, Json::Object));
        if self.camel {
            json!({
                "eventUuid": item.event_id, "deviceId": device_id, "entity": item.entity, "entityId": id, "op": op, "payload": payload,
                "clientUpdatedAt": at,
            })
        } else {
            json!({
                "event_uuid": item.event_id, "device_id": device_id, "entity": item.entity, "entity_id": id, "op": op, "payload": payload,
                "client_updated_at": at,
            })
        }
    }
}

impl Client for Events {
    fn facts(&self) -> Facts {
        Facts {
            name: "events",
            // Transactions of some servers end after five seconds.
            batch_max: 100,
            bytes_max: 512 * 1024,
            overlap_ms: 60_000,
            ends_exactly: false,
            tells_deletes: true,
            hears_deletes: true,
            must_look: false,
            registers: false,
            needs_token: true,
            entities: None,
            loose: &[],
            sends_parts: false,
        }
    }

    fn push(&self, who: &Who<'_>, items: &[Item]) -> Ask {
        let events: Vec<Json> = items.iter().map(|item| self.event(who.device_id, item)).collect();
        let name = if self.camel { "deviceId" } else { "device_id" };
        Ask::post(self.path("push"), json!({ name: who.device_id, "events": events }))
    }

    fn pushed(&self, items: &[Item], answer: &Json) -> Result<Vec<Became>, Whole> {
        if answer["success"] == Json::Bool(false) {
            return Err(Whole::Failed(error_text(answer).unwrap_or_else(|| "it says no and not why".to_owned())));
        }
        let accepted = member(answer, &["acceptedEventIds", "accepted_event_ids", "accepted"]).and_then(Json::as_array);
        let pushed = member(answer, &["pushed", "accepted"]).and_then(number);
        if accepted.is_none() && pushed.is_none() {
            return Err(Whole::Foreign("the answer to a push says nothing of its events".to_owned()));
        }
        let rejected = list(answer, &["rejected", "errors"]);
        let why = |uuid: &str| {
            let named = |entry: &&Json| member(entry, &["event_uuid", "eventUuid", "id"]).map(text).as_deref() == Some(uuid);
            rejected.iter().find(named).map(|entry| error_text(entry).unwrap_or_else(|| "refused".to_owned()))
        };
        let accepted: Option<Vec<String>> = accepted.map(|ids| ids.iter().map(text).collect());
        let count = accepted.as_ref().map_or_else(|| pushed.unwrap_or(0), |ids| ids.len() as i64);
        let all = count as usize + rejected.len() >= items.len();
        let each = items.iter().map(|item| {
            let uuid = item.event_id.to_string();
            Became::only(match why(&uuid) {
                Some(why) => Fate::Refused(why),
                None if all || accepted.as_ref().is_some_and(|ids| ids.contains(&uuid)) => Fate::Stored,
                // Events that it has already are not named either.
                None => Fate::Unsaid("the server takes it in and drops it without a word".to_owned()),
            })
        });
        Ok(each.collect())
    }

    fn pull(&self, _who: &Who<'_>, from: Option<&str>) -> Ask {
        let path = self.path("pull");
        Ask::get(from.map_or_else(|| path.clone(), |cursor| format!("{path}?cursor={}", in_query(cursor))))
    }

    fn pulled(&self, _who: &Who<'_>, from: Option<&str>, answer: &Json) -> Result<Page, String> {
        let events = member(answer, &["events", "changes"]).and_then(Json::as_array).ok_or("the answer to a pull has no events")?;
        let told = events.iter().filter_map(tell).collect();
        let last = || events.iter().filter_map(|event| member(event, &["event_id", "eventId", "id"])).filter_map(number).max();
        let cursor = member(answer, &["cursor", "nextCursor", "next_cursor"]).map(text);
        let cursor = cursor.or_else(|| last().map(|last| last.to_string()));
        let place = |cursor: Option<&str>| cursor.and_then(|cursor| cursor.parse::<i64>().ok());
        let behind = place(from).zip(place(cursor.as_deref())).is_some_and(|(from, cursor)| cursor < from);
        let more = member(answer, &["has_more", "hasMore"]).and_then(Json::as_bool);
        Ok(Page { told, cursor, more: more.unwrap_or(!events.is_empty()), behind })
    }

    fn pull_is_by_place(&self) -> bool {
        true
    }

    fn status(&self, who: &Who<'_>) -> Ask {
        self.pull(who, who.cursor)
    }
}

fn tell(event: &Json) -> Option<Told> {
    let is_delete = member(event, &["op", "operation"]).and_then(Json::as_str) == Some("delete");
    let payload = member(event, &["payload", "payload_json", "payloadJson", "data"]).and_then(object).map(|mut payload| {
        payload.remove("updated_fields");
        payload.remove("updatedFields");
        payload
    });
    if payload.is_none() && !is_delete {
        return None;
    }
    Some(Told {
        entity: member(event, &["entity", "entityType"])?.as_str()?.to_owned(),
        id: member(event, &["entity_id", "entityId"]).cloned(),
        object: payload.filter(|_| !is_delete),
        at_ms: member(event, &["client_updated_at", "clientUpdatedAt", "server_received_at"]).and_then(time::read),
        about: crate::protocol::Object::new(),
    })
}
