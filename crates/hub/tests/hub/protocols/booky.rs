//! Operations, changes, full syncs and the queue.

use serde_json::{Value, json};
use tillsync_core::protocol::Protocols;
use tillsync_hub::{Hub, Options, router};

use super::support::{Caller, log};
use crate::support::Shop;

fn operation(id: &str, kind: &str, entity_id: &str, data: &Value) -> Value {
    json!({ "id": id, "type": kind, "entity": "book", "entityId": entity_id, "data": data, "timestamp": "2024-01-15T10:30:00Z" })
}

async fn operate(shop: &Shop, caller: &Caller, operations: &[Value]) -> Value {
    caller.post(shop, "/api/sync/operations", json!({ "operations": operations })).await
}

async fn titles(shop: &Shop, caller: &Caller) -> Vec<(String, Value)> {
    let answer = caller.get(shop, "/api/sync/changes").await;
    let rows = answer["changes"].as_array().unwrap().iter().filter(|change| change["data"]["deletedAt"].is_null());
    let mut rows: Vec<_> = rows.map(|row| (row["data"]["id"].as_str().unwrap().to_owned(), row["data"]["title"].clone())).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

#[tokio::test]
async fn the_examples_of_the_document() {
    let shop = Shop::open().await;
    let (laptop, phone) = (Caller::new(&shop, "laptop").await, Caller::new(&shop, "phone").await);
    let create = operation("op-123", "create", "book-456", &json!({ "title": "Emma", "updatedAt": "2024-01-15T10:30:00Z" }));
    let answer = operate(&shop, &laptop, &[create]).await;
    assert_eq!(answer["results"], json!([{ "id": "op-123", "status": "success", "entity": "book", "entityId": "book-456" }]));
    assert!(answer["_meta"]["timestamp"].is_string());

    let status = laptop.get(&shop, "/api/sync/status").await;
    assert_eq!(
        (&status["success"], &status["status"], &status["pendingOperations"], &status["conflicts"], &status["batchSize"]),
        (&json!(true), &json!("ready"), &json!(0), &json!(0), &json!(10))
    );
    assert!(status["lastSync"].as_str().unwrap().ends_with('Z'));

    let (code, queued) = laptop
        .ask(
            &shop,
            "POST",
            "/api/sync/queue",
            json!({ "type": "update", "entity": "book", "entityId": "book-456", "data": { "title": "Emma 2" } }),
        )
        .await;
    assert_eq!((code, &queued["success"]), (201, &json!(true)));
    let operation = &queued["operation"];
    assert_eq!(
        (&operation["type"], &operation["entity"], &operation["entityId"], &operation["synced"], &operation["data"]),
        (&json!("update"), &json!("book"), &json!("book-456"), &json!(false), &Value::Null)
    );
    assert_eq!(laptop.get(&shop, "/api/sync/status").await["pendingOperations"], 1);
    let pending = laptop.get(&shop, "/api/sync/pending").await;
    assert_eq!(
        (&pending["operations"][0]["id"], &pending["operations"][0]["data"]),
        (&operation["id"], &json!({ "title": "Emma 2" }))
    );
    assert_eq!(phone.get(&shop, "/api/sync/pending").await["operations"], json!([]), "the queue is the user's own");
    let answer =
        laptop.post(&shop, "/api/sync/mark-synced", json!({ "operationIds": [operation["id"], "op-456", "op-789"] })).await;
    assert_eq!((&answer["success"], &answer["message"]), (&json!(true), &json!("Marked 1 operations as synced")));
    let (code, answer) = laptop.ask(&shop, "DELETE", "/api/sync/clear", Value::Null).await;
    assert_eq!((code, &answer["message"]), (200, &json!("Cleared synced operations")));
    assert_eq!(laptop.get(&shop, "/api/sync/pending").await["operations"], json!([]));

    let answer = phone.get(&shop, "/api/sync/changes?since=2024-01-15T10:00:00Z").await;
    assert_eq!(
        (&answer["success"], &answer["since"], &answer["changes"]),
        (
            &json!(true),
            &json!("2024-01-15T10:00:00Z"),
            &json!([{ "type": "book", "data": { "id": "book-456", "title": "Emma", "updatedAt": "2024-01-15T10:30:00Z" } }])
        )
    );
    let since = answer["_meta"]["timestamp"].as_str().unwrap();
    assert_eq!(phone.get(&shop, &format!("/api/sync/changes?since={since}")).await["changes"], json!([]));
}

#[tokio::test]
async fn the_codes_of_errors() {
    let shop = Shop::open().await;
    let caller = Caller::new(&shop, "owner").await;
    let bad = [
        operation("op-1", "upsert", "b1", &json!({})),
        operation("op-2", "create", "b2", &Value::Null),
        operation("op-3", "create", "b3", &json!({ "id": "other" })),
        operation("op-4", "create", "b4", &json!({ "title": "good" })),
        json!({ "id": "op-5", "type": "delete", "entity": "book" }),
    ];
    let answer = operate(&shop, &caller, &bad).await;
    let results: Vec<(&str, &str)> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| (result["status"].as_str().unwrap(), result["code"].as_str().unwrap_or_default()))
        .collect();
    let refused = ("failed", "VALIDATION_ERROR");
    assert_eq!(results, [refused, refused, refused, ("success", ""), refused], "{answer}");
    for (method, path, body, expected, code) in [
        ("POST", "/api/sync/operations", json!({}), 400, "VALIDATION_ERROR"),
        ("POST", "/api/sync/queue", json!({ "type": "update" }), 400, "VALIDATION_ERROR"),
        ("POST", "/api/sync/full", json!({ "books": [{ "title": "no id" }] }), 400, "VALIDATION_ERROR"),
        ("GET", "/api/sync/changes?since=noon", Value::Null, 400, "VALIDATION_ERROR"),
    ] {
        let (status, answer) = caller.ask(&shop, method, path, body).await;
        assert_eq!((status, &answer["code"], &answer["success"]), (expected, &json!(code), &json!(false)), "{answer}");
        assert!(answer["error"].is_string());
    }
    for key in ["", "wrong", "a.b.c"] {
        let (status, answer) = Caller::with(key).ask(&shop, "GET", "/api/sync/status", Value::Null).await;
        assert_eq!((status, &answer["code"]), (401, &json!("UNAUTHORIZED")));
    }
    assert_eq!(log(&shop).len(), 1);
}

