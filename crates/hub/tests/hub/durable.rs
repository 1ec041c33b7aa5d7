//! What the file keeps, and what it never holds.

use std::fs;

use serde_json::json;
use tillsync_hub::Hub;
use tillsync_hub::database::{OpenError, Terms};

use crate::support::{DAY, Shop, event, ids, verdicts};

#[tokio::test]
async fn a_restart_keeps_everything() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    let sale = event("create", "1", None, &[], json!({ "total": 500 }));
    shop.push(&a, std::slice::from_ref(&sale)).await;
    shop.push(&b, &[event("create", "1", None, &[], json!({ "total": 1 }))]).await;
    let epoch = shop.hub.database().epoch().to_owned();
    let shop = shop.reopen().await;
    assert_eq!(shop.hub.database().epoch(), epoch);
    assert_eq!(verdicts(&shop.push(&a, &[sale]).await)[0].0, "duplicate");
    assert_eq!(ids(&shop.pull(&b, json!({})).await), [1]);
    assert_eq!(shop.stats().await["pendingConflicts"], 1);
}

#[tokio::test]
async fn no_secret_is_in_the_files() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let admin = shop.hub.make_first_admin_key().await.unwrap().unwrap();
    let token = shop.hub.make_enroll_token(1, DAY, Terms::default()).await.unwrap();
    shop.push(&a, &[event("create", "1", None, &[], json!({ "visible": "yes" }))]).await;
    let mut bytes = Vec::new();
    for entry in fs::read_dir(shop.folder.path()).unwrap() {
        bytes.extend(fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("visible"));
    for secret in [&a.key, &admin, &token] {
        assert!(!holds(secret));
    }
}

#[tokio::test]
async fn only_a_hub_database_is_opened_and_others_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE sales (id INTEGER PRIMARY KEY)").unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    assert!(matches!(Hub::open(&path).await, Err(OpenError::NotAHub(_))));
    assert_eq!(fs::read(&path).unwrap(), before);

    let path = folder.path().join("letter.txt");
    fs::write(&path, "Dear shop, ".repeat(500)).unwrap();
    assert!(matches!(Hub::open(&path).await, Err(OpenError::NotAHub(_))));

    let missing = Hub::open(folder.path().join("no/such/folder/hub.db")).await;
    assert!(matches!(missing, Err(OpenError::NotWritable { .. })));

    let path = folder.path().join("newer.db");
    drop(Hub::open(&path).await.unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Hub::open(&path).await, Err(OpenError::TooNew(_))));
}

#[tokio::test]
async fn a_database_that_fails_midway_stores_nothing_and_tells_no_secrets() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let outside = rusqlite::Connection::open(shop.folder.path().join("hub.db")).unwrap();
    outside
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON change_log WHEN new.entity_id = '2' BEGIN SELECT raise(abort, 'disk'); END",
        )
        .unwrap();
    let changes = [event("create", "1", None, &[], json!({})), event("create", "2", None, &[], json!({}))];
    let body = json!({ "changes": changes }).to_string();
    let (status, answer) = shop.ask("POST", "/sync/push", &a.headers(), body.clone()).await;
    assert_eq!((status, answer["code"].as_str()), (500, Some("internal")));
    assert!(!answer.to_string().contains("disk"), "{answer}");
    assert_eq!(shop.status_of(&a).await["headCursorId"], 0);
    outside.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(shop.ask("POST", "/sync/push", &a.headers(), body).await.1["syncedCount"], 2);
}

#[test]
fn sqlite_has_the_fix_for_wal_resets() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}
