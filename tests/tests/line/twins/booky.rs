//! `booky`: operations of a logged-in user over tables whose rows have an `updatedAt` of the server's. A deleted row is just gone.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::clock::{now_ms, read, text};
use super::is_bad;
use super::server::{Reply, Request, Server};
use super::ways::{Way, Ways};

/// Who may log in.
pub const PASSWORD: &str = "correct horse";

#[derive(Default)]
pub struct Booky {
    rows: BTreeMap<String, Stored>,
    logins: u32,
    last_ms: i64,
    stored: u64,
}

struct Stored {
    entity: String,
    content: Value,
    updated_ms: i64,
}

impl Server for Booky {
    fn answer(&mut self, request: &Request, ways: &mut Ways) -> Reply {
        if request.line.ends_with("/auth/login") {
            let good = request.body["password"] == PASSWORD;
            return if good { self.log_in(ways) } else { unauthorized("Invalid credentials") };
        }
        if request.line.ends_with("/auth/refresh") {
            let good = request.body["refreshToken"].as_str().is_some_and(|token| token.starts_with("refresh."));
            return if good { self.log_in(ways) } else { unauthorized("Invalid refresh token") };
        }
        let fresh = format!("access.{}.x", self.logins);
        if request.bearer() != Some(&fresh) || ways.take(Way::ForgetsTokens) {
            return unauthorized("Invalid or expired token");
        }
        if ways.take(Way::Fails) {
            return self.failure();
        }
        if ways.take(Way::SaysNoWith200) {
            return Reply::json(200, &json!({ "success": false, "error": "Sync is not available", "code": "SYNC_FAILED" }));
        }
        let now = text(self.tick(), false);
        let said = match request.line.as_str() {
            "POST /api/sync/operations" => self.operations(&request.body, ways),
            "GET /api/sync/changes" => self.changes(request.member("since").as_deref(), ways),
            "GET /api/sync/status" => {
                Some(json!({ "success": true, "status": "ready", "lastSync": null, "pendingOperations": 0, "conflicts": 0 }))
            }
            _ => return Reply::missing(),
        };
        let Some(mut said) = said else { return Reply::json(500, &json!({ "error": "Internal Server Error" })) };
        said["_meta"] = json!({ "timestamp": now });
        if ways.has(Way::MoreMembers) {
            said["_meta"]["requestId"] = json!("r");
            said["links"] = json!([]);
        }
        Reply::json(200, &said)
    }

    fn failure(&self) -> Reply {
        Reply::json(500, &json!({ "success": false, "error": "Batch processing failed", "code": "SYNC_FAILED" }))
    }

    fn rows(&self) -> Vec<(String, Value)> {
        self.rows.iter().map(|(id, stored)| (id.clone(), stored.content.clone())).collect()
    }

    fn other_device(&mut self, id: &str, row: Option<Value>) {
        match row {
            Some(row) => self.write("book", id, &row),
            None => drop(self.rows.remove(id)),
        }
    }

    fn other_device_late(&mut self, id: &str, row: Value) {
        self.write("book", id, &row);
        self.rows.get_mut(id).unwrap().updated_ms -= 1500;
    }

    fn restart(&mut self) {
        *self = Self { stored: self.stored, ..Self::default() };
    }

    fn stored(&self) -> u64 {
        self.stored
    }
}

impl Booky {
    fn tick(&mut self) -> i64 {
        self.last_ms = now_ms().max(self.last_ms + 1);
        self.last_ms
    }

    /// Only the tokens of the last login are good.
    fn log_in(&mut self, ways: &mut Ways) -> Reply {
        self.logins += 1;
        ways.turn_off(Way::ForgetsTokens);
        let (access, refresh) = (format!("access.{}.x", self.logins), format!("refresh.{}.x", self.logins));
        let said =
            json!({ "success": true, "accessToken": access, "refreshToken": refresh, "expiresIn": 900, "user": { "id": "u1" } });
        Reply::json(200, &said)
    }

