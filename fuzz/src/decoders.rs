//! Every decoder of what comes from outside, as functions of any bytes. The fuzz targets and the ordinary tests run the same ones.
//!
//! A decoder survives anything. Besides: what it has understood goes out again, and is understood again as the same.

use std::sync::LazyLock;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use tillsync_core::change::Operation;
use tillsync_core::config::Config;
use tillsync_core::protocol::client::prints::Prints;
use tillsync_core::protocol::client::{self, Client, Item, login, nuqta};
use tillsync_core::protocol::mapping::plain_id;
use tillsync_core::protocol::{Entities, Fault, Mapping, Protocols, Said, auraflow, booky, events, insight, parts, plain, time};
use tillsync_core::row::Row;
use tillsync_core::value::Value;
use tillsync_core::window::Ask;
use tillsync_core::wire::{hub, snapshot};
use tillsync_core::{key, print};
use uuid::Uuid;

/// A decoder.
pub type Decoder = fn(&[u8]);

/// All of them by the names of their targets and of their corpora.
pub const ALL: &[(&str, Decoder)] = &[
    ("hub_requests", hub_requests),
    ("hub_answers", hub_answers),
    ("auraflow_requests", auraflow_requests),
    ("events_requests", events_requests),
    ("booky_requests", booky_requests),
    ("insight_requests", insight_requests),
    ("nuqta_answers", nuqta_answers),
    ("auraflow_answers", auraflow_answers),
    ("events_answers", events_answers),
    ("booky_answers", booky_answers),
    ("insight_answers", insight_answers),
    ("values", values),
    ("settings", settings),
];

/// What the names on the wire mean: as in the documents, and with every shape and a list of children on top.
static PROTOCOLS: LazyLock<[Protocols; 2]> = LazyLock::new(|| {
    let shaped = r#"
        table = "rows"
        key = ["a", "b"]
        fields.x = "y"
        fields.json = { as = "json" }
        fields.iso = { as = "iso" }
        fields.millis = { as = "millis" }
        fields.bool = { as = "bool" }
        fields.text = { as = "text" }
        children.items = { table = "parts", parent = "row", position = "line" }
    "#;
    let sections = [("auraflow", "order"), ("events", "sales"), ("booky", "book"), ("insight", "forms")];
    let text: String = sections.iter().map(|(name, entity)| format!("[{name}.entities.{entity}]\n{shaped}\n")).collect();
    [Protocols::default(), Protocols::parse(&text).expect("these settings are good")]
});

/// What clients of the hub send.
pub fn hub_requests(bytes: &[u8]) {
    again::<hub::RegisterRequest>(bytes);
    again::<hub::RekeyRequest>(bytes);
    again::<hub::PullRequest>(bytes);
    again::<hub::ResolveRequest>(bytes);
    again::<snapshot::SnapshotRequest>(bytes);
    again::<snapshot::DigestRequest>(bytes);
    again::<Ask>(bytes);
    let Some(push) = again::<hub::PushRequest>(bytes) else { return };
    for change in push.changes {
        again::<Row>(change.data.as_ref().map_or("", |data| data.get()).as_bytes());
    }
}

/// What the hub answers.
pub fn hub_answers(bytes: &[u8]) {
    again::<hub::RegisterResponse>(bytes);
    again::<hub::RekeyResponse>(bytes);
    again::<hub::PushResponse>(bytes);
    again::<hub::ConflictsResponse>(bytes);
    again::<hub::ResolveResponse>(bytes);
    again::<hub::StatusResponse>(bytes);
    again::<hub::StatsResponse>(bytes);
    again::<hub::ErrorResponse>(bytes);
    again::<snapshot::SnapshotResponse>(bytes);
    again::<snapshot::DigestResponse>(bytes);
    let Some(page) = again::<hub::PullResponse>(bytes) else { return };
    for change in page.changes {
        again::<Row>(change.data.as_ref().map_or("", |data| data.get()).as_bytes());
    }
}

/// What clients of `auraflow` send.
pub fn auraflow_requests(bytes: &[u8]) {
    let batch: Option<auraflow::BatchRequest> = read(bytes);
    let (orders, transactions) = batch.map(|batch| (batch.orders, batch.transactions)).unwrap_or_default();
    let single: Option<Json> = read(bytes);
    for entities in PROTOCOLS.iter().map(|all| &all.auraflow.entities) {
        let kinds = [("order", &orders), ("transaction", &transactions)];
        for (kind, items) in kinds {
            for item in items.iter().chain(&single) {
                check(entities, auraflow::decode(entities, kind, item, "item"));
            }
        }
    }
}

