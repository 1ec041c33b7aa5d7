//! `auraflow` as its client speaks it.

use serde_json::{Value as Json, json};

use super::{
    Ask, Became, Client, Facts, Fate, Item, Page, Told, Who, Whole, error_text, in_query, list, member, number, text, written_ms,
};
use crate::protocol::{Object, time};

/// Orders and transactions.
#[derive(Clone, Copy, Debug)]
pub struct Auraflow;

/// What the protocol carries: a kind, and its list in a batch, in the answer, and among those that are gone.
const KINDS: [(&str, &str, &str, &str); 2] = [
    ("order", "orders", "syncedOrders", "deletedOrderIds"),
    ("transaction", "transactions", "syncedTransactions", "deletedTransactionIds"),
];

/// What is remembered of a row: how often it was written, and by what the server knows that version.
const REMEMBERED: [&str; 3] = ["serverId", "serverHash", "syncVersion"];

/// As whom a register asks that wants its own rows, too, which servers leave out.
const ANYBODY: &str = "-all";

fn syncable(device_id: &str, item: &Item) -> Json {
    let version = version_of(item);
    let mut row = item.object.clone();
    row.insert("id".to_owned(), Json::String(item.id_text()));
    let mut said = json!({
        &item.entity: row, "localId": item.id_text(), "syncStatus": "PENDING", "syncVersion": version, "deviceId": device_id,
    });
    for name in ["serverId", "serverHash"] {
        if let Some(value) = item.known.get(name) {
            said[name] = value.clone();
        }
    }
    said
}

/// The version that an item is sent as.
fn version_of(item: &Item) -> i64 {
    item.known.get("syncVersion").and_then(number).unwrap_or(0) + 1
}

fn remember(answer: &Json) -> Object {
    REMEMBERED.iter().filter_map(|name| Some(((*name).to_owned(), member(answer, &[*name])?.clone()))).collect()
}

fn became(result: &Json, item: &Item) -> Became {
    let conflict = list(result, &["conflicts"]).first();
    if let Some(conflict) = conflict {
        let data = member(conflict, &["serverData", "server_data", "serverVersionData"]);
        let row = data.map(|data| member(data, &[&item.entity]).unwrap_or(data)).and_then(Json::as_object).cloned();
        let mut about = data.map(remember).unwrap_or_default();
        if let Some(version) = member(conflict, &["serverVersion", "server_version"]).and_then(number) {
            about.insert("syncVersion".to_owned(), version.into());
        } else if !about.contains_key("syncVersion") {
            // Higher than what was sent, and nobody says how much.
            about.insert("syncVersion".to_owned(), (version_of(item) * 2).into());
        }
        return Became { fate: Fate::Kept(row), about };
    }
    if result["success"] != Json::Bool(true) {
        return Became::only(Fate::Refused(error_text(result).unwrap_or_else(|| "it was refused, without a reason".to_owned())));
    }
    let mut about = remember(result);
    if !about.contains_key("syncVersion") {
        about.insert("syncVersion".to_owned(), version_of(item).into());
    }
    Became { fate: Fate::Stored, about }
}

impl Client for Auraflow {
    fn facts(&self) -> Facts {
        Facts {
            name: "auraflow",
            batch_max: 50,
            bytes_max: 1024 * 1024,
            overlap_ms: 60_000,
            ends_exactly: false,
            tells_deletes: false,
            hears_deletes: true,
            must_look: false,
            registers: false,
            needs_token: false,
            entities: Some(&["order", "transaction"]),
            loose: &["createdAt", "created_at", "updatedAt", "updated_at"],
            sends_parts: false,
        }
    }

    fn push(&self, who: &Who<'_>, items: &[Item]) -> Ask {
        let mut body = json!({ "deviceId": who.device_id });
        for (kind, sent, ..) in KINDS {
            body[sent] = items.iter().filter(|item| item.entity == kind).map(|item| syncable(who.device_id, item)).collect();
        }
        if let Some(ms) = who.cursor.and_then(time::parse) {
            body["lastSyncTimestamp"] = ms.into();
        }
        Ask::post("/api/sync/batch", body)
    }

    fn pushed(&self, items: &[Item], answer: &Json) -> Result<Vec<Became>, Whole> {
        let lists = KINDS.map(|(kind, _, answered, _)| (kind, list(answer, &[answered])));
        if lists.iter().all(|(_, results)| results.is_empty()) {
            return Err(match error_text(answer) {
                Some(why) => Whole::Failed(why),
                None => Whole::Foreign("the answer to a batch says nothing of its items".to_owned()),
            });
        }
        let mut places = [0; KINDS.len()];
        let each = items.iter().map(|item| {
            let Some(kind) = KINDS.iter().position(|(kind, ..)| *kind == item.entity) else {
                return Became::only(Fate::Refused("the protocol carries orders and transactions only".to_owned()));
            };
            let results = lists[kind].1;
            let own = |result: &&Json| member(result, &["localId"]).map(text) == Some(item.id_text());
            let many = items.iter().filter(|other| other.entity == item.entity).count();
            places[kind] += 1;
            match results.iter().find(own).or_else(|| results.get(places[kind] - 1).filter(|_| results.len() == many)) {
                Some(result) => became(result, item),
                // Nothing tells which results are whose.
                None => Became::only(Fate::Unsaid("the server answers fewer items than were sent".to_owned())),
            }
        });
        Ok(each.collect())
    }

    fn pull(&self, who: &Who<'_>, from: Option<&str>) -> Ask {
        let since = from.and_then(time::parse).map_or(0, |ms| ms.saturating_sub(who.overlap_ms).max(0));
        let anybody = if who.with_own { ANYBODY } else { "" };
        Ask::get(format!("/api/sync/updates?deviceId={}{anybody}&since={since}", in_query(who.device_id)))
    }

    fn pulled(&self, who: &Who<'_>, from: Option<&str>, answer: &Json) -> Result<Page, String> {
        if !answer["orders"].is_array() && !answer["transactions"].is_array() {
            return Err(error_text(answer).unwrap_or_else(|| "the answer has no orders".to_owned()));
        }
        let mut told = Vec::new();
        for (kind, rows, _, gone) in KINDS {
            told.extend(list(answer, &[rows]).iter().filter_map(|entry| tell(kind, entry)));
            told.extend(list(answer, &[gone]).iter().map(|id| Told {
                entity: kind.to_owned(),
                id: Some(id.clone()),
                object: None,
                at_ms: None,
                about: Object::new(),
            }));
        }
        let token = member(answer, &["nextSyncToken"]).map(text).filter(|token| time::parse(token).is_some());
        let more = answer["hasMore"] == Json::Bool(true) && token.as_deref() != from;
        Ok(Page { told, cursor: Some(token.unwrap_or_else(|| who.now_ms.to_string())), more, behind: false })
    }

    fn assumed(&self, item: &Item) -> Object {
        [("syncVersion".to_owned(), version_of(item).into())].into_iter().collect()
    }

    fn status(&self, who: &Who<'_>) -> Ask {
        Ask::get(format!("/api/sync/updates?deviceId={}&since={}", in_query(who.device_id), who.now_ms))
    }
}

fn tell(kind: &str, entry: &Json) -> Option<Told> {
    let object = entry.get(kind).unwrap_or(entry).as_object()?.clone();
    let local = member(entry, &["localId", "local_id"]).filter(|id| !text(id).is_empty());
    let about = remember(entry);
    Some(Told {
        entity: kind.to_owned(),
        id: local.or_else(|| object.get("localId")).or_else(|| object.get("id")).cloned(),
        at_ms: written_ms(&object),
        object: Some(object),
        about,
    })
}
