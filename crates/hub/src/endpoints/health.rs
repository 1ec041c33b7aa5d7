//! `GET /health`: whether the hub answers, for load balancers and for `doctor`.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::hub::Hub;
use crate::refusal::Refusal;

pub(crate) async fn health(State(hub): State<Hub>) -> Result<Json<Value>, Refusal> {
    let database = hub.database();
    database.check().await?;
    Ok(Json(json!({
        "ok": true,
        "version": env!("CARGO_PKG_VERSION"),
        "epoch": database.epoch(),
        "database": database.kind(),
    })))
}
