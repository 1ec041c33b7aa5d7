//! Keys in all their places; suspension, deletion, the admin key.

use serde_json::json;

use tillsync_hub::Options;
use tillsync_hub::database::Terms;

use crate::support::{DAY, Device, Shop, bearer, event, ids, plain};

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_key_is_accepted_in_every_place_and_only_with_its_device() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    let path = |key: &str| format!("/sync/status?deviceId={}&apiKey={}", a.id, percent_encoded(key));
    assert_eq!(shop.ask("GET", &path(&a.key), &[], "").await.0, 200);
    assert_eq!(shop.ask("GET", &path(&b.key), &[], "").await.0, 401);
    assert_eq!(shop.ask("GET", "/sync/status", &a.headers(), "").await.0, 200);
    assert_eq!(shop.ask("GET", "/sync/status", &[], "").await.0, 401);
    for path in ["/sync/push", "/sync/pull"] {
        let body = |key: &str| json!({ "deviceId": a.id, "apiKey": key, "changes": [] });
        assert_eq!(shop.post(path, &body(&a.key)).await.0, 200);
        let mixed = json!({ "deviceId": a.id, "changes": [] }).to_string();
        assert_eq!(shop.ask("POST", path, &[("authorization", &bearer(&a.key))], mixed).await.0, 200);
        assert_eq!(shop.ask("POST", path, &a.headers(), r#"{"changes":[]}"#).await.0, 200);
        for (status, answer) in [
            shop.post(path, &body(&b.key)).await,
            shop.post(path, &body("")).await,
            shop.post(path, &json!({ "changes": [] })).await,
            shop.post(path, &json!({ "deviceId": "unknown", "apiKey": a.key, "changes": [] })).await,
            shop.ask("POST", path, &[("x-device-id", &b.id), ("authorization", &bearer(&a.key))], "no JSON, never read").await,
        ] {
            assert_eq!((status, answer["code"].as_str()), (401, Some("unauthorized")));
        }
    }
}

#[tokio::test]
async fn a_suspended_device_is_refused_until_it_is_resumed() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let admin = bearer(&shop.hub.make_first_admin_key().await.unwrap().unwrap());
    let admin = [("authorization", admin.as_str())];
    assert_eq!(shop.ask("POST", &format!("/sync/suspend/{}", a.id), &admin, "").await.1["message"], "Device suspended");
    for (method, path) in [("POST", "/sync/push"), ("POST", "/sync/pull"), ("GET", "/sync/status")] {
        let (status, answer) = shop.ask(method, path, &a.headers(), r#"{"changes":[]}"#).await;
        assert_eq!((status, answer["code"].as_str()), (403, Some("suspended")));
    }
    assert_eq!(shop.ask("GET", "/sync/stats", &admin, "").await.1["stats"]["activeDevices"], 0);
    assert_eq!(shop.ask("POST", &format!("/sync/resume/{}", a.id), &admin, "").await.0, 200);
    assert_eq!(shop.ask("GET", "/sync/status", &a.headers(), "").await.0, 200);
}

#[tokio::test]
async fn a_deleted_device_is_a_stranger_and_its_changes_stay() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[plain("create", "1", json!({ "x": 1 })), event("create", "2", None, &[], json!({ "x": 2 }))]).await;
    shop.pull(&a, json!({})).await;
    let admin = bearer(&shop.hub.make_first_admin_key().await.unwrap().unwrap());
    let admin = [("authorization", admin.as_str())];
    let path = format!("/sync/{}", a.id);
    assert_eq!(shop.ask("DELETE", &path, &admin, "").await.1["message"], "Device deleted");
    assert_eq!(shop.ask("DELETE", &path, &admin, "").await.0, 404);
    assert_eq!(shop.ask("GET", "/sync/status", &a.headers(), "").await.0, 401);
    assert_eq!(ids(&shop.pull(&b, json!({})).await), [1, 2]);
}

