//! Clients of the other protocols.

use serde_json::Value;
use tillsync_hub::database::Terms;

use crate::support::{Shop, bearer};

/// Somebody with a token.
pub struct Caller {
    bearer: String,
}

impl Caller {
    pub async fn new(shop: &Shop, name: &str) -> Self {
        Self::on(shop, name, Terms::default()).await
    }

    pub async fn on(shop: &Shop, name: &str, terms: Terms) -> Self {
        let token = shop.hub.put_user(name, None, true, terms).await.unwrap().unwrap();
        Self::with(&token)
    }

    pub fn with(token: &str) -> Self {
        Self { bearer: bearer(token) }
    }

    pub fn headers(&self) -> [(&str, &str); 1] {
        [("authorization", &self.bearer)]
    }

    #[allow(clippy::needless_pass_by_value, reason = "every caller makes the body in place")]
    pub async fn ask(&self, shop: &Shop, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        shop.ask(method, path, &self.headers(), body).await
    }

    /// Expects 200.
    pub async fn post(&self, shop: &Shop, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(shop, "POST", path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Expects 200.
    pub async fn get(&self, shop: &Shop, path: &str) -> Value {
        let (status, answer) = self.ask(shop, "GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

/// Entries of the log, oldest first: table, id, operation.
pub fn log(shop: &Shop) -> Vec<(String, String, String)> {
    let connection = rusqlite::Connection::open(shop.folder.path().join("hub.db")).unwrap();
    let mut statement = connection.prepare("SELECT entity_type, entity_id, operation FROM change_log ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}
