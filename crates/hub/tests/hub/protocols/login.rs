//! Names and passwords, tokens that last an hour, and staying in.

use serde_json::{Value, json};
use tillsync_core::protocol::Protocols;
use tillsync_hub::Options;
use tillsync_hub::database::Terms;

use super::support::{Caller, log};
use crate::support::Shop;

async fn login(shop: &Shop, name: &str, password: &str) -> (u16, Value) {
    shop.post("/api/auth/login", &json!({ "username": name, "password": password })).await
}

fn caller(answer: &Value) -> Caller {
    Caller::with(answer["accessToken"].as_str().unwrap())
}

#[tokio::test]
async fn a_user_logs_in_stays_in_and_logs_out() {
    let shop = Shop::open().await;
    shop.hub.put_user("Sara", Some("correct horse"), false, Terms::default()).await.unwrap();
    for (name, password) in [("Sara", "wrong horse"), ("nobody", "correct horse"), ("", "")] {
        let (status, answer) = login(&shop, name, password).await;
        assert_eq!((status, &answer["code"]), (401, &json!("unauthorized")));
    }
    let (status, first) = login(&shop, "sara", "correct horse").await;
    assert_eq!((status, &first["tokenType"], &first["expiresIn"]), (200, &json!("Bearer"), &json!(3600)));
    let sara = caller(&first);
    assert_eq!(sara.get(&shop, "/api/sync/status").await["success"], true);
    let refresh = json!({ "refreshToken": first["refreshToken"] });
    let (status, second) = shop.post("/auth/refresh", &refresh).await;
    assert_eq!(status, 200);
    assert_eq!(caller(&second).get(&shop, "/api/sync/status").await["success"], true);
    assert_eq!(shop.post("/auth/refresh", &json!({ "refreshToken": "made up" })).await.0, 401);

    sara.post(&shop, "/auth/logout", Value::Null).await;
    for gone in [&sara, &caller(&second)] {
        let (status, answer) = gone.ask(&shop, "GET", "/api/sync/status", Value::Null).await;
        assert_eq!((status, &answer["code"]), (401, &json!("UNAUTHORIZED")), "{answer}");
    }
    assert_eq!(shop.post("/auth/refresh", &refresh).await.0, 401);

    let again = caller(&login(&shop, "Sara", "correct horse").await.1);
    assert!(shop.hub.database().remove_user("Sara").await.unwrap());
    assert_eq!(again.ask(&shop, "GET", "/api/sync/status", Value::Null).await.0, 401);
}

#[tokio::test]
async fn guessing_pauses() {
    let shop = Shop::open().await;
    for _ in 0..10 {
        assert_eq!(login(&shop, "nobody", "x").await.0, 401);
    }
    let (status, answer) = login(&shop, "NOBODY", "x").await;
    assert_eq!((status, &answer["code"]), (429, &json!("rate_limited")));
}

#[tokio::test]
async fn a_session_is_a_machine_of_its_own() {
    let shop = Shop::open().await;
    shop.hub.put_user("owner", Some("correct horse"), false, Terms::default()).await.unwrap();
    let one = caller(&login(&shop, "owner", "correct horse").await.1);
    let two = caller(&login(&shop, "owner", "correct horse").await.1);
    let operation = |title: &str, at: &str| json!({ "operations": [{ "id": "1", "type": "update", "entity": "book", "entityId": "b", "data": { "title": title }, "timestamp": at }] });
    one.post(&shop, "/api/sync/operations", operation("later", "2024-01-15T12:00:00Z")).await;
    let answer = two.post(&shop, "/api/sync/operations", operation("earlier", "2024-01-15T11:00:00Z")).await;
    assert_eq!(answer["results"][0]["code"], "CONFLICT_DETECTED");
    assert_eq!(shop.stats().await["activeDevices"], 2);
}

