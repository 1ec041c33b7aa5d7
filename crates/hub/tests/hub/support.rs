//! A hub in a temporary folder and devices that talk to it.

use std::io::{Read, Write};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tillsync_hub::{Hub, Options, router};
use tower::ServiceExt;
use uuid::Uuid;

pub const DAY: Duration = Duration::from_secs(86_400);

/// A hub and its folder.
pub struct Shop {
    pub folder: TempDir,
    pub hub: Hub,
    pub router: Router,
}

impl Shop {
    pub async fn open() -> Self {
        Self::with(Options { open_registration: true, ..Options::default() }).await
    }

    pub async fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = Hub::open(folder.path().join("hub.db")).await.unwrap();
        Self { router: router(hub.clone(), options), hub, folder }
    }

    /// The same file opened again, as after a restart.
    pub async fn reopen(self) -> Self {
        let Self { folder, hub, router: old } = self;
        drop((hub, old));
        Self::reopened(folder).await
    }

    /// A hub over a file that is there.
    pub async fn reopened(folder: TempDir) -> Self {
        let hub = Hub::open(folder.path().join("hub.db")).await.unwrap();
        Self { router: router(hub.clone(), Options { open_registration: true, ..Options::default() }), hub, folder }
    }

    pub async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (status, _, body) = self.send(request.body(body.into()).unwrap()).await;
        (status.as_u16(), serde_json::from_slice(&body).unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&body))))
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask("POST", path, &[], body.to_string()).await
    }

    pub async fn device(&self, name: &str) -> Device {
        let (status, answer) = self.post("/sync/register", &json!({ "name": name })).await;
        assert_eq!(status, 201, "{answer}");
        Device::from(&answer)
    }

    /// Pushes and expects 200.
    pub async fn push(&self, device: &Device, changes: &[Value]) -> Value {
        self.push_from(device, 0, changes).await
    }

    pub async fn push_from(&self, device: &Device, cursor: i64, changes: &[Value]) -> Value {
        let body = json!({ "cursorId": cursor, "changes": changes });
        let (status, answer) = self.ask("POST", "/sync/push", &device.headers(), body.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Pulls and expects 200.
    pub async fn pull(&self, device: &Device, body: Value) -> Value {
        let (status, answer) = self.ask("POST", "/sync/pull", &device.headers(), body.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub async fn status_of(&self, device: &Device) -> Value {
        let (status, answer) = self.ask("GET", "/sync/status", &device.headers(), "").await;
        assert_eq!(status, 200, "{answer}");
        answer["status"].clone()
    }

    pub async fn stats(&self) -> Value {
        let key = self.hub.replace_admin_key().await.unwrap();
        let (status, answer) = self.ask("GET", "/sync/stats", &[("authorization", &bearer(&key))], "").await;
        assert_eq!(status, 200, "{answer}");
        answer["stats"].clone()
    }

    /// The conflict log as the file holds it.
    pub fn conflicts(&self) -> Vec<(String, Option<String>, Option<String>)> {
        let connection = rusqlite::Connection::open(self.folder.path().join("hub.db")).unwrap();
        let mut statement =
            connection.prepare("SELECT resolution, client_value, server_value FROM conflict_log ORDER BY id").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

pub fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// A registered device.
#[derive(Clone)]
pub struct Device {
    pub id: String,
    pub key: String,
    bearer: String,
}

impl Device {
    pub fn from(answer: &Value) -> Self {
        let (id, key) = (answer["device"]["id"].as_str().unwrap(), answer["apiKey"].as_str().unwrap());
        Self { id: id.to_owned(), key: key.to_owned(), bearer: bearer(key) }
    }

    pub fn headers(&self) -> [(&str, &str); 2] {
        [("x-device-id", &self.id), ("authorization", &self.bearer)]
    }
}

/// A change as a client of the original protocol sends it.
#[allow(clippy::needless_pass_by_value, reason = "every caller makes the row in place")]
pub fn plain(operation: &str, entity_id: &str, data: Value) -> Value {
    let data = if data.is_null() { json!({}) } else { json!({ "data": data }) };
    let mut change = json!({ "id": 1, "operation": operation, "entityType": "products", "entityId": entity_id, "timestamp": 5 });
    change.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    change
}

/// A change as our agent sends it.
pub fn event(operation: &str, entity_id: &str, base: Option<i64>, fields: &[&str], data: Value) -> Value {
    let mut change = plain(operation, entity_id, data);
    change["eventId"] = json!(Uuid::new_v4());
    if let Some(base) = base {
        change["baseVersion"] = json!(base);
    }
    if !fields.is_empty() {
        change["updatedFields"] = json!(fields);
    }
    change
}

/// Status and version of every result.
pub fn verdicts(answer: &Value) -> Vec<(String, Option<i64>)> {
    let results = answer["results"].as_array().unwrap();
    results.iter().map(|result| (result["status"].as_str().unwrap().to_owned(), result["version"].as_i64())).collect()
}

/// The ids of a page.
pub fn ids(page: &Value) -> Vec<i64> {
    page["changes"].as_array().unwrap().iter().map(|change| change["id"].as_i64().unwrap()).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}
