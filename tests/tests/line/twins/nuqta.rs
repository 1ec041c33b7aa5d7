//! `nuqta`: a log of changes that devices with keys append to. Nothing is known again: what is sent twice is there twice.

use serde_json::{Value, json};

use super::clock::now_ms;
use super::server::{Reply, Request, Server};
use super::ways::{Way, Ways};
use super::{is_bad, number, other_kind};

/// The server framework's limit of a body.
const BODY_BYTES_MAX: usize = 1024 * 1024;

const PAGE_MAX: i64 = 1000;

#[derive(Default)]
pub struct Nuqta {
    devices: Vec<(String, String)>,
    log: Vec<Value>,
    stored: u64,
}

impl Server for Nuqta {
    fn answer(&mut self, request: &Request, ways: &mut Ways) -> Reply {
        if request.is_compressed() {
            return framework(400, "Bad Request", "Body is not valid JSON but content-type is set to 'application/json'");
        }
        if request.bytes() > BODY_BYTES_MAX {
            return framework(413, "Payload Too Large", "Request body is too large");
        }
        let said = match request.line.as_str() {
            "POST /sync/register" => return reply(201, self.register(&request.body), ways),
            _ if ways.take(Way::Fails) => Err((500, "database is locked".to_owned())),
            _ if ways.take(Way::SaysNoWith200) => Err((200, "Sync is disabled".to_owned())),
            "POST /sync/push" => self.known(&request.body, ways).and_then(|device| self.push(&device, &request.body, ways)),
            "POST /sync/pull" => self.known(&request.body, ways).and_then(|_| self.pull(&request.body, ways)),
            "GET /sync/status" => {
                let asked = json!({ "deviceId": request.member("deviceId"), "apiKey": request.member("apiKey") });
                self.known(&asked, ways).map(|device| self.status(&device, ways))
            }
            _ => return Reply::missing(),
        };
        match said {
            Ok(said) => reply(200, said, ways),
            Err((status, why)) => failure(status, &why, ways),
        }
    }

    fn failure(&self) -> Reply {
        framework(500, "Internal Server Error", "Something went wrong")
    }

    fn rows(&self) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for change in &self.log {
            let of_row: Vec<&Value> = self.log.iter().filter(|other| other["entityId"] == change["entityId"]).collect();
            let is_first = std::ptr::eq(of_row[0], change);
            let is_gone = of_row.last().is_some_and(|last| last["operation"] == "delete");
            if is_gone || !(is_first || change["operation"] == "create") {
                continue;
            }
            let mut whole = json!({});
            for (name, value) in of_row.iter().flat_map(|change| as_object(&change["data"])) {
                whole[name] = value;
            }
            rows.push((change["entityId"].as_str().unwrap().to_owned(), whole));
        }
        rows
    }

    fn other_device(&mut self, id: &str, row: Option<Value>) {
        let is_known = self.log.iter().any(|change| change["entityId"] == id);
        let operation = match (&row, is_known) {
            (None, _) => "delete",
            (Some(_), true) => "update",
            (Some(_), false) => "create",
        };
        let change = json!({ "operation": operation, "entityType": "Sale", "entityId": id, "timestamp": now_ms(), "data": row });
        self.append("another", &change);
    }

    fn other_device_late(&mut self, id: &str, row: Value) {
        self.other_device(id, Some(row));
    }

    fn restart(&mut self) {
        *self = Self { stored: self.stored, ..Self::default() };
    }

    fn stored(&self) -> u64 {
        self.stored
    }
}

type Said = Result<Value, (u16, String)>;

impl Nuqta {
    /// Every call makes another device.
    fn register(&mut self, body: &Value) -> Value {
        let id = uuid::Uuid::new_v4().to_string();
        // What must be encoded in a query.
        let key = format!("k+y/{id}==");
        self.devices.push((id.clone(), key.clone()));
        let mut device = body.clone();
        for (name, value) in
            [("id", json!(id)), ("status", json!("active")), ("createdAt", json!(now_ms())), ("apiKey", json!(key))]
        {
            device[name] = value;
        }
        json!({ "success": true, "device": device, "apiKey": key })
    }

    fn known(&self, asked: &Value, ways: &Ways) -> Result<String, (u16, String)> {
        let found = self.devices.iter().find(|(id, key)| asked["deviceId"] == **id && asked["apiKey"] == **key);
        let found = found.filter(|_| !ways.has(Way::ForgetsTokens));
        found.map(|(id, _)| id.clone()).ok_or_else(|| (401, "Invalid device credentials".to_owned()))
    }

