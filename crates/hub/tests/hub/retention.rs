//! What is older than the retention goes, and whoever was away for longer is told.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tillsync_hub::database::Pruned;

use crate::support::{Device, Shop, bearer, event, ids, verdicts};

const DAY_MS: i64 = 86_400_000;

const RETENTION_MS: i64 = 180 * DAY_MS;

/// So many days from now everything that is stored now is pruned as far as it may be.
async fn prune_after(shop: &Shop, days: i64) -> Pruned {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut all = Pruned::default();
    loop {
        let some = shop.hub.database().prune(RETENTION_MS, now_ms + days * DAY_MS).await.unwrap();
        all.entries += some.entries;
        all.deletes += some.deletes;
        if !some.more {
            return all;
        }
    }
}

fn cents(id: &str, cents: i64) -> Value {
    json!({ "id": id, "cents": cents, "name": "tea" })
}

/// Row 1 in four versions (1, 2, 3 and 5), row 2 deleted by change 6; the entries 7 and 8 are row 3.
async fn aged() -> (Shop, Device, Device) {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[event("create", "1", None, &[], cents("1", 0))]).await;
    for (base, value) in [(1, 1), (2, 2)] {
        shop.push(&a, &[event("update", "1", Some(base), &["cents"], cents("1", value))]).await;
    }
    shop.push(&a, &[event("create", "2", None, &[], cents("2", 0))]).await;
    shop.push(&a, &[event("update", "1", Some(3), &["cents"], cents("1", 3))]).await;
    shop.push(&a, &[event("delete", "2", Some(4), &[], json!({ "id": "2" }))]).await;
    shop.push(&a, &[event("create", "3", None, &[], cents("3", 0))]).await;
    shop.push(&a, &[event("update", "3", Some(7), &["cents"], cents("3", 1))]).await;
    (shop, a, b)
}

async fn pull(shop: &Shop, device: &Device, cursor: i64) -> (u16, Value) {
    shop.ask("POST", "/sync/pull", &device.headers(), json!({ "fromCursorId": cursor }).to_string()).await
}

#[tokio::test]
async fn superseded_entries_and_deletes_go_and_rows_stay() {
    let (shop, _, b) = aged().await;
    let digest = async || shop.ask("POST", "/sync/digest", &b.headers(), "{}").await.1["entities"].clone();
    let before = digest().await;
    assert_eq!(prune_after(&shop, 179).await, Pruned::default(), "not yet");
    assert_eq!(ids(&pull(&shop, &b, 0).await.1).len(), 8);
    assert_eq!(prune_after(&shop, 181).await, Pruned { entries: 6, deletes: 1, more: false });
    let page = pull(&shop, &b, 0).await.1;
    assert_eq!((ids(&page), &page["prunedThrough"], &page["headCursorId"]), (vec![5, 8], &json!(6), &json!(8)));
    assert_eq!(digest().await, before, "what is there has not changed");
    assert_eq!(shop.stats().await["totalChanges"], 2);
    assert_eq!(prune_after(&shop, 400).await, Pruned::default(), "nothing is left to go");
    // The log goes on as ever.
    let answer = shop.push(&b, &[event("update", "1", Some(5), &["cents"], cents("1", 9))]).await;
    assert_eq!(verdicts(&answer), [("applied".to_owned(), Some(9))]);
}

#[tokio::test]
async fn hazard_21_a_register_that_is_gone_for_good_keeps_nothing() {
    let (shop, _, b) = aged().await;
    pull(&shop, &b, 2).await;
    let key = shop.hub.replace_admin_key().await.unwrap();
    for (path, method) in [(format!("/sync/suspend/{}", b.id), "POST"), (format!("/sync/{}", b.id), "DELETE")] {
        let (status, _) = shop.ask(method, &path, &[("authorization", &bearer(&key))], "").await;
        assert_eq!(status, 200);
        if method == "POST" {
            assert_eq!(prune_after(&shop, 181).await.entries, 6, "its cursor stands at 2 for ever");
        }
    }
}

