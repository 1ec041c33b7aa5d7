//! `nuqta` as its client speaks it: the protocol that the hub's own extends, at servers that know no more of it than its document says.

use serde_json::{Value as Json, json};

use super::{
    Ask, Became, Client, Facts, Fate, Item, Page, Told, Who, Whole, error_text, in_query, list, member, number, object, text,
};
use crate::change::Operation;
use crate::protocol::{Object, time};

/// Changes by a device, in a log.
#[derive(Clone, Copy, Debug)]
pub struct Nuqta;

/// The most that servers give at once.
const LIMIT: u32 = 1000;

/// `POST /sync/register`. Every call makes another device.
pub fn register(name: &str, version: &str, platform: &str, metadata: &Json) -> Ask {
    let body = json!({ "name": name, "type": "desktop", "version": version, "platform": platform, "metadata": metadata });
    Ask::post("/sync/register", body)
}

/// The device's id and its key; the error is for people.
pub fn registered(answer: &Json) -> Result<(String, String), String> {
    let inside = inside(answer);
    let device = member(inside, &["device"]).unwrap_or(inside);
    let id = member(device, &["id", "deviceId"]).map(text);
    let key = member(inside, &["apiKey", "api_key"]).or_else(|| member(device, &["apiKey", "api_key"])).map(text);
    match id.zip(key) {
        Some(device) => Ok(device),
        None => Err(error_text(inside).unwrap_or_else(|| "the answer to the registration has no device or no key".to_owned())),
    }
}

/// What stands in the other of the two envelopes.
fn inside(answer: &Json) -> &Json {
    answer.get("data").filter(|data| data.is_object() && answer.get("ok").is_some()).unwrap_or(answer)
}

fn change(place: usize, item: &Item) -> Json {
    let mut said = json!({
        "id": place + 1, "operation": item.operation.as_str(), "entityType": item.entity, "entityId": item.id_text(),
        "timestamp": item.at_ms,
    });
    let data = Json::Object(item.object.clone());
    said["data"] = match item.operation {
        Operation::Delete => json!({}),
        // Some servers keep the text and refuse an object.
        _ if item.again => Json::String(data.to_string()),
        _ => data,
    };
    said
}

impl Client for Nuqta {
    fn facts(&self) -> Facts {
        Facts {
            name: "nuqta",
            batch_max: 500,
            // Servers take no more than 1 MiB.
            bytes_max: 700 * 1024,
            overlap_ms: 60_000,
            ends_exactly: false,
            tells_deletes: true,
            hears_deletes: true,
            must_look: true,
            registers: true,
            needs_token: false,
            entities: None,
            loose: &[],
            sends_parts: false,
        }
    }

    fn push(&self, who: &Who<'_>, items: &[Item]) -> Ask {
        let changes: Vec<Json> = items.iter().enumerate().map(|(place, item)| change(place, item)).collect();
        let cursor: i64 = who.cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        Ask::post("/sync/push", json!({ "deviceId": who.device_id, "apiKey": who.key, "cursorId": cursor, "changes": changes }))
    }

    fn pushed(&self, items: &[Item], answer: &Json) -> Result<Vec<Became>, Whole> {
        let inside = inside(answer);
        let errors = list(inside, &["errors"]);
        let stored = member(inside, &["syncedCount"]).and_then(number);
        if stored.is_none() && errors.is_empty() {
            return Err(match error_text(inside).or_else(|| error_text(answer)) {
                Some(why) => Whole::Failed(why),
                None => Whole::Foreign("the answer to a push says nothing of its changes".to_owned()),
            });
        }
        let is_all = stored.unwrap_or(0) as usize + errors.len() >= items.len();
        let each = items.iter().enumerate().map(|(place, item)| {
            let own = |error: &&Json| member(error, &["changeId", "id"]).and_then(number) == Some(place as i64 + 1);
            Became::only(match errors.iter().find(own) {
                // Some servers take rows as text only.
                Some(error) if !item.again && item.operation != Operation::Delete => {
                    Fate::Again(error_text(error).unwrap_or_else(|| "refused".to_owned()))
                }
                Some(error) => Fate::Refused(error_text(error).unwrap_or_else(|| "refused".to_owned())),
                None if is_all => Fate::Stored,
                None => Fate::Unsaid("the server stored fewer changes than were sent and does not say which".to_owned()),
            })
        });
        Ok(each.collect())
    }

    fn pull(&self, who: &Who<'_>, from: Option<&str>) -> Ask {
        let cursor: i64 = from.and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        Ask::post("/sync/pull", json!({ "deviceId": who.device_id, "apiKey": who.key, "fromCursorId": cursor, "limit": LIMIT }))
    }

    fn pulled(&self, _who: &Who<'_>, from: Option<&str>, answer: &Json) -> Result<Page, String> {
        let inside = inside(answer);
        let changes = member(inside, &["changes"]).and_then(Json::as_array);
        let changes =
            changes.ok_or_else(|| error_text(inside).unwrap_or_else(|| "the answer to a pull has no changes".to_owned()))?;
        let told = changes.iter().filter_map(tell).collect();
        let last = changes.iter().filter_map(|change| number(&change["id"])).max();
        let given = member(inside, &["newCursorId", "cursorId"]).and_then(number);
        let asked = from.and_then(|cursor| cursor.parse::<i64>().ok()).unwrap_or(0);
        let behind = given.is_some_and(|given| given < asked);
        let cursor = given.max(last).unwrap_or(asked);
        let more = member(inside, &["hasMore"]) == Some(&Json::Bool(true)) && cursor > asked;
        Ok(Page { told, cursor: Some(cursor.to_string()), more, behind })
    }

    fn pull_is_by_place(&self) -> bool {
        true
    }

    fn status(&self, who: &Who<'_>) -> Ask {
        let key = who.key.unwrap_or_default();
        Ask::get(format!("/sync/status?deviceId={}&apiKey={}", in_query(who.device_id), in_query(key)))
    }
}

fn tell(change: &Json) -> Option<Told> {
    let is_delete = change["operation"] == "delete";
    let data = member(change, &["data"]).and_then(object);
    if data.is_none() && !is_delete {
        return None;
    }
    Some(Told {
        entity: member(change, &["entityType", "entity_type"])?.as_str()?.to_owned(),
        id: member(change, &["entityId", "entity_id"]).cloned(),
        object: data.filter(|_| !is_delete),
        at_ms: member(change, &["timestamp", "serverTimestamp"]).and_then(time::read),
        about: Object::new(),
    })
}
