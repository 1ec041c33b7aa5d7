//! What the documents show, as the client sees it.

use serde_json::json;

use super::*;
use crate::protocol::Object;

fn who() -> Who<'static> {
    Who {
        device_id: "device-abc-123",
        key: Some("a+b/c="),
        now_ms: 1_766_055_605_000,
        cursor: Some("10"),
        entities: &[],
        overlap_ms: 0,
        with_own: false,
    }
}

fn item(entity: &str, id: &str, operation: Operation, object: Json) -> Item {
    let object: Object = serde_json::from_value(object).unwrap();
    let event_id = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes());
    Item {
        entity: entity.to_owned(),
        id: json!(id),
        object,
        operation,
        event_id,
        at_ms: 1_766_053_800_000,
        updated_fields: None,
        known: Object::new(),
        again: false,
    }
}

fn fates(client: &dyn Client, items: &[Item], answer: &Json) -> Vec<Fate> {
    client.pushed(items, answer).unwrap().into_iter().map(|became| became.fate).collect()
}

fn two(entity: &str) -> Vec<Item> {
    ["a", "b"].map(|id| item(entity, id, Operation::Create, json!({ "id": id, "n": 1 }))).into()
}

#[test]
fn nuqta_as_its_document_shows_it() {
    let client = nuqta::Nuqta;
    let mut items = two("Sale");
    items[1].again = true;
    let ask = client.push(&who(), &items);
    assert_eq!(ask.path, "/sync/push");
    assert_eq!(
        ask.body.unwrap(),
        json!({ "deviceId": "device-abc-123", "apiKey": "a+b/c=", "cursorId": 10, "changes": [
            { "id": 1, "operation": "create", "entityType": "Sale", "entityId": "a", "timestamp": 1_766_053_800_000_i64, "data": { "id": "a", "n": 1 } },
            { "id": 2, "operation": "create", "entityType": "Sale", "entityId": "b", "timestamp": 1_766_053_800_000_i64, "data": "{\"id\":\"b\",\"n\":1}" },
        ] })
    );
    let answer = json!({ "success": true, "syncedCount": 2, "newCursorId": 12, "serverTimestamp": 1_234_567_892, "errors": [] });
    assert_eq!(fates(&client, &items, &answer), [Fate::Stored, Fate::Stored]);
    let wrapped =
        json!({ "ok": true, "data": { "success": true, "syncedCount": 1, "errors": [{ "changeId": "2", "error": "no" }] } });
    assert_eq!(fates(&client, &items, &wrapped), [Fate::Stored, Fate::Refused("no".to_owned())]);
    items[1].again = false;
    assert_eq!(fates(&client, &items, &wrapped), [Fate::Stored, Fate::Again("no".to_owned())]);
    let fewer = json!({ "success": true, "syncedCount": 1 });
    assert!(fates(&client, &items, &fewer).iter().all(|fate| matches!(fate, Fate::Unsaid(_))));
    let flat = json!({ "success": false, "error": "boom" });
    assert_eq!(client.pushed(&items, &flat), Err(Whole::Failed("boom".to_owned())));

    let ask = client.pull(&who(), Some("10"));
    assert_eq!(ask.body.unwrap()["fromCursorId"], 10);
    let answer = json!({
        "success": true, "hasMore": true, "newCursorId": 15, "serverTimestamp": 1_234_567_892,
        "changes": [{ "id": 11, "operation": "create", "entityType": "Product", "entityId": "product-789", "timestamp": 1_234_567_890,
            "data": { "price": 1 }, "isSynced": true }],
    });
    let page = client.pulled(&who(), Some("10"), &answer).unwrap();
    assert_eq!((page.cursor.as_deref(), page.more, page.behind), (Some("15"), true, false));
    assert_eq!((page.told[0].entity.as_str(), page.told[0].id.clone()), ("Product", Some(json!("product-789"))));
    let stuck = json!({ "success": true, "hasMore": true, "newCursorId": 10, "changes": [] });
    assert!(!client.pulled(&who(), Some("10"), &stuck).unwrap().more);
    let reset = json!({ "success": true, "hasMore": false, "newCursorId": "3", "changes": [] });
    assert!(client.pulled(&who(), Some("10"), &reset).unwrap().behind);
    assert_eq!(client.status(&who()).path, "/sync/status?deviceId=device-abc-123&apiKey=a%2Bb%2Fc%3D");
    let answer = json!({ "success": true, "device": { "id": "device-uuid", "name": "Store A" }, "apiKey": "base64" });
    assert_eq!(nuqta::registered(&answer).unwrap(), ("device-uuid".to_owned(), "base64".to_owned()));
    let answer = json!({ "ok": true, "data": { "device": { "id": "d", "apiKey": "k" } } });
    assert_eq!(nuqta::registered(&answer).unwrap(), ("d".to_owned(), "k".to_owned()));
}

