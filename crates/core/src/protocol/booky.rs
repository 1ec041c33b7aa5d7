//! `booky`: operations of a user, changes since a time, and a queue that the server keeps. Paths under `/api/sync`: `operations`, `status`, `pending`,
//! `changes`, `full`, `queue`, `mark-synced`, `clear`.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::Object;
use super::mapping::{Entities, Mapping};
use super::said::{Fault, Said};
use super::time::{self, Moment};
use crate::change::Operation as Kind;

/// Codes of errors.
pub mod codes {
    /// The server failed; nothing is stored.
    pub const SYNC_FAILED: &str = "SYNC_FAILED";
    /// Something in the request is wrong.
    pub const VALIDATION_ERROR: &str = "VALIDATION_ERROR";
    /// No token, or one that is not good any more.
    pub const UNAUTHORIZED: &str = "UNAUTHORIZED";
    /// The server's data stayed as it was.
    pub const CONFLICT_DETECTED: &str = "CONFLICT_DETECTED";
    /// Too many requests.
    pub const RATE_LIMITED: &str = "RATE_LIMITED";
}

/// `POST operations`.
#[derive(Clone, Debug, Deserialize)]
pub struct OperationsRequest {
    /// Each on its own, so that one that cannot be read does not hold up the others.
    pub operations: Vec<Json>,
}

/// One operation, also as it is queued.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// What the client calls it; the server gives it a name when it is queued without one.
    #[serde(default)]
    pub id: Option<Json>,
    /// What to do.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The kind of row.
    pub entity: String,
    /// The row.
    #[serde(default)]
    pub entity_id: Option<Json>,
    /// Its fields.
    #[serde(default)]
    pub data: Option<Json>,
    /// When, by the client's clock.
    #[serde(default)]
    pub timestamp: Option<Moment>,
}

/// What became of one operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationResult {
    /// As the client calls it.
    pub id: Json,
    /// `success` or `failed`.
    pub status: String,
    /// The kind of row.
    pub entity: Json,
    /// The row.
    pub entity_id: Json,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// One of [`codes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The row on the server where that stayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_data: Option<Json>,
}

/// `POST mark-synced`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MarkSyncedRequest {
    /// Queued operations.
    pub operation_ids: Vec<String>,
}

/// `POST full`: lists of rows, and the settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FullRequest {
    /// All books.
    pub books: Option<Vec<Json>>,
    /// All collections.
    pub collections: Option<Vec<Json>>,
    /// All tags.
    pub tags: Option<Vec<Json>>,
    /// All ratings.
    pub ratings: Option<Vec<Json>>,
    /// All reading logs.
    pub readings: Option<Vec<Json>>,
    /// The user's settings.
    pub settings: Option<Json>,
}

/// The operations of a request, each as a change or as what is wrong with it.
pub fn decode(entities: &Entities, operations: &[Json]) -> Vec<Result<Said, Fault>> {
    let each = operations.iter().enumerate();
    each.map(|(place, operation)| decode_operation(entities, operation, &format!("operations[{place}]"))).collect()
}

/// One operation.
pub fn decode_operation(entities: &Entities, operation: &Json, field: &str) -> Result<Said, Fault> {
    let operation = Operation::deserialize(operation).map_err(|error| Fault::new(field, error.to_string()))?;
    let mapping = Mapping::of_entity(entities, &operation.entity);
    let id_field = format!("{field}.entityId");
    let mut said = match (operation.kind, operation.data) {
        (Kind::Delete, _) => {
            let id = operation.entity_id.ok_or_else(|| Fault::new(&id_field, "a delete needs the row's id"))?;
            Said::delete(&mapping, &id, &id_field)?
        }
        (_, Some(Json::Object(data))) => Said::of(&mapping, &data, operation.entity_id.as_ref(), &id_field)?,
        (_, _) => return Err(Fault::new(format!("{field}.data"), "a create or an update needs the row as an object")),
    };
    said.at_ms = operation.timestamp.map(|moment| moment.0);
    Ok(said)
}

/// What a full sync replaces: the entity, and its rows.
pub fn decode_full(entities: &Entities, request: &FullRequest) -> Result<Vec<(String, Vec<Said>)>, Fault> {
    let lists = [
        ("book", "books", request.books.as_deref()),
        ("collection", "collections", request.collections.as_deref()),
        ("tag", "tags", request.tags.as_deref()),
        ("rating", "ratings", request.ratings.as_deref()),
        ("readingLog", "readings", request.readings.as_deref()),
    ];
    let mut found = Vec::new();
    for (entity, list, rows) in lists {
        let Some(rows) = rows else { continue };
        let mapping = Mapping::of_entity(entities, entity);
        let rows = rows.iter().enumerate().map(|(place, row)| decode_row(&mapping, row, None, &format!("{list}[{place}]")));
        found.push((entity.to_owned(), rows.collect::<Result<_, _>>()?));
    }
    if let Some(settings) = request.settings.as_ref().filter(|settings| !settings.is_null() && **settings != json!({})) {
        let mapping = Mapping::of_entity(entities, "userSettings");
        // There is one row of settings, and the document shows no id of it.
        let id = settings.get("id").is_none().then(|| json!("settings"));
        found.push(("userSettings".to_owned(), vec![decode_row(&mapping, settings, id.as_ref(), "settings")?]));
    }
    Ok(found)
}

fn decode_row(mapping: &Mapping, row: &Json, id: Option<&Json>, field: &str) -> Result<Said, Fault> {
    let object = row.as_object().ok_or_else(|| Fault::new(field, "a row is an object"))?;
    let mut said = Said::of(mapping, object, id, field)?;
    said.at_ms = ["updatedAt", "updated_at"].iter().find_map(|member| object.get(*member)).and_then(time::read);
    Ok(said)
}

/// A row among the changes. One that is gone has `deletedAt`.
pub fn encode(entity: &str, mut data: Object, written_ms: i64, deleted: bool) -> Json {
    let at = Json::String(time::format(written_ms));
    if deleted {
        data.insert("deletedAt".to_owned(), at.clone());
        data.insert("updatedAt".to_owned(), at);
    } else if !data.contains_key("updatedAt") && !data.contains_key("updated_at") {
        data.insert("updatedAt".to_owned(), at);
    }
    json!({ "type": entity, "data": data })
}
