//! `insight`: records by table, stamped by the server when they are written; what was written after the client's own timestamp is a conflict.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::clock::{now_ms, read, text};
use super::is_bad;
use super::server::{Reply, Request, Server};
use super::ways::{Way, Ways};

const TABLES: [&str; 6] = ["forms", "submissions", "submission_answers", "kpi_data", "team", "settings"];

/// What the other device writes to.
const TABLE: &str = "submissions";

#[derive(Default, Clone)]
pub struct Insight {
    records: BTreeMap<(String, String), (Value, i64)>,
    last_ms: i64,
    stored: u64,
}

impl Server for Insight {
    fn answer(&mut self, request: &Request, ways: &mut Ways) -> Reply {
        if ways.has(Way::ForgetsTokens) {
            return Reply::json(401, &json!({ "detail": "Not authenticated" }));
        }
        if ways.take(Way::Fails) {
            return self.failure();
        }
        if ways.take(Way::SaysNoWith200) {
            return Reply::json(200, &json!({ "success": false, "timestamp": text(now_ms(), false), "message": "read only" }));
        }
        let now = self.tick();
        let said = match request.line.as_str() {
            "POST /api/v1/sync/push" => self.push(&request.body, ways),
            "POST /api/v1/sync/pull" => self.pull(&request.body, ways),
            "GET /api/v1/sync/status" => {
                Ok(json!({ "status": "online", "version": "1.0.0", "tables": TABLES, "active_devices": 1 }))
            }
            _ => return Reply::json(404, &json!({ "detail": "Not Found" })),
        };
        match said {
            Ok(mut said) => {
                said["timestamp"] = json!(text(now, ways.has(Way::ZonelessTimes)));
                if ways.has(Way::MoreMembers) {
                    said["sync_id"] = json!(7);
                }
                Reply::json(200, &said)
            }
            Err(why) => Reply::json(422, &json!({ "detail": [{ "loc": ["body"], "msg": why, "type": "value_error" }] })),
        }
    }

    fn failure(&self) -> Reply {
        Reply::html(500, "Internal Server Error")
    }

    fn rows(&self) -> Vec<(String, Value)> {
        let alive = self.records.iter().filter(|(_, (record, _))| record["deleted_at"].is_null());
        alive.map(|((_, id), (record, _))| (id.clone(), record.clone())).collect()
    }

    fn other_device(&mut self, id: &str, row: Option<Value>) {
        let record = row.unwrap_or_else(|| json!({ "deleted_at": text(now_ms(), false) }));
        self.write(TABLE, id, &record);
    }

    fn other_device_late(&mut self, id: &str, row: Value) {
        self.write(TABLE, id, &row);
        self.records.get_mut(&(TABLE.to_owned(), id.to_owned())).unwrap().1 -= 1500;
    }

    fn restart(&mut self) {
        *self = Self { stored: self.stored, ..Self::default() };
    }

    fn stored(&self) -> u64 {
        self.stored
    }
}

impl Insight {
    fn tick(&mut self) -> i64 {
        self.last_ms = now_ms().max(self.last_ms + 1);
        self.last_ms
    }

    fn write(&mut self, table: &str, id: &str, sent: &Value) {
        let now_ms = self.tick();
        let (record, updated_ms) = self.records.entry((table.to_owned(), id.to_owned())).or_insert((json!({}), 0));
        for (field, value) in sent.as_object().into_iter().flatten() {
            record[field] = value.clone();
        }
        *updated_ms = now_ms;
        self.stored += 1;
    }

    fn push(&mut self, body: &Value, ways: &Ways) -> Result<Value, String> {
        body["device_id"].as_str().ok_or("device_id: field required")?;
        let client_ms = read(&body["timestamp"]).ok_or("timestamp: needs a time with a zone")?;
        let before = self.clone();
        let (mut applied, mut conflicts) = (json!({}), Vec::new());
        for (table, records) in body["changes"].as_object().ok_or("changes: field required")? {
            for record in records.as_array().into_iter().flatten() {
                let id = record["id"].as_str().unwrap_or_default().to_owned();
                match self.refusal(table, &id, record) {
                    Some(_) if ways.has(Way::RollsBackWithoutReason) || ways.has(Way::RollsBackTheBatch) => {
                        *self = before;
                        return Ok(json!({ "success": false, "applied": {}, "conflicts": [] }));
                    }
                    Some(_) if ways.has(Way::DropsBadItems) => continue,
                    Some(why) => {
                        conflicts.push(json!({ "table": table, "record_id": record["id"], "error": why }));
                        continue;
                    }
                    None => {}
                }
                let known = self.records.get(&(table.clone(), id.clone()));
                if let Some((server, _)) = known.filter(|(_, written_ms)| *written_ms > client_ms) {
                    conflicts.push(json!({ "table": table, "record_id": id, "client_data": record, "server_data": server }));
                    continue;
                }
                self.write(table, &id, record);
                put(&mut applied, table, record.clone());
            }
        }
        let conflicts = if conflicts.is_empty() { Value::Null } else { json!(conflicts) };
        let list = if ways.has(Way::AppliedInChanges) { "changes" } else { "applied" };
        Ok(json!({ "success": true, list: applied, "conflicts": conflicts }))
    }

    fn refusal(&self, table: &str, id: &str, record: &Value) -> Option<String> {
        if !TABLES.contains(&table) {
            return Some(format!("Unknown table: {table}"));
        }
        let is_new = !self.records.contains_key(&(table.to_owned(), id.to_owned()));
        if is_new && uuid::Uuid::parse_str(id).is_err() {
            return Some("badly formed hexadecimal UUID string".to_owned());
        }
        is_bad(record).then(|| "(psycopg2.errors.NotNullViolation) null value in column".to_owned())
    }

    fn pull(&self, body: &Value, ways: &Ways) -> Result<Value, String> {
        body["device_id"].as_str().ok_or("device_id: field required")?;
        let since = match &body["last_sync_timestamp"] {
            Value::Null => 0,
            told => read(told).ok_or("last_sync_timestamp: needs a time with a zone")?,
        };
        let since = if ways.has(Way::TellsAllAgain) || ways.has(Way::IgnoresSince) { 0 } else { since };
        let wanted = |table: &str| body["tables"].as_array().is_none_or(|tables| tables.contains(&json!(table)));
        let mut changes = json!({});
        for ((table, id), (record, written_ms)) in &self.records {
            if *written_ms <= since || !wanted(table) {
                continue;
            }
            put(&mut changes, table, tell(id, record, *written_ms, ways));
        }
        Ok(json!({ "success": true, "changes": changes, "conflicts": null }))
    }
}

/// Into the list of a table.
fn put(tables: &mut Value, table: &str, record: Value) {
    if tables[table].is_null() {
        tables[table] = json!([]);
    }
    tables[table].as_array_mut().unwrap().push(record);
}

fn tell(id: &str, record: &Value, written_ms: i64, ways: &Ways) -> Value {
    let mut record = record.clone();
    if ways.has(Way::DecimalsAsText) {
        for value in record.as_object_mut().unwrap().values_mut().filter(|value| value.is_f64()) {
            *value = json!(format!("{:.2}", value.as_f64().unwrap()));
        }
    }
    if ways.has(Way::EchoesNoDeletes) {
        record["deleted_at"] = Value::Null;
    }
    record["id"] = json!(id);
    record["updated_at"] = json!(text(written_ms, ways.has(Way::ZonelessTimes)));
    record
}
