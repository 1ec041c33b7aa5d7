//! Rows inside rows: order items inside an order, sale items as JSON inside a sale.

use serde_json::{Value, json};
use tillsync_core::protocol::Protocols;
use tillsync_hub::Options;
use uuid::Uuid;

use super::support::{Caller, log};
use crate::support::{Shop, event};

fn of(table: &str, mut change: Value) -> Value {
    change["entityType"] = json!(table);
    change
}

fn order(version: i64, items: &Value) -> Value {
    json!({
        "order": { "id": "o", "total": 12.5, "items": items }, "localId": "o", "syncVersion": version, "deviceId": "one",
        "syncStatus": "PENDING",
    })
}

async fn lines(shop: &Shop, till: &crate::support::Device) -> Vec<Value> {
    let page = shop.pull(till, json!({ "entityTypes": ["order_items"] })).await;
    page["changes"].as_array().unwrap().iter().map(|change| change["data"].clone()).collect()
}

#[tokio::test]
async fn items_of_an_order_are_rows_of_their_own() {
    let shop = Shop::open().await;
    let (a, till) = (Caller::new(&shop, "a").await, shop.device("till").await);
    let items = json!([{ "id": "i1", "name": "tea", "qty": 2 }, { "name": "milk", "qty": 1 }]);
    for _ in 0..3 {
        assert_eq!(a.post(&shop, "/api/sync/order", order(1, &items)).await["success"], true);
    }
    let expected = [
        json!({ "id": "i1", "name": "tea", "qty": 2, "order_id": "o" }),
        json!({ "id": "o:1", "name": "milk", "qty": 1, "order_id": "o" }),
    ];
    assert_eq!(lines(&shop, &till).await, expected);
    assert_eq!(log(&shop).len(), 3);
    // The till adds a line and changes another one; the order travels again, with all its lines.
    let changes = [
        of("order_items", event("create", "t9", None, &[], json!({ "id": "t9", "name": "bread", "qty": 3, "order_id": "o" }))),
        of(
            "order_items",
            event("update", "i1", Some(2), &["qty"], json!({ "id": "i1", "name": "tea", "qty": 5, "order_id": "o" })),
        ),
    ];
    shop.push(&till, &changes).await;
    let updates = a.get(&shop, "/api/sync/updates?deviceId=two").await;
    let told = &updates["orders"][0]["order"];
    let names: Vec<(&Value, &Value)> = told["items"].as_array().unwrap().iter().map(|item| (&item["name"], &item["qty"])).collect();
    assert_eq!(names, [(&json!("tea"), &json!(5)), (&json!("milk"), &json!(1)), (&json!("bread"), &json!(3))], "{updates}");
    assert_eq!(updates["orders"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn lines_vanish_only_when_their_client_has_seen_them_and_sends_others() {
    let shop = Shop::open().await;
    let (a, till) = (Caller::new(&shop, "a").await, shop.device("till").await);
    let items = json!([{ "id": "i1", "name": "tea" }, { "id": "i2", "name": "milk" }]);
    a.post(&shop, "/api/sync/order", order(1, &items)).await;
    let unseen = of("order_items", event("create", "t9", None, &[], json!({ "id": "t9", "name": "bread", "order_id": "o" })));
    shop.push(&till, &[unseen]).await;
    a.post(&shop, "/api/sync/order", order(2, &json!([]))).await;
    assert_eq!(lines(&shop, &till).await.len(), 3, "no list is not an empty order");
    a.post(&shop, "/api/sync/order", order(3, &json!([{ "id": "i1", "name": "tea" }]))).await;
    let page = shop.pull(&till, json!({ "entityTypes": ["order_items"] })).await;
    let last = page["changes"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["operation"], &last["entityId"]), (&json!("delete"), &json!("i2")), "{page}");
    let told = a.get(&shop, "/api/sync/updates?deviceId=two").await["orders"][0]["order"]["items"].clone();
    assert_eq!(told, json!([{ "id": "i1", "name": "tea", "order_id": "o" }, { "id": "t9", "name": "bread", "order_id": "o" }]));
}

#[tokio::test]
async fn an_order_that_is_overruled_brings_no_lines() {
    let shop = Shop::open().await;
    let (a, b, till) = (Caller::new(&shop, "a").await, Caller::new(&shop, "b").await, shop.device("till").await);
    a.post(&shop, "/api/sync/order", order(2, &json!([{ "id": "i1", "name": "tea" }]))).await;
    let mut older = order(1, &json!([{ "id": "i1", "name": "coffee" }, { "id": "i2", "name": "milk" }]));
    older["order"]["total"] = json!(1.5);
    assert_eq!(b.post(&shop, "/api/sync/order", older).await["success"], false);
    assert_eq!(lines(&shop, &till).await, [json!({ "id": "i1", "name": "tea", "order_id": "o" })]);
}

#[tokio::test]
async fn items_of_a_sale_are_json_in_it() {
    let protocols = Protocols::parse(
        r#"
        [events.entities.sales]
        fields.items = { as = "json" }
        [events.entities.invoices]
        children.items = { table = "invoice_lines", parent = "invoice_id", fields = { product = "product_name" } }
        "#,
    )
    .unwrap();
    let shop = Shop::with(Options { open_registration: true, protocols: protocols.into(), ..Options::default() }).await;
    let (caller, till) = (Caller::new(&shop, "owner").await, shop.device("till").await);
    let upsert = |entity: &str, id: &str, payload: Value| {
        json!({ "event_uuid": Uuid::new_v4(), "entity": entity, "entity_id": id, "op": "upsert", "payload": payload,
            "client_updated_at": "2026-01-01T10:00:00Z" })
    };
    let items = json!([{ "id": 1, "product": "tea", "qty": 2 }]);
    let events = [upsert("sales", "s1", json!({ "items": items })), upsert("invoices", "v1", json!({ "items": items }))];
    caller.post(&shop, "/events/sync/push", json!({ "device_id": "phone", "events": events })).await;
    let page = shop.pull(&till, json!({})).await;
    let told: Vec<(&str, &Value)> = page["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["entityType"].as_str().unwrap(), &change["data"]))
        .collect();
    assert_eq!(
        told,
        [
            ("sales", &json!({ "id": "s1", "items": r#"[{"id":1,"product":"tea","qty":2}]"# })),
            ("invoices", &json!({ "id": "v1" })),
            ("invoice_lines", &json!({ "id": "v1:0", "product_name": "tea", "qty": 2, "invoice_id": "v1" })),
        ]
    );
    let page = caller.get(&shop, "/events/sync/pull").await;
    assert_eq!(page["events"][0]["payload"]["items"], items);
    assert_eq!(page["events"][1]["payload"]["items"], json!([{ "id": "v1:0", "product": "tea", "qty": 2, "invoice_id": "v1" }]));
    assert_eq!(page["events"].as_array().unwrap().len(), 2);
}
