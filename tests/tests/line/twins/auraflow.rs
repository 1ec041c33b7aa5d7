//! `auraflow`: orders and transactions by `localId`, with a version that clients count; the server's is kept unless the client's is higher.

use serde_json::{Value, json};

use super::clock::{now_ms, text};
use super::is_bad;
use super::server::{Reply, Request, Server};
use super::ways::{Way, Ways};

/// One stored order or transaction.
#[derive(Clone)]
struct Stored {
    kind: &'static str,
    local_id: String,
    /// As it was sent.
    content: Value,
    version: i64,
    device: String,
    written_ms: i64,
}

#[derive(Default)]
pub struct Auraflow {
    stored: Vec<Stored>,
    deleted: Vec<(String, i64)>,
    last_ms: i64,
    writes: u64,
}

impl Server for Auraflow {
    fn answer(&mut self, request: &Request, ways: &mut Ways) -> Reply {
        if ways.take(Way::Fails) {
            return self.failure();
        }
        if ways.take(Way::SaysNoWith200) {
            return Reply::json(200, &json!({ "success": false, "error": "SYNC_DISABLED" }));
        }
        let said = match request.line.as_str() {
            "POST /api/sync/batch" => self.batch(&request.body, ways),
            "POST /api/sync/order" => self.one("order", &request.body, ways),
            "POST /api/sync/transaction" => self.one("transaction", &request.body, ways),
            "GET /api/sync/updates" => {
                let device = request.member("deviceId").unwrap_or_default();
                let since = request.member("since").and_then(|since| since.parse().ok()).unwrap_or(0);
                Some(self.updates(&device, since, ways))
            }
            _ => return Reply::missing(),
        };
        let Some(mut said) = said else { return self.failure() };
        if ways.has(Way::MoreMembers) {
            said["serverVersion"] = json!({ "build": [1, 2] });
        }
        Reply::json(200, &said)
    }

    fn failure(&self) -> Reply {
        Reply::json(500, &json!({ "error": "SYNC_FAILED", "message": "Failed to sync batch" }))
    }

    fn rows(&self) -> Vec<(String, Value)> {
        self.stored.iter().map(|stored| (stored.local_id.clone(), stored.content.clone())).collect()
    }

    fn other_device(&mut self, id: &str, row: Option<Value>) {
        let now_ms = self.tick();
        let Some(content) = row else {
            self.stored.retain(|stored| stored.local_id != id);
            self.deleted.push((id.to_owned(), now_ms));
            return;
        };
        let version = self.stored.iter().find(|stored| stored.local_id == id).map_or(1, |stored| stored.version + 1);
        self.write("order", id, &content, version, "another");
    }

    fn other_device_late(&mut self, id: &str, row: Value) {
        self.other_device(id, Some(row));
        self.stored.last_mut().unwrap().written_ms -= 1500;
    }

    fn restart(&mut self) {
        *self = Self { writes: self.writes, ..Self::default() };
    }

    fn stored(&self) -> u64 {
        self.writes
    }
}

impl Auraflow {
    /// The clock, which never stands still between two writes.
    fn tick(&mut self) -> i64 {
        self.last_ms = now_ms().max(self.last_ms + 1);
        self.last_ms
    }

    fn write(&mut self, kind: &'static str, local_id: &str, content: &Value, version: i64, device: &str) {
        let written_ms = self.tick();
        self.stored.retain(|stored| stored.local_id != local_id);
        let (local_id, device) = (local_id.to_owned(), device.to_owned());
        self.stored.push(Stored { kind, local_id, content: content.clone(), version, device, written_ms });
        self.writes += 1;
    }

    fn batch(&mut self, body: &Value, ways: &Ways) -> Option<Value> {
        let device = body["deviceId"].as_str()?;
        let before = (self.stored.clone(), self.writes);
        let mut lists = Vec::new();
        for (list, kind) in [("orders", "order"), ("transactions", "transaction")] {
            let mut results = Vec::new();
            for item in body[list].as_array().into_iter().flatten() {
                match self.take(kind, item, device) {
                    Err(_) if ways.has(Way::RollsBackTheBatch) => {
                        (self.stored, self.writes) = before;
                        return None;
                    }
                    Err(why) => results.push(json!({ "success": false, "message": why, "syncedAt": now_ms() })),
                    Ok(result) => results.push(result),
                }
            }
            if ways.has(Way::LosesResults) && results.len() > 1 {
                results.pop();
            }
            lists.push(results);
        }
        let since = body["lastSyncTimestamp"].as_i64().unwrap_or(0);
        let mut updates = self.updates(device, since, ways);
        updates.as_object_mut()?.remove("nextSyncToken");
        let token = self.tick().to_string();
        Some(json!({
            "success": true, "syncedOrders": lists[0], "syncedTransactions": lists[1], "serverUpdates": updates, "nextSyncToken": token,
        }))
    }

