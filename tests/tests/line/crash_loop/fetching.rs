//! A register fetches rows instead of the log: since it is new to a shop with a long history, or was away for longer than the hub remembers
//! deletes. Whatever fails on the way, and whatever others do meanwhile.

use axum::Router;
use axum::body::{Body, to_bytes};
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

use super::STEPS_MAX;
use super::compare::End;
use super::line::Fault;
use super::pos::Journal;
use super::shop::{Outcome, Shop, Trouble, on_runtime};

/// Products of the shop, each changed so often that the log is longer than a page.
const PRODUCTS: i64 = 60;
const VERSIONS: i64 = 16;

/// The last version of each.
const LAST: i64 = VERSIONS - 1;

/// Sales with two lines each.
const SALES: i64 = 30;

/// What B has from before Tillsync: a product as the server has it, and a sale of its own.
const ON_B: &str = "
INSERT INTO products VALUES (7, 'sku 7', 'Product 7, 15', 0.5, 15);
INSERT INTO sales VALUES ('b-1', 100, NULL);
INSERT INTO lines VALUES (901, 'b-1', 100);";

/// A device that has been there for long.
pub struct Elder {
    service: Router,
    id: String,
    key: String,
}

impl Elder {
    /// Registers it.
    pub async fn register(service: Router) -> Self {
        let mut elder = Self { service, id: String::new(), key: String::new() };
        let answer = elder.post("/sync/register", r#"{"name":"elder"}"#).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (elder.id, elder.key) = (text(&answer["device"]["id"]), text(&answer["apiKey"]));
        elder
    }

    /// Sends changes of which each must be stored.
    pub async fn push(&self, changes: Vec<String>) {
        for some in changes.chunks(2_000) {
            let answer = self.post("/sync/push", &format!(r#"{{"cursorId":0,"changes":[{}]}}"#, some.join(","))).await;
            assert_eq!(answer["syncedCount"], some.len(), "{answer}");
        }
    }

    async fn post(&self, path: &str, body: &str) -> Value {
        let request = axum::http::Request::post(path)
            .header("content-type", "application/json")
            .header("x-device-id", &self.id)
            .header("authorization", format!("Bearer {}", self.key));
        let answer = self.service.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        serde_json::from_slice(&to_bytes(answer.into_body(), usize::MAX).await.unwrap()).unwrap()
    }
}

/// A change that was made with knowledge of the one before; `row` is the whole row as JSON, or null for a delete.
pub fn change(entity: &str, id: &str, row: &str) -> String {
    let operation = if row == "null" { "delete" } else { "update" };
    let (event, base) = (Uuid::new_v4(), i64::MAX);
    format!(
        r#"{{"operation":"{operation}","entityType":"{entity}","entityId":"{id}","timestamp":1,"eventId":"{event}","baseVersion":{base},"data":{row}}}"#
    )
}

/// A product in one of its versions.
pub fn product(id: i64, version: i64) -> String {
    let row = format!(r#"{{"id":{id},"sku":"sku {id}","name":"Product {id}, {version}","price":0.5,"stock":{version}}}"#);
    change("products", &id.to_string(), &row)
}

fn sale(id: &str, line: i64) -> [String; 3] {
    let row = |line: i64| change("lines", &line.to_string(), &format!(r#"{{"id":{line},"sale":"{id}","cents":50}}"#));
    [change("sales", id, &format!(r#"{{"id":"{id}","total":100,"note":null}}"#)), row(line), row(line + 1)]
}

/// What became of everything; the products from 50 on are deleted in the end.
fn history(versions: std::ops::RangeInclusive<i64>) -> Vec<String> {
    let mut changes = Vec::new();
    for version in versions {
        changes.extend((1..=PRODUCTS).map(|id| product(id, version)));
    }
    changes.extend((1..=SALES).flat_map(|number| sale(&format!("c-{number}"), number * 2)));
    changes.extend((50..=PRODUCTS).map(|id| change("products", &id.to_string(), "null")));
    changes
}

fn run(journal: Journal, trouble: Trouble) -> Outcome {
    on_runtime(async {
        let mut shop = Shop::open_with(journal, ["", ON_B], trouble).await;
        let elder = Elder::register(shop.service.clone()).await;
        // A log that is not whole is not replayed, however short it is.
        elder.push(history(LAST - 1..=LAST)).await;
        shop.forget().await;
        for _ in 0..2 {
            shop.a.fetch_page().await;
        }
        // Of tables that are here already: a changed, a deleted and a new row, and lines whose sale will be another one.
        elder.push(vec![product(3, 99), change("products", "4", "null")]).await;
        elder.push(sale("c-99", 800).to_vec()).await;
        shop.a.fetch_page().await;
        elder.push(vec![change("lines", "800", "null"), change("sales", "c-1", r#"{"id":"c-1","total":7,"note":"x"}"#)]).await;
        shop.a.sync().await;
        shop.b.sync().await;
        shop.a.sell("UPDATE products SET stock = 1000 WHERE id = 7; DELETE FROM sales WHERE id = 'c-2'; INSERT INTO sales VALUES ('a-1', 1, 2)");
        shop.a.sync().await;
        shop.b.sync().await;
        shop.a.sync().await;
        shop.outcome()
    })
}

fn check(journal: Journal, places_min: i64, trouble: impl Fn(i64) -> Trouble) {
    check_with(places_min, |trouble| run(journal, trouble), trouble);
}

fn check_with(places_min: i64, run: impl Fn(Trouble) -> Outcome, trouble: impl Fn(i64) -> Trouble) {
    let undisturbed: End = run(Trouble::None).end;
    assert_eq!(undisturbed.conflicts, 0);
    for place in 1..STEPS_MAX {
        let trouble = trouble(place);
        let Outcome { end, happened } = run(trouble);
        assert_eq!(end, undisturbed, "{trouble:?}");
        if !happened {
            assert!(place > places_min, "only {} places", place - 1);
            return;
        }
    }
    panic!("the scenario never ends undisturbed");
}

#[test]
fn a_register_that_fetches_rows_may_end_after_every_step() {
    check(Journal::Wal, 40, |step| Trouble::EndOfA { step });
    check(Journal::Delete, 40, |step| Trouble::EndOfB { step });
}

#[test]
fn every_call_of_a_register_that_fetches_rows_may_fail() {
    check(Journal::Wal, 20, |call| Trouble::Call { call, fault: Fault::AnswerLost });
}

/// A is away for longer than the hub remembers deletes. Its own changes meet nothing that a person has to decide.
fn run_away(journal: Journal, trouble: Trouble, restores: bool) -> Outcome {
    on_runtime(async {
        let (calm, about_a) = match trouble {
            Trouble::EndOfA { .. } => (Trouble::None, true),
            other => (other, false),
        };
        let mut shop = Shop::open_with(journal, [super::pos::BEFORE, ""], calm).await;
        let elder = Elder::register(shop.service.clone()).await;
        shop.a.sync().await;
        elder.push(sale("c-1", 200).to_vec()).await;
        elder.push((10..30).map(|id| product(id, 0)).collect()).await;
        shop.a.sync().await;
        shop.b.sync().await;
        let backup = shop.a.backup();
        if restores {
            // The backup is older than what A hears of now and what the hub forgets.
            elder.push(vec![change("products", "10", "null"), product(11, 1), product(50, 0)]).await;
            shop.a.sync().await;
        }
        let gone = (12..20).map(|id| change("products", &id.to_string(), "null"));
        elder.push(gone.collect()).await;
        elder.push((20..25).map(|id| product(id, 7)).collect()).await;
        elder.push(vec![change("lines", "200", "null"), change("lines", "201", "null"), change("sales", "c-1", "null")]).await;
        elder.push(sale("c-2", 300).to_vec()).await;
        shop.b.sync().await;
        shop.forget().await;
        if restores {
            shop.a.restore(&backup);
        }
        shop.a.sell(
            "INSERT INTO sales VALUES ('a-9', 5, NULL); INSERT INTO lines VALUES (900, 'a-9', 5);
             UPDATE products SET name = 'Changed by A' WHERE id = 26; DELETE FROM products WHERE id = 13;
             DELETE FROM products WHERE id = 27;",
        );
        if let (Trouble::EndOfA { step }, true) = (trouble, about_a) {
            shop.a.end_at(step);
        }
        shop.a.sync().await;
        shop.b.sync().await;
        if restores {
            shop.a.scan().await;
        }
        shop.a.sync().await;
        shop.outcome()
    })
}

#[test]
fn hazard_21_a_register_that_was_away_too_long_may_end_after_every_step() {
    check_with(30, |trouble| run_away(Journal::Wal, trouble, false), |step| Trouble::EndOfA { step });
}

#[test]
fn hazard_21_a_store_restored_from_a_backup_older_than_the_retention_brings_nothing_back() {
    check_with(30, |trouble| run_away(Journal::Wal, trouble, true), |step| Trouble::EndOfA { step });
}

#[test]
fn rows_are_fetched_once_and_not_their_history() {
    on_runtime(async {
        let mut shop = Shop::open_with(Journal::Wal, ["", ""], Trouble::None).await;
        let changes = history(0..=LAST);
        assert!(changes.len() > 1_000, "the log must be longer than a page");
        Elder::register(shop.service.clone()).await.push(changes).await;
        shop.a.sync().await;
        let rows = 49 + SALES + 2 * SALES;
        assert_eq!(shop.a.agent().status(true).unwrap().received as i64, rows);
        shop.b.sync().await;
        shop.end();
    });
}

#[test]
fn rows_of_a_table_that_change_between_its_pages_come_as_they_are() {
    on_runtime(async {
        let mut shop = Shop::open_with(Journal::Wal, ["", ""], Trouble::None).await;
        let elder = Elder::register(shop.service.clone()).await;
        elder.push((1..=2_500).map(|id| product(id, 0)).collect()).await;
        // Each time rows that have come already, rows that have not, and a new one; 2001 moves past every page.
        let gone = |id: i64| change("products", &id.to_string(), "null");
        shop.a.fetch_page().await;
        elder.push(vec![product(1, 1), gone(2), product(1_500, 1), gone(1_501), product(2_001, 1), product(3_000, 0)]).await;
        shop.a.fetch_page().await;
        elder.push(vec![product(1, 2), product(2, 2), gone(3_000), product(2_001, 2), product(1_501, 2), product(3_001, 0)]).await;
        assert_eq!(shop.a.agent().status(true).unwrap().received, 2_000, "between two pages");
        shop.a.sync().await;
        shop.b.sync().await;
        assert_eq!(shop.end().conflicts, 0);
    });
}
