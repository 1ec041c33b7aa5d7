//! All protocols over one log: what comes in by one goes out by all others.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use uuid::Uuid;

use super::support::Caller;
use crate::support::{Device, Shop, event, plain};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Hub,
    Nuqta,
    Auraflow,
    Snake,
    Camel,
    Booky,
    Insight,
}

const ALL: [Protocol; 7] =
    [Protocol::Hub, Protocol::Nuqta, Protocol::Auraflow, Protocol::Snake, Protocol::Camel, Protocol::Booky, Protocol::Insight];

/// A machine that speaks one protocol; the row is one of `orders`, which every protocol can name.
struct Client {
    protocol: Protocol,
    device: Device,
    caller: Caller,
}

/// The clock, which has moved on since it was last looked at: of two equal times the one that came first wins.
fn now() -> i64 {
    let look = || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let first = look();
    loop {
        let now = look();
        if now > first {
            return now;
        }
        std::hint::spin_loop();
    }
}

fn iso(ms: i64) -> String {
    tillsync_core::protocol::time::format(ms)
}

impl Client {
    async fn new(shop: &Shop, protocol: Protocol) -> Self {
        let name = format!("{protocol:?}");
        Self { protocol, device: shop.device(&name).await, caller: Caller::new(shop, &name).await }
    }