    fn one(&mut self, kind: &'static str, body: &Value, ways: &Ways) -> Option<Value> {
        match self.take(kind, body, body["deviceId"].as_str()?) {
            Err(_) if ways.has(Way::RollsBackTheBatch) => None,
            Err(why) => Some(json!({ "success": false, "message": why, "syncedAt": now_ms() })),
            Ok(result) => Some(result),
        }
    }

    /// What became of an item, or why the database refused it.
    fn take(&mut self, kind: &'static str, item: &Value, device: &str) -> Result<Value, String> {
        let (local_id, content) = (item["localId"].as_str().unwrap_or_default(), &item[kind]);
        if local_id.is_empty() || !content.is_object() {
            return Err(format!("a {kind} needs a localId and a {kind}"));
        }
        if is_bad(content) {
            return Err("ERROR: value too long for type character varying(50)".to_owned());
        }
        let unique = if kind == "order" { "orderNumber" } else { "referenceNumber" };
        let is_taken = |stored: &Stored| {
            stored.kind == kind
                && stored.local_id != local_id
                && !content[unique].is_null()
                && stored.content[unique] == content[unique]
        };
        if self.stored.iter().any(is_taken) {
            return Err(format!("ERROR: duplicate key value violates unique constraint \"sync_{kind}s_{unique}_unique\""));
        }
        let version = item["syncVersion"].as_i64().unwrap_or(1);
        let synced = json!({ "success": true, "serverId": format!("server-{local_id}"), "syncedAt": now_ms() });
        let here = self.stored.iter().find(|stored| stored.local_id == local_id).cloned();
        match here {
            Some(here) if same(&here.content, content) => Ok(synced),
            Some(here) if version <= here.version => Ok(json!({
                "success": false, "message": "Conflict: server version is newer", "syncedAt": now_ms(),
                "conflicts": [{
                    "localId": local_id, "clientVersion": version, "serverData": here.content, "resolution": "SERVER_WINS",
                }],
            })),
            _ => {
                self.write(kind, local_id, content, version, device);
                Ok(synced)
            }
        }
    }

    fn updates(&mut self, device: &str, since: i64, ways: &Ways) -> Value {
        let since = if ways.has(Way::IgnoresSince) { 0 } else { since };
        let is_theirs = |stored: &&Stored| stored.device != device || ways.has(Way::TellsAllAgain);
        let told = |kind: &str| -> Vec<Value> {
            let found = self.stored.iter().filter(|stored| stored.kind == kind && stored.written_ms > since).filter(is_theirs);
            found.map(|stored| tell(stored, ways)).collect()
        };
        let (orders, transactions) = (told("order"), told("transaction"));
        let deleted: Vec<&str> = self.deleted.iter().filter(|(_, at)| *at > since).map(|(id, _)| id.as_str()).collect();
        json!({ "orders": orders, "transactions": transactions, "deletedOrderIds": deleted, "deletedTransactionIds": [] })
    }
}

/// The content is the same, whatever the clients' own clocks say.
fn same(here: &Value, sent: &Value) -> bool {
    let strip = |value: &Value| {
        let mut value = value.clone();
        value.as_object_mut().map(|object| (object.remove("updatedAt"), object.remove("createdAt")));
        value
    };
    strip(here) == strip(sent)
}

fn tell(stored: &Stored, ways: &Ways) -> Value {
    let mut content = stored.content.clone();
    if ways.has(Way::PullsWithoutLines) {
        content["items"] = json!([]);
        content["createdAt"] = json!(text(now_ms(), ways.has(Way::ZonelessTimes)));
        content["id"] = json!(stored.local_id);
        return content;
    }
    json!({
        stored.kind: content, "localId": stored.local_id, "serverId": format!("server-{}", stored.local_id), "syncStatus": "SYNCED",
        "syncVersion": stored.version, "serverHash": "0".repeat(64), "deviceId": stored.device,
    })
}
