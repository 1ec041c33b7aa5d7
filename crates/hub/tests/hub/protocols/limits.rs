//! How often, how many, how large.

use serde_json::{Value, json};
use tillsync_core::protocol::Protocols;
use tillsync_core::wire::hub::{BODY_BYTES_MAX, PUSH_CHANGES_MAX};
use tillsync_hub::Options;

use super::support::{Caller, log};
use crate::support::Shop;

#[tokio::test]
async fn a_hundred_requests_in_fifteen_minutes() {
    let shop = Shop::open().await;
    let (a, b) = (Caller::new(&shop, "a").await, Caller::new(&shop, "b").await);
    for _ in 0..100 {
        assert_eq!(a.ask(&shop, "GET", "/api/sync/pending", Value::Null).await.0, 200);
    }
    let [authorization] = a.headers();
    let request = axum::http::Request::get("/api/sync/status").header(authorization.0, authorization.1);
    let (status, headers, body) = shop.send(request.body(axum::body::Body::empty()).unwrap()).await;
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status.as_u16(), &answer["code"]), (429, &json!("RATE_LIMITED")));
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    let [authorization] = b.headers();
    let request = axum::http::Request::get("/api/sync/status").header(authorization.0, authorization.1);
    let (status, headers, _) = shop.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(
        (status.as_u16(), &headers["x-ratelimit-limit"], &headers["x-ratelimit-remaining"]),
        (200, &"100".parse().unwrap(), &"99".parse().unwrap())
    );
    assert_eq!(a.ask(&shop, "GET", "/api/v1/sync/status", Value::Null).await.0, 200, "another protocol has no limit");
}

#[tokio::test]
async fn the_limit_is_a_setting() {
    let protocols = Protocols::parse("[booky]\nlimit = false\n[insight]\nlimit = { requests = 2, seconds = 60 }").unwrap();
    let shop = Shop::with(Options { protocols: protocols.into(), ..Options::default() }).await;
    let a = Caller::new(&shop, "a").await;
    for _ in 0..120 {
        assert_eq!(a.ask(&shop, "GET", "/api/sync/pending", Value::Null).await.0, 200);
    }
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(a.ask(&shop, "GET", "/api/v1/sync/status", Value::Null).await.0);
    }
    assert_eq!(told, [200, 200, 429]);
}

#[tokio::test]
async fn too_much_is_413_and_nothing_of_it_is_stored() {
    let shop = Shop::open().await;
    let a = Caller::new(&shop, "a").await;
    let operations: Vec<Value> = (0..=PUSH_CHANGES_MAX)
        .map(|n| json!({ "id": n, "type": "create", "entity": "book", "entityId": format!("b{n}"), "data": {} }))
        .collect();
    let many = json!({ "operations": operations }).to_string();
    let long = json!({ "operations": ["x".repeat(BODY_BYTES_MAX)] }).to_string();
    for body in [many, long] {
        let (status, answer) = shop.ask("POST", "/api/sync/operations", &a.headers(), body).await;
        assert_eq!((status, &answer["code"]), (413, &json!("VALIDATION_ERROR")), "{answer}");
    }
    assert_eq!(log(&shop).len(), 0);
}