    fn append(&mut self, device: &str, change: &Value) {
        let mut entry = change.clone();
        entry["id"] = json!(self.log.len() + 1);
        entry["deviceId"] = json!(device);
        entry["isSynced"] = json!(true);
        self.log.push(entry);
        self.stored += 1;
    }

    fn push(&mut self, device: &str, body: &Value, ways: &Ways) -> Said {
        let changes = body["changes"].as_array().ok_or((400, "changes must be an array".to_owned()))?;
        let is_wrong = |change: &Value| is_bad(&change["data"]) || (ways.has(Way::WantsTextData) && change["data"].is_object());
        if ways.has(Way::RollsBackTheBatch) && changes.iter().any(|change| is_bad(&change["data"])) {
            return Err((500, "SQLITE_CONSTRAINT: CHECK constraint failed".to_owned()));
        }
        let (bad, good): (Vec<&Value>, Vec<&Value>) = changes.iter().partition(|change| is_wrong(change));
        for change in &good {
            self.append(device, change);
        }
        let why = "SQLite3 can only bind numbers, strings, bigints, buffers, and null";
        let errors: Vec<Value> =
            bad.iter().map(|change| json!({ "changeId": change["id"], "entityId": change["entityId"], "error": why })).collect();
        let cursor = number(&body["cursorId"]).unwrap_or(0) + changes.len() as i64;
        let mut said = json!({
            "success": true, "syncedCount": good.len(), "serverTimestamp": now_ms(),
            "newCursorId": other_kind(cursor, ways.has(Way::OtherKindsOfIds)),
        });
        if !errors.is_empty() && !ways.has(Way::DropsBadItems) {
            said["errors"] = json!(errors);
        }
        Ok(said)
    }

    fn pull(&self, body: &Value, ways: &Ways) -> Said {
        let limit = body.get("limit").map_or(Some(PAGE_MAX), number).filter(|limit| *limit > 0);
        let limit = limit.ok_or((500, "SQLITE_ERROR: LIMIT".to_owned()))?.min(PAGE_MAX) as usize;
        let from = number(&body["fromCursorId"]).unwrap_or(0);
        let after = if ways.has(Way::TellsAllAgain) { 0 } else { from };
        let mut page: Vec<Value> = self.log.iter().filter(|change| change["id"].as_i64() > Some(after)).cloned().collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let reached = page.last().and_then(|change| change["id"].as_i64()).unwrap_or(from).max(from);
        let is_other = ways.has(Way::OtherKindsOfIds);
        for change in &mut page {
            change["id"] = other_kind(change["id"].as_i64().unwrap(), is_other);
            change.as_object_mut().unwrap().remove("deviceId");
        }
        let has_more = more || ways.has(Way::MoreWithoutEnd);
        let cursor = other_kind(reached, is_other);
        Ok(json!({ "success": true, "changes": page, "hasMore": has_more, "newCursorId": cursor, "serverTimestamp": now_ms() }))
    }

    fn status(&self, device: &str, ways: &Ways) -> Value {
        let status = json!({
            "deviceId": device, "lastSyncAt": now_ms(), "isSyncing": false, "pendingChanges": 0, "cursorId": self.log.len(),
            "status": "synced",
        });
        if ways.has(Way::BareStatus) {
            let mut bare = status;
            bare["success"] = json!(true);
            return bare;
        }
        json!({ "success": true, "status": status })
    }
}

fn as_object(data: &Value) -> serde_json::Map<String, Value> {
    let object = data.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| data.clone());
    object.as_object().cloned().unwrap_or_default()
}

fn reply(status: u16, mut said: Value, ways: &Ways) -> Reply {
    if ways.has(Way::MoreMembers) {
        said["requestId"] = json!("req-1");
        said["meta"] = json!({ "region": null, "took": 1.5 });
    }
    Reply::json(status, &if ways.has(Way::Wraps) { json!({ "ok": true, "data": said }) } else { said })
}

fn failure(status: u16, why: &str, ways: &Ways) -> Reply {
    if ways.has(Way::Wraps) {
        let error = json!({ "code": "INTERNAL_ERROR", "message": why, "status": status, "details": null });
        return Reply::json(status, &json!({ "ok": false, "error": error }));
    }
    Reply::json(status, &json!({ "success": false, "error": why }))
}

fn framework(status: u16, error: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "statusCode": status, "error": error, "message": message, "code": "FST_ERR" }))
}
