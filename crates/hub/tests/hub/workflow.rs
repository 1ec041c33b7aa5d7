//! Clients that follow the original document's workflow to the letter: push, take its cursor, pull from it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Device, Shop, plain};

struct Client {
    device: Device,
    cursor: i64,
    made: usize,
    rows: BTreeSet<String>,
}

impl Client {
    async fn new(shop: &Shop, name: &str) -> Self {
        Self { device: shop.device(name).await, cursor: 0, made: 0, rows: BTreeSet::new() }
    }

    fn make(&mut self, count: usize) -> Vec<Value> {
        let ids: Vec<String> = (self.made..self.made + count).map(|n| format!("{}-{n}", self.device.id)).collect();
        self.made += count;
        self.rows.extend(ids.iter().cloned());
        ids.iter().map(|id| plain("create", id, json!({ "x": 1 }))).collect()
    }

    async fn push(&mut self, shop: &Shop, count: usize) {
        let changes = self.make(count);
        self.cursor = shop.push_from(&self.device, self.cursor, &changes).await["newCursorId"].as_i64().unwrap();
    }

    async fn pull(&mut self, shop: &Shop, limit: usize) {
        let page = shop.pull(&self.device, json!({ "fromCursorId": self.cursor, "limit": limit })).await;
        for change in page["changes"].as_array().unwrap() {
            self.rows.insert(change["entityId"].as_str().unwrap().to_owned());
        }
        self.cursor = page["newCursorId"].as_i64().unwrap();
    }
}

#[tokio::test]
async fn the_example_of_the_document() {
    let shop = Shop::open().await;
    let (a, mut b) = (shop.device("A").await, Client::new(&shop, "B").await);
    let first: Vec<Value> = (0..10).map(|n| plain("create", &n.to_string(), json!({}))).collect();
    shop.push(&a, &first).await;
    b.pull(&shop, 100).await;
    assert_eq!(b.cursor, 10);
    b.push(&shop, 2).await;
    assert_eq!(b.cursor, 12, "only its own two entries follow");
}

#[tokio::test]
async fn no_interleaving_skips_a_change_of_the_other() {
    // Each letter is a step of one of the two clients: push one row, push three, pull all, pull one.
    for script in ["pP", "PpuU", "pPpPuU", "ppPuUpU", "tTpPvVuUpPTtVvuU", "TtTtvvvvVVVVuUuU", "pTUpuTpVvPtuUtPvV"] {
        let shop = Shop::open().await;
        let mut clients = [Client::new(&shop, "A").await, Client::new(&shop, "B").await];
        for step in script.chars() {
            let client = &mut clients[usize::from(step.is_ascii_uppercase())];
            match step.to_ascii_lowercase() {
                'p' => client.push(&shop, 1).await,
                't' => client.push(&shop, 3).await,
                'u' => client.pull(&shop, 1000).await,
                _ => client.pull(&shop, 1).await,
            }
        }
        for client in &mut clients {
            client.push(&shop, 0).await;
            client.pull(&shop, 1000).await;
        }
        assert_eq!(clients[0].rows, clients[1].rows, "{script}");
    }
}

#[tokio::test]
async fn a_run_longer_than_the_scan_is_only_pulled_again() {
    let shop = Shop::open().await;
    let mut a = Client::new(&shop, "A").await;
    a.push(&shop, 4500).await;
    assert_eq!(a.cursor, 2000);
    a.push(&shop, 0).await;
    a.push(&shop, 0).await;
    assert_eq!(a.cursor, 4500);
}
