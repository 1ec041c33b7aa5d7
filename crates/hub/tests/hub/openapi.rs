//! The description says what is served, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tillsync_core::protocol::Protocols;
use tillsync_hub::Options;

use crate::support::Shop;

async fn described(shop: &Shop) -> Vec<(String, String, Value)> {
    let (status, description) = shop.ask("GET", "/openapi.json", &[], "").await;
    assert_eq!((status, &description["openapi"]), (200, &Value::from("3.1.0")));
    let mut found = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            found.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    found
}

#[tokio::test]
async fn everything_that_is_described_is_served_to_whom_it_says() {
    let moved = Protocols::parse("[booky]\nprefix = '/books'\nlimit = { requests = 7, seconds = 60 }").unwrap();
    for options in [Options::default(), Options { protocols: moved.into(), ..Options::default() }] {
        let shop = Shop::with(options).await;
        for (method, path, operation) in described(&shop).await {
            let (status, answer) = shop.ask(&method, &path.replace("{id}", "1").replace("{deviceId}", "d"), &[], "").await;
            let open = operation["security"].as_array().unwrap().is_empty();
            assert!(!matches!(status, 404 | 405) && (open || matches!(status, 400 | 401)), "{method} {path}: {status} {answer}");
        }
    }
}

#[tokio::test]
async fn everything_that_is_served_is_described() {
    let described: BTreeSet<String> = described(&Shop::open().await).await.into_iter().map(|(_, path, _)| path).collect();
    let mut served = 0;
    for file in ["router.rs", "protocols/auraflow.rs", "protocols/booky.rs", "protocols/insight.rs"] {
        let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)).unwrap();
        for route in source.split(".route(\"").skip(1) {
            let path = route.split('"').next().unwrap().replace("{device_id}", "{deviceId}");
            assert!(described.contains(&path), "{file}: {path}");
            served += 1;
        }
    }
    assert!(served > 25, "{served}");
    for path in [
        "/events/sync/push",
        "/events/sync/pull",
        "/events/api/sync/push",
        "/events/api/sync/pull",
        "/auth/login",
        "/events/api/auth/google",
    ] {
        assert!(described.contains(path), "{path}");
    }
}

#[tokio::test]
async fn examples_have_their_schemas_and_limits_are_told() {
    let shop = Shop::open().await;
    let all = described(&shop).await;
    let operation = |method: &str, path: &str| all.iter().find(|(m, p, _)| m == method && p == path).unwrap().2.clone();
    let push = operation("POST", "/sync/push");
    let change = &push["requestBody"]["content"]["application/json"]["schema"]["properties"]["changes"]["items"]["properties"];
    assert_eq!((&change["entityId"]["type"], &change["timestamp"]["type"]), (&Value::from("string"), &Value::from("integer")));
    assert_eq!(operation("GET", "/api/sync/status")["x-rate-limit"], "100 requests in 900 seconds");
    assert_eq!(operation("POST", "/api/sync/queue")["responses"]["201"]["description"], "done");
    assert_eq!(operation("DELETE", "/sync/{deviceId}")["parameters"][0]["name"], "deviceId");
}
