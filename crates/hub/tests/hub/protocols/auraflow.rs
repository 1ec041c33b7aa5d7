//! Orders and transactions, versions that clients count.

use serde_json::{Value, json};

use super::support::{Caller, log};
use crate::support::{Shop, event};

fn order(local_id: &str, version: i64, total: f64) -> Value {
    json!({
        "order": { "id": local_id, "orderNumber": format!("ORD-{local_id}"), "total": total },
        "localId": local_id, "syncStatus": "PENDING", "syncVersion": version, "deviceId": "device-abc-123",
    })
}

fn batch(device: &str, orders: &[Value], since: Option<&Value>) -> Value {
    json!({ "deviceId": device, "orders": orders, "transactions": [], "lastSyncTimestamp": since })
}

const BATCH: &str = "/api/sync/batch";

#[tokio::test]
async fn the_examples_of_the_document() {
    let shop = Shop::open().await;
    let (a, b) = (Caller::new(&shop, "a").await, Caller::new(&shop, "b").await);
    let transaction = json!({
        "transaction": { "id": "tx-1", "referenceNumber": "REF-1", "amount": 45.99 },
        "localId": "tx-1", "syncStatus": "PENDING", "syncVersion": 1, "deviceId": "device-abc-123",
    });
    let mut request = batch("device-abc-123", &[order("order-uuid-123", 1, 45.99)], Some(&json!(1_704_067_200_000_i64)));
    request["transactions"] = json!([transaction]);
    let answer = a.post(&shop, BATCH, request).await;
    assert_eq!(answer["success"], true);
    let synced = &answer["syncedOrders"][0];
    assert_eq!((&synced["success"], &synced["serverId"]), (&json!(true), &json!("order-uuid-123")), "{answer}");
    assert!(synced["syncedAt"].is_i64());
    assert_eq!(answer["syncedTransactions"][0]["success"], true);
    assert_eq!((&answer["serverUpdates"]["orders"], &answer["serverUpdates"]["transactions"]), (&json!([]), &json!([])), "its own");
    let since = answer["nextSyncToken"].as_str().unwrap().to_owned();
    assert!(since.parse::<i64>().is_ok());

    let answer = b.post(&shop, "/api/sync/order", order("order-uuid-456", 1, 7.5)).await;
    assert_eq!((&answer["success"], &answer["serverId"]), (&json!(true), &json!("order-uuid-456")));
    let mut other = transaction.clone();
    other["localId"] = json!("tx-2");
    other["transaction"]["id"] = json!("tx-2");
    assert_eq!(b.post(&shop, "/api/sync/transaction", other).await["success"], true);

    let updates = b.get(&shop, "/api/sync/updates?deviceId=device-b&since=0").await;
    let told = &updates["orders"][0];
    assert_eq!(
        (&told["localId"], &told["syncVersion"], &told["syncStatus"]),
        (&json!("order-uuid-123"), &json!(1), &json!("SYNCED"))
    );
    assert_eq!(told["order"], json!({ "id": "order-uuid-123", "orderNumber": "ORD-order-uuid-123", "total": 45.99, "items": [] }));
    assert_eq!(told["serverHash"].as_str().unwrap().len(), 64);
    assert_eq!(updates["deletedOrderIds"], json!([]));
    let updates = a.get(&shop, &format!("/api/sync/updates?deviceId=device-abc-123&since={since}")).await;
    assert_eq!(updates["orders"][0]["localId"], "order-uuid-456");
    let token = updates["nextSyncToken"].as_str().unwrap();
    let nothing = a.get(&shop, &format!("/api/sync/updates?deviceId=device-abc-123&since={token}")).await;
    assert_eq!((&nothing["orders"], &nothing["transactions"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_large_batch_sent_three_times_is_there_once() {
    let shop = Shop::open().await;
    let a = Caller::new(&shop, "a").await;
    let orders: Vec<Value> = (0..150).map(|n| order(&format!("o{n}"), 1, f64::from(n))).collect();
    for _ in 0..3 {
        let answer = a.post(&shop, BATCH, batch("d", &orders, None)).await;
        assert!(answer["syncedOrders"].as_array().unwrap().iter().all(|order| order["success"] == true), "{answer}");
    }
    assert_eq!(log(&shop).len(), 150);
}

#[tokio::test]
async fn the_server_wins_where_versions_do_not_say_otherwise() {
    let shop = Shop::open().await;
    let (a, b) = (Caller::new(&shop, "a").await, Caller::new(&shop, "b").await);
    a.post(&shop, BATCH, batch("one", &[order("o", 1, 100.0)], None)).await;
    a.post(&shop, BATCH, batch("one", &[order("o", 2, 150.0)], None)).await;
    for version in [1, 2] {
        for _ in 0..2 {
            let answer = b.post(&shop, "/api/sync/order", order("o", version, 120.0)).await;
            assert_eq!((&answer["success"], &answer["syncVersion"]), (&json!(false), &json!(2)), "{answer}");
            assert!(answer["message"].as_str().unwrap().contains("server version is newer"));
            let conflict = &answer["conflicts"][0];
            assert_eq!((&conflict["serverData"]["total"], &conflict["clientVersion"]), (&json!(150.0), &json!(version)));
        }
    }
    let same = b.post(&shop, "/api/sync/order", order("o", 2, 150.0)).await;
    assert_eq!(same["success"], true, "in step already");
    let told = b.get(&shop, "/api/sync/updates?deviceId=two").await["orders"][0].clone();
    assert_eq!((&told["order"]["total"], &told["syncVersion"]), (&json!(150.0), &json!(2)));
    assert_eq!(b.post(&shop, "/api/sync/order", order("o", 3, 120.0)).await["success"], true, "the client is newer");
    assert_eq!(a.get(&shop, "/api/sync/updates?deviceId=one").await["orders"][0]["order"]["total"], 120.0);
    assert_eq!(shop.conflicts().len(), 2, "once for each of the two that were overruled");
}

#[tokio::test]
async fn versions_count_whoever_writes() {
    let shop = Shop::open().await;
    let (a, till) = (Caller::new(&shop, "a").await, shop.device("till").await);
    a.post(&shop, BATCH, batch("one", &[order("o", 4, 100.0)], None)).await;
    let mut change = event("update", "o", Some(1), &["total"], json!({ "id": "o", "total": 90.5 }));
    change["entityType"] = json!("orders");
    shop.push(&till, &[change]).await;
    let told = a.get(&shop, "/api/sync/updates?deviceId=one").await["orders"][0].clone();
    assert_eq!((&told["syncVersion"], &told["order"]["total"]), (&json!(5), &json!(90.5)));
    let mut behind = order("o", 5, 80.0);
    assert_eq!(a.post(&shop, "/api/sync/order", behind.clone()).await["success"], false);
    behind["syncVersion"] = json!(6);
    behind["serverHash"] = told["serverHash"].clone();
    assert_eq!(a.post(&shop, "/api/sync/order", behind).await["success"], true);
    assert_eq!(shop.conflicts().len(), 1);
    // It counted on from a version that the till has written since: both values are kept in the conflict log.
    let mut change = event("update", "o", Some(3), &["total"], json!({ "id": "o", "total": 70.5 }));
    change["entityType"] = json!("orders");
    shop.push(&till, &[change]).await;
    let mut unaware = order("o", 9, 60.5);
    unaware["serverHash"] = told["serverHash"].clone();
    assert_eq!(a.post(&shop, "/api/sync/order", unaware).await["success"], true);
    assert_eq!(shop.conflicts().len(), 2);
}

#[tokio::test]
async fn what_was_deleted_stays_deleted() {
    let shop = Shop::open().await;
    let (a, till) = (Caller::new(&shop, "a").await, shop.device("till").await);
    let first = a.post(&shop, BATCH, batch("one", &[order("o", 1, 1.5)], None)).await;
    let mut gone = event("delete", "o", Some(1), &[], Value::Null);
    gone["entityType"] = json!("orders");
    shop.push(&till, &[gone]).await;
    let updates = a.get(&shop, &format!("/api/sync/updates?deviceId=one&since={}", first["nextSyncToken"].as_str().unwrap())).await;
    assert_eq!((&updates["deletedOrderIds"], &updates["orders"]), (&json!(["o"]), &json!([])));
    let answer = a.post(&shop, "/api/sync/order", order("o", 2, 2.5)).await;
    assert_eq!((&answer["success"], &answer["message"]), (&json!(false), &json!("Conflict: deleted on the server")));
    assert_eq!(answer["conflicts"][0]["serverData"], Value::Null);
    assert_eq!(log(&shop).len(), 2);
}

#[tokio::test]
async fn one_bad_order_holds_up_nobody() {
    let shop = Shop::open().await;
    let a = Caller::new(&shop, "a").await;
    let bad = [json!({ "localId": "x" }), order("", 1, 1.0), order("huge", i64::MAX, 1.0), order("good", 1, 1.5)];
    let answer = a.post(&shop, BATCH, batch("one", &bad, None)).await;
    let told: Vec<(bool, bool)> = answer["syncedOrders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| (order["success"] == true, order["message"].is_string()))
        .collect();
    assert_eq!(told, [(false, true), (false, true), (false, true), (true, false)], "{answer}");
    assert_eq!(log(&shop).len(), 1);
    for (path, body, field) in [
        (BATCH, json!({ "orders": [] }), "deviceId"),
        ("/api/sync/order", json!({ "localId": "x", "syncVersion": 1 }), "order"),
        ("/api/sync/order", json!({ "order": {}, "localId": "" }), "localId"),
    ] {
        let (status, answer) = a.ask(&shop, "POST", path, body).await;
        assert_eq!((status, &answer["error"], &answer["field"]), (400, &json!("SYNC_FAILED"), &json!(field)), "{answer}");
    }
    let (status, answer) = Caller::with("nobody").ask(&shop, "GET", "/api/sync/updates", Value::Null).await;
    assert_eq!((status, &answer["code"]), (401, &json!("unauthorized")));
}

#[tokio::test]
async fn a_number_of_the_devices_own_is_no_id() {
    let shop = Shop::open().await;
    let a = Caller::new(&shop, "a").await;
    for local_id in ["uuid-a", "uuid-b"] {
        let mut order = order(local_id, 1, 1.5);
        order["order"]["id"] = json!(1);
        assert_eq!(a.post(&shop, "/api/sync/order", order).await["serverId"], local_id);
    }
    assert_eq!(log(&shop).len(), 2);
}
