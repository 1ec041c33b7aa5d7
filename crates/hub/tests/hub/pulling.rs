//! Pages of the log, and waiting for them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Device, Shop, event, ids, plain};

async fn fill(shop: &Shop, device: &Device, count: usize, data: &Value) {
    for start in (0..count).step_by(5000) {
        let changes: Vec<Value> = (start..count.min(start + 5000))
            .map(|n| event("create", &format!("{}-{n}", device.id), None, &[], data.clone()))
            .collect();
        shop.push(device, &changes).await;
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_overlap() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    fill(&shop, &a, 25, &json!({ "x": 1 })).await;
    let (mut cursor, mut seen, mut more) = (0, Vec::new(), true);
    while more {
        let page = shop.pull(&b, json!({ "fromCursorId": cursor, "limit": 10 })).await;
        assert_eq!(page["headCursorId"], 25);
        assert_eq!(page["epoch"], shop.hub.database().epoch());
        seen.extend(ids(&page));
        cursor = page["newCursorId"].as_i64().unwrap();
        more = page["hasMore"].as_bool().unwrap();
    }
    assert_eq!(seen, (1..=25).collect::<Vec<_>>());
    let exact = shop.pull(&b, json!({ "fromCursorId": 15, "limit": 10 })).await;
    assert_eq!((ids(&exact).len(), &exact["hasMore"]), (10, &json!(false)), "a full last page knows that it is the last");
    let end = shop.pull(&b, json!({ "fromCursorId": 25 })).await;
    assert_eq!((ids(&end).len(), &end["hasMore"], &end["newCursorId"]), (0, &json!(false), &json!(25)));
}

#[tokio::test]
async fn limits_are_kept_or_refused() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    fill(&shop, &a, 1005, &json!({ "x": 1 })).await;
    for (limit, expected) in [(json!(1), 1), (json!(1000), 1000), (json!(1001), 1000), (json!(null), 1000)] {
        let page = shop.pull(&a, json!({ "limit": limit })).await;
        assert_eq!((ids(&page).len(), &page["hasMore"]), (expected, &json!(true)));
    }
    for body in [json!({ "limit": 0 }), json!({ "limit": -1 }), json!({ "limit": "ten" }), json!({ "limit": 1.5 })] {
        let (status, answer) = shop.ask("POST", "/sync/pull", &a.headers(), body.to_string()).await;
        assert_eq!((status, answer["field"].as_str()), (400, Some("limit")), "{answer}");
    }
    let (status, answer) = shop.ask("POST", "/sync/pull", &a.headers(), r#"{"fromCursorId":-1}"#).await;
    assert_eq!((status, answer["field"].as_str()), (400, Some("fromCursorId")));
}

#[tokio::test]
async fn a_page_stops_growing_at_its_bytes() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    for n in 0..3 {
        shop.push(&a, &[event("create", &n.to_string(), None, &[], json!({ "x": "y".repeat(3_000_000) }))]).await;
    }
    shop.push(&a, &[event("create", "big", None, &[], json!({ "x": "y".repeat(9_000_000) }))]).await;
    for (from, expected, more) in [(0, vec![1], true), (2, vec![3], true), (3, vec![4], false)] {
        let page = shop.pull(&a, json!({ "fromCursorId": from })).await;
        assert_eq!((ids(&page), &page["hasMore"]), (expected, &json!(more)));
    }
}

#[tokio::test]
async fn filters_skip_for_good() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    let mut sale = plain("create", "s", json!({ "x": 1 }));
    sale["entityType"] = json!("sales");
    shop.push(&a, &[plain("create", "1", json!({ "x": 1 })), sale, plain("create", "2", json!({ "x": 1 }))]).await;
    shop.push(&b, &[plain("create", "3", json!({ "x": 1 }))]).await;
    let sales = shop.pull(&b, json!({ "entityTypes": ["sales"] })).await;
    assert_eq!((ids(&sales), &sales["newCursorId"], &sales["hasMore"]), (vec![2], &json!(4), &json!(false)));
    assert_eq!(ids(&shop.pull(&b, json!({ "excludeOwn": true })).await), [1, 2, 3]);
    let none = shop.pull(&a, json!({ "excludeOwn": true, "entityTypes": ["sales"] })).await;
    assert_eq!((ids(&none).len(), &none["newCursorId"]), (0, &json!(4)));
    assert_eq!(ids(&shop.pull(&a, json!({ "entityTypes": [] })).await).len(), 0);
}

