//! Rows as they are now, and the digests to compare them by.

use serde_json::{Value, json};
use tillsync_core::digest::{Digest, bucket};

use crate::support::{Device, Shop, event};

async fn ask(shop: &Shop, device: &Device, path: &str, body: Value) -> Value {
    let (status, answer) = shop.ask("POST", path, &device.headers(), body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Products 0 to 9; 3 has two versions and 4 is deleted.
async fn stocked() -> (Shop, Device) {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let mut changes: Vec<Value> =
        (0..10).map(|n| event("create", &n.to_string(), None, &[], json!({ "id": n, "cents": 100 }))).collect();
    changes.push(event("update", "3", Some(4), &["cents"], json!({ "id": 3, "cents": 90 })));
    changes.push(event("delete", "4", Some(5), &[], json!({ "id": 4 })));
    shop.push(&a, &changes).await;
    (shop, a)
}

fn rows(answer: &Value) -> Vec<(String, i64)> {
    let rows = answer["rows"].as_array().unwrap_or(const { &Vec::new() });
    rows.iter().map(|row| (row["entityId"].as_str().unwrap().to_owned(), row["version"].as_i64().unwrap())).collect()
}

/// A page of four products above a version, absent at first.
async fn page_above(shop: &Shop, device: &Device, version: Option<i64>) -> Value {
    ask(shop, device, "/sync/snapshot", json!({ "entityType": "products", "afterVersion": version, "limit": 4 })).await
}

fn named(expected: &[(i64, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|(id, version)| (id.to_string(), *version)).collect()
}

#[tokio::test]
async fn a_snapshot_has_every_row_once_as_it_is_now_and_the_oldest_write_first() {
    let (shop, a) = stocked().await;
    let (mut found, mut last) = (Vec::new(), None);
    loop {
        let page = page_above(&shop, &a, last).await;
        assert_eq!((&page["headCursorId"], &page["epoch"]), (&json!(12), &json!(shop.hub.database().epoch())));
        found.extend(rows(&page));
        last = found.last().map(|(_, version)| *version);
        if page["hasMore"] == false {
            break;
        }
        assert_eq!(rows(&page).len(), 4);
    }
    assert_eq!(found, named(&[(0, 1), (1, 2), (2, 3), (5, 6), (6, 7), (7, 8), (8, 9), (9, 10), (3, 11)]));
    let none = ask(&shop, &a, "/sync/snapshot", json!({ "entityType": "sales" })).await;
    assert_eq!((rows(&none).len(), &none["hasMore"]), (0, &json!(false)));
}

#[tokio::test]
async fn a_row_that_is_written_between_two_pages_comes_in_a_later_one() {
    let (shop, a) = stocked().await;
    let first = page_above(&shop, &a, None).await;
    assert_eq!(rows(&first), named(&[(0, 1), (1, 2), (2, 3), (5, 6)]));
    // One that has come already, one that has not, one that goes, one that comes back, and a new one.
    shop.push(
        &a,
        &[
            event("update", "1", Some(2), &["cents"], json!({ "id": 1, "cents": 80 })),
            event("update", "7", Some(8), &["cents"], json!({ "id": 7, "cents": 80 })),
            event("delete", "8", Some(9), &[], json!({ "id": 8 })),
            event("create", "4", Some(12), &[], json!({ "id": 4 })),
            event("create", "10", None, &[], json!({ "id": 10 })),
        ],
    )
    .await;
    let second = page_above(&shop, &a, Some(6)).await;
    assert_eq!((rows(&second), &second["hasMore"]), (named(&[(6, 7), (9, 10), (3, 11), (1, 13)]), &json!(true)));
    let third = page_above(&shop, &a, Some(13)).await;
    assert_eq!((rows(&third), &third["hasMore"]), (named(&[(7, 14), (4, 16), (10, 17)]), &json!(false)));
    assert_eq!(third["rows"][0]["data"]["cents"], 80);
}

#[tokio::test]
async fn named_rows_come_with_their_deletes() {
    let (shop, a) = stocked().await;
    let page = ask(&shop, &a, "/sync/snapshot", json!({ "entityType": "products", "entityIds": ["4", "3", "77"] })).await;
    assert_eq!(rows(&page), [("4".to_owned(), 12), ("3".to_owned(), 11)]);
    assert_eq!((&page["rows"][0]["data"], &page["rows"][1]["data"]["cents"]), (&Value::Null, &json!(90)));
}

#[tokio::test]
async fn digests_follow_every_write() {
    let (shop, a) = stocked().await;
    let digest = async |body: Value| ask(&shop, &a, "/sync/digest", body).await;
    let expect = |rows: &[(&str, i64)]| {
        let mut digest = Digest::default();
        rows.iter().for_each(|(id, version)| digest.add_row(id, *version));
        serde_json::to_value(digest).unwrap()
    };
    let all = [("0", 1), ("1", 2), ("2", 3), ("3", 11), ("5", 6), ("6", 7), ("7", 8), ("8", 9), ("9", 10)];
    let whole = digest(json!({})).await;
    assert_eq!(whole["entities"].as_array().unwrap().len(), 1);
    let mut entity = expect(&all);
    entity["entityType"] = json!("products");
    assert_eq!(whole["entities"][0], entity);

    let buckets = digest(json!({ "entityType": "products" })).await;
    let counted: u64 = buckets["buckets"].as_array().unwrap().iter().map(|bucket| bucket["rows"].as_u64().unwrap()).sum();
    assert_eq!(counted, 9);
    let listed = digest(json!({ "entityType": "products", "buckets": [bucket("3"), bucket("4")] })).await;
    let in_these: Vec<_> = all.iter().filter(|(id, _)| [bucket("3"), bucket("4")].contains(&bucket(id))).collect();
    assert_eq!(rows(&listed).len(), in_these.len());
    assert!(rows(&listed).contains(&("3".to_owned(), 11)) && !rows(&listed).iter().any(|(id, _)| id == "4"));

    // A row that comes back, a row that changes, a row that goes.
    shop.push(&a, &[event("create", "4", Some(12), &[], json!({ "id": 4 }))]).await;
    shop.push(&a, &[event("delete", "0", Some(1), &[], json!({ "id": 0 }))]).await;
    let now = digest(json!({})).await;
    let now_there = [("4", 13), ("1", 2), ("2", 3), ("3", 11), ("5", 6), ("6", 7), ("7", 8), ("8", 9), ("9", 10)];
    assert_eq!(now["entities"][0]["hash"], expect(&now_there)["hash"]);
    assert_eq!(now["entities"][0]["rows"], 9);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (shop, a) = stocked().await;
    for (path, body, field) in [
        ("/sync/snapshot", json!({}), "entityType"),
        ("/sync/snapshot", json!({ "entityType": "products", "limit": 0 }), "limit"),
        ("/sync/snapshot", json!({ "entityType": "products", "afterVersion": 1, "entityIds": [] }), "afterVersion"),
        ("/sync/digest", json!({ "entityType": "products", "buckets": [1024] }), "buckets"),
        ("/sync/digest", json!({ "buckets": [1] }), "entityType"),
    ] {
        let (status, answer) = shop.ask("POST", path, &a.headers(), body.to_string()).await;
        assert_eq!((status, answer["field"].as_str()), (400, Some(field)), "{answer}");
    }
    let (status, _) = shop.post("/sync/digest", &json!({})).await;
    assert_eq!(status, 401);
}
