//! Keys that are replaced and keys that expire.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tillsync_hub::{Hub, Keys, Options, router};

use crate::support::{Device, Shop, bearer};

fn hash(key: &str) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asks with a key of the device.
async fn ask(shop: &Shop, device: &Device, key: &str, path: &str, body: Value) -> (u16, Value) {
    let authorization = bearer(key);
    let headers = [("x-device-id", device.id.as_str()), ("authorization", authorization.as_str())];
    shop.ask("POST", path, &headers, body.to_string()).await
}

async fn rekey(shop: &Shop, device: &Device, key: &str, new: &str) -> (u16, Value) {
    ask(shop, device, key, "/sync/rekey", json!({ "newKeyHash": hash(new) })).await
}

async fn pull(shop: &Shop, device: &Device, key: &str) -> (u16, Value) {
    ask(shop, device, key, "/sync/pull", json!({})).await
}

/// A shop with a device whose key is as old as that.
async fn aged(keys: Keys, age_ms: i64) -> (Shop, Device) {
    let Shop { folder, .. } = Shop::open().await;
    let hub = Hub::open(folder.path().join("hub.db")).await.unwrap().with_keys(keys);
    let shop = Shop { router: router(hub.clone(), Options { open_registration: true, ..Options::default() }), hub, folder };
    let device = shop.device("A").await;
    let connection = rusqlite::Connection::open(shop.folder.path().join("hub.db")).unwrap();
    connection.execute("UPDATE devices SET created_at = created_at - ?1", [age_ms]).unwrap();
    (shop, device)
}

const HOUR: i64 = 3_600_000;

#[tokio::test]
async fn both_keys_work_until_the_grace_is_over_and_asking_again_changes_nothing() {
    let (shop, a) = aged(Keys::default(), 0).await;
    let (_, first) = rekey(&shop, &a, &a.key, "new").await;
    for key in [a.key.as_str(), "new"] {
        let (status, again) = rekey(&shop, &a, key, "new").await;
        assert_eq!((status, &again["oldKeyUntil"]), (200, &first["oldKeyUntil"]), "{again}");
        assert_eq!(pull(&shop, &a, key).await.0, 200);
    }
    let (status, answer) = rekey(&shop, &a, &a.key, "third").await;
    assert_eq!((status, answer["code"].as_str()), (401, Some("key_expired")), "who has the key before may not make others");
    assert_eq!(rekey(&shop, &a, "new", "third").await.0, 200);
    assert_eq!(pull(&shop, &a, &a.key).await.0, 401);
    let connection = rusqlite::Connection::open(shop.folder.path().join("hub.db")).unwrap();
    connection.execute_batch("UPDATE devices SET old_key_until = 1").unwrap();
    let (status, answer) = pull(&shop, &a, "new").await;
    assert_eq!((status, answer["code"].as_str()), (401, Some("key_expired")));
    assert_eq!(pull(&shop, &a, "third").await.0, 200);
}

#[tokio::test]
async fn pulls_say_when_a_key_expires() {
    let keys = Keys { lifetime_ms: Some(30 * HOUR), grace_ms: HOUR };
    let (shop, a) = aged(keys, 0).await;
    let (_, page) = pull(&shop, &a, &a.key).await;
    let at = |name: &str| page[name].as_i64().unwrap();
    assert_eq!(at("keyExpiresAt") - at("keyRenewAt"), 10 * HOUR);
    let (plain, b) = aged(Keys::default(), 0).await;
    assert_eq!(pull(&plain, &b, &b.key).await.1.get("keyExpiresAt"), None);
}

#[tokio::test]
async fn an_expired_key_opens_nothing_but_its_replacement_and_that_for_a_while() {
    let keys = Keys { lifetime_ms: Some(10 * HOUR), grace_ms: HOUR };
    let (shop, a) = aged(keys, 10 * HOUR + HOUR / 2).await;
    for path in ["/sync/pull", "/sync/push", "/sync/snapshot"] {
        let (status, answer) = ask(&shop, &a, &a.key, path, json!({ "changes": [], "entityType": "x" })).await;
        assert_eq!((status, answer["code"].as_str()), (401, Some("key_expired")), "{path}");
    }
    assert_eq!(rekey(&shop, &a, &a.key, "new").await.0, 200);
    assert_eq!(pull(&shop, &a, "new").await.0, 200);
    assert_eq!(pull(&shop, &a, &a.key).await.0, 401, "what has expired does not come to life again");
    let (shop, a) = aged(keys, 12 * HOUR).await;
    assert_eq!(rekey(&shop, &a, &a.key, "new").await.1["code"], "key_expired");
    shop.hub.database().let_keys_age(i64::MAX / 2).await.unwrap();
    assert_eq!(pull(&shop, &a, &a.key).await.0, 200, "ages count from the first start with a lifetime");
}

#[tokio::test]
async fn nobody_replaces_the_key_of_another_one_or_of_a_suspended_device() {
    let (shop, a) = aged(Keys::default(), 0).await;
    let b = shop.device("B").await;
    assert_eq!(rekey(&shop, &a, &b.key, "new").await.0, 401);
    for wrong in ["", "abc", &"g".repeat(64)] {
        assert_eq!(ask(&shop, &a, &a.key, "/sync/rekey", json!({ "newKeyHash": wrong })).await.1["field"], "newKeyHash");
    }
    let admin = bearer(&shop.hub.replace_admin_key().await.unwrap());
    shop.ask("POST", &format!("/sync/suspend/{}", a.id), &[("authorization", &admin)], "").await;
    assert_eq!(rekey(&shop, &a, &a.key, "new").await.1["code"], "suspended");
}
