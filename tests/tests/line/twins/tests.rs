//! The twins themselves: the requests of the documents, and each way of behaving, with nothing of ours in between.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::booky::PASSWORD;
use super::{POISON, Protocol, Twin, Way};

/// Somebody who asks by hand; `None` where no whole answer came.
struct Client<'a> {
    twin: &'a Twin,
    bearer: String,
}

impl<'a> Client<'a> {
    fn new(twin: &'a Twin) -> Self {
        Self { twin, bearer: "token".to_owned() }
    }

    fn raw(&self, line: &str, body: &str) -> Option<(u16, String, String)> {
        let mut stream = TcpStream::connect(self.twin.url.trim_start_matches("http://")).unwrap();
        let (length, bearer) = (body.len(), &self.bearer);
        let head = format!(
            "{line} HTTP/1.1\r\nHost: twin\r\nContent-Type: application/json\r\nAuthorization: Bearer {bearer}\r\nContent-Length: {length}"
        );
        write!(stream, "{head}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let status = head.split_whitespace().nth(1)?.parse().ok()?;
        (length == Some(body.len())).then(|| (status, head.to_owned(), body.to_owned()))
    }

    fn ask(&self, line: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, _, body) = self.raw(line, &body).expect("an answer");
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    #[track_caller]
    fn good(&self, line: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(line, body);
        assert!(status < 300, "{line}: {status} {answer}");
        answer
    }
}

fn uuid(n: u8) -> String {
    format!("00000000-0000-4000-8000-0000000000{n:02}")
}

fn rows(twin: &Twin) -> Vec<String> {
    twin.rows().into_iter().map(|(id, _)| id).collect()
}

#[test]
fn nuqta_as_documented_and_as_deployed() {
    let twin = Protocol::Nuqta.twin(&[]);
    let client = Client::new(&twin);
    let registration = json!({ "name": "Store A - Register 1", "type": "desktop", "version": "1.0.0", "platform": "Windows", "metadata": { "location": "Main Store" } });
    let registered = client.good("POST /sync/register", &registration);
    assert_eq!(registered["device"]["status"], "active");
    let (id, key) = (&registered["device"]["id"], &registered["apiKey"]);
    assert_ne!(client.good("POST /sync/register", &registration)["device"]["id"], *id, "every call makes another device");
    let change = |n: u8, data: Value| json!({ "id": n, "operation": "create", "entityType": "Sale", "entityId": format!("sale-{n}"), "timestamp": 1_234_567_890, "data": data });
    let push = |changes: &[Value]| {
        client.ask("POST /sync/push", &json!({ "deviceId": id, "apiKey": key, "cursorId": 10, "changes": changes }))
    };
    let pull =
        |from: i64| client.ask("POST /sync/pull", &json!({ "deviceId": id, "apiKey": key, "fromCursorId": from, "limit": 100 })).1;
    let (status, pushed) = push(&[change(1, json!({ "amount": 500 })), change(2, json!({ "price": 100 }))]);
    assert_eq!((status, &pushed["syncedCount"], &pushed["newCursorId"]), (200, &json!(2), &json!(12)), "no id of the log");
    assert!(pushed.get("errors").is_none(), "absent when empty");
    let page = pull(1);
    assert_eq!((&page["changes"][0]["id"], &page["newCursorId"], &page["hasMore"]), (&json!(2), &json!(2), &json!(false)));
    assert_eq!(page["changes"][0]["data"], json!({ "price": 100 }));
    push(&[change(1, json!({ "amount": 500 }))]);
    assert_eq!(rows(&twin), ["sale-1", "sale-1", "sale-2"], "nothing is known again");
    let refused = push(&[change(3, json!({ "note": POISON })), change(4, json!({}))]).1;
    assert_eq!((&refused["errors"][0]["changeId"], &refused["syncedCount"]), (&json!(3), &json!(1)), "{refused}");
    twin.turn_on(Way::RollsBackTheBatch);
    assert_eq!(push(&[change(5, json!({})), change(6, json!({ "note": POISON }))]).0, 500);
    assert!(!rows(&twin).contains(&"sale-5".to_owned()));
    twin.turn_on(Way::WantsTextData);
    assert_eq!(push(&[change(7, json!({}))]).1["errors"][0]["changeId"], 7);
    assert_eq!(push(&[change(7, json!("{\"amount\":1}"))]).1["syncedCount"], 1);
    let encoded = key.as_str().unwrap().replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let status = client.ask(&format!("GET /sync/status?deviceId={}&apiKey={encoded}", id.as_str().unwrap()), &Value::Null);
    assert_eq!((status.0, &status.1["status"]["status"]), (200, &json!("synced")));
    let bare =
        client.ask(&format!("GET /sync/status?deviceId={}&apiKey={}", id.as_str().unwrap(), key.as_str().unwrap()), &Value::Null);
    assert_eq!(bare.0, 401, "a plus is a space in a query");
    twin.turn_on(Way::Wraps);
    twin.turn_on(Way::OtherKindsOfIds);
    assert_eq!(pull(1)["data"]["changes"][0]["id"], "2");
    assert_eq!(push(&[change(8, json!("x".repeat(1024 * 1024)))]).0, 413);
    twin.restart();
    let (status, lost) = push(&[]);
    assert_eq!((status, &lost["error"]["code"]), (401, &json!("INTERNAL_ERROR")));
}

#[test]
fn auraflow_as_documented_and_as_deployed() {
    let twin = Protocol::Auraflow.twin(&[]);
    let client = Client::new(&twin);
    let order = |id: &str, version: i64, total: f64| json!({ "order": { "orderNumber": format!("ORD-{id}"), "total": total, "items": [{ "name": "tea" }] }, "localId": id, "syncStatus": "PENDING", "syncVersion": version, "deviceId": "device-abc-123" });
    let batch = |orders: &[Value]| {
        client.ask("POST /api/sync/batch", &json!({ "deviceId": "device-abc-123", "orders": orders, "transactions": [], "lastSyncTimestamp": 1_704_067_200_000_i64 }))
    };
    for _ in 0..3 {
        let answer = batch(&[order("a", 1, 45.99)]).1;
        assert_eq!((&answer["syncedOrders"][0]["success"], &answer["serverUpdates"]["orders"]), (&json!(true), &json!([])));
        assert!(answer["syncedOrders"][0].get("localId").is_none());
    }
    assert_eq!((rows(&twin), twin.stored()), (vec!["a".to_owned()], 1));
    batch(&[order("a", 2, 150.0)]);
    let conflict = client.good("POST /api/sync/order", &order("a", 1, 120.0));
    assert_eq!((&conflict["success"], &conflict["conflicts"][0]["serverData"]["total"]), (&json!(false), &json!(150.0)));
    let updates = client.good("GET /api/sync/updates?deviceId=b&since=0", &Value::Null);
    assert_eq!((&updates["orders"][0]["localId"], &updates["orders"][0]["syncVersion"]), (&json!("a"), &json!(2)));
    let now = super::clock::now_ms() + 1000;
    let later = format!("GET /api/sync/updates?deviceId=b&since={now}");
    assert_eq!(client.good(&later, &Value::Null)["orders"], json!([]));
    twin.turn_on(Way::IgnoresSince);
    twin.turn_on(Way::PullsWithoutLines);
    let updates = client.good(&later, &Value::Null);
    assert_eq!((&updates["orders"][0]["id"], &updates["orders"][0]["items"]), (&json!("a"), &json!([])));
    let mut same_number = order("b", 1, 1.0);
    same_number["order"]["orderNumber"] = json!("ORD-a");
    assert_eq!(batch(&[same_number.clone()]).1["syncedOrders"][0]["success"], false);
    twin.turn_on(Way::RollsBackTheBatch);
    let (status, failed) = batch(&[order("c", 1, 1.0), same_number]);
    assert_eq!((status, &failed["error"], rows(&twin).len()), (500, &json!("SYNC_FAILED"), 1));
    twin.turn_on(Way::LosesResults);
    assert_eq!(batch(&[order("c", 1, 1.0), order("d", 1, 1.0)]).1["syncedOrders"].as_array().unwrap().len(), 1);
    twin.other_device("a", None);
    assert_eq!(client.good(&later, &Value::Null)["deletedOrderIds"], json!(["a"]));
}

#[test]
fn events_as_documented_and_as_deployed() {
    let twin = Protocol::Events.twin(&[]);
    let client = Client::new(&twin);
    let event = |n: u8, entity: &str, payload: Value| json!({ "event_uuid": uuid(n), "entity": entity, "entity_id": uuid(n), "op": "upsert", "payload": payload, "client_updated_at": "2026-11-20T10:00:00Z" });
    let push = |events: &[Value]| client.ask("POST /sync/push", &json!({ "device_id": "d", "events": events }));
    let first = push(&[event(1, "sales", json!({ "total": 5 })), event(2, "pets", json!({}))]).1;
    assert_eq!(first["acceptedEventIds"], json!([uuid(1)]), "unknown entities are dropped");
    assert_eq!(push(&[event(1, "sales", json!({ "total": 5 }))]).1["acceptedEventIds"], json!([]), "only new ones are named");
    assert_eq!(twin.stored(), 1);
    let mut older = event(1, "sales", json!({ "total": 6, "note": "x", "updated_fields": ["note"] }));
    older["event_uuid"] = json!(uuid(3));
    push(&[older]);
    assert_eq!(twin.rows()[0].1, json!({ "total": 5, "note": "x" }), "just the named fields");
    let page = client.good("GET /sync/pull?cursor=0", &Value::Null);
    assert_eq!(
        (page["events"].as_array().unwrap().len(), &page["events"][0]["event_id"], page.get("has_more")),
        (2, &json!("2"), None)
    );
    let cursor = page["cursor"].as_str().unwrap();
    assert_eq!(client.good(&format!("GET /sync/pull?cursor={cursor}"), &Value::Null)["events"], json!([]));
    assert_eq!(client.ask("GET /sync/pull?cursor=3", &Value::Null).0, 500, "a cursor that nobody gave");
    twin.other_device_late(&uuid(9), json!({}));
    assert_eq!(
        client.good(&format!("GET /sync/pull?cursor={cursor}"), &Value::Null)["events"],
        json!([]),
        "it is before the cursor"
    );
    twin.turn_on(Way::RollsBackTheBatch);
    assert_eq!(push(&[event(4, "sales", json!({})), event(5, "sales", json!({ "note": "a\u{0}b" }))]).0, 500);
    twin.turn_on(Way::SlowAbove100);
    assert_eq!(push(&vec![event(6, "sales", json!({})); 101]).0, 500);
    twin.turn_on(Way::CamelDialect);
    let pushed = client.good("POST /api/sync/push", &json!({ "events": [event(7, "sales", json!({}))] }));
    assert_eq!(pushed, json!({ "pushed": 1 }));
    let page = client.good("GET /api/sync/pull", &Value::Null);
    assert_eq!((&page["events"][0]["eventId"], page["cursor"].is_i64()), (&json!(2), true));
    twin.turn_on(Way::ForgetsTokens);
    assert_eq!(client.ask("GET /api/sync/pull", &Value::Null).0, 401);
    twin.turn_off(Way::ForgetsTokens);
    client.good("GET /api/sync/pull", &Value::Null);
}

#[test]
fn booky_as_documented_and_as_deployed() {
    let twin = Protocol::Booky.twin(&[]);
    let mut client = Client::new(&twin);
    assert_eq!(client.ask("GET /api/sync/status", &Value::Null).0, 401);
    assert_eq!(client.ask("POST /api/auth/login", &json!({ "email": "a", "password": "wrong" })).0, 401);
    let login = client.good("POST /api/auth/login", &json!({ "email": "a", "password": PASSWORD }));
    client.bearer = login["accessToken"].as_str().unwrap().to_owned();
    let operation = |kind: &str, id: &str, data: Value| json!({ "id": "op-123", "type": kind, "entity": "book", "entityId": id, "data": data, "timestamp": "2024-01-15T10:30:00Z" });
    let operate = |operation: Value| client.ask("POST /api/sync/operations", &json!({ "operations": [operation] }));
    let done = operate(operation("create", "book-456", json!({ "title": "Emma" }))).1;
    assert_eq!(done["results"], json!([{ "id": "op-123", "status": "success", "entity": "book", "entityId": "book-456" }]));
    assert!(done["_meta"]["timestamp"].is_string());
    let twice = operate(operation("create", "book-456", json!({ "title": "Emma" }))).1;
    assert!(twice["results"][0]["error"].as_str().unwrap().contains("Unique constraint"), "{twice}");
    assert_eq!(operate(operation("update", "nobody", json!({}))).1["results"][0]["status"], "success");
    assert_eq!(twin.stored(), 1);
    let all = client.good("GET /api/sync/changes?since=2024-01-15T10:00:00Z", &Value::Null);
    assert_eq!((&all["changes"][0]["type"], &all["changes"][0]["data"]["title"]), (&json!("book"), &json!("Emma")));
    let since = all["changes"][0]["data"]["updatedAt"].as_str().unwrap();
    assert_eq!(client.good(&format!("GET /api/sync/changes?since={since}"), &Value::Null)["changes"], json!([]));
    twin.other_device("book-456", None);
    assert_eq!(client.good("GET /api/sync/changes", &Value::Null)["changes"], json!([]), "gone without a word");
    twin.turn_on(Way::WantsIdInData);
    operate(operation("create", "mine", json!({ "title": "x" })));
    assert_ne!(rows(&twin), ["mine"]);
    twin.turn_on(Way::WantsNoTextTime);
    assert_eq!(operate(operation("create", "late", json!({ "id": "late" }))), (500, json!({ "error": "Internal Server Error" })));
    let mut without = operation("create", "late", json!({ "id": "late" }));
    without.as_object_mut().unwrap().remove("timestamp");
    assert_eq!(operate(without).1["results"][0]["status"], "success");
    twin.turn_on_for(Way::ForgetsTokens, 1);
    assert_eq!(client.ask("GET /api/sync/status", &Value::Null).0, 401);
    let again = client.good("POST /api/auth/refresh", &json!({ "refreshToken": login["refreshToken"] }));
    assert_eq!(client.ask("GET /api/sync/status", &Value::Null).0, 401, "the token from before");
    client.bearer = again["accessToken"].as_str().unwrap().to_owned();
    client.good("GET /api/sync/status", &Value::Null);
}

#[test]
fn insight_as_documented_and_as_deployed() {
    let twin = Protocol::Insight.twin(&[]);
    let client = Client::new(&twin);
    let push = |timestamp: &str, records: &[Value]| {
        client.ask(
            "POST /api/v1/sync/push",
            &json!({ "device_id": "store-iphone-001", "timestamp": timestamp, "changes": { "submissions": records } }),
        )
    };
    let fresh = || super::clock::text(super::clock::now_ms() + 1000, false);
    let record = |n: u8| json!({ "id": uuid(n), "form_id": "uuid-1", "status": "completed", "total": 12.5, "updated_at": "2025-12-18T10:50:00Z" });
    let first = push(&fresh(), &[record(1), json!({ "id": "no-uuid" })]).1;
    assert_eq!((first["applied"]["submissions"].as_array().unwrap().len(), first["conflicts"].as_array().unwrap().len()), (1, 1));
    assert_eq!(push("2025-12-18T11:00:00", &[]).0, 422, "a time needs a zone");
    let stale = push("2025-12-18T11:00:00Z", &[record(1)]).1;
    assert_eq!(stale["conflicts"][0]["server_data"]["status"], "completed", "an old time is a conflict with itself");
    let pull = |since: Value| {
        client.good(
            "POST /api/v1/sync/pull",
            &json!({ "device_id": "m", "last_sync_timestamp": since, "tables": ["forms", "submissions"] }),
        )
    };
    assert_eq!(pull(json!("2025-12-18T10:30:00Z"))["changes"]["submissions"][0]["id"], uuid(1));
    assert_eq!(pull(json!(fresh()))["changes"], json!({}));
    twin.turn_on(Way::DecimalsAsText);
    twin.turn_on(Way::ZonelessTimes);
    let told = pull(Value::Null)["changes"]["submissions"][0].clone();
    assert_eq!(told["total"], "12.50");
    assert!(!told["updated_at"].as_str().unwrap().ends_with('Z'), "{told}");
    twin.turn_on(Way::RollsBackWithoutReason);
    let failed = push(&fresh(), &[record(2), json!({ "id": uuid(3), "note": POISON })]).1;
    assert_eq!((&failed["success"], rows(&twin).len()), (&json!(false), 1));
    twin.turn_on(Way::AppliedInChanges);
    assert_eq!(push(&fresh(), &[record(2)]).1["changes"]["submissions"][0]["id"], uuid(2));
    twin.other_device(&uuid(2), None);
    assert_eq!(rows(&twin), [uuid(1)]);
    twin.turn_on(Way::EchoesNoDeletes);
    assert_eq!(pull(Value::Null)["changes"]["submissions"][1]["deleted_at"], Value::Null);
}

#[test]
fn answers_go_wrong_on_their_way() {
    let check = |way: Way, arrives: Option<u16>, is_stored: bool| {
        let twin = Protocol::Auraflow.twin(&[]);
        twin.turn_on_for(way, 1);
        let client = Client::new(&twin);
        let order = json!({ "order": { "total": 1 }, "localId": "a", "syncVersion": 1, "deviceId": "d" }).to_string();
        let first = client.raw("POST /api/sync/order", &order);
        assert_eq!((first.map(|(status, ..)| status), twin.stored() == 1), (arrives, is_stored), "{way:?}");
        assert!(twin.has_happened(way));
        let second = client.raw("POST /api/sync/order", &order).map(|(status, ..)| status);
        assert_eq!((second, twin.stored()), (Some(200), 1), "{way:?}");
        assert_eq!(twin.requests("POST").len(), 2);
    };
    check(Way::LosesAnswers, None, true);
    check(Way::CutsAnswersShort, None, true);
    check(Way::FailsAfterStoring, Some(500), true);
    check(Way::AnswersInHtml, Some(502), false);
    check(Way::LogInPage, Some(200), false);
    check(Way::Fails, Some(500), false);
    check(Way::SaysNoWith200, Some(200), false);
}

#[test]
fn refused_calls_count_against_the_limit() {
    let twin = Protocol::Booky.twin(&[]);
    twin.limit(2, Duration::from_secs(3600));
    let client = Client::new(&twin);
    let statuses: Vec<u16> = (0..4).map(|_| client.ask("GET /api/sync/status", &Value::Null).0).collect();
    assert_eq!(statuses, [401, 401, 429, 429]);
    let head = |twin: &Twin| Client::new(twin).raw("GET /api/sync/status", "").unwrap().1;
    assert!(head(&twin).contains("x-ratelimit-reset: 1"));
    twin.turn_on(Way::LimitsInSecondsLeft);
    assert!(head(&twin).contains("\r\nratelimit-reset: 3"));
}