#[test]
fn auraflow_as_its_document_shows_it() {
    let client = auraflow::Auraflow;
    let mut items = two("order");
    items[1].known = serde_json::from_value(json!({ "syncVersion": 2, "serverId": "s", "serverHash": "h" })).unwrap();
    let body = client.push(&Who { cursor: Some("1704067200000"), ..who() }, &items).body.unwrap();
    assert_eq!(
        body["orders"][1],
        json!({ "order": { "id": "b", "n": 1 }, "localId": "b", "syncStatus": "PENDING", "syncVersion": 3, "deviceId": "device-abc-123",
            "serverId": "s", "serverHash": "h" })
    );
    assert_eq!((&body["lastSyncTimestamp"], &body["transactions"]), (&json!(1_704_067_200_000_i64), &json!([])));
    let stored = json!({ "success": true, "serverId": "server-generated-id", "syncedAt": 1_704_067_300_000_i64 });
    let conflict = json!({ "success": false, "message": "Conflict: server version is newer", "conflicts": [
        { "localId": "b", "serverVersion": 7, "serverData": { "order": { "id": "b", "n": 9 } } }] });
    let answer =
        json!({ "success": true, "syncedOrders": [stored, conflict], "syncedTransactions": [], "nextSyncToken": "1704067300000" });
    let became = client.pushed(&items, &answer).unwrap();
    assert_eq!((&became[0].fate, &became[0].about["serverId"]), (&Fate::Stored, &json!("server-generated-id")));
    assert_eq!(became[0].about["syncVersion"], 1);
    let Fate::Kept(Some(row)) = &became[1].fate else { panic!("{became:?}") };
    assert_eq!((&row["n"], &became[1].about["syncVersion"]), (&json!(9), &json!(7)));
    let fewer = json!({ "success": true, "syncedOrders": [stored] });
    assert!(fates(&client, &items, &fewer).iter().all(|fate| matches!(fate, Fate::Unsaid(_))));
    let failed = json!({ "error": "SYNC_FAILED", "message": "x" });
    assert_eq!(client.pushed(&items, &failed), Err(Whole::Failed("x".to_owned())));

    let answer = json!({ "orders": [{ "id": "o1", "total": 45.99, "items": [] }], "transactions": [], "deletedOrderIds": ["o2"] });
    let page = client.pulled(&who(), None, &answer).unwrap();
    assert_eq!((page.cursor.as_deref(), page.told.len()), (Some("1766055605000"), 2));
    assert!(page.told[1].object.is_none() && page.told[0].id == Some(json!("o1")));
    assert_eq!(client.pull(&who(), None).path, "/api/sync/updates?deviceId=device-abc-123&since=0");
}

#[test]
fn events_in_both_dialects() {
    let mut items = two("debts");
    items[1].operation = Operation::Update;
    items[1].updated_fields = Some(vec!["n".to_owned()]);
    let (snake, camel) = (events::Events { camel: false }, events::Events { camel: true });
    let ask = snake.push(&who(), &items);
    assert_eq!(ask.path, "/sync/push");
    let event = &ask.body.unwrap()["events"][1];
    assert_eq!(event["payload"], json!({ "id": "b", "n": 1, "updated_fields": ["n"] }));
    assert_eq!((&event["op"], &event["client_updated_at"]), (&json!("upsert"), &json!("2025-12-18T10:30:00Z")));
    let ids = [items[0].event_id.to_string(), items[1].event_id.to_string()];
    assert_eq!(fates(&snake, &items, &json!({ "success": true, "acceptedEventIds": ids })), [Fate::Stored, Fate::Stored]);
    // Only what is new is named.
    let some = fates(&snake, &items, &json!({ "acceptedEventIds": [ids[1]] }));
    assert!(matches!(some[..], [Fate::Unsaid(_), Fate::Stored]), "{some:?}");
    let refused = json!({ "success": true, "acceptedEventIds": [ids[0]], "rejected": [{ "event_uuid": ids[1], "error": "no" }] });
    assert_eq!(fates(&snake, &items, &refused), [Fate::Stored, Fate::Refused("no".to_owned())]);
    assert_eq!(fates(&camel, &items, &json!({ "pushed": 2 })), [Fate::Stored, Fate::Stored]);
    assert!(matches!(fates(&camel, &items, &json!({ "pushed": 1 }))[..], [Fate::Unsaid(_), Fate::Unsaid(_)]));

    assert_eq!(
        (snake.pull(&who(), None).path, camel.pull(&who(), Some("7")).path),
        ("/sync/pull".into(), "/api/sync/pull?cursor=7".into())
    );
    let page = snake.pulled(&who(), Some("7"), &json!({ "cursor": "9", "events": [
        { "event_id": "8", "entity": "debts", "entity_id": "a", "op": "upsert", "payload": { "n": 2 }, "client_updated_at": "2026-01-01T10:00:00Z" },
        { "event_id": "9", "entity": "debts", "entity_id": "b", "op": "delete" },
    ] }));
    let page = page.unwrap();
    assert_eq!((page.cursor.as_deref(), page.more, page.told.len()), (Some("9"), true, 2));
    assert!(page.told[1].object.is_none() && page.told[0].at_ms == Some(1_767_261_600_000));
    let page = camel.pulled(&who(), Some("9"), &json!({ "cursor": 4, "events": [] })).unwrap();
    assert!(page.behind && !page.more);
}