    fn write(&mut self, entity: &str, id: &str, content: &Value) {
        let updated_ms = self.tick();
        let stored = Stored { entity: entity.to_owned(), content: json!({}), updated_ms };
        let stored = self.rows.entry(id.to_owned()).or_insert(stored);
        stored.updated_ms = updated_ms;
        for (field, value) in content.as_object().into_iter().flatten() {
            stored.content[field] = value.clone();
        }
        self.stored += 1;
    }

    fn operations(&mut self, body: &Value, ways: &Ways) -> Option<Value> {
        let operations = body["operations"].as_array()?;
        if ways.has(Way::WantsNoTextTime) && operations.iter().any(|operation| operation["timestamp"].is_string()) {
            return None;
        }
        if ways.has(Way::RollsBackTheBatch) && operations.iter().any(|operation| is_bad(&operation["data"])) {
            return None;
        }
        let mut results = Vec::new();
        for operation in operations {
            let done = self.operate(operation, ways);
            let mut result = json!({
                "id": operation["id"], "entity": operation["entity"], "entityId": operation["entityId"],
                "status": if done.is_ok() { "success" } else { "failed" },
            });
            match done {
                Err(_) if ways.has(Way::DropsBadItems) => continue,
                Err(why) => result["error"] = json!(why),
                Ok(()) => {}
            }
            results.push(result);
        }
        Some(json!({ "results": results }))
    }

    fn operate(&mut self, operation: &Value, ways: &Ways) -> Result<(), String> {
        let (data, entity) = (&operation["data"], operation["entity"].as_str().unwrap_or_default());
        if !["book", "rating", "tag", "collection", "readingLog", "userSettings"].contains(&entity) {
            return Err(format!("Unknown entity: {entity}"));
        }
        if is_bad(data) {
            return Err("Invalid `prisma.book.create()` invocation: Argument is not valid".to_owned());
        }
        let beside = operation["entityId"].as_str().map(str::to_owned);
        match operation["type"].as_str() {
            Some("create") => {
                let inside = data["id"].as_str().map(str::to_owned);
                let own = || Some(uuid::Uuid::new_v4().to_string());
                let id = if ways.has(Way::WantsIdInData) { inside.or_else(own) } else { inside.or(beside) };
                let id = id.ok_or("id is missing")?;
                if self.rows.contains_key(&id) {
                    return Err("Unique constraint failed on the fields: (`id`)".to_owned());
                }
                self.write(entity, &id, data);
            }
            // What is not there is no error, and nothing is stored.
            Some("update") => {
                let id = beside.unwrap_or_default();
                if self.rows.contains_key(&id) {
                    self.write(entity, &id, data);
                }
            }
            Some("delete") => {
                let id = beside.unwrap_or_default();
                if self.rows.remove(&id).is_some() {
                    self.stored += 1;
                }
            }
            _ => return Err("Unknown operation".to_owned()),
        }
        Ok(())
    }

    fn changes(&self, since: Option<&str>, ways: &Ways) -> Option<Value> {
        let since_ms = match since {
            None => 0,
            Some(text) => read(&json!(text))?,
        };
        let after = if ways.has(Way::TellsAllAgain) || ways.has(Way::IgnoresSince) { 0 } else { since_ms };
        let mut found: Vec<(&String, &Stored)> = self.rows.iter().filter(|(_, stored)| stored.updated_ms > after).collect();
        found.sort_by_key(|(_, stored)| stored.updated_ms);
        let told = found.into_iter().map(|(id, stored)| {
            let mut data = stored.content.clone();
            data["id"] = json!(id);
            data["updatedAt"] = json!(text(stored.updated_ms, ways.has(Way::ZonelessTimes)));
            json!({ "type": stored.entity, "data": data })
        });
        Some(json!({ "success": true, "changes": told.collect::<Vec<_>>(), "since": since }))
    }
}

fn unauthorized(why: &str) -> Reply {
    Reply::json(401, &json!({ "success": false, "error": why, "code": "UNAUTHORIZED" }))
}
