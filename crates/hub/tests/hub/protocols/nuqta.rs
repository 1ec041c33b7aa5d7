//! A client that follows the nuqta document to the letter, with the bodies as they stand there.

use serde_json::{Value, json};

use crate::support::{Shop, bearer};

#[tokio::test]
async fn the_examples_of_the_document() {
    let shop = Shop::open().await;
    let registration = json!({
        "name": "Store A - Register 1", "type": "desktop", "version": "1.0.0", "platform": "Windows",
        "metadata": { "location": "Main Store" },
    });
    let (status, registered) = shop.post("/sync/register", &registration).await;
    assert_eq!((status, &registered["success"]), (201, &json!(true)));
    let device = &registered["device"];
    for member in ["name", "type", "version", "platform", "metadata"] {
        assert_eq!(device[member], registration[member]);
    }
    assert!(device["status"] == "active" && device["createdAt"].is_i64() && device["apiKey"].is_null(), "{device}");
    let (id, key) = (device["id"].as_str().unwrap(), registered["apiKey"].as_str().unwrap());

    let sale = json!({ "amount": 500 });
    let push = json!({
        "deviceId": id, "apiKey": key, "cursorId": 0,
        "changes": [
            { "id": 1, "operation": "create", "entityType": "Sale", "entityId": "sale-123", "timestamp": 1_234_567_890, "data": sale },
            { "id": 2, "operation": "update", "entityType": "Product", "entityId": "product-456", "timestamp": 1_234_567_891, "data": { "price": 100 } },
        ],
    });
    let (status, pushed) = shop.post("/sync/push", &push).await;
    assert_eq!(
        (status, &pushed["success"], &pushed["syncedCount"], &pushed["newCursorId"], &pushed["errors"]),
        (200, &json!(true), &json!(2), &json!(2), &json!([]))
    );
    assert!(pushed["serverTimestamp"].is_i64());

    let (_, other) = shop.post("/sync/register", &registration).await;
    assert_ne!(other["device"]["id"], device["id"]);
    let pull = |from: i64, limit: i64| json!({ "deviceId": other["device"]["id"], "apiKey": other["apiKey"], "fromCursorId": from, "limit": limit });
    let (status, page) = shop.post("/sync/pull", &pull(0, 1)).await;
    assert_eq!((status, &page["hasMore"], &page["newCursorId"]), (200, &json!(true), &json!(1)));
    let change = &page["changes"][0];
    let told = ["id", "operation", "entityType", "entityId", "timestamp", "isSynced"].map(|member| change[member].clone());
    assert_eq!(told, [json!(1), json!("create"), json!("Sale"), json!("sale-123"), json!(1_234_567_890), json!(true)]);
    assert_eq!(change["data"], sale);
    let (_, page) = shop.post("/sync/pull", &pull(1, 100)).await;
    assert_eq!(
        (&page["hasMore"], &page["newCursorId"], &page["changes"][0]["data"]),
        (&json!(false), &json!(2), &json!({ "price": 100 }))
    );

    let encoded: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (status, answer) = shop.ask("GET", &format!("/sync/status?deviceId={id}&apiKey={encoded}"), &[], "").await;
    assert_eq!(status, 200);
    let state = &answer["status"];
    assert_eq!((&state["deviceId"], &state["isSyncing"], &state["status"]), (&json!(id), &json!(false), &json!("synced")));
    assert!(state["lastSyncAt"].is_i64() && state["pendingChanges"] == 0 && state["cursorId"].is_i64(), "{state}");

    let admin = bearer(&shop.hub.replace_admin_key().await.unwrap());
    let admin = [("authorization", admin.as_str())];
    let (_, stats) = shop.ask("GET", "/sync/stats", &admin, "").await;
    assert_eq!(
        (&stats["stats"]["activeDevices"], &stats["stats"]["totalChanges"], &stats["stats"]["pendingConflicts"]),
        (&json!(2), &json!(2), &json!(0))
    );
    assert!(stats["stats"]["lastUpdateAt"].as_str().unwrap().ends_with('Z'));
    let (_, suspended) = shop.ask("POST", &format!("/sync/suspend/{id}"), &admin, "").await;
    assert_eq!(suspended, json!({ "success": true, "message": "Device suspended" }));
    assert_eq!(shop.post("/sync/push", &push).await.0, 403);
    let (_, deleted) = shop.ask("DELETE", &format!("/sync/{id}"), &admin, "").await;
    assert_eq!(deleted, json!({ "success": true, "message": "Device deleted" }));
    assert_eq!(shop.post("/sync/push", &push).await.0, 401);
}

#[tokio::test]
async fn what_is_sent_three_times_without_an_event_id_changes_nothing_more() {
    let shop = Shop::open().await;
    let device = shop.device("A").await;
    let changes: Vec<Value> = (0..120)
        .map(|n| json!({ "id": n, "operation": "create", "entityType": "Sale", "entityId": format!("s{n}"), "timestamp": 1, "data": { "n": n } }))
        .collect();
    for _ in 0..3 {
        assert_eq!(shop.push(&device, &changes).await["syncedCount"], 120);
    }
    assert_eq!(super::support::log(&shop).len(), 120);
}