#[test]
fn booky_as_its_document_shows_it() {
    let client = booky::Booky;
    let mut items = two("book");
    items[1].operation = Operation::Update;
    items[1].updated_fields = Some(vec!["title".to_owned()]);
    items[1].object.insert("title".to_owned(), json!("x"));
    let body = client.push(&who(), &items).body.unwrap();
    assert_eq!(
        body["operations"][1],
        json!({ "id": items[1].event_id, "type": "update", "entity": "book", "entityId": "b", "data": { "id": "b", "title": "x" },
            "timestamp": "2025-12-18T10:30:00Z" })
    );
    items[0].again = true;
    assert!(client.push(&who(), &items).body.unwrap()["operations"][0].get("timestamp").is_none());
    let result = |item: &Item, more: Json| {
        let mut result = json!({ "id": item.event_id, "entity": "book", "entityId": item.id });
        result.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        result
    };
    let answer = |first: Json| json!({ "results": [result(&items[1], json!({ "status": "success" })), result(&items[0], first)] });
    let first = |said: Json| fates(&client, &items, &answer(said)).remove(0);
    assert_eq!(first(json!({ "status": "success" })), Fate::Stored);
    assert!(matches!(
        first(json!({ "status": "failed", "error": "Unique constraint failed on the fields: (`id`)" })),
        Fate::Exists(_)
    ));
    assert_eq!(first(json!({ "status": "failed", "error": "bad", "code": "VALIDATION_ERROR" })), Fate::Refused("bad".to_owned()));
    assert!(matches!(first(json!({ "status": "failed", "error": "x", "code": "SYNC_FAILED" })), Fate::Unsaid(_)));
    assert!(matches!(
        first(json!({ "status": "success", "code": "CONFLICT_DETECTED", "serverData": { "n": 2 } })),
        Fate::Kept(Some(_))
    ));

    let ask = client.pull(&Who { overlap_ms: 60_000, ..who() }, Some("2024-01-15T10:00:00Z"));
    assert_eq!(ask.path, "/api/sync/changes?since=2024-01-15T09%3A59%3A00Z");
    let answer = json!({ "success": true, "since": "2024-01-15T10:00:00Z", "_meta": { "timestamp": "2024-01-15T11:00:00Z" },
        "changes": [{ "type": "book", "data": { "id": "b", "updatedAt": "2024-01-15T10:20:00Z" } }] });
    let page = client.pulled(&who(), Some("2024-01-15T10:00:00Z"), &answer).unwrap();
    assert_eq!((page.cursor.as_deref(), page.told[0].id.clone()), (Some("2024-01-15T10:20:00Z"), Some(json!("b"))));
}