#[tokio::test]
async fn operations_sent_again_change_nothing_and_end_the_queue() {
    let shop = Shop::open().await;
    let caller = Caller::new(&shop, "owner").await;
    let create = operation("op-1", "create", "b1", &json!({ "title": "one" }));
    assert_eq!(caller.ask(&shop, "POST", "/api/sync/queue", create.clone()).await.0, 201);
    assert_eq!(caller.ask(&shop, "POST", "/api/sync/queue", create.clone()).await.0, 201);
    assert_eq!(caller.get(&shop, "/api/sync/pending").await["operations"].as_array().unwrap().len(), 1);
    for _ in 0..3 {
        assert_eq!(operate(&shop, &caller, std::slice::from_ref(&create)).await["results"][0]["status"], "success");
    }
    assert_eq!(log(&shop).len(), 1);
    assert_eq!(caller.get(&shop, "/api/sync/pending").await["operations"], json!([]));
    // The client's count has begun anew: another operation under the same number.
    operate(&shop, &caller, &[operation("op-1", "create", "b2", &json!({ "title": "two" }))]).await;
    assert_eq!(titles(&shop, &caller).await, [("b1".to_owned(), json!("one")), ("b2".to_owned(), json!("two"))]);
}

#[tokio::test]
async fn the_later_time_wins_and_equal_times_leave_the_server_as_it_is() {
    let shop = Shop::open().await;
    let (a, b) = (Caller::new(&shop, "a").await, Caller::new(&shop, "b").await);
    let at = |id: &str, time: &str, data: Value| {
        let mut operation = operation(id, "update", "b1", &data);
        operation["timestamp"] = json!(time);
        operation
    };
    operate(&shop, &a, &[at("1", "2024-01-15T12:00:00Z", json!({ "title": "noon", "tags": { "a": 1 } }))]).await;
    let answer = operate(&shop, &b, &[at("2", "2024-01-15T12:00:00Z", json!({ "title": "equal" }))]).await;
    let result = &answer["results"][0];
    assert_eq!((&result["status"], &result["code"]), (&json!("success"), &json!("CONFLICT_DETECTED")));
    assert_eq!(result["serverData"]["title"], "noon");
    operate(&shop, &b, &[at("3", "2024-01-15T13:00:00Z", json!({ "title": "one", "tags": { "b": 2 } }))]).await;
    let answer = a.get(&shop, "/api/sync/changes").await;
    let data = &answer["changes"][0]["data"];
    assert_eq!((&data["title"], &data["tags"]), (&json!("one"), &json!(r#"{"a":1,"b":2}"#)), "objects are merged");
    assert_eq!(shop.conflicts().len(), 2);
}

#[tokio::test]
async fn a_full_sync_removes_only_what_its_client_has_seen_and_can_be_taken_back() {
    let shop = Shop::open().await;
    let (a, b) = (Caller::new(&shop, "a").await, Caller::new(&shop, "b").await);
    let create = |id: &str| operation(&format!("op-{id}"), "create", id, &json!({ "title": id }));
    operate(&shop, &a, &[create("b1"), create("b2"), create("b3")]).await;
    let new = json!({ "books": [], "collections": [], "tags": [], "readings": [], "settings": {} });
    let answer = b.post(&shop, "/api/sync/full", new).await;
    assert!(answer["success"] == true && answer["syncedAt"].is_string(), "{answer}");
    assert_eq!(titles(&shop, &b).await.len(), 3, "a new machine with nothing wipes nothing");
    b.post(&shop, "/api/sync/full", json!({ "force": true })).await;
    assert_eq!(titles(&shop, &a).await.len(), 3);

    let since = b.get(&shop, "/api/sync/changes").await["_meta"]["timestamp"].as_str().unwrap().to_owned();
    b.get(&shop, &format!("/api/sync/changes?since={since}")).await;
    operate(&shop, &a, &[create("b4")]).await;
    let body = json!({ "books": [{ "id": "b1", "title": "changed" }, { "id": "b5", "title": "b5" }] });
    let full = b.post(&shop, "/api/sync/full", body).await;
    let ids = |titles: Vec<(String, Value)>| titles.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids(titles(&shop, &a).await), ["b1", "b4", "b5"], "b has never seen b4");

    let undo = format!("/api/sync/full/{}/undo", full["syncId"]);
    assert_eq!(a.ask(&shop, "POST", &undo, Value::Null).await.0, 404, "it is not a's");
    let answer = b.post(&shop, &undo, Value::Null).await;
    assert_eq!((&answer["restored"], &answer["changedSince"]), (&json!(4), &json!(0)));
    let expected: Vec<(String, Value)> = ["b1", "b2", "b3", "b4"].map(|id| (id.to_owned(), json!(id))).into();
    assert_eq!(titles(&shop, &a).await, expected);
    assert_eq!(b.post(&shop, &undo, Value::Null).await["restored"], 0, "once");
}

#[tokio::test]
async fn a_full_sync_of_a_restarted_hub_is_still_taken_back_by_the_administrator() {
    let shop = Shop::open().await;
    let a = Caller::new(&shop, "a").await;
    operate(&shop, &a, &[operation("op-1", "create", "b1", &json!({ "title": "one" }))]).await;
    let full = a.post(&shop, "/api/sync/full", json!({ "books": [{ "id": "b2", "title": "two" }] })).await;
    assert_eq!(titles(&shop, &a).await, [("b2".to_owned(), json!("two"))]);
    let shop = shop.reopen().await;
    let admin = Caller::with(&shop.hub.replace_admin_key().await.unwrap());
    admin.post(&shop, &format!("/api/sync/full/{}/undo", full["syncId"]), Value::Null).await;
    assert_eq!(titles(&shop, &a).await, [("b1".to_owned(), json!("one"))]);
}

#[tokio::test]
async fn names_are_a_matter_of_settings() {
    let protocols = Protocols::parse(
        r#"
        [booky]
        prefix = "/books"
        host = "books.example"
        [booky.entities.book]
        table = "products"
        key = "sku"
        fields = { title = "name", price = { as = "text" }, sold = { as = "bool" } }
        "#,
    )
    .unwrap();
    let shop = Shop::with(Options { open_registration: true, protocols: protocols.into(), ..Options::default() }).await;
    let caller = Caller::new(&shop, "owner").await;
    let data = json!({ "title": "Tea", "price": "2.50", "sold": true });
    let operations = json!({ "operations": [operation("1", "create", "T-1", &data)] });
    caller.post(&shop, "/books/api/sync/operations", operations).await;
    assert_eq!(log(&shop)[0].0, "products");
    let device = shop.device("till").await;
    let page = shop.pull(&device, json!({})).await;
    assert_eq!(page["changes"][0]["data"], json!({ "name": "Tea", "price": 2.5, "sold": 1, "sku": "T-1" }));
    let [authorization] = caller.headers();
    let (status, answer) = shop.ask("GET", "/api/sync/changes", &[authorization, ("host", "books.example:8787")], "").await;
    assert_eq!(status, 200, "{answer}");
    let told = &answer["changes"][0]["data"];
    assert_eq!(
        (&told["title"], &told["price"], &told["sold"], &told["id"]),
        (&json!("Tea"), &json!("2.5"), &json!(true), &json!("T-1"))
    );
    assert_eq!(shop.ask("GET", "/api/sync/changes", &[authorization], "").await.0, 404, "only under its host or prefix");
}

#[tokio::test]
async fn the_index_for_rows_inside_rows_is_made_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.db");
    let hub = Hub::open(&path).await.unwrap();
    hub.prepare(&Protocols::default()).await.unwrap();
    hub.prepare(&Protocols::default()).await.unwrap();
    drop(router(hub, Options::default()));
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "EXPLAIN QUERY PLAN SELECT entity_id FROM change_log AS entry
        WHERE entry.entity_type = 'order_items' AND json_extract(entry.data, '$.\"order_id\"') = 'o'";
    let plan: String = connection.query_row(sql, [], |row| row.get(3)).unwrap();
    assert!(plan.contains("children order_items order_id"), "{plan}");
}
