//! Records by table, since a time.

use serde_json::{Value, json};
use tillsync_core::config::Role;
use tillsync_hub::database::Terms;

use super::support::{Caller, log};
use crate::support::Shop;

const PULL: &str = "/api/v1/sync/pull";
const PUSH: &str = "/api/v1/sync/push";

fn now() -> String {
    tillsync_core::protocol::time::format(
        i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap(),
    )
}

fn push(device: &str, changes: &Value) -> Value {
    json!({ "device_id": device, "timestamp": now(), "changes": changes })
}

fn pull(device: &str, since: &Value, tables: &[&str]) -> Value {
    let tables = if tables.is_empty() { Value::Null } else { json!(tables) };
    json!({ "device_id": device, "last_sync_timestamp": since, "tables": tables })
}

async fn manager(shop: &Shop) -> Caller {
    Caller::on(shop, "manager", Terms { role: Some(Role::Manager), entities: None }).await
}

#[tokio::test]
async fn the_examples_of_the_document() {
    let shop = Shop::open().await;
    let (manager, store) = (manager(&shop).await, Caller::new(&shop, "store").await);
    let form = json!({ "id": "uuid-1", "title": "Updated Form", "updated_at": "2025-12-18T10:45:00Z" });
    let answer = manager.post(&shop, PUSH, push("store-manager-mac-001", &json!({ "forms": [form] }))).await;
    assert_eq!((&answer["success"], &answer["applied"]["forms"]), (&json!(true), &json!([form])));
    let timestamp = &answer["timestamp"];
    assert!(timestamp.as_str().unwrap().ends_with('Z'), "{timestamp}");

    let since = json!("2025-12-18T10:30:00Z");
    let answer = store.post(&shop, PULL, pull("store-iphone-001", &since, &["forms", "submissions", "team", "kpi_data"])).await;
    assert_eq!((&answer["success"], &answer["conflicts"]), (&json!(true), &Value::Null));
    assert_eq!(answer["changes"], json!({ "forms": [form], "submissions": [], "team": [], "kpi_data": [] }));

    let submission = json!({ "id": "uuid-2", "form_id": "uuid-1", "status": "completed", "updated_at": "2025-12-18T10:50:00Z" });
    let answered = json!({ "id": "uuid-3", "submission_id": "uuid-2", "value": 4.5, "updated_at": "2025-12-18T10:50:00Z" });
    let changes = json!({ "submissions": [submission], "submission_answers": [answered] });
    let pushed = store.post(&shop, PUSH, push("store-iphone-001", &changes)).await;
    assert_eq!((&pushed["applied"], &pushed["conflicts"]), (&changes, &json!([])));

    let delta = manager.post(&shop, PULL, pull("store-manager-mac-001", &answer["timestamp"], &[])).await;
    assert_eq!(delta["changes"], json!({ "submissions": [submission], "submission_answers": [answered] }), "only what came since");
    let nothing =
        manager.post(&shop, PULL, json!({ "device_id": "store-manager-mac-001", "last_sync_timestamp": delta["timestamp"] })).await;
    assert_eq!(nothing["changes"], json!({}));

    let status = store.get(&shop, "/api/v1/sync/status").await;
    assert_eq!((&status["status"], &status["active_devices"]), (&json!("online"), &json!(2)));
    assert_eq!(status["tables"], json!(["forms", "submission_answers", "submissions"]));
    assert!(status["last_sync"]["store-iphone-001"].is_string() && status["version"].is_string(), "{status}");
}

#[tokio::test]
async fn what_is_sent_three_times_is_there_once() {
    let shop = Shop::open().await;
    let store = Caller::new(&shop, "store").await;
    let records: Vec<Value> =
        (0..120).map(|n| json!({ "id": format!("s{n}"), "n": n, "updated_at": "2025-12-18T10:50:00Z" })).collect();
    for _ in 0..3 {
        let answer = store.post(&shop, PUSH, push("a", &json!({ "submissions": records }))).await;
        assert_eq!(answer["applied"]["submissions"].as_array().unwrap().len(), 120, "{answer}");
    }
    assert_eq!(log(&shop).len(), 120);
    let all = store.post(&shop, PULL, json!({ "device_id": "b" })).await;
    assert_eq!(all["changes"]["submissions"].as_array().unwrap().len(), 120);
}

/// Two machines have a record; both change it, `first` before `second`.
async fn both_change(shop: &Shop, first: (&Caller, &Value), second: (&Caller, &Value), table: &str) -> Value {
    let start = json!({ "id": "r", "title": "start", "note": "n", "updated_at": "2025-12-18T10:00:00Z" });
    first.0.post(shop, PUSH, push("one", &json!({ table: [start] }))).await;
    for (caller, device) in [(first.0, "one"), (second.0, "two")] {
        let page = caller.post(shop, PULL, json!({ "device_id": device })).await;
        caller.post(shop, PULL, json!({ "device_id": device, "last_sync_timestamp": page["timestamp"] })).await;
    }
    let changed = |change: &Value| {
        let mut record = start.clone();
        record.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        record
    };
    first.0.post(shop, PUSH, push("one", &json!({ table: [changed(first.1)] }))).await;
    second.0.post(shop, PUSH, push("two", &json!({ table: [changed(second.1)] }))).await
}

