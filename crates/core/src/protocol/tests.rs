//! Every decoder survives anything.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::*;

/// Any JSON in which the names that protocols know turn up.
fn any_json() -> impl Strategy<Value = Json> {
    let names = prop::sample::select(vec![
        "id",
        "entity",
        "entityId",
        "entity_id",
        "type",
        "op",
        "data",
        "payload",
        "payload_json",
        "order",
        "localId",
        "items",
        "timestamp",
        "deleted_at",
        "updated_at",
        "updatedAt",
        "updated_fields",
        "event_uuid",
        "syncVersion",
        "serverHash",
        "books",
        "settings",
    ]);
    let words = vec!["create", "upsert", "delete", "book", "[1,", "{}", "7", "2026-01-01T10:00:00Z"];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(|r| json!(r)),
        any::<String>().prop_map(Json::from),
        prop::sample::select(words).prop_map(Json::from),
    ];
    let object =
        |members: Vec<(&str, Json)>| Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::vec((names.clone(), inner), 0..8).prop_map(object),
        ]
    })
}

/// What is decoded has an event id that stays, and goes out again.
fn check(entities: &Entities, said: Result<Said, Fault>) {
    let Ok(said) = said else { return };
    assert_eq!(said.event_id("device", "1"), said.event_id("device", "1"));
    let mapping = Mapping::of_table(entities, &said.table);
    let object = mapping.encode(&said.id, &said.row, &[]);
    assert!(object.contains_key("id"));
    for list in &said.parts {
        let settled = parts::settle(list, &auraflow::key_of(&said.id), &said.id, &[]);
        assert_eq!(settled.rows.len(), list.rows.len());
    }
}

proptest! {
    #[test]
    fn anything_is_decoded_or_refused(sent in any_json()) {
        let all = Protocols::default();
        for kind in ["order", "transaction"] {
            check(&all.auraflow.entities, auraflow::decode(&all.auraflow.entities, kind, &sent, "item"));
        }
        let order = json!({ "order": sent, "localId": "l" });
        check(&all.auraflow.entities, auraflow::decode(&all.auraflow.entities, "order", &order, "item"));
        let event = json!({ "entity": "sales", "entity_id": "1", "op": "upsert", "payload": sent });
        for (_, said) in events::decode(&all.events.entities, &[sent.clone(), event]) {
            check(&all.events.entities, said);
        }
        let operation = json!({ "type": "create", "entity": "book", "entityId": "1", "data": sent });
        for said in booky::decode(&all.booky.entities, &[sent.clone(), operation]) {
            check(&all.booky.entities, said);
        }
        if let Ok(full) = booky::FullRequest::deserialize(&sent) {
            let _ = booky::decode_full(&all.booky.entities, &full);
        }
        let changes = [("forms".to_owned(), vec![sent])].into_iter().collect();
        for (_, _, said) in insight::decode(&all.insight.entities, &changes) {
            check(&all.insight.entities, said);
        }
    }

    #[test]
    fn any_settings_are_read_or_refused(text in any::<String>()) {
        let _ = Protocols::parse(&text);
    }
}