    async fn write(&self, shop: &Shop, id: &str, row: &Value, step: i64) {
        let at = now();
        let caller = &self.caller;
        match self.protocol {
            Protocol::Hub => {
                let page = shop.pull(&self.device, json!({})).await;
                let known = page["changes"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .rfind(|change| change["entityId"] == id)
                    .map(|change| change["id"].as_i64().unwrap());
                let operation = if known.is_some() { "update" } else { "create" };
                let mut change = event(operation, id, known, &[], row.clone());
                change["entityType"] = json!("orders");
                change["timestamp"] = json!(at);
                assert_eq!(shop.push(&self.device, &[change]).await["syncedCount"], 1);
            }
            Protocol::Nuqta => {
                let mut change = plain("update", id, row.clone());
                change["entityType"] = json!("orders");
                shop.push(&self.device, &[change]).await;
            }
            Protocol::Auraflow => {
                let order = json!({ "order": row, "localId": id, "syncVersion": step, "deviceId": "d" });
                let answer = caller.post(shop, "/api/sync/batch", json!({ "deviceId": "d", "orders": [order] })).await;
                assert_eq!(answer["syncedOrders"][0]["success"], true, "{answer}");
            }
            Protocol::Snake | Protocol::Camel => {
                let event = json!({ "event_uuid": Uuid::new_v4(), "entity": "orders", "entity_id": id, "op": "upsert", "payload": row, "client_updated_at": iso(at) });
                let path = if self.protocol == Protocol::Snake { "/events/sync/push" } else { "/events/api/sync/push" };
                let answer = caller.post(shop, path, json!({ "device_id": "d", "events": [event] })).await;
                assert_eq!(answer["rejected"], json!([]));
            }
            Protocol::Booky => {
                let operation = json!({ "id": format!("op-{step}"), "type": "update", "entity": "orders", "entityId": id, "data": row, "timestamp": iso(at) });
                let answer = caller.post(shop, "/api/sync/operations", json!({ "operations": [operation] })).await;
                assert_eq!(answer["results"][0]["status"], "success");
            }
            Protocol::Insight => {
                let mut record = row.clone();
                record["updated_at"] = json!(iso(at));
                // Of a table without a rule the server's row stays where the client has not heard of it: so it pulls before.
                let page = caller.post(shop, "/api/v1/sync/pull", json!({ "device_id": "d" })).await;
                caller.post(shop, "/api/v1/sync/pull", json!({ "device_id": "d", "last_sync_timestamp": page["timestamp"] })).await;
                let answer = caller
                    .post(
                        shop,
                        "/api/v1/sync/push",
                        json!({ "device_id": "d", "timestamp": iso(at), "changes": { "orders": [record] } }),
                    )
                    .await;
                assert_eq!(answer["conflicts"], json!([]));
            }
        }
    }

    /// All rows that are there, by their ids.
    async fn read(&self, shop: &Shop) -> BTreeMap<String, Value> {
        let caller = &self.caller;
        let mut rows = BTreeMap::new();
        match self.protocol {
            Protocol::Hub | Protocol::Nuqta => {
                for change in shop.pull(&self.device, json!({})).await["changes"].as_array().unwrap() {
                    rows.insert(change["entityId"].as_str().unwrap().to_owned(), change["data"].clone());
                }
            }
            Protocol::Auraflow => {
                // Another machine of the same kind: one does not hear of its own orders.
                let answer = caller.get(shop, "/api/sync/updates?deviceId=reader&since=0").await;
                for order in answer["orders"].as_array().unwrap() {
                    rows.insert(order["localId"].as_str().unwrap().to_owned(), order["order"].clone());
                }
            }
            Protocol::Snake => {
                for event in caller.get(shop, "/events/sync/pull").await["events"].as_array().unwrap() {
                    rows.insert(event["entity_id"].as_str().unwrap().to_owned(), event["payload"].clone());
                }
            }
            Protocol::Camel => {
                for event in caller.get(shop, "/events/api/sync/pull").await["events"].as_array().unwrap() {
                    rows.insert(event["entityId"].as_str().unwrap().to_owned(), event["payload"].clone());
                }
            }
            Protocol::Booky => {
                for change in caller.get(shop, "/api/sync/changes").await["changes"].as_array().unwrap() {
                    let row = if change["data"]["deletedAt"].is_null() { change["data"].clone() } else { Value::Null };
                    rows.insert(change["data"]["id"].as_str().unwrap().to_owned(), row);
                }
            }
            Protocol::Insight => {
                let answer = caller.post(shop, "/api/v1/sync/pull", json!({ "device_id": "reader" })).await;
                for record in answer["changes"]["orders"].as_array().unwrap() {
                    let row = if record["deleted_at"].is_null() { record.clone() } else { Value::Null };
                    rows.insert(record["id"].as_str().unwrap().to_owned(), row);
                }
            }
        }
        rows.retain(|_, row| !row.is_null());
        rows
    }
}

#[tokio::test]
async fn what_comes_in_by_one_goes_out_by_all() {
    let shop = Shop::open().await;
    let mut clients = Vec::new();
    for protocol in ALL {
        clients.push(Client::new(&shop, protocol).await);
    }
    let mut step = 1;
    for writer in 0..ALL.len() {
        let id = format!("order-{:?}", ALL[writer]);
        clients[writer].write(&shop, &id, &json!({ "id": id, "note": "new", "total": 45.5, "count": 2 }), step).await;
        // Everybody changes it once.
        for other in 0..ALL.len() {
            step += 100;
            let note = format!("by {:?}", ALL[other]);
            clients[other].write(&shop, &id, &json!({ "id": id, "note": note, "total": 45.5, "count": 2 }), step).await;
            for reader in &clients {
                let rows = reader.read(&shop).await;
                let row = rows.get(&id).unwrap_or_else(|| panic!("{:?} does not see {id}: {rows:?}", reader.protocol));
                let seen = (&row["note"], &row["total"], &row["count"]);
                assert_eq!(seen, (&json!(note), &json!(45.5), &json!(2)), "{id} by {:?} at {:?}", ALL[other], reader.protocol);
            }
        }
        step += 100;
    }
    assert_eq!(clients[0].read(&shop).await.len(), ALL.len());
}

#[tokio::test]
async fn a_delete_is_heard_of_by_all() {
    let shop = Shop::open().await;
    let hub = Client::new(&shop, Protocol::Hub).await;
    hub.write(&shop, "o1", &json!({ "id": "o1", "note": "x" }), 1).await;
    hub.write(&shop, "o2", &json!({ "id": "o2", "note": "y" }), 2).await;
    let mut gone = event("delete", "o1", Some(1), &[], Value::Null);
    gone["entityType"] = json!("orders");
    shop.push(&hub.device, &[gone]).await;
    for protocol in ALL {
        let rows = Client::new(&shop, protocol).await.read(&shop).await;
        assert_eq!(rows.keys().collect::<Vec<_>>(), ["o2"], "{protocol:?}");
    }
}
