//! What becomes of pushed changes.

use serde_json::{Value, json};

use crate::support::{Shop, event, ids, plain, verdicts};

fn verdict(status: &str, version: i64) -> (String, Option<i64>) {
    (status.to_owned(), Some(version))
}

async fn newest(shop: &Shop, from: i64) -> Value {
    let reader = shop.device("reader").await;
    shop.pull(&reader, json!({ "fromCursorId": from })).await["changes"].as_array().unwrap().last().unwrap().clone()
}

#[tokio::test]
async fn an_event_pushed_three_times_is_one_row() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let sale = event("create", "1", None, &[], json!({ "total": 500 }));
    assert_eq!(verdicts(&shop.push(&a, &[sale.clone(), sale.clone()]).await), [verdict("applied", 1), verdict("duplicate", 1)]);
    let again = shop.push(&a, std::slice::from_ref(&sale)).await;
    assert_eq!(verdicts(&again), [verdict("duplicate", 1)]);
    assert_eq!((&again["syncedCount"], &again["errors"]), (&json!(1), &json!([])));
    assert_eq!(ids(&shop.pull(&a, json!({})).await), [1]);
    let mut stolen = sale;
    stolen["entityId"] = json!("2");
    assert_eq!(shop.push(&a, &[stolen]).await["results"][0]["status"], "rejected");
}

#[tokio::test]
async fn different_columns_merge_and_a_repeat_gets_the_same_answer() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[event("create", "1", None, &[], json!({ "id": 1, "price": 2, "name": "x" }))]).await;
    shop.push(&a, &[event("update", "1", Some(1), &["name"], json!({ "id": 1, "price": 2, "name": "y" }))]).await;
    let dearer = event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 3, "name": "x" }));
    for _ in 0..2 {
        let answer = shop.push(&b, std::slice::from_ref(&dearer)).await;
        assert_eq!(verdicts(&answer), [verdict("merged", 3)]);
        assert_eq!(answer["results"][0]["serverData"], json!({ "id": 1, "price": 3, "name": "y" }));
        assert_eq!(answer["syncedCount"], 1);
    }
    assert_eq!(newest(&shop, 0).await["data"], json!({ "id": 1, "price": 3, "name": "y" }));
    assert!(shop.conflicts().is_empty(), "no value was lost");
    let own = shop.pull(&b, json!({ "excludeOwn": true })).await;
    assert_eq!(ids(&own), [1, 2, 3], "what was merged into it comes back");
    assert_eq!(ids(&shop.pull(&a, json!({ "excludeOwn": true })).await), [3]);
}

#[tokio::test]
async fn a_copy_of_an_earlier_version_is_brought_up_to_date_and_asks_nobody() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[event("create", "1", None, &[], json!({ "id": 1, "price": 2 }))]).await;
    shop.push(&a, &[event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 9 }))]).await;
    let answer = shop.push(&b, &[event("create", "1", None, &[], json!({ "id": 1, "price": 2 }))]).await;
    assert_eq!(verdicts(&answer), [verdict("merged", 2)]);
    assert_eq!(answer["results"][0]["serverData"], json!({ "id": 1, "price": 9 }));
    assert!(shop.conflicts().is_empty());
    let answer = shop.push(&b, &[event("create", "1", None, &[], json!({ "id": 1, "price": 3 }))]).await;
    assert_eq!(verdicts(&answer), [verdict("conflict", 2)]);
}

#[tokio::test]
async fn of_two_values_for_one_column_the_one_written_later_wins_and_both_are_kept() {
    for (at, outcome, version, price) in [(7, "applied", 3, 3), (3, "merged", 2, 9)] {
        let shop = Shop::open().await;
        let (a, b) = (shop.device("A").await, shop.device("B").await);
        shop.push(&a, &[event("create", "1", None, &[], json!({ "id": 1, "price": 2 }))]).await;
        shop.push(&a, &[event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 9 }))]).await;
        let mut change = event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 3 }));
        change["timestamp"] = json!(at);
        let answer = shop.push(&b, std::slice::from_ref(&change)).await;
        assert_eq!(verdicts(&answer), [verdict(outcome, version)]);
        assert_eq!(newest(&shop, 0).await["data"]["price"], price);
        let kept = if price == 3 { "client" } else { "server" };
        let conflict = &answer["results"][0]["conflict"];
        assert_eq!(conflict["rules"], json!([{ "column": "price", "rule": "latest", "kept": kept }]));
        assert_eq!((&conflict["resolution"], &conflict["baseValue"]["price"]), (&json!(format!("{kept}-wins")), &json!(2)));
        assert_eq!(
            (&conflict["serverDeviceName"], &conflict["serverAt"], &conflict["clientAt"]),
            (&json!("A"), &json!(5), &json!(at))
        );
        let lost = (format!("{kept}-wins"), Some(r#"{"id":1,"price":3}"#.to_owned()), Some(r#"{"id":1,"price":9}"#.to_owned()));
        assert_eq!(shop.conflicts(), [lost]);
        assert_eq!(shop.stats().await["pendingConflicts"], 0);
        let again = shop.push(&b, &[change]).await;
        assert_eq!(again["results"][0]["conflict"]["id"], conflict["id"], "a repeated event hears the same");
        assert_eq!(newest(&shop, 0).await["id"], version);
    }
}