#[tokio::test]
async fn hazard_21_whoever_was_away_for_longer_is_told_to_begin_anew() {
    let (shop, a, b) = aged().await;
    prune_after(&shop, 181).await;
    for cursor in [1, 5] {
        let (status, answer) = pull(&shop, &b, cursor).await;
        assert_eq!((status, answer["code"].as_str()), (410, Some("cursor_expired")), "{answer}");
    }
    for cursor in [6, 8] {
        assert_eq!(pull(&shop, &b, cursor).await.0, 200, "nothing after {cursor} is forgotten");
    }
    // A push does not carry the cursor past what is missing.
    let answer = shop.push_from(&a, 2, &[event("create", "9", None, &[], cents("9", 0))]).await;
    assert_eq!(answer["newCursorId"], 2);
    // Who begins from 0 gets to the end in pages of any size.
    let (mut cursor, mut seen) = (0, Vec::new());
    loop {
        let page = shop.pull(&b, json!({ "fromCursorId": cursor, "limit": 1 })).await;
        seen.extend(ids(&page));
        cursor = page["newCursorId"].as_i64().unwrap();
        if page["hasMore"] == false {
            break;
        }
    }
    assert_eq!(seen, [5, 8, 9]);
}

#[tokio::test]
async fn deletes_that_are_forgotten_while_a_device_begins_anew_send_it_back_once_more() {
    let (shop, a, b) = aged().await;
    prune_after(&shop, 181).await;
    shop.pull(&b, json!({ "fromCursorId": 0, "limit": 1 })).await;
    shop.push(&a, &[event("delete", "1", Some(5), &[], json!({ "id": "1" }))]).await;
    assert_eq!(pull(&shop, &b, 5).await.0, 200);
    prune_after(&shop, 362).await;
    assert_eq!(pull(&shop, &b, 5).await.0, 410, "it has row 1 and would never hear of its delete");
    assert_eq!(ids(&pull(&shop, &b, 0).await.1), [8]);
    assert_eq!(pull(&shop, &b, 8).await.0, 200);
}

#[tokio::test]
async fn hazard_21_a_change_of_a_row_whose_delete_is_forgotten_brings_nothing_back_and_is_not_lost() {
    let (shop, a, b) = aged().await;
    prune_after(&shop, 181).await;
    let update = event("update", "2", Some(4), &["cents"], cents("2", 7));
    for _ in 0..2 {
        let answer = shop.push(&b, std::slice::from_ref(&update)).await;
        assert_eq!(verdicts(&answer), [("conflict".to_owned(), Some(9))], "{answer}");
        assert_eq!(answer["results"][0]["conflict"]["clientValue"]["cents"], 7);
    }
    assert_eq!(ids(&shop.pull(&a, json!({ "fromCursorId": 8 })).await), [9], "the delete is told once more");
    assert_eq!(verdicts(&shop.push(&b, &[event("delete", "2", Some(4), &[], json!({ "id": "2" }))]).await)[0].0, "duplicate");
    // A person decides, and the row is back.
    let id = shop.push(&b, &[update]).await["results"][0]["conflict"]["id"].clone();
    let wish = json!({ "resolution": "client-wins", "baseVersion": 9 });
    let (status, answer) = shop.ask("POST", &format!("/sync/conflicts/{id}/resolve"), &b.headers(), wish.to_string()).await;
    assert_eq!((status, &answer["data"]["cents"]), (200, &json!(7)), "{answer}");
}

#[tokio::test]
async fn a_row_that_is_made_again_after_its_delete_was_forgotten_is_a_row() {
    let (shop, _, b) = aged().await;
    prune_after(&shop, 181).await;
    assert_eq!(verdicts(&shop.push(&b, &[event("create", "2", Some(6), &[], cents("2", 7))]).await)[0].0, "applied");
}

#[tokio::test]
async fn a_change_whose_base_is_pruned_is_told_what_it_met() {
    let (shop, _, b) = aged().await;
    prune_after(&shop, 181).await;
    let answer = shop.push(&b, &[event("update", "1", Some(2), &["cents"], cents("1", 50))]).await;
    let conflict = &answer["results"][0]["conflict"];
    assert_eq!((&conflict["clientValue"]["cents"], &conflict["serverValue"]["cents"]), (&json!(50), &json!(3)), "{answer}");
    assert_eq!(verdicts(&shop.push(&b, &[event("delete", "1", Some(2), &[], json!({ "id": "1" }))]).await)[0].0, "conflict");
    assert_eq!(verdicts(&shop.push(&b, &[event("create", "3", None, &[], cents("3", 0))]).await)[0].0, "conflict");
}