#[tokio::test]
async fn only_the_admin_key_opens_the_admin_endpoints() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let first = shop.hub.make_first_admin_key().await.unwrap().unwrap();
    assert!(shop.hub.make_first_admin_key().await.unwrap().is_none(), "shown once");
    let second = shop.hub.replace_admin_key().await.unwrap();
    let suspend = format!("/sync/suspend/{}", a.id);
    let resume = format!("/sync/resume/{}", a.id);
    let delete = format!("/sync/{}", a.id);
    for (method, path) in [("GET", "/sync/stats"), ("POST", &suspend), ("POST", &resume), ("DELETE", &delete)] {
        for key in [None, Some(&a.key), Some(&first), Some(&String::new())] {
            let value = key.map(|key| bearer(key));
            let headers: Vec<_> = value.iter().map(|value| ("authorization", value.as_str())).collect();
            let (status, answer) = shop.ask(method, path, &headers, "").await;
            assert_eq!((status, answer["code"].as_str()), (401, Some("unauthorized")), "{method} {path}");
        }
    }
    let admin = bearer(&second);
    let (status, answer) = shop.ask("GET", "/sync/stats", &[("authorization", &admin)], "").await;
    assert_eq!((status, &answer["stats"]["activeDevices"]), (200, &json!(1)));
    assert_eq!(answer["stats"]["lastUpdateAt"], json!(null));
    assert_eq!(shop.ask("POST", "/sync/suspend/unknown", &[("authorization", &admin)], "").await.0, 404);
}

#[tokio::test]
async fn stats_count() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[plain("create", "1", json!({ "x": 1 })), plain("create", "2", json!({ "x": 1 }))]).await;
    shop.push(&b, &[event("create", "1", None, &[], json!({ "x": 2 }))]).await;
    let stats = shop.stats().await;
    assert_eq!((&stats["totalChanges"], &stats["pendingConflicts"]), (&json!(2), &json!(1)));
    assert!(stats["lastUpdateAt"].as_str().unwrap().ends_with('Z'), "{stats}");
}

#[tokio::test]
async fn health_is_open_to_everybody_and_every_answer_is_json() {
    let shop = Shop::open().await;
    let (status, health) = shop.ask("GET", "/health", &[], "").await;
    assert_eq!((status, &health["ok"], &health["database"]), (200, &json!(true), &json!("sqlite")));
    assert_eq!(health["epoch"], shop.hub.database().epoch());
    for (method, path, expected, code) in [
        ("GET", "/", 404, "not_found"),
        ("GET", "/sync/nothing/here", 404, "not_found"),
        ("GET", "/sync/push", 405, "method_not_allowed"),
        ("DELETE", "/health", 405, "method_not_allowed"),
        ("DELETE", "/sync/%ff", 401, "unauthorized"),
    ] {
        let (status, answer) = shop.ask(method, path, &[], "").await;
        assert_eq!((status, answer["code"].as_str()), (expected, Some(code)), "{method} {path}");
    }
}

#[tokio::test]
async fn a_device_gets_and_gives_only_the_entities_that_its_token_names() {
    let shop = Shop::with(Options::default()).await;
    let entities = |names: &[&str]| Terms { role: None, entities: Some(names.iter().map(|&name| name.to_owned()).collect()) };
    let register = async |name: &str, terms: Terms| {
        let token = shop.hub.make_enroll_token(1, DAY, terms).await.unwrap();
        let body = json!({ "name": name, "enrollToken": token, "registrationId": name });
        let (status, answer) = shop.post("/sync/register", &body).await;
        assert_eq!(status, 201);
        (Device::from(&answer), answer)
    };
    let (office, _) = register("office", Terms::default()).await;
    let (till, answer) = register("till", entities(&["sales", "products"])).await;
    assert_eq!(answer["device"]["entities"], json!(["sales", "products"]));
    let of = |entity: &str, id: &str| {
        let mut change = event("create", id, None, &[], json!({ "id": id }));
        change["entityType"] = json!(entity);
        change
    };
    shop.push(&office, &[of("products", "1"), of("wages", "2"), of("sales", "3")]).await;
    assert_eq!(ids(&shop.pull(&till, json!({})).await), [1, 3]);
    assert_eq!(ids(&shop.pull(&till, json!({ "entityTypes": ["wages", "sales"] })).await), [3]);
    let answer = shop.push(&till, &[of("sales", "4"), of("wages", "5")]).await;
    let found: Vec<_> = answer["results"].as_array().unwrap().iter().map(|result| result["status"].clone()).collect();
    assert_eq!(found, ["applied", "rejected"]);
    assert!(answer["results"][1]["error"].as_str().unwrap().contains("may not send wages"), "{answer}");
    // A new token says anew what is its business.
    let (till, _) = register("till", entities(&["wages"])).await;
    assert_eq!(ids(&shop.pull(&till, json!({})).await), [2]);
    let (till, answer) = register("till", Terms::default()).await;
    assert_eq!(ids(&shop.pull(&till, json!({})).await), [1, 2, 3, 4]);
    assert_eq!(answer["device"].get("entities"), None);
}