/// What clients of `events` send.
pub fn events_requests(bytes: &[u8]) {
    let mut found = read::<events::PushRequest>(bytes).map(|push| push.events).unwrap_or_default();
    found.extend(read(bytes));
    for entities in PROTOCOLS.iter().map(|all| &all.events.entities) {
        for (_, said) in events::decode(entities, &found) {
            check(entities, said);
        }
    }
}

/// What clients of `booky` send.
pub fn booky_requests(bytes: &[u8]) {
    let _: Option<booky::MarkSyncedRequest> = read(bytes);
    let mut found = read::<booky::OperationsRequest>(bytes).map(|request| request.operations).unwrap_or_default();
    found.extend(read(bytes));
    let full: Option<booky::FullRequest> = read(bytes);
    for entities in PROTOCOLS.iter().map(|all| &all.booky.entities) {
        for said in booky::decode(entities, &found) {
            check(entities, said);
        }
        if let Some(Ok(lists)) = full.as_ref().map(|full| booky::decode_full(entities, full)) {
            for said in lists.into_iter().flat_map(|(_, rows)| rows) {
                check(entities, Ok(said));
            }
        }
    }
}

/// What clients of `insight` send.
pub fn insight_requests(bytes: &[u8]) {
    let _: Option<insight::PullRequest> = read(bytes);
    let mut changes = read::<insight::PushRequest>(bytes).map(|push| push.changes).unwrap_or_default();
    changes.entry("forms".to_owned()).or_default().extend(read(bytes));
    for entities in PROTOCOLS.iter().map(|all| &all.insight.entities) {
        for (_, _, said) in insight::decode(entities, &changes) {
            check(entities, said);
        }
    }
}

/// What a server of `nuqta` answers.
pub fn nuqta_answers(bytes: &[u8]) {
    answers(&nuqta::Nuqta, &Entities::new(), "Sale", bytes);
}

/// What a server of `auraflow` answers.
pub fn auraflow_answers(bytes: &[u8]) {
    for all in &*PROTOCOLS {
        answers(&client::auraflow::Auraflow, &all.auraflow.entities, "order", bytes);
    }
}

/// What a server of `events` answers, in either dialect.
pub fn events_answers(bytes: &[u8]) {
    for (all, camel) in PROTOCOLS.iter().zip([false, true]) {
        answers(&client::events::Events { camel }, &all.events.entities, "sales", bytes);
    }
}

/// What a server of `booky` answers.
pub fn booky_answers(bytes: &[u8]) {
    for all in &*PROTOCOLS {
        answers(&client::booky::Booky, &all.booky.entities, "book", bytes);
    }
}

/// What a server of `insight` answers.
pub fn insight_answers(bytes: &[u8]) {
    for all in &*PROTOCOLS {
        answers(&client::insight::Insight, &all.insight.entities, "submissions", bytes);
    }
}

/// Values as the store has them and as they travel, rows, ids and times.
pub fn values(bytes: &[u8]) {
    again::<Value>(bytes);
    if let Some(row) = again::<Row>(bytes) {
        assert!(row.same_as(&row) && row.is_part_of(&row));
        assert_eq!(print::row_print(&row), print::row_print(&row.clone()));
    }
    for value in [Value::text(bytes), Value::Blob(bytes.to_vec())] {
        let sent = serde_json::to_vec(&value).expect("a value encodes");
        assert_eq!(read::<Value>(&sent), Some(value.clone()));
        let mut plainly: Row = [("x".to_owned(), plain::from_plain(&plain::to_plain(&value)))].into_iter().collect();
        let known: Row = [("x".to_owned(), value)].into_iter().collect();
        plain::fit(&mut plainly, &known);
        assert_eq!(plainly, known, "what went through a client has its form again");
    }
    let text = String::from_utf8_lossy(bytes);
    if let Some(values) = key::parse_entity_id(&text) {
        let id = key::entity_id(&values);
        let values = key::parse_entity_id(&id).expect("an id that was made is read");
        assert_eq!(key::entity_id(&values), id, "one key has one id");
    }
    assert_ne!(key::next_counter(&text, 1), text);
    if let Some(ms) = time::parse(&text).filter(|ms| time::format(*ms) != time::format(0)) {
        assert_eq!(time::parse(&time::format(ms)), Some(ms));
    }
}

/// The files that people write.
pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(why) = Protocols::parse(&text) {
        assert!(!why.is_empty());
    }
    let _ = Config::parse(&text);
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// Reads a message. Written out and read again it is the same.
fn again<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Option<T> {
    let message: T = read(bytes)?;
    let once = serde_json::to_vec(&message).expect("what was read can be written");
    let second: T = serde_json::from_slice(&once).expect("what was written can be read");
    let twice = serde_json::to_vec(&second).expect("what was read can be written");
    assert!(once == twice, "{} became {}", String::from_utf8_lossy(&once), String::from_utf8_lossy(&twice));
    Some(message)
}

