//! Who may register, and how often.

use std::time::Duration;

use serde_json::{Value, json};
use tillsync_hub::Options;
use tillsync_hub::database::Terms;

use crate::support::{DAY, Device, Shop, bearer};

async fn refuse(shop: &Shop, body: Value, status: u16, code: &str) {
    let (found, answer) = shop.post("/sync/register", &body).await;
    assert_eq!((found, answer["code"].as_str().unwrap()), (status, code), "{body} {answer}");
    assert_eq!(answer["success"], false);
    assert!(!answer["error"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn an_open_hub_takes_a_client_of_the_original_protocol() {
    let shop = Shop::open().await;
    let body = json!({ "name": "Store A - Register 1", "type": "desktop", "version": "1.0.0", "platform": "Windows",
        "metadata": { "location": "Main Store" } });
    let (status, answer) = shop.post("/sync/register", &body).await;
    assert_eq!(status, 201);
    assert_eq!(answer["success"], true);
    for member in ["name", "type", "version", "platform", "metadata"] {
        assert_eq!(answer["device"][member], body[member]);
    }
    assert_eq!(answer["device"]["status"], "active");
    assert!(answer["device"]["createdAt"].as_i64().unwrap() > 0);
    let (_, second) = shop.post("/sync/register", &body).await;
    assert_ne!(second["device"]["id"], answer["device"]["id"], "without a registration id every call makes a device");
    assert_eq!(shop.stats().await["activeDevices"], 2);
}

#[tokio::test]
async fn a_token_lets_as_many_in_as_it_says() {
    let shop = Shop::with(Options::default()).await;
    let token = shop.hub.make_enroll_token(2, DAY, Terms::default()).await.unwrap();
    refuse(&shop, json!({ "name": "A" }), 401, "enroll_token_required").await;
    refuse(&shop, json!({ "name": "A", "enrollToken": "wrong" }), 401, "enroll_token_invalid").await;
    refuse(&shop, json!({ "name": " ", "enrollToken": token }), 400, "bad_request").await;
    assert_eq!(shop.post("/sync/register", &json!({ "name": "A", "enrollToken": token })).await.0, 201);
    let in_header = shop.ask("POST", "/sync/register", &[("authorization", &bearer(&token))], r#"{"name":"B"}"#).await;
    assert_eq!(in_header.0, 201, "{}", in_header.1);
    refuse(&shop, json!({ "name": "C", "enrollToken": token }), 401, "enroll_token_invalid").await;
    let expired = shop.hub.make_enroll_token(5, Duration::ZERO, Terms::default()).await.unwrap();
    refuse(&shop, json!({ "name": "C", "enrollToken": expired }), 401, "enroll_token_invalid").await;
    assert_eq!(shop.stats().await["activeDevices"], 2);
}

#[tokio::test]
async fn a_repeated_registration_is_the_same_device_with_a_fresh_key() {
    let shop = Shop::with(Options::default()).await;
    let token = shop.hub.make_enroll_token(1, DAY, Terms::default()).await.unwrap();
    let body = json!({ "name": "A", "enrollToken": token, "registrationId": "r-1" });
    let (_, first) = shop.post("/sync/register", &body).await;
    let (status, second) = shop.post("/sync/register", &body).await;
    assert_eq!(status, 201, "the token is used up by this very registration: {second}");
    let (first, second) = (Device::from(&first), Device::from(&second));
    assert_eq!(first.id, second.id);
    assert_eq!(shop.ask("GET", "/sync/status", &first.headers(), "").await.0, 401);
    assert_eq!(shop.ask("GET", "/sync/status", &second.headers(), "").await.0, 200);

    refuse(&shop, json!({ "name": "B", "enrollToken": token, "registrationId": "r-2" }), 401, "enroll_token_invalid").await;
    refuse(&shop, json!({ "name": "A", "registrationId": "r-1" }), 401, "enroll_token_required").await;
    let other = shop.hub.make_enroll_token(1, DAY, Terms::default()).await.unwrap();
    let body = json!({ "name": "A", "enrollToken": other, "registrationId": "r-1" });
    assert_eq!(shop.post("/sync/register", &body).await.1["device"]["id"], first.id);
    let body = json!({ "name": "B", "enrollToken": other, "registrationId": "r-2" });
    assert_eq!(shop.post("/sync/register", &body).await.0, 201, "the repeat used no use up");
}

#[tokio::test]
async fn bad_registrations_name_the_member() {
    let shop = Shop::open().await;
    for (body, field) in [
        (json!({}), "name"),
        (json!({ "name": 1 }), "name"),
        (json!({ "name": "x".repeat(201) }), "name"),
        (json!({ "name": "A", "type": "toaster" }), "type"),
        (json!({ "name": "A", "registrationId": "x".repeat(201) }), "registrationId"),
        (json!({ "name": "A", "metadata": { "a": "x".repeat(20_000) } }), "metadata"),
    ] {
        let (status, answer) = shop.post("/sync/register", &body).await;
        assert_eq!(
            (status, answer["code"].as_str(), answer["field"].as_str()),
            (400, Some("bad_request"), Some(field)),
            "{answer}"
        );
    }
}