#[tokio::test]
async fn the_rule_of_the_table_decides() {
    let later = json!({ "title": "later", "updated_at": "2025-12-18T12:00:00Z" });
    let earlier = json!({ "title": "earlier", "updated_at": "2025-12-18T11:00:00Z" });
    // Of a submission the later one stays, of the team the server's, of a form the manager's.
    for (table, first, second, expected) in [
        ("submissions", &earlier, &later, "later"),
        ("submissions", &later, &earlier, "later"),
        ("team", &earlier, &later, "earlier"),
        ("forms", &earlier, &later, "earlier"),
    ] {
        let shop = Shop::open().await;
        let (manager, store) = (manager(&shop).await, Caller::new(&shop, "store").await);
        let answer = both_change(&shop, (&manager, first), (&store, second), table).await;
        let now = store.post(&shop, PULL, json!({ "device_id": "three" })).await;
        assert_eq!(now["changes"][table][0]["title"], expected, "{table}");
        if second["title"] == expected {
            assert_eq!(answer["conflicts"], json!([]), "{table}");
        } else {
            let conflict = &answer["conflicts"][0];
            assert_eq!((&conflict["table"], &conflict["record_id"]), (&json!(table), &json!("r")), "{answer}");
            assert_eq!(
                (&conflict["client_data"]["title"], &conflict["server_data"]["title"]),
                (&second["title"], &json!(expected))
            );
            assert_eq!(answer["applied"], json!({}));
        }
        assert_eq!(shop.conflicts().len(), 1, "both values are kept");
    }
}

#[tokio::test]
async fn different_columns_are_merged() {
    let shop = Shop::open().await;
    let (manager, store) = (manager(&shop).await, Caller::new(&shop, "store").await);
    let title = json!({ "title": "other", "updated_at": "2025-12-18T12:00:00Z" });
    let note = json!({ "note": "other", "updated_at": "2025-12-18T12:00:00Z" });
    let answer = both_change(&shop, (&manager, &title), (&store, &note), "submissions").await;
    let record = &answer["applied"]["submissions"][0];
    assert_eq!((&record["title"], &record["note"]), (&json!("other"), &json!("other")), "{answer}");
    assert_eq!(answer["conflicts"], json!([]));
}

#[tokio::test]
async fn a_delete_is_a_time_and_the_row_comes_with_it() {
    let shop = Shop::open().await;
    let store = Caller::new(&shop, "store").await;
    let record = json!({ "id": "r", "title": "x", "updated_at": "2025-12-18T10:00:00Z" });
    store.post(&shop, PUSH, push("a", &json!({ "submissions": [record] }))).await;
    let page = store.post(&shop, PULL, json!({ "device_id": "b" })).await;
    let gone = json!({ "id": "r", "title": "x", "deleted_at": "2025-12-18T11:00:00Z", "updated_at": "2025-12-18T11:00:00Z" });
    for _ in 0..3 {
        store.post(&shop, PUSH, push("a", &json!({ "submissions": [gone] }))).await;
    }
    assert_eq!(log(&shop)[1], ("submissions".to_owned(), "r".to_owned(), "delete".to_owned()));
    assert_eq!(log(&shop).len(), 2);
    let delta = store.post(&shop, PULL, json!({ "device_id": "b", "last_sync_timestamp": page["timestamp"] })).await;
    let told = &delta["changes"]["submissions"][0];
    assert_eq!((&told["id"], &told["title"]), (&json!("r"), &json!("x")));
    assert!(told["deleted_at"].is_string(), "{told}");
}

#[tokio::test]
async fn what_is_wrong_is_told_and_the_rest_goes_on() {
    let shop = Shop::open().await;
    let store = Caller::new(&shop, "store").await;
    let changes = json!({ "submissions": [{ "title": "no id" }, 7, { "id": "good" }, { "id": "x".repeat(5000) }] });
    let answer = store.post(&shop, PUSH, push("a", &changes)).await;
    assert_eq!(answer["applied"]["submissions"], json!([{ "id": "good" }]));
    let errors: Vec<&str> =
        answer["conflicts"].as_array().unwrap().iter().map(|conflict| conflict["error"].as_str().unwrap()).collect();
    assert!(errors.len() == 3 && errors[0].contains("changes.submissions[0]") && errors[2].contains("longer"), "{errors:?}");
    for (path, body, field) in [
        (PUSH, json!({ "timestamp": now(), "changes": {} }), "device_id"),
        (PUSH, json!({ "device_id": "a", "changes": {} }), "timestamp"),
        (PUSH, json!({ "device_id": "a", "timestamp": "noon", "changes": {} }), "timestamp"),
        (PUSH, json!({ "device_id": "a", "timestamp": now(), "changes": [] }), "changes"),
        (PULL, json!({ "device_id": "a", "last_sync_timestamp": {} }), "last_sync_timestamp"),
        (PULL, json!({ "device_id": "" }), "deviceId"),
    ] {
        let (status, answer) = store.ask(&shop, "POST", path, body).await;
        assert_eq!((status, &answer["code"], &answer["field"]), (400, &json!("bad_request"), &json!(field)), "{answer}");
    }
    assert_eq!(log(&shop).len(), 1);
}

#[tokio::test]
async fn a_clock_that_is_years_ahead_wins_nothing() {
    let shop = Shop::open().await;
    let (one, two) = (Caller::new(&shop, "one").await, Caller::new(&shop, "two").await);
    let record = |title: &str, at: &str| json!({ "submissions": [{ "id": "r", "title": title, "updated_at": at }] });
    let ahead =
        json!({ "device_id": "one", "timestamp": "2099-01-01T12:00:00Z", "changes": record("ahead", "2099-01-01T11:00:00Z") });
    one.post(&shop, PUSH, ahead).await;
    two.post(&shop, PUSH, push("two", &record("right", &now()))).await;
    let all = two.post(&shop, PULL, json!({ "device_id": "three" })).await;
    assert_eq!(all["changes"]["submissions"][0]["title"], "right");
}
