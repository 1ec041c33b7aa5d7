//! `insight` as its client speaks it.

use serde_json::{Value as Json, json};

use super::{Ask, Became, Client, Facts, Fate, Item, Page, Told, Who, Whole, earlier, error_text, list, member, text, written_ms};
use crate::change::Operation;
use crate::protocol::{Object, time};

/// Records by table.
#[derive(Clone, Copy, Debug)]
pub struct Insight;

fn record(item: &Item) -> Json {
    let mut record = item.object.clone();
    let at = Json::String(time::format(item.at_ms));
    record.insert("id".to_owned(), item.id.clone());
    if item.operation == Operation::Delete {
        record.insert("deleted_at".to_owned(), at.clone());
    }
    if item.operation == Operation::Delete || record.get("updated_at").is_none_or(Json::is_null) {
        record.insert("updated_at".to_owned(), at);
    }
    Json::Object(record)
}

/// Whether a list of rows or ids, or their number, says that all or this one is in it.
fn names(stored: &Json, item: &Item, sent: usize) -> bool {
    match stored {
        Json::Array(rows) => rows.iter().any(|row| text(member(row, &["id", "record_id"]).unwrap_or(row)) == item.id_text()),
        Json::Number(count) => count.as_u64() == Some(sent as u64),
        _ => false,
    }
}

impl Client for Insight {
    fn facts(&self) -> Facts {
        Facts {
            name: "insight",
            batch_max: 200,
            bytes_max: 1024 * 1024,
            overlap_ms: 30_000,
            ends_exactly: true,
            tells_deletes: true,
            hears_deletes: true,
            must_look: false,
            registers: false,
            needs_token: false,
            entities: None,
            loose: &[],
            sends_parts: false,
        }
    }

    fn push(&self, who: &Who<'_>, items: &[Item]) -> Ask {
        let mut changes = Object::new();
        for item in items {
            let records = changes.entry(item.entity.clone()).or_insert_with(|| json!([]));
            records.as_array_mut().into_iter().for_each(|records| records.push(record(item)));
        }
        // Fresh at every try: with that of a try before, the server takes the client's own rows for newer ones.
        Ask::post(
            "/api/v1/sync/push",
            json!({ "device_id": who.device_id, "timestamp": time::format(who.now_ms), "changes": changes }),
        )
    }

    fn pushed(&self, items: &[Item], answer: &Json) -> Result<Vec<Became>, Whole> {
        match answer["success"].as_bool() {
            None => return Err(Whole::Foreign("the answer to a push says neither yes nor no".to_owned())),
            Some(false) => {
                let first = || list(answer, &["conflicts"]).iter().find_map(|entry| entry["error"].as_str()).map(str::to_owned);
                let why = error_text(answer).or_else(first);
                return Err(Whole::Failed(why.unwrap_or_else(|| "everything was taken back, without a reason".to_owned())));
            }
            Some(true) => {}
        }
        let conflicts = list(answer, &["conflicts"]);
        let each = items.iter().map(|item| {
            let about = |entry: &&Json| entry["table"] == item.entity.as_str() && text(&entry["record_id"]) == item.id_text();
            let sent = items.iter().filter(|other| other.entity == item.entity).count();
            let stored = ["applied", "changes"].iter().any(|name| names(&answer[*name][&item.entity], item, sent));
            let fate = match conflicts.iter().find(about) {
                Some(entry) if entry["error"].is_string() => Fate::Refused(text(&entry["error"])),
                Some(entry) => Fate::Kept(entry["server_data"].as_object().cloned()),
                None if stored => Fate::Stored,
                None => Fate::Unsaid("the server takes it in and drops it without a word".to_owned()),
            };
            Became::only(fate)
        });
        Ok(each.collect())
    }

    fn pull(&self, who: &Who<'_>, from: Option<&str>) -> Ask {
        let since = from.map(|cursor| earlier(cursor, who.overlap_ms));
        let mut body = json!({ "device_id": who.device_id, "last_sync_timestamp": since });
        if !who.entities.is_empty() {
            body["tables"] = json!(who.entities);
        }
        Ask::post("/api/v1/sync/pull", body)
    }

    fn pulled(&self, _who: &Who<'_>, _from: Option<&str>, answer: &Json) -> Result<Page, String> {
        let changes = answer["changes"].as_object().filter(|_| answer["success"] != Json::Bool(false));
        let changes =
            changes.ok_or_else(|| error_text(answer).unwrap_or_else(|| "the answer to a pull has no changes".to_owned()))?;
        let rows = changes.iter().flat_map(|(table, rows)| {
            let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
            rows.iter().filter_map(Json::as_object).map(move |row| (table, row))
        });
        let told = rows.map(|(table, row)| Told {
            entity: table.clone(),
            id: None,
            object: Some(row.clone()),
            at_ms: written_ms(row),
            about: Object::new(),
        });
        let cursor = member(answer, &["timestamp"]).and_then(time::read).map(|_| text(&answer["timestamp"]));
        Ok(Page { told: told.collect(), cursor, more: answer["has_more"] == Json::Bool(true), behind: false })
    }

    fn status(&self, _who: &Who<'_>) -> Ask {
        Ask::get("/api/v1/sync/status")
    }
}
