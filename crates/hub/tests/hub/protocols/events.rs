//! Events with an id each, in both dialects.

use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{Caller, log};
use crate::support::Shop;

const PUSH: &str = "/events/sync/push";
const CAMEL_PUSH: &str = "/events/api/sync/push";

fn upsert(entity: &str, id: &str, at: &str, payload: &Value) -> Value {
    json!({ "event_uuid": Uuid::new_v4(), "entity": entity, "entity_id": id, "op": "upsert", "payload": payload, "client_updated_at": at })
}

fn delete(entity: &str, id: &str, at: &str) -> Value {
    json!({ "event_uuid": Uuid::new_v4(), "entity": entity, "entity_id": id, "op": "delete", "client_updated_at": at })
}

async fn push(shop: &Shop, caller: &Caller, device: &str, events: &[Value]) -> Value {
    caller.post(shop, PUSH, json!({ "device_id": device, "events": events })).await
}

async fn newest(shop: &Shop, caller: &Caller) -> Value {
    caller.get(shop, "/events/sync/pull?cursor=0").await["events"].as_array().unwrap().last().unwrap().clone()
}

#[tokio::test]
async fn push_and_pull_in_both_dialects() {
    let shop = Shop::open().await;
    let caller = Caller::new(&shop, "owner").await;
    let debt =
        upsert("debts", "6b1f0f06-3c5a-4b06-9d0c-0d3f3cf0a111", "2026-01-01T10:00:00Z", &json!({ "amount": 12.5, "name": "Ali" }));
    let answer = push(&shop, &caller, "phone", std::slice::from_ref(&debt)).await;
    assert_eq!(answer, json!({ "success": true, "acceptedEventIds": [debt["event_uuid"]], "rejected": [] }));
    let camel = json!({
        "deviceId": "web",
        "events": [{
            "eventUuid": Uuid::new_v4(), "entity": "customers", "entityId": "c1", "op": "upsert",
            "payload": { "name": "Sara", "updated_fields": ["name"] }, "clientUpdatedAt": 1_767_261_600_000_i64,
        }],
    });
    let answer = caller.post(&shop, CAMEL_PUSH, camel).await;
    assert_eq!(answer, json!({ "success": true, "pushed": 1, "rejected": [] }));

    let page = caller.get(&shop, "/events/sync/pull?cursor=0").await;
    assert_eq!((&page["cursor"], &page["has_more"]), (&json!("2"), &json!(false)));
    let first = &page["events"][0];
    assert_eq!(
        (&first["event_id"], &first["event_uuid"], &first["entity"], &first["entity_id"], &first["op"]),
        (&json!("1"), &debt["event_uuid"], &json!("debts"), &debt["entity_id"], &json!("upsert"))
    );
    assert_eq!(first["payload"], json!({ "id": debt["entity_id"], "amount": 12.5, "name": "Ali" }));
    assert_eq!(first["client_updated_at"], "2026-01-01T10:00:00Z");
    let page = caller.get(&shop, "/events/api/sync/pull?cursor=1").await;
    assert_eq!((&page["cursor"], &page["hasMore"]), (&json!(2), &json!(false)));
    let second = &page["events"][0];
    assert_eq!((&second["eventId"], &second["entityId"], &second["payload"]["name"]), (&json!(2), &json!("c1"), &json!("Sara")));
    assert_eq!(second["payload"], json!({ "id": "c1", "name": "Sara" }));
    assert_eq!(caller.get(&shop, "/events/sync/pull?cursor=2").await["events"], json!([]));
}

#[tokio::test]
async fn pages_follow_each_other_until_nothing_comes() {
    let shop = Shop::open().await;
    let caller = Caller::new(&shop, "owner").await;
    let events: Vec<Value> =
        (0..130).map(|n| upsert("sales", &format!("s{n}"), "2026-01-01T10:00:00Z", &json!({ "n": n }))).collect();
    for _ in 0..3 {
        assert_eq!(push(&shop, &caller, "phone", &events).await["acceptedEventIds"].as_array().unwrap().len(), 130);
    }
    assert_eq!(log(&shop).len(), 130, "three times is once");
    let (mut cursor, mut seen) = ("0".to_owned(), 0);
    loop {
        let page = caller.get(&shop, &format!("/events/sync/pull?cursor={cursor}&limit=50")).await;
        let count = page["events"].as_array().unwrap().len();
        if count == 0 {
            break;
        }
        seen += count;
        page["cursor"].as_str().unwrap().clone_into(&mut cursor);
    }
    assert_eq!((seen, cursor.as_str()), (130, "130"));
}

#[tokio::test]
async fn the_later_time_wins_and_fields_merge() {
    let shop = Shop::open().await;
    let caller = Caller::new(&shop, "owner").await;
    let row = |name: &str, phone: &str| json!({ "name": name, "phone": phone });
    push(&shop, &caller, "a", &[upsert("customers", "1", "2026-01-01T10:00:00Z", &row("x", "1"))]).await;
    push(&shop, &caller, "b", &[upsert("customers", "1", "2026-01-01T12:00:00Z", &row("late", "1"))]).await;
    push(&shop, &caller, "c", &[upsert("customers", "1", "2026-01-01T11:00:00Z", &row("early", "1"))]).await;
    assert_eq!(newest(&shop, &caller).await["payload"]["name"], "late");
    let mut phone = upsert("customers", "1", "2026-01-01T11:30:00Z", &row("stale", "2"));
    phone["updated_fields"] = json!(["phone"]);
    push(&shop, &caller, "d", &[phone]).await;
    let payload = newest(&shop, &caller).await["payload"].clone();
    assert_eq!((&payload["name"], &payload["phone"]), (&json!("late"), &json!("2")));
    let mut phone = upsert("customers", "1", "2026-01-01T12:30:00Z", &row("stale", "3"));
    phone["updated_fields"] = json!(["phone"]);
    push(&shop, &caller, "d", &[phone]).await;
    let payload = newest(&shop, &caller).await["payload"].clone();
    assert_eq!((&payload["name"], &payload["phone"]), (&json!("late"), &json!("3")));
}