#[tokio::test]
async fn a_base_from_within_the_retention_is_there_however_old_it_is() {
    let (shop, a, b) = aged().await;
    let connection = rusqlite::Connection::open(shop.folder.path().join("hub.db")).unwrap();
    connection.execute_batch("UPDATE change_log SET server_timestamp = server_timestamp - 86400000 * 200").unwrap();
    // Row 1 has been as it is for 200 days, and changes only now.
    shop.push(&a, &[event("update", "1", Some(5), &["name"], json!({ "id": "1", "cents": 3, "name": "mint" }))]).await;
    prune_after(&shop, 0).await;
    let answer = shop.push(&b, &[event("update", "1", Some(5), &["cents"], cents("1", 50))]).await;
    assert_eq!(verdicts(&answer), [("merged".to_owned(), Some(10))]);
    assert_eq!((&answer["results"][0]["serverData"]["name"], &answer["results"][0]["conflict"]), (&json!("mint"), &Value::Null));
}

#[tokio::test]
async fn an_event_whose_entry_is_pruned_is_stored_no_second_time() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let first = event("create", "1", None, &[], cents("1", 0));
    let second = event("create", "2", None, &[], cents("2", 0));
    shop.push(&a, &[first.clone(), second.clone()]).await;
    shop.push(&a, &[event("update", "1", Some(1), &["cents"], cents("1", 1))]).await;
    shop.push(&a, &[event("delete", "2", Some(2), &[], json!({ "id": "2" }))]).await;
    prune_after(&shop, 181).await;
    let answer = shop.push(&a, &[first.clone(), second]).await;
    assert_eq!(verdicts(&answer), [("duplicate".to_owned(), Some(1)), ("duplicate".to_owned(), Some(2))]);
    // It is remembered for as long again, and no longer.
    prune_after(&shop, 355).await;
    assert_eq!(verdicts(&shop.push(&a, std::slice::from_ref(&first)).await)[0].0, "duplicate");
    prune_after(&shop, 362).await;
    let connection = rusqlite::Connection::open(shop.folder.path().join("hub.db")).unwrap();
    let left: i64 = connection.query_row("SELECT count(*) FROM repeated_events", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_delete_that_somebody_has_to_decide_about_is_kept() {
    let (shop, _, b) = aged().await;
    let update = event("update", "2", Some(4), &["cents"], cents("2", 7));
    let id = shop.push(&b, &[update]).await["results"][0]["conflict"]["id"].clone();
    assert_eq!(prune_after(&shop, 181).await.deletes, 0);
    let wish = json!({ "resolution": "server-wins", "baseVersion": 6 });
    let (status, _) = shop.ask("POST", &format!("/sync/conflicts/{id}/resolve"), &b.headers(), wish.to_string()).await;
    assert_eq!(status, 200);
    assert_eq!(prune_after(&shop, 362).await, Pruned { entries: 2, deletes: 1, more: false }, "now both deletes go");
}

#[tokio::test]
async fn years_are_pruned_in_small_transactions_also_after_a_clock_was_wrong() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    for version in 0..30 {
        let changes: Vec<Value> =
            (0..50).map(|id| event("update", &id.to_string(), Some(i64::MAX), &[], cents("x", version))).collect();
        shop.push(&a, &changes).await;
    }
    let connection = rusqlite::Connection::open(shop.folder.path().join("hub.db")).unwrap();
    connection.execute_batch("UPDATE change_log SET server_timestamp = server_timestamp * 2 WHERE id BETWEEN 100 AND 700").unwrap();
    let first = shop.hub.database().prune(RETENTION_MS, 0).await.unwrap();
    assert_eq!(first, Pruned::default(), "what is yet to come is not old");
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let some = shop.hub.database().prune(RETENTION_MS, now_ms + 181 * DAY_MS).await.unwrap();
    assert!(some.more && some.entries <= 701, "{some:?}");
    assert_eq!(some.entries + prune_after(&shop, 181).await.entries, 29 * 50);
    assert_eq!(shop.stats().await["totalChanges"], 50);
}
