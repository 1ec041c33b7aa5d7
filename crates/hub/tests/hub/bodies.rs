//! Bodies that are wrong, too large or compressed.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tillsync_core::wire::hub::{BODY_BYTES_MAX, PUSH_CHANGES_MAX};

use crate::support::{Device, Shop, event, gunzip, gzip, ids, plain};

async fn nothing_is_stored(shop: &Shop, device: &Device) {
    assert_eq!(shop.status_of(device).await["headCursorId"], 0);
}

#[tokio::test]
async fn a_bad_request_names_the_member_and_stores_nothing() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let good = plain("create", "1", json!({ "x": 1 }));
    let with = |member: &str, value: Value| {
        let mut bad = good.clone();
        bad[member] = value;
        json!({ "changes": [good, good, good, bad] }).to_string()
    };
    let mut nameless = good.clone();
    nameless.as_object_mut().unwrap().remove("entityType");
    for (body, field) in [
        (String::new(), None),
        ("<html>".to_owned(), None),
        (r#"{"changes":[{"#.to_owned(), None),
        ("{}".to_owned(), Some("changes")),
        (r#"{"changes":{}}"#.to_owned(), Some("changes")),
        (r#"{"changes":[],"cursorId":"x"}"#.to_owned(), Some("cursorId")),
        (with("operation", json!("upsert")), Some("changes[3].operation")),
        (with("timestamp", json!("now")), Some("changes[3].timestamp")),
        (with("entityId", json!(7)), Some("changes[3].entityId")),
        (with("eventId", json!("x")), Some("changes[3].eventId")),
        (with("updatedFields", json!(["a", 1])), Some("changes[3].updatedFields[1]")),
        (json!({ "changes": [nameless] }).to_string(), Some("changes[0].entityType")),
    ] {
        let (status, answer) = shop.ask("POST", "/sync/push", &a.headers(), body.clone()).await;
        assert_eq!(
            (status, answer["code"].as_str(), answer["field"].as_str()),
            (400, Some("bad_request"), field),
            "{body}: {answer}"
        );
    }
    nothing_is_stored(&shop, &a).await;
}

#[tokio::test]
async fn too_much_is_413() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let many: Vec<Value> = (0..=PUSH_CHANGES_MAX).map(|n| event("create", &n.to_string(), None, &[], json!({}))).collect();
    let too_many = json!({ "changes": many }).to_string();
    let too_long = json!({ "changes": [plain("create", "1", json!({ "x": "y".repeat(BODY_BYTES_MAX) }))] }).to_string();
    for body in [too_many, too_long] {
        let (status, answer) = shop.ask("POST", "/sync/push", &a.headers(), body).await;
        assert_eq!((status, answer["code"].as_str()), (413, Some("too_large")));
    }
    let just_right = json!({ "changes": &many[1..] }).to_string();
    assert_eq!(shop.ask("POST", "/sync/push", &a.headers(), just_right).await.1["syncedCount"], PUSH_CHANGES_MAX);
}

#[tokio::test]
async fn a_gzip_bomb_is_413() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let bomb = gzip(&vec![b' '; 40 * BODY_BYTES_MAX]);
    assert!(bomb.len() < BODY_BYTES_MAX);
    let [id, key] = a.headers();
    let (status, answer) = shop.ask("POST", "/sync/push", &[id, key, ("content-encoding", "gzip")], bomb).await;
    assert_eq!((status, answer["code"].as_str()), (413, Some("too_large")));
}

#[tokio::test]
async fn damaged_and_unknown_encodings_are_refused() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let [id, key] = a.headers();
    let body = json!({ "changes": [plain("create", "1", json!({}))] }).to_string();
    let mut cut = gzip(body.as_bytes());
    cut.truncate(cut.len() - 10);
    for (encoding, body, expected) in [("gzip", body.clone().into_bytes(), 400), ("gzip", cut, 400), ("br", body.into_bytes(), 415)]
    {
        let (status, answer) = shop.ask("POST", "/sync/push", &[id, key, ("content-encoding", encoding)], body).await;
        assert_eq!((status, answer["code"].as_str()), (expected, Some("bad_request")));
    }
    nothing_is_stored(&shop, &a).await;
}

#[tokio::test]
async fn both_ways_may_be_compressed_and_the_hub_says_so() {
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let changes: Vec<Value> = (0..100).map(|n| plain("create", &n.to_string(), json!({ "name": "the same name" }))).collect();
    let [id, key] = a.headers();
    let body = gzip(json!({ "changes": changes }).to_string().as_bytes());
    let (status, answer) = shop.ask("POST", "/sync/push", &[id, key, ("content-encoding", "gzip")], body).await;
    assert_eq!((status, &answer["syncedCount"]), (200, &json!(100)));

    let pull = |accepts: &str| {
        let request = Request::post("/sync/pull").header(id.0, id.1).header(key.0, key.1).header("accept-encoding", accepts);
        shop.send(request.body(Body::from("{}")).unwrap())
    };
    let (_, headers, plain) = pull("identity").await;
    assert!(!headers.contains_key("content-encoding"));
    assert_eq!(headers["accept-encoding"], "gzip");
    let (_, headers, packed) = pull("gzip").await;
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers["accept-encoding"], "gzip");
    assert!(packed.len() < plain.len() / 4);
    assert_eq!(ids(&serde_json::from_slice(&gunzip(&packed)).unwrap()).len(), 100);
    let (status, headers, _) = shop.send(Request::get("/nowhere").body(Body::empty()).unwrap()).await;
    assert_eq!((status.as_u16(), &headers["accept-encoding"]), (404, &"gzip".parse().unwrap()));
}
