//! `auraflow`: orders and transactions with a `localId` and a version that clients count. Paths under `/api/sync`: `batch`, `order`, `transaction`,
//! `updates`.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Object;
use super::mapping::{Entities, Mapping, plain_id};
use super::said::{Fault, Said};
use super::time::{self, Moment};
use crate::value::Value;

/// Nobody writes a row more often: it leaves room to count on.
const SYNC_VERSION_MAX: i64 = 1 << 52;

/// `POST batch`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchRequest {
    /// The client's own name for itself.
    pub device_id: String,
    /// Each on its own, so that one that cannot be read does not hold up the others.
    #[serde(default)]
    pub orders: Vec<Json>,
    /// The same.
    #[serde(default)]
    pub transactions: Vec<Json>,
    /// As the last answer's `nextSyncToken` said; everything when absent.
    #[serde(default)]
    pub last_sync_timestamp: Option<Moment>,
}

/// What became of one order or transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncResponse {
    /// Whether it is stored.
    pub success: bool,
    /// The row's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// As the client calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_id: Option<String>,
    /// The server's clock, Unix milliseconds.
    pub synced_at: i64,
    /// How often it has been written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_version: Option<i64>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the server has instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
}

/// What the server has instead.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// As the client calls it.
    pub local_id: String,
    /// How often the client has written it.
    pub client_version: i64,
    /// What the server has; null when it is deleted there.
    pub server_data: Option<Json>,
    /// `SERVER_WINS`.
    pub resolution: String,
}

/// What others have written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Updates {
    /// Orders.
    pub orders: Vec<Object>,
    /// Transactions.
    pub transactions: Vec<Object>,
    /// Orders that are gone.
    pub deleted_order_ids: Vec<Json>,
    /// Transactions that are gone.
    pub deleted_transaction_ids: Vec<Json>,
    /// What to ask with next time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_sync_token: Option<String>,
    /// Whether to ask again at once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_more: bool,
}

/// Answer to a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// True unless the whole request failed.
    pub success: bool,
    /// In the order of the request.
    pub synced_orders: Vec<SyncResponse>,
    /// In the order of the request.
    pub synced_transactions: Vec<SyncResponse>,
    /// What others have written.
    pub server_updates: Updates,
    /// What to ask with next time.
    pub next_sync_token: String,
}

/// One order or transaction around its row.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Syncable {
    local_id: String,
    #[serde(default = "first")]
    sync_version: i64,
    #[serde(default)]
    server_hash: Option<String>,
}

fn first() -> i64 {
    1
}

/// A change, or what is wrong with it. `kind` is `order` or `transaction`, which is also the member that holds the row.
pub fn decode(entities: &Entities, kind: &str, item: &Json, field: &str) -> Result<Said, Fault> {
    let about = Syncable::deserialize(item).map_err(|error| Fault::new(field, error.to_string()))?;
    if about.local_id.is_empty() {
        return Err(Fault::new(format!("{field}.localId"), "an item needs a localId"));
    }
    if !(0..=SYNC_VERSION_MAX).contains(&about.sync_version) {
        return Err(Fault::new(format!("{field}.syncVersion"), "a version counts from 1"));
    }
    let object = item.get(kind).and_then(Json::as_object);
    let mut object = object.ok_or_else(|| Fault::new(format!("{field}.{kind}"), "the row is missing"))?.clone();
    // A number is the device's own count, and another device's too.
    let own_id = object.get("id").and_then(Json::as_str).filter(|id| !id.is_empty());
    let id = Json::String(own_id.unwrap_or(&about.local_id).to_owned());
    object.remove("id");
    let mapping = Mapping::of_entity(entities, kind);
    let mut said = Said::of(&mapping, &object, Some(&id), field)?;
    said.at_ms =
        ["updatedAt", "updated_at", "createdAt", "created_at"].iter().find_map(|member| object.get(*member)).and_then(time::read);
    said.sync_version = Some(about.sync_version);
    said.known_hash = about.server_hash.filter(|hash| !hash.is_empty());
    Ok(said)
}

/// A row around which there is what the server knows of it.
pub fn encode(kind: &str, id: &str, row: Object, about: &About) -> Object {
    let mut object = Object::new();
    let local_id = match plain_id(id) {
        Json::String(id) => id,
        other => other.to_string(),
    };
    object.insert(kind.to_owned(), Json::Object(row));
    object.insert("localId".to_owned(), local_id.clone().into());
    object.insert("serverId".to_owned(), local_id.into());
    object.insert("syncStatus".to_owned(), "SYNCED".into());
    object.insert("syncVersion".to_owned(), about.sync_version.into());
    object.insert("serverHash".to_owned(), about.hash.clone().into());
    object.insert("deviceId".to_owned(), about.device_id.clone().into());
    object
}

/// What the server knows of a row.
pub struct About {
    /// How often it was written.
    pub sync_version: i64,
    /// What the version is recognised by.
    pub hash: String,
    /// Who wrote it.
    pub device_id: String,
}

/// The value of a row's key, for the rows that belong to it.
pub fn key_of(id: &str) -> Value {
    crate::key::parse_entity_id(id)
        .and_then(|mut values| (values.len() == 1).then(|| values.remove(0)))
        .unwrap_or(Value::Text(id.to_owned()))
}