#[tokio::test]
async fn a_long_log_of_others_is_scanned_in_bounded_steps() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    fill(&shop, &a, 60_000, &json!({})).await;
    shop.push(&b, &[plain("create", "last", json!({}))]).await;
    let first = shop.pull(&a, json!({ "excludeOwn": true, "waitMs": 20_000 })).await;
    assert_eq!((ids(&first).len(), &first["hasMore"], &first["newCursorId"]), (0, &json!(true), &json!(50_000)));
    let second = shop.pull(&a, json!({ "excludeOwn": true, "fromCursorId": 50_000 })).await;
    assert_eq!((ids(&second), &second["hasMore"]), (vec![60_001], &json!(false)));
}

#[tokio::test]
async fn a_cursor_beyond_the_head_starts_again_and_never_waits() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    fill(&shop, &a, 3, &json!({})).await;
    let start = Instant::now();
    let page = shop.pull(&a, json!({ "fromCursorId": 500, "waitMs": 20_000 })).await;
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!((ids(&page).len(), &page["hasMore"], &page["newCursorId"]), (0, &json!(false), &json!(0)));
    assert_eq!(page["headCursorId"], 3);
    assert_eq!(shop.push_from(&a, 500, &[]).await["newCursorId"], 0);
}

#[tokio::test]
async fn a_change_ends_the_wait_of_the_others() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    let start = Instant::now();
    let mut cursor = 0;
    for n in 0..20 {
        let body = json!({ "fromCursorId": cursor, "excludeOwn": true, "waitMs": 20_000 });
        let own = [plain("create", &format!("b{n}"), json!({}))];
        let other = [plain("create", &format!("a{n}"), json!({}))];
        let (page, ()) = tokio::join!(shop.pull(&b, body), async {
            shop.push(&b, &own).await;
            shop.push(&a, &other).await;
        });
        let own_alone = page["changes"].as_array().unwrap().iter().any(|change| change["deviceId"] == b.id);
        assert!(!own_alone && ids(&page).len() == 1, "{page}");
        cursor = page["newCursorId"].as_i64().unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(15), "twenty waits took {:?}", start.elapsed());
}

#[tokio::test]
async fn a_wait_ends_on_time_and_when_the_hub_stops() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let start = Instant::now();
    let page = shop.pull(&a, json!({ "waitMs": 60 })).await;
    assert!(start.elapsed() >= Duration::from_millis(60));
    assert_eq!((ids(&page).len(), &page["hasMore"], &page["newCursorId"]), (0, &json!(false), &json!(0)));
    let (page, ()) = tokio::join!(shop.pull(&a, json!({ "waitMs": 25_000 })), async { shop.hub.stop() });
    assert_eq!(ids(&page).len(), 0);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn status_follows_the_cursor() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    assert_eq!(shop.status_of(&b).await["lastSyncAt"], json!(null));
    fill(&shop, &a, 3, &json!({})).await;
    shop.push(&b, &[plain("create", "own", json!({}))]).await;
    let behind = shop.status_of(&b).await;
    assert_eq!((&behind["pendingChanges"], &behind["status"], &behind["cursorId"]), (&json!(3), &json!("pending"), &json!(0)));
    shop.pull(&b, json!({ "fromCursorId": 4 })).await;
    let done = shop.status_of(&b).await;
    assert_eq!((&done["pendingChanges"], &done["status"], &done["cursorId"]), (&json!(0), &json!("synced"), &json!(4)));
    assert_eq!((&done["headCursorId"], &done["isSyncing"]), (&json!(4), &json!(false)));
    assert_eq!(done["epoch"], shop.hub.database().epoch());
    assert!(done["lastSyncAt"].as_i64().unwrap() > 0);
}
