//! `insight`: records by table, pushed and pulled since a time. Paths: `POST /api/v1/sync/pull`, `POST /api/v1/sync/push`, `GET /api/v1/sync/status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::mapping::{Entities, Mapping};
use super::said::{Fault, Said};
use super::time::Moment;
use super::{Object, time};
use crate::change::Operation;

/// What a client asks for.
#[derive(Clone, Debug, Deserialize)]
pub struct PullRequest {
    /// The client's own name for itself.
    pub device_id: String,
    /// As the last answer's `timestamp` said; everything when absent.
    #[serde(default)]
    pub last_sync_timestamp: Option<Moment>,
    /// Only these; all when absent.
    #[serde(default)]
    pub tables: Option<Vec<String>>,
}

/// Records that were written since.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PullResponse {
    /// True unless the whole request failed.
    pub success: bool,
    /// What to ask with next time.
    pub timestamp: String,
    /// By table. A record with `deleted_at` is gone.
    pub changes: BTreeMap<String, Vec<Object>>,
    /// Always null in a pull.
    pub conflicts: Option<Vec<Conflict>>,
    /// Whether to ask again at once.
    #[serde(default)]
    pub has_more: bool,
}

/// What a client has written.
#[derive(Clone, Debug, Deserialize)]
pub struct PushRequest {
    /// The client's own name for itself.
    pub device_id: String,
    /// The client's clock when it sent this.
    pub timestamp: Moment,
    /// By table.
    pub changes: BTreeMap<String, Vec<Json>>,
}

/// What became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PushResponse {
    /// True unless the whole request failed.
    pub success: bool,
    /// The server's clock.
    pub timestamp: String,
    /// What is stored now, by table.
    pub applied: BTreeMap<String, Vec<Object>>,
    /// What is not.
    #[serde(default)]
    pub conflicts: Vec<Conflict>,
}

/// A record that was not stored as it was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Conflict {
    /// Its table.
    pub table: String,
    /// Its id.
    pub record_id: Json,
    /// As sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_data: Option<Json>,
    /// As it is on the server; null when it is deleted there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_data: Option<Json>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How the server is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusResponse {
    /// `online`.
    pub status: String,
    /// The server's clock.
    pub timestamp: String,
    /// Of the server.
    pub version: String,
    /// What it has records of.
    pub tables: Vec<String>,
    /// How many devices sync.
    pub active_devices: usize,
    /// When each last did.
    pub last_sync: BTreeMap<String, String>,
}

/// The records of a push, each as a change or as what is wrong with it, with the object that says it.
pub fn decode(entities: &Entities, changes: &BTreeMap<String, Vec<Json>>) -> Vec<(String, Json, Result<Said, Fault>)> {
    let each = changes.iter().flat_map(|(table, records)| records.iter().enumerate().map(move |at| (table, at)));
    each.map(|(table, (place, record))| {
        let said = decode_record(&Mapping::of_entity(entities, table), record, &format!("changes.{table}[{place}]"));
        (table.clone(), record.clone(), said)
    })
    .collect()
}

fn decode_record(mapping: &Mapping, record: &Json, field: &str) -> Result<Said, Fault> {
    let object = record.as_object().ok_or_else(|| Fault::new(field, "a record is an object"))?;
    let mut said = Said::of(mapping, object, None, field)?;
    if mapping.is_deleted(object) {
        said.operation = Operation::Delete;
        said.parts.clear();
    }
    let written = ["deleted_at", "updated_at"].iter().find_map(|column| object.get(*column).and_then(time::read));
    said.at_ms = written;
    Ok(said)
}

/// A record as a client knows it: with the time of its last write, and of its end.
pub fn encode(mut object: Object, written_ms: i64, deleted: bool) -> Object {
    let at = Json::String(time::format(written_ms));
    if deleted {
        object.insert("deleted_at".to_owned(), at.clone());
        object.insert("updated_at".to_owned(), at);
    } else if !object.contains_key("updated_at") {
        object.insert("updated_at".to_owned(), at);
    }
    object
}
