//! The description of everything that this hub serves, as OpenAPI 3.1: made from one list of endpoints, where each has an example of what goes in and out.
//! The schemas are those of the examples.

mod logins;
mod ours;
mod theirs;

use std::sync::Arc;

use axum::{Extension, Json};
use serde_json::{Map, Value, json};
use tillsync_core::protocol::{Protocols, Settings};

/// One endpoint.
pub(crate) struct Endpoint {
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// Without the protocol's prefix.
    pub path: &'static str,
    /// What it is for, in a few words.
    pub summary: &'static str,
    /// Who may ask.
    pub access: Who,
    /// Members of the query, each with an example.
    pub query: &'static [(&'static str, &'static str)],
    /// An example of the body; empty for none.
    pub body: &'static str,
    /// The status of a success.
    pub status: u16,
    /// An example of the answer.
    pub answer: &'static str,
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Everybody.
    Anybody,
    /// A device with its key, or whoever has a token.
    Bearer,
    /// The administrator.
    Admin,
}

/// `GET /openapi.json`.
pub(crate) async fn serve(Extension(protocols): Extension<Arc<Protocols>>) -> Json<Value> {
    Json(describe(&protocols))
}

/// The whole description.
pub(crate) fn describe(protocols: &Protocols) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in ours::ENDPOINTS {
        add(&mut paths, "hub", "", endpoint, &Value::Null);
    }
    let mut prefixes = vec![""];
    for (name, settings) in protocols.each() {
        for endpoint in theirs::of(name) {
            add(&mut paths, name, &settings.prefix, endpoint, &limit(settings));
        }
        if !prefixes.contains(&settings.prefix.as_str()) {
            prefixes.push(&settings.prefix);
        }
    }
    for prefix in prefixes {
        for endpoint in logins::ENDPOINTS {
            for at in ["/auth", "/api/auth"] {
                add(&mut paths, "login", &format!("{prefix}{at}"), endpoint, &Value::Null);
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Tillsync hub", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "MIT", "identifier": "MIT" } },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "a device's key, a user's token, or the access token of a login" },
                "admin": { "type": "http", "scheme": "bearer", "description": "the admin key" },
            },
            "schemas": { "Error": schema(&json!({ "success": false, "error": "for people", "code": "for programs", "field": "changes[3].id" })) },
        },
    })
}

fn limit(settings: &Settings) -> Value {
    settings.limit.map_or(Value::Null, |limit| json!(format!("{} requests in {} seconds", limit.requests, limit.seconds)))
}

fn add(paths: &mut Map<String, Value>, tag: &str, prefix: &str, endpoint: &Endpoint, limit: &Value) {
    let path = format!("{prefix}{}", endpoint.path);
    let refused = json!({ "description": "refused", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } } });
    let answer = content(endpoint.answer);
    let mut operation = json!({
        "tags": [tag],
        "summary": endpoint.summary,
        "operationId": format!("{} {path}", endpoint.method),
        "responses": { endpoint.status.to_string(): { "description": "done", "content": answer }, "default": refused },
    });
    match endpoint.access {
        Who::Anybody => operation["security"] = json!([]),
        Who::Bearer => operation["security"] = json!([{ "bearer": [] }]),
        Who::Admin => operation["security"] = json!([{ "admin": [] }]),
    }
    let in_path = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = endpoint
        .query
        .iter()
        .map(|(name, example)| json!({ "name": name, "in": "query", "schema": { "type": "string" }, "example": example }));
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if !endpoint.body.is_empty() {
        operation["requestBody"] = json!({ "required": true, "content": content(endpoint.body) });
    }
    if !limit.is_null() {
        operation["x-rate-limit"] = limit.clone();
    }
    let methods = paths.entry(path).or_insert_with(|| json!({}));
    methods[endpoint.method.to_ascii_lowercase()] = operation;
}

fn content(example: &str) -> Value {
    let example: Value = serde_json::from_str(example).expect("examples are JSON");
    json!({ "application/json": { "schema": schema(&example), "example": example } })
}

/// The schema of which a value is an example. Members may be absent, and there may be others.
fn schema(example: &Value) -> Value {
    match example {
        Value::Null => json!({}),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(number) if number.is_i64() => json!({ "type": "integer" }),
        Value::Number(_) => json!({ "type": "number" }),
        Value::String(_) => json!({ "type": "string" }),
        Value::Array(items) => match items.first() {
            Some(first) => json!({ "type": "array", "items": schema(first) }),
            None => json!({ "type": "array" }),
        },
        Value::Object(members) => {
            let properties: Map<String, Value> = members.iter().map(|(name, member)| (name.clone(), schema(member))).collect();
            json!({ "type": "object", "properties": properties })
        }
    }
}