/// What a server answers to our client of its protocol.
fn answers(client: &dyn Client, entities: &Entities, entity: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let session = login::Session::read(&text);
    assert!(login::Session::read(&session.keep()) == session);
    let Some(answer) = read::<Json>(bytes) else { return };
    let _ = (client::server_ms(&answer), client::error_code(&answer), nuqta::registered(&answer), login::session(&answer, None));
    assert_ne!(client::error_text(&answer).as_deref(), Some(""));
    let who = client::Who {
        device_id: "d",
        key: Some("k"),
        now_ms: 1_766_053_800_000,
        cursor: Some("10"),
        entities: &[],
        overlap_ms: 1000,
        with_own: false,
    };
    let items = items(entity);
    if let Ok(became) = client.pushed(&items, &answer) {
        assert_eq!(became.len(), items.len(), "each item hears what became of it");
    }
    for from in [None, Some("10"), Some("2025-12-18T10:30:00Z")] {
        let Ok(page) = client.pulled(&who, from, &answer) else { continue };
        let next = page.cursor.as_deref().or(from);
        assert!(!client.pull(&who, next).path.contains([' ', '\n', '"']), "a path is a path");
        for told in page.told {
            let mapping = Mapping::of_entity(entities, &told.entity);
            let mut row = told.object.as_ref().map(|object| mapping.decode(object).row).unwrap_or_default();
            let _ = mapping.identify(&mut row, told.id.as_ref(), "told");
            let prints = Prints::of(&row);
            assert!(row.iter().all(|(name, value)| prints.holds(name, value)));
            assert_eq!(Prints::read(prints.as_bytes().to_vec()), prints);
        }
    }
}

/// Two changes on their way, with the ids that the seeds answer.
fn items(entity: &str) -> [Item; 2] {
    [1_u8, 2].map(|n| Item {
        entity: entity.to_owned(),
        id: json!(format!("00000000-0000-4000-8000-{n:012}")),
        object: Default::default(),
        operation: if n == 1 { Operation::Create } else { Operation::Update },
        event_id: Uuid::from_u128(0x0199_f1c2_7d00_7abc_8def_0000_0000_0000 + u128::from(n)),
        at_ms: 1_766_053_800_000,
        updated_fields: None,
        known: Default::default(),
        again: n == 2,
    })
}

/// What is understood has an event id that stays, and goes out again as JSON that clients can read.
fn check(entities: &Entities, said: Result<Said, Fault>) {
    let Ok(said) = said else { return };
    assert_eq!(said.event_id("device", "1"), said.event_id("device", "1"));
    let stored: Row = read(said.row.to_json().as_bytes()).expect("a row is stored as JSON");
    assert_eq!(stored, said.row);
    let mapping = Mapping::of_table(entities, &said.table);
    let mut inside = Vec::new();
    for list in &said.parts {
        let settled = parts::settle(list, &auraflow::key_of(&said.id), &said.id, &[]);
        assert_eq!(settled.rows.len(), list.rows.len());
        let known = settled.rows.clone();
        let second = parts::settle(list, &auraflow::key_of(&said.id), &said.id, &known);
        assert!(second.removed.is_empty() && second.rows.len() == known.len(), "the same list again says nothing new");
        inside.push(("items", settled.rows.into_iter().map(|(_, row)| row).collect()));
    }
    let object = mapping.encode(&said.id, &said.row, &inside);
    let about = auraflow::About { sync_version: 1, hash: String::new(), device_id: String::new() };
    let (id, at_ms) = (said.id.as_str(), said.at_ms.unwrap_or_default());
    let event = events::Pulled {
        event_id: 1,
        event_uuid: None,
        device_id: String::new(),
        entity: said.entity.clone(),
        entity_id: id.to_owned(),
        payload: Some(object.clone()),
        client_ms: at_ms,
        server_ms: at_ms,
    };
    for answer in [
        json!({ "orders": [auraflow::encode("order", id, object.clone(), &about)], "deletedOrderIds": [plain_id(id)] }),
        events::page(events::Dialect::Snake, std::slice::from_ref(&event), 1, false),
        events::page(events::Dialect::Camel, &[event], 1, false),
        json!({ "changes": [booky::encode("book", object.clone(), at_ms, said.row.len() % 2 == 0)] }),
        json!({ "changes": { "forms": [insight::encode(object, at_ms, said.row.len() % 2 == 0)] } }),
    ] {
        let written = answer.to_string();
        assert!(read::<Json>(written.as_bytes()).is_some(), "a client cannot read this: {written}");
    }
}