#[test]
fn insight_as_its_document_shows_it() {
    let client = insight::Insight;
    let mut items = two("submissions");
    items[1].operation = Operation::Delete;
    let body = client.push(&who(), &items).body.unwrap();
    assert_eq!(body["timestamp"], "2025-12-18T11:00:05Z");
    assert_eq!(body["changes"]["submissions"][1]["deleted_at"], "2025-12-18T10:30:00Z");
    assert_eq!(body["changes"]["submissions"][0]["updated_at"], "2025-12-18T10:30:00Z");
    let answer = |applied: &str| {
        json!({ "success": true, "timestamp": "2025-12-18T11:00:05Z", applied: { "submissions": [{ "id": "a" }] }, "conflicts": [
            { "table": "submissions", "record_id": "b", "client_data": {}, "server_data": { "id": "b", "n": 5 } }] })
    };
    for applied in ["applied", "changes"] {
        let fates = fates(&client, &items, &answer(applied));
        assert!(matches!(&fates[..], [Fate::Stored, Fate::Kept(Some(row))] if row["n"] == 5), "{fates:?}");
    }
    let refused =
        json!({ "success": true, "applied": {}, "conflicts": [{ "table": "submissions", "record_id": "b", "error": "bad id" }] });
    assert!(matches!(&fates(&client, &items, &refused)[..], [Fate::Unsaid(_), Fate::Refused(why)] if why == "bad id"));
    assert!(matches!(client.pushed(&items, &json!({ "success": false })), Err(Whole::Failed(_))));

    let tables = ["forms".to_owned()];
    let ask = client.pull(&Who { entities: &tables, overlap_ms: 30_000, ..who() }, Some("2025-12-18 10:30:00.000000+00:00"));
    assert_eq!(
        ask.body.unwrap(),
        json!({ "device_id": "device-abc-123", "last_sync_timestamp": "2025-12-18T10:29:30Z", "tables": ["forms"] })
    );
    let answer = json!({ "success": true, "timestamp": "2025-12-18T11:00:00Z", "conflicts": null,
        "changes": { "forms": [{ "id": "uuid-1", "title": "Updated Form", "updated_at": "2025-12-18T10:45:00Z" }] } });
    let page = client.pulled(&who(), None, &answer).unwrap();
    assert_eq!((page.cursor.as_deref(), page.told[0].at_ms), (Some("2025-12-18T11:00:00Z"), Some(1_766_054_700_000)));
}

#[test]
fn logging_in() {
    use login::{Proof, Session};
    let ask = login::ask("/auth", &Proof::Password("a@b.c".to_owned(), "p".to_owned()));
    assert_eq!((ask.path.as_str(), &ask.body.unwrap()["email"]), ("/auth/login", &json!("a@b.c")));
    let session = login::session(&json!({ "accessToken": "a", "refreshToken": "r", "expiresIn": 3600 }), None).unwrap();
    assert!(Session::read(&session.keep()) == session);
    assert!(login::session(&json!({ "data": { "token": "b" } }), Some("r")).unwrap().refresh.as_deref() == Some("r"));
    assert!(Session::read("plain").refresh.is_none() && Session::read("plain").keep() == "plain");
    assert!(login::session(&json!({ "error": "wrong password" }), None).is_err_and(|why| why == "wrong password"));
}

#[test]
fn errors_have_many_shapes() {
    for (answer, text, code) in [
        (
            json!({ "ok": false, "error": { "code": "INTERNAL_ERROR", "message": "no such device" } }),
            "no such device",
            "INTERNAL_ERROR",
        ),
        (json!({ "statusCode": 413, "error": "Payload Too Large", "message": "too big", "code": "FST" }), "too big", "FST"),
        (json!({ "success": false, "error": "text" }), "text", "text"),
        (json!({ "detail": "not found" }), "not found", ""),
    ] {
        assert_eq!((error_text(&answer).unwrap().as_str(), error_code(&answer).unwrap_or_default()), (text, code));
    }
    assert_eq!(server_ms(&json!({ "_meta": { "timestamp": "2024-01-15T11:00:00Z" } })), Some(1_705_316_400_000));
    assert_eq!(server_ms(&json!({ "ok": true, "data": { "serverTimestamp": 1_705_316_400_000_i64 } })), Some(1_705_316_400_000));
}

mod anything {
    use proptest::prelude::*;

    use super::*;

    fn any_json() -> impl Strategy<Value = Json> {
        let names = vec![
            "success",
            "results",
            "changes",
            "events",
            "orders",
            "errors",
            "conflicts",
            "data",
            "id",
            "status",
            "cursor",
            "timestamp",
            "applied",
            "syncedOrders",
            "serverData",
            "acceptedEventIds",
            "order",
            "op",
            "entity",
            "_meta",
            "message",
        ];
        let words = vec!["delete", "success", "2026-01-01T10:00:00", "9", "{}", "<html>"];
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            prop::sample::select(words).prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            let pairs = prop::collection::vec((prop::sample::select(names.clone()), inner.clone()), 0..8);
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(Json::from),
                pairs.prop_map(|pairs| Json::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_answer_is_understood_or_refused(answer in any_json()) {
            for name in ["nuqta", "auraflow", "events", "booky", "insight"] {
                for camel in [false, true] {
                    let client = of(name, Speech { camel }).unwrap();
                    let items = two("order");
                    if let Ok(became) = client.pushed(&items, &answer) {
                        prop_assert_eq!(became.len(), items.len());
                    }
                    let _ = client.pulled(&who(), Some("7"), &answer);
                }
            }
            let _ = (error_text(&answer), error_code(&answer), server_ms(&answer));
            let _ = (nuqta::registered(&answer), login::session(&answer, None).is_ok());
        }
    }
}