#[tokio::test]
async fn a_delete_wins_only_when_it_is_later() {
    let shop = Shop::open().await;
    let caller = Caller::new(&shop, "owner").await;
    push(&shop, &caller, "a", &[upsert("debts", "1", "2026-01-01T12:00:00Z", &json!({ "amount": 1 }))]).await;
    push(&shop, &caller, "b", &[delete("debts", "1", "2026-01-01T11:00:00Z")]).await;
    assert_eq!(newest(&shop, &caller).await["op"], "upsert");
    push(&shop, &caller, "b", &[delete("debts", "1", "2026-01-01T13:00:00Z")]).await;
    let gone = newest(&shop, &caller).await;
    assert_eq!((&gone["op"], &gone["payload"]), (&json!("delete"), &Value::Null));
    push(&shop, &caller, "a", &[upsert("debts", "1", "2026-01-01T12:30:00Z", &json!({ "amount": 2 }))]).await;
    assert_eq!(newest(&shop, &caller).await["op"], "delete");
    push(&shop, &caller, "a", &[upsert("debts", "1", "2026-01-01T14:00:00Z", &json!({ "amount": 3 }))]).await;
    assert_eq!(newest(&shop, &caller).await["payload"]["amount"], 3);
    assert_eq!(shop.conflicts().len(), 3, "nothing is lost silently");
}

#[tokio::test]
async fn a_cursor_means_the_same_after_the_hub_was_put_back() {
    let shop = Shop::open().await;
    let caller = Caller::new(&shop, "owner").await;
    let sale = |id: &str| upsert("sales", id, "2026-01-01T10:00:00Z", &json!({}));
    push(&shop, &caller, "a", &[sale("1"), sale("2")]).await;
    let backup = shop.folder.path().join("backup.db");
    let connection = rusqlite::Connection::open(shop.folder.path().join("hub.db")).unwrap();
    connection.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    drop(connection);
    push(&shop, &caller, "a", &[sale("3"), sale("4")]).await;
    assert_eq!(caller.get(&shop, "/events/sync/pull").await["cursor"], "4");
    let Shop { folder, hub, router } = shop;
    drop((hub, router));
    for rest in ["hub.db-wal", "hub.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(rest));
    }
    std::fs::rename(&backup, folder.path().join("hub.db")).unwrap();
    let shop = Shop::reopened(folder).await;
    // New sales get ids again that lost ones had.
    push(&shop, &caller, "b", &[sale("5"), sale("6"), sale("7")]).await;
    let page = caller.get(&shop, "/events/api/sync/pull?cursor=4").await;
    let ids: Vec<&str> = page["events"].as_array().unwrap().iter().map(|event| event["entityId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["5", "6", "7"]);
    assert_eq!(page["cursor"], page["events"][2]["eventId"]);
    let next = caller.get(&shop, &format!("/events/api/sync/pull?cursor={}", page["cursor"])).await;
    assert_eq!((&next["events"], &next["cursor"]), (&json!([]), &page["cursor"]));
}

#[tokio::test]
async fn a_bad_event_holds_up_nobody() {
    let shop = Shop::open().await;
    let caller = Caller::new(&shop, "owner").await;
    let good = upsert("debts", "1", "2026-01-01T10:00:00Z", &json!({ "amount": "12,5", "note": "a\u{0}b" }));
    let mut text = upsert("debts", "2", "2026-01-01T10:00:00Z", &Value::Null);
    text["payload_json"] = json!("{\"amount\":3}");
    let events = [
        json!({ "event_uuid": "e1", "entity": "debts" }),
        upsert("debts", "", "2026-01-01T10:00:00Z", &json!({})),
        good.clone(),
        upsert("debts", "3", "2026-01-01T10:00:00Z", &json!([1])),
        text.clone(),
        json!(5),
    ];
    let answer = push(&shop, &caller, "a", &events).await;
    assert_eq!(answer["acceptedEventIds"], json!([good["event_uuid"], text["event_uuid"]]));
    let fields: Vec<&str> =
        answer["rejected"].as_array().unwrap().iter().map(|refused| refused["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["events[0]", "events[1].entity_id", "events[3].payload", "events[5]"]);
    assert_eq!(answer["rejected"][0]["event_uuid"], "e1");
    let page = caller.get(&shop, "/events/sync/pull").await;
    assert_eq!(page["events"][0]["payload"], json!({ "id": 1, "amount": "12,5", "note": "a\u{0}b" }));
    assert_eq!(page["events"][1]["payload"], json!({ "id": 2, "amount": 3 }));
    let (status, answer) = caller.ask(&shop, "GET", "/events/sync/pull?cursor=abc", Value::Null).await;
    assert_eq!((status, &answer["field"]), (400, &json!("cursor")));
}
