//! Whatever clients send, in whatever protocol: it is answered in JSON, no answer says that the hub failed, and what was stored of it can be pulled.

#[path = "../../../../../fuzz/src/seeds.rs"]
mod seeds;

use std::path::Path;

use serde_json::{Value, json};
use tillsync_core::protocol::Protocols;
use tillsync_hub::{Options, router};

use self::seeds::Seeds;
use super::support::Caller;
use crate::support::Shop;

/// So many damaged forms of each message are sent.
const DAMAGED: usize = 8;

const PATHS: [(&str, &[&str]); 5] = [
    ("hub_requests", &["register", "push", "pull", "rekey", "snapshot", "digest", "conflicts/1/resolve"]),
    ("auraflow_requests", &["batch", "order", "transaction"]),
    ("events_requests", &["sync/push", "api/sync/push"]),
    ("booky_requests", &["operations", "queue", "mark-synced", "full"]),
    ("insight_requests", &["pull", "push"]),
];

const READS: [&str; 7] = [
    "/api/sync/updates?deviceId=reader",
    "/events/sync/pull?device_id=reader&limit=1000",
    "/events/api/sync/pull?limit=1000",
    "/api/sync/changes",
    "/api/sync/pending",
    "/api/sync/status",
    "/api/v1/sync/status",
];

async fn shop() -> Shop {
    let shop = Shop::open().await;
    let protocols = Protocols::parse("[booky]\nlimit = false").unwrap();
    let options = Options { open_registration: true, protocols: std::sync::Arc::new(protocols), ..Options::default() };
    Shop { router: router(shop.hub.clone(), options), ..shop }
}

#[tokio::test]
async fn anything_is_answered_and_what_is_stored_can_be_pulled() {
    let shop = shop().await;
    let (device, writer, reader) =
        (shop.device("till").await, Caller::new(&shop, "writer").await, Caller::new(&shop, "reader").await);
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let mut stored = 0;
    for (target, paths) in PATHS {
        let start = match target {
            "hub_requests" => "/sync/",
            "events_requests" => "/events/",
            "insight_requests" => "/api/v1/sync/",
            _ => "/api/sync/",
        };
        let mut messages = Vec::new();
        Seeds::read(&fuzz, target).each(DAMAGED, |name, bytes| messages.push((name.to_owned(), bytes.to_vec())));
        for (name, bytes) in messages {
            for path in paths {
                let path = format!("{start}{path}");
                let headers = if target == "hub_requests" { device.headers().to_vec() } else { writer.headers().to_vec() };
                let (status, answer) = shop.ask("POST", &path, &headers, bytes.clone()).await;
                assert!(status < 500, "{path} {name}: {status} {answer} after {}", bytes.escape_ascii());
                stored += i32::from(status == 200);
            }
        }
    }
    assert!(stored > 50, "only {stored} of all that were good");
    for path in READS {
        reader.get(&shop, path).await;
    }
    assert_eq!(reader.post(&shop, "/api/v1/sync/pull", json!({ "device_id": "reader" })).await["success"], true);
    // The till may have replaced its key meanwhile.
    let other = shop.device("other").await;
    let page: Value = shop.pull(&other, json!({})).await;
    assert!(!page["changes"].as_array().unwrap().is_empty());
}