#[tokio::test]
async fn what_contradicts_waits_for_a_person_once() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[event("create", "1", None, &[], json!({ "id": 1, "price": 2 }))]).await;
    shop.push(&a, &[event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 9 }))]).await;
    let delete = event("delete", "1", Some(1), &[], json!(null));
    for _ in 0..3 {
        let answer = shop.push(&b, std::slice::from_ref(&delete)).await;
        assert_eq!(verdicts(&answer), [verdict("conflict", 2)]);
        assert_eq!(answer["results"][0]["serverData"], json!({ "id": 1, "price": 9 }));
        assert_eq!(answer["syncedCount"], 0);
        assert_eq!(answer["errors"][0]["entityId"], "1");
        assert_eq!(answer["errors"][0]["changeId"], 1);
        assert_eq!(answer["errors"][0]["error"], answer["results"][0]["error"]);
    }
    assert_eq!(shop.conflicts().len(), 1);
    assert_eq!(shop.stats().await["pendingConflicts"], 1);
    let other = event("create", "1", None, &[], json!({ "id": 1, "price": 7 }));
    assert_eq!(shop.push(&b, &[other]).await["results"][0]["status"], "conflict");
}

#[tokio::test]
async fn the_same_content_is_a_duplicate_and_missing_columns_are_told() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[event("create", "1", None, &[], json!({ "id": 1, "price": 2 }))]).await;
    let same = event("create", "1", None, &[], json!({ "id": 1, "price": 2, "new": null }));
    assert_eq!(verdicts(&shop.push(&b, &[same]).await), [verdict("duplicate", 1)]);
    shop.push(&a, &[event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 5, "name": "n" }))]).await;
    shop.push(&a, &[event("update", "1", Some(2), &["name"], json!({ "id": 1, "price": 5, "name": "n" }))]).await;
    let behind = event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 5 }));
    let answer = shop.push(&b, &[behind]).await;
    assert_eq!(verdicts(&answer), [verdict("merged", 3)]);
    assert_eq!(answer["results"][0]["serverData"], json!({ "id": 1, "price": 5, "name": "n" }));
    assert_eq!(shop.status_of(&b).await["headCursorId"], 3, "nothing was written");
}

#[tokio::test]
async fn clients_of_the_original_protocol_win_by_arriving_later() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[plain("create", "1", json!({ "amount": 500 }))]).await;
    shop.push_from(&a, 1, &[plain("update", "1", json!({ "amount": 600 }))]).await;
    assert!(shop.conflicts().is_empty());
    let answer = shop.push_from(&b, 1, &[plain("update", "1", json!({ "amount": 650 }))]).await;
    assert_eq!((&answer["syncedCount"], &answer["errors"]), (&json!(1), &json!([])));
    assert_eq!(newest(&shop, 0).await["data"], json!({ "amount": 650 }));
    shop.push_from(&a, 2, &[plain("delete", "1", json!(null))]).await;
    let deleted = newest(&shop, 0).await;
    assert_eq!((&deleted["operation"], &deleted["data"]), (&json!("delete"), &json!(null)));
    shop.push_from(&b, 3, &[plain("update", "1", json!({ "amount": 700 }))]).await;
    assert_eq!(newest(&shop, 0).await["operation"], "create", "a row that comes back is created");
    let kinds: Vec<String> = shop.conflicts().into_iter().map(|(resolution, ..)| resolution).collect();
    assert_eq!(kinds, ["client-wins", "client-wins"]);
}

