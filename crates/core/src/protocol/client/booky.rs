//! `booky` as its client speaks it.

use serde_json::{Value as Json, json};

use super::{
    Ask, Became, Client, Facts, Fate, Item, Page, Told, Who, Whole, earlier, error_text, in_query, member, text, written_ms,
};
use crate::change::Operation;
use crate::protocol::booky::codes;
use crate::protocol::{Object, time};

/// Operations of a user.
#[derive(Clone, Copy, Debug)]
pub struct Booky;

/// Before everything.
const BEGINNING: &str = "1970-01-01T00:00:00Z";

fn operation(item: &Item) -> Json {
    let mut said = json!({
        "id": item.event_id, "type": item.operation.as_str(), "entity": item.entity, "entityId": item.id_text(),
    });
    if item.operation != Operation::Delete {
        // Some servers make an id of their own where only the operation names one.
        let mut data = item.changed();
        data.insert("id".to_owned(), item.id.clone());
        said["data"] = Json::Object(data);
    }
    // Some servers fail over a time as text.
    if !item.again {
        said["timestamp"] = Json::String(time::format(item.at_ms));
    }
    said
}

/// How servers say that there is such a row already.
fn is_there_already(error: &str) -> bool {
    let error = error.to_lowercase();
    ["unique constraint", "already exists", "duplicate key", "p2002"].iter().any(|words| error.contains(words))
}

fn fate(result: &Json, item: &Item) -> Fate {
    let code = result["code"].as_str().unwrap_or_default();
    if code == codes::CONFLICT_DETECTED || result["status"] == "conflict" {
        return Fate::Kept(member(result, &["serverData", "server_data"]).and_then(Json::as_object).cloned());
    }
    match result["status"].as_str() {
        Some("success" | "applied" | "duplicate" | "skipped") => Fate::Stored,
        Some("failed" | "error" | "rejected") => {
            let error = error_text(result).unwrap_or_else(|| "it failed, without a reason".to_owned());
            match code {
                codes::SYNC_FAILED => Fate::Unsaid(error),
                _ if item.operation == Operation::Create && is_there_already(&error) => Fate::Exists(error),
                _ => Fate::Refused(error),
            }
        }
        _ => Fate::Unsaid("the answer does not say what became of it".to_owned()),
    }
}

impl Client for Booky {
    fn facts(&self) -> Facts {
        Facts {
            name: "booky",
            batch_max: 10,
            bytes_max: 512 * 1024,
            overlap_ms: 60_000,
            ends_exactly: false,
            tells_deletes: true,
            hears_deletes: false,
            must_look: false,
            registers: false,
            needs_token: true,
            entities: None,
            loose: &[],
            sends_parts: true,
        }
    }

    fn push(&self, _who: &Who<'_>, items: &[Item]) -> Ask {
        let operations: Vec<Json> = items.iter().map(operation).collect();
        Ask::post("/api/sync/operations", json!({ "operations": operations }))
    }

    fn pushed(&self, items: &[Item], answer: &Json) -> Result<Vec<Became>, Whole> {
        let Some(results) = member(answer, &["results"]).and_then(Json::as_array) else {
            return Err(match error_text(answer) {
                Some(why) => Whole::Failed(why),
                None => Whole::Foreign("the answer to operations has no results".to_owned()),
            });
        };
        let by_place = results.len() == items.len() && results.iter().all(|result| result["id"].is_null());
        let each = items.iter().enumerate().map(|(place, item)| {
            let uuid = item.event_id.to_string();
            let named = || results.iter().find(|result| text(&result["id"]) == uuid);
            match if by_place { results.get(place) } else { named() } {
                Some(result) => Became::only(fate(result, item)),
                None => Became::only(Fate::Unsaid("the server says nothing about it".to_owned())),
            }
        });
        Ok(each.collect())
    }

    fn pull(&self, who: &Who<'_>, from: Option<&str>) -> Ask {
        let since = from.map_or_else(|| BEGINNING.to_owned(), |cursor| earlier(cursor, who.overlap_ms));
        Ask::get(format!("/api/sync/changes?since={}", in_query(&since)))
    }

    fn pulled(&self, _who: &Who<'_>, from: Option<&str>, answer: &Json) -> Result<Page, String> {
        let changes = member(answer, &["changes"]).and_then(Json::as_array);
        let changes = changes.ok_or_else(|| error_text(answer).unwrap_or_else(|| "the answer has no changes".to_owned()))?;
        let told: Vec<Told> = changes.iter().filter_map(tell).collect();
        let more = member(answer, &["hasMore", "has_more"]) == Some(&Json::Bool(true));
        let clock = time::read(&answer["_meta"]["timestamp"]);
        let newest = told.iter().filter_map(|told| told.at_ms).max();
        // What the server hands out may be later than what it has yet to commit; the newest row may be from a client whose clock is ahead.
        let known = from.and_then(time::parse).max(newest);
        let ms = match (clock, known) {
            (Some(clock), _) if more => Some(clock),
            (Some(clock), Some(known)) => Some(clock.min(known)),
            (clock, known) => known.or(clock),
        };
        Ok(Page { told, cursor: ms.map(time::format), more, behind: false })
    }

    fn status(&self, _who: &Who<'_>) -> Ask {
        Ask::get("/api/sync/status")
    }
}

fn tell(change: &Json) -> Option<Told> {
    let object = member(change, &["data"]).and_then(Json::as_object)?.clone();
    let is_gone = change["operation"] == "delete" || change["deleted"] == Json::Bool(true);
    Some(Told {
        entity: member(change, &["type", "entity"])?.as_str()?.to_owned(),
        id: member(change, &["entityId", "id"]).or_else(|| object.get("id")).cloned(),
        at_ms: written_ms(&object),
        object: (!is_gone).then_some(object),
        about: Object::new(),
    })
}
