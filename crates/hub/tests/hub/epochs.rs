//! A hub that was restored from a backup: its own epoch for what comes now, and rows that come back in the version that they had.

use serde_json::{Value, json};
use tillsync_hub::{Hub, Options, router};

use crate::support::{Device, Shop, event, verdicts};

fn row(cents: i64) -> Value {
    json!({ "id": "1", "cents": cents, "name": "tea" })
}

/// Row 1 as it was in a version that is lost.
fn lost(operation: &str, version: i64, data: Value) -> Value {
    let mut change = event(operation, "1", Some(1), &[], data);
    change["restored"] = json!(version);
    change
}

async fn restored() -> (Shop, Device, Device) {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[event("create", "1", None, &[], row(20))]).await;
    (shop, a, b)
}

async fn cents(shop: &Shop, device: &Device) -> Value {
    let body = json!({ "entityType": "products", "entityIds": ["1"] });
    let (_, answer) = shop.ask("POST", "/sync/snapshot", &device.headers(), body.to_string()).await;
    answer["rows"][0]["data"]["cents"].clone()
}

#[tokio::test]
async fn of_several_versions_of_a_row_the_latest_stays_whoever_comes_first() {
    for later_first in [true, false] {
        let (shop, a, b) = restored().await;
        let mut changes = [(&a, lost("update", 7, row(17)), 17), (&b, lost("update", 9, row(13)), 13)];
        if later_first {
            changes.reverse();
        }
        for (device, change, _) in &changes {
            for _ in 0..2 {
                let (verdict, _) = verdicts(&shop.push(device, std::slice::from_ref(change)).await)[0].clone();
                assert!(["applied", "duplicate", "merged"].contains(&verdict.as_str()), "{verdict}");
            }
        }
        assert_eq!(cents(&shop, &a).await, 13, "nothing is merged or added up");
        assert!(shop.conflicts().is_empty());
    }
}

#[tokio::test]
async fn a_row_that_two_registers_hold_comes_back_once() {
    let (shop, a, b) = restored().await;
    assert_eq!(verdicts(&shop.push(&a, &[lost("update", 7, row(17))]).await), [("applied".to_owned(), Some(2))]);
    assert_eq!(verdicts(&shop.push(&b, &[lost("update", 7, row(17))]).await), [("duplicate".to_owned(), Some(2))]);
}

#[tokio::test]
async fn deletes_come_back_and_so_do_rows_that_came_after_them() {
    let (shop, a, b) = restored().await;
    assert_eq!(verdicts(&shop.push(&a, &[lost("delete", 7, json!({ "id": "1" }))]).await)[0].0, "applied");
    let answer = shop.push(&b, &[lost("update", 5, row(5))]).await;
    assert_eq!(
        (verdicts(&answer)[0].0.as_str(), &answer["results"][0].get("serverData")),
        ("merged", &None),
        "it was deleted later"
    );
    assert_eq!(verdicts(&shop.push(&b, &[lost("update", 9, row(9))]).await)[0].0, "applied");
    let answer = shop.push(&a, &[lost("delete", 8, json!({ "id": "1" }))]).await;
    assert_eq!((verdicts(&answer)[0].0.as_str(), &answer["results"][0]["serverData"]["cents"]), ("merged", &json!(9)));
}

#[tokio::test]
async fn what_was_changed_on_top_of_a_lost_version_stays_a_change() {
    let (shop, a, b) = restored().await;
    let mut on_top = lost("update", 7, json!({ "id": "1", "cents": 17, "name": "green tea" }));
    on_top["updatedFields"] = json!(["name"]);
    shop.push(&b, &[lost("update", 7, row(17))]).await;
    assert_eq!(verdicts(&shop.push(&a, &[on_top.clone()]).await)[0].0, "applied");
    assert_eq!(cents(&shop, &a).await, 17);
    // The other way round the row comes with it.
    let (shop, a, b) = restored().await;
    assert_eq!(verdicts(&shop.push(&a, &[on_top]).await)[0].0, "applied");
    let answer = shop.push(&b, &[lost("update", 7, row(17))]).await;
    assert_eq!((verdicts(&answer)[0].0.as_str(), &answer["results"][0]["serverData"]["name"]), ("merged", &json!("green tea")));
}

#[tokio::test]
async fn a_change_from_after_the_restore_is_merged_with_what_comes_back() {
    let (shop, a, b) = restored().await;
    shop.push(&a, &[event("update", "1", Some(1), &["name"], json!({ "id": "1", "cents": 20, "name": "mint" }))]).await;
    shop.push(&b, &[lost("update", 7, row(17))]).await;
    assert_eq!(cents(&shop, &a).await, 17);
}

#[tokio::test]
async fn a_cursor_of_an_epoch_that_was_left_hears_where() {
    let (shop, a, _) = restored().await;
    let old = shop.hub.database().epoch().to_owned();
    shop.hub.database().begin_epoch().await.unwrap();
    let shop = shop.reopen().await;
    assert_ne!(shop.hub.database().epoch(), old);
    let ask = async |epoch: &str| shop.pull(&a, json!({ "fromCursorId": 500, "epoch": epoch })).await;
    let answer = ask(&old).await;
    assert_eq!((&answer["forkedAt"], &answer["changes"]), (&json!(1), &json!([])));
    assert_eq!(ask("another").await.get("forkedAt"), None);
    assert_eq!(ask(shop.hub.database().epoch()).await.get("forkedAt"), None);
}

#[tokio::test]
async fn a_database_that_is_behind_what_was_told_begins_an_epoch() {
    let (shop, a, _) = restored().await;
    let (database, backup) = (shop.folder.path().join("hub.db"), shop.folder.path().join("backup.db"));
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    drop(connection);
    shop.push(&a, &[event("update", "1", Some(1), &[], row(1))]).await;
    let before = shop.hub.database().epoch().to_owned();
    let shop = shop.reopen().await;
    assert_eq!(shop.hub.database().epoch(), before, "a start is no restore");
    let Shop { folder, hub, router: served } = shop;
    drop((hub, served));
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", database.display()));
    }
    std::fs::copy(&backup, &database).unwrap();
    let hub = Hub::open(&database).await.unwrap();
    let shop = Shop { router: router(hub.clone(), Options { open_registration: true, ..Options::default() }), hub, folder };
    let now = shop.hub.database().epoch().to_owned();
    assert_ne!(now, before);
    assert_eq!(shop.reopen().await.hub.database().epoch(), now, "once");
}