#[tokio::test]
async fn a_partial_update_stores_the_whole_row() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    shop.push(&a, &[plain("create", "1", json!({ "name": "x", "price": 2 }))]).await;
    shop.push_from(&a, 1, &[plain("update", "1", json!({ "price": 3 }))]).await;
    assert_eq!(newest(&shop, 0).await["data"], json!({ "name": "x", "price": 3 }));
}

#[tokio::test]
async fn values_arrive_as_they_were_sent() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let row = r#"{"i":{"$int":"9223372036854775807"},"r":0.1,"w":{"$real":"1.0"},"b":{"$blob":"AP8="},"t":"قهوة","n":null}"#;
    for operation in ["create", "update"] {
        let mut change = event(operation, "1", Some(1), &[], serde_json::from_str(row).unwrap());
        change["data"]["step"] = json!(operation);
        shop.push(&a, &[change.clone()]).await;
        assert_eq!(newest(&shop, 0).await["data"], change["data"]);
    }
}

#[tokio::test]
async fn a_bad_change_is_rejected_and_the_rest_goes_on() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let changes = [
        event("create", "", None, &[], json!({})),
        plain("create", "1", json!(null)),
        event("update", "1", None, &[], json!([1])),
        event("create", "1", None, &[], json!({ "a": { "$int": "x" } })),
        event("create", &"x".repeat(5000), None, &[], json!({})),
        event("create", "1", None, &[], json!({ "a": 1 })),
    ];
    let answer = shop.push(&a, &changes).await;
    let statuses: Vec<String> = verdicts(&answer).into_iter().map(|(status, _)| status).collect();
    assert_eq!(statuses, ["rejected", "rejected", "rejected", "rejected", "rejected", "applied"]);
    assert_eq!((&answer["syncedCount"], answer["errors"].as_array().unwrap().len()), (&json!(1), 5));
    assert_eq!(answer["results"][5]["version"], 1);
}

#[tokio::test]
async fn a_base_between_versions_is_the_row_of_that_time() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[event("create", "1", None, &[], json!({ "x": 1, "y": 1 }))]).await;
    shop.push(&a, &[event("create", "2", None, &[], json!({ "x": 1 }))]).await;
    shop.push(&a, &[event("update", "1", Some(1), &["x"], json!({ "x": 2, "y": 1 }))]).await;
    shop.push(&a, &[event("update", "1", Some(3), &["x"], json!({ "x": 3, "y": 1 }))]).await;
    let answer = shop.push(&b, &[event("update", "1", Some(2), &["y"], json!({ "x": 1, "y": 9 }))]).await;
    assert_eq!(answer["results"][0]["serverData"], json!({ "x": 3, "y": 9 }));
    assert!(shop.conflicts().is_empty(), "y had not changed since entry 2, so nothing was lost");
}

#[tokio::test]
async fn what_was_merged_is_not_known_to_its_device_until_it_says_so() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[event("create", "1", None, &[], json!({ "id": 1, "price": 1, "name": "x" }))]).await;
    shop.push(&b, &[event("update", "1", Some(1), &["name"], json!({ "id": 1, "price": 1, "name": "y" }))]).await;
    let answer = shop
        .push(
            &a,
            &[
                event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 2, "name": "x" })),
                event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 3, "name": "x" })),
                event("delete", "1", Some(1), &[], json!(null)),
            ],
        )
        .await;
    assert_eq!(verdicts(&answer), [verdict("merged", 3), verdict("merged", 4), verdict("conflict", 4)]);
    assert_eq!(answer["results"][1]["serverData"], json!({ "id": 1, "price": 3, "name": "y" }));
}

#[tokio::test]
async fn an_event_that_said_nothing_new_does_not_undo_what_came_after_it() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[event("create", "1", None, &[], json!({ "id": 1, "price": 1 }))]).await;
    shop.push(&b, &[event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 2 }))]).await;
    let mut batch = [
        event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 2 })),
        event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 3 })),
    ];
    batch[1]["timestamp"] = json!(6);
    let expected = [verdict("duplicate", 2), verdict("applied", 3)];
    assert_eq!(verdicts(&shop.push(&a, &batch).await), expected);
    assert_eq!(verdicts(&shop.push(&a, &batch).await), [verdict("duplicate", 2), verdict("duplicate", 3)]);
    assert_eq!(newest(&shop, 0).await["data"], json!({ "id": 1, "price": 3 }));
}