#[tokio::test]
async fn a_user_gets_and_gives_only_the_tables_that_are_named() {
    let shop = Shop::open().await;
    let office = Caller::new(&shop, "office").await;
    let terms = Terms { role: None, entities: Some(vec!["sales".to_owned()]) };
    let phone = Caller::on(&shop, "phone", terms).await;
    let upsert = |entity: &str, id: &str| json!({ "event_uuid": uuid::Uuid::new_v4(), "entity": entity, "entity_id": id, "op": "upsert", "payload": {} });
    let push = |events: Value| json!({ "device_id": "d", "events": events });
    office.post(&shop, "/events/sync/push", push(json!([upsert("wages", "1"), upsert("sales", "2")]))).await;
    let page = phone.get(&shop, "/events/sync/pull").await;
    assert_eq!((page["events"].as_array().unwrap().len(), &page["events"][0]["entity"]), (1, &json!("sales")));
    let answer = phone.post(&shop, "/events/sync/push", push(json!([upsert("wages", "3"), upsert("sales", "4")]))).await;
    assert_eq!((answer["acceptedEventIds"].as_array().unwrap().len(), answer["rejected"].as_array().unwrap().len()), (1, 1));
    assert_eq!(log(&shop).len(), 3);
}

#[tokio::test]
async fn a_devices_own_key_opens_every_protocol_and_a_suspended_client_none() {
    let shop = Shop::open().await;
    let till = shop.device("till").await;
    let key = Caller::with(&till.key);
    let record = json!({ "device_id": "x", "timestamp": "2026-01-01T10:00:00Z", "changes": { "forms": [{ "id": "f" }] } });
    key.post(&shop, "/api/v1/sync/push", record).await;
    assert_eq!(shop.pull(&till, json!({ "excludeOwn": true })).await["changes"], json!([]), "it is the same device");
    let user = Caller::new(&shop, "user").await;
    user.get(&shop, "/api/v1/sync/status").await;
    let connection = rusqlite::Connection::open(shop.folder.path().join("hub.db")).unwrap();
    let id: String = connection.query_row("SELECT id FROM devices WHERE name = 'user'", [], |row| row.get(0)).unwrap();
    let admin = Caller::with(&shop.hub.replace_admin_key().await.unwrap());
    for id in [&id, &till.id] {
        admin.post(&shop, &format!("/sync/suspend/{id}"), Value::Null).await;
    }
    for gone in [&user, &key] {
        assert_eq!(gone.ask(&shop, "GET", "/api/v1/sync/status", Value::Null).await.0, 403);
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_served_unless_the_settings_say_so() {
    let paths = [
        ("POST", "/api/sync/batch"),
        ("POST", "/api/sync/order"),
        ("POST", "/api/sync/transaction"),
        ("GET", "/api/sync/updates"),
        ("POST", "/events/sync/push"),
        ("GET", "/events/sync/pull"),
        ("POST", "/events/api/sync/push"),
        ("GET", "/events/api/sync/pull"),
        ("POST", "/api/sync/operations"),
        ("GET", "/api/sync/status"),
        ("GET", "/api/sync/pending"),
        ("GET", "/api/sync/changes"),
        ("POST", "/api/sync/full"),
        ("POST", "/api/sync/full/1/undo"),
        ("POST", "/api/sync/queue"),
        ("POST", "/api/sync/mark-synced"),
        ("DELETE", "/api/sync/clear"),
        ("POST", "/api/v1/sync/pull"),
        ("POST", "/api/v1/sync/push"),
        ("GET", "/api/v1/sync/status"),
    ];
    let shop = Shop::open().await;
    for (method, path) in paths {
        let (status, answer) = shop.ask(method, path, &[], "never read").await;
        assert_eq!((status, &answer["success"]), (401, &json!(false)), "{path}: {answer}");
    }
    let protocols = Protocols::parse("[auraflow]\naccess = 'open'").unwrap();
    let shop = Shop::with(Options { protocols: protocols.into(), ..Options::default() }).await;
    assert_eq!(shop.ask("GET", "/api/sync/updates?deviceId=d", &[], "").await.0, 200);
    assert_eq!(shop.ask("GET", "/api/sync/updates?deviceId=d", &[("authorization", "Bearer wrong")], "").await.0, 401);
    assert_eq!(shop.ask("GET", "/api/v1/sync/status", &[], "").await.0, 401);
}
