//! `auraflow`: orders and transactions with a `localId` and a version that clients count.

use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use tillsync_core::protocol::auraflow::{self, About, BatchRequest, BatchResponse, Conflict, SyncResponse, Updates};
use tillsync_core::protocol::mapping::plain_id;
use tillsync_core::protocol::time;
use tillsync_core::wire::hub::BODY_BYTES_MAX;

use super::access::Client;
use super::asked::Asked;
use super::intake::{Numbered, Stored};
use super::outflow::{encode, tables_of, tell};
use crate::clock::now_ms;
use crate::database::clients::{SinceQuery, Start};
use crate::database::version_mark;
use crate::hub::Hub;
use crate::refusal::Refusal;

/// The document knows no pages; an answer stops growing at about this many rows, with a transaction, and says so.
const PAGE_ROWS: usize = 20_000;

const ORDER: &str = "order";
const TRANSACTION: &str = "transaction";

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .route("/api/sync/batch", post(batch))
        .route("/api/sync/order", post(|asked, body| one(ORDER, asked, body)))
        .route("/api/sync/transaction", post(|asked, body| one(TRANSACTION, asked, body)))
        .route("/api/sync/updates", get(updates))
}

async fn batch(asked: Asked, body: Body) -> Result<Response, Refusal> {
    let request: BatchRequest = asked.read(body, BODY_BYTES_MAX).await?;
    let (client, _served) = asked.serve(Some(&request.device_id)).await?;
    let orders = request.orders.iter().enumerate().map(|(n, item)| (ORDER, item, format!("orders[{n}]")));
    let transactions = request.transactions.iter().enumerate().map(|(n, item)| (TRANSACTION, item, format!("transactions[{n}]")));
    let mut synced_orders = take_in(&asked, &client, orders.chain(transactions).collect()).await?;
    let synced_transactions = synced_orders.split_off(request.orders.len());
    let server_updates = updates_since(&asked, &client, request.last_sync_timestamp.map(|moment| moment.0)).await?;
    let next_sync_token = server_updates.next_sync_token.clone().unwrap_or_default();
    let answer = BatchResponse { success: true, synced_orders, synced_transactions, server_updates, next_sync_token };
    Ok(asked.answer(Json(answer)))
}

async fn one(kind: &'static str, asked: Asked, body: Body) -> Result<Response, Refusal> {
    let item: Value = asked.read(body, BODY_BYTES_MAX).await?;
    let (client, _served) = asked.serve(item.get("deviceId").and_then(Value::as_str)).await?;
    if let Err(fault) = auraflow::decode(&asked.settings().entities, kind, &item, "") {
        return Err(Refusal::bad_field(fault.field.trim_start_matches('.'), fault.text));
    }
    let answer = take_in(&asked, &client, vec![(kind, &item, String::new())]).await?.pop();
    let answer = answer.ok_or_else(Refusal::internal)?;
    Ok(asked.answer(Json(answer)))
}

/// Stores orders and transactions; gives one answer each, in their order.
async fn take_in(asked: &Asked, client: &Client, items: Vec<(&'static str, &Value, String)>) -> Result<Vec<SyncResponse>, Refusal> {
    let now_ms = now_ms();
    let (mut good, mut rows, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for (place, (kind, item, field)) in items.into_iter().enumerate() {
        let local_id = item.get("localId").and_then(Value::as_str).map(str::to_owned);
        let failed = SyncResponse {
            success: false,
            server_id: None,
            local_id: local_id.clone(),
            synced_at: now_ms,
            sync_version: None,
            message: None,
            conflicts: Vec::new(),
        };
        match auraflow::decode(&asked.settings().entities, kind, item, &field) {
            Ok(said) => {
                rows.push((place, said.table.clone(), said.id.clone(), said.sync_version.unwrap_or(1)));
                good.push(Numbered { said, number: local_id.unwrap_or_default() });
                answers.push(failed);
            }
            Err(fault) => answers.push(SyncResponse { message: Some(format!("{}: {}", fault.field, fault.text)), ..failed }),
        }
    }
    let stored = asked.intake(client, now_ms).store(good).await?;
    for ((place, table, id, version), stored) in rows.into_iter().zip(stored) {
        judge(asked, &mut answers[place], (&table, &id, version), &stored).await?;
    }
    Ok(answers)
}

async fn judge(
    asked: &Asked,
    answer: &mut SyncResponse,
    (table, id, version): (&str, &str, i64),
    stored: &Stored,
) -> Result<(), Refusal> {
    if let Some(why) = stored.refusal() {
        answer.message = Some(why.to_owned());
        return Ok(());
    }
    let now = asked.hub.database().named_rows(table, vec![id.to_owned()]).await?.pop();
    answer.server_id = Some(text_id(id));
    answer.sync_version = now.as_ref().map(|row| row.writes);
    answer.success = !stored.is_overruled();
    if answer.success {
        return Ok(());
    }
    let server_data = match now.as_ref().and_then(|now| now.row.as_ref()) {
        Some(row) => Some(Value::Object(encode(&asked.hub, asked.settings(), table, id, row).await?.1)),
        None => None,
    };
    let why = if server_data.is_some() { "server version is newer" } else { "deleted on the server" };
    answer.message = Some(format!("Conflict: {why}"));
    let local_id = answer.local_id.clone().unwrap_or_default();
    answer.conflicts.push(Conflict { local_id, client_version: version, server_data, resolution: "SERVER_WINS".to_owned() });
    Ok(())
}

fn text_id(id: &str) -> String {
    match plain_id(id) {
        Value::String(id) => id,
        other => other.to_string(),
    }
}

async fn updates(asked: Asked) -> Result<Response, Refusal> {
    let since = match asked.member("since") {
        None => None,
        Some(text) => Some(time::parse(&text).ok_or_else(|| Refusal::bad_field("since", "this is not a time"))?),
    };
    let (client, _served) = asked.serve(asked.member("deviceId").as_deref()).await?;
    let found = updates_since(&asked, &client, since).await?;
    Ok(asked.answer(Json(found)))
}

/// What others have written since a time.
async fn updates_since(asked: &Asked, client: &Client, since_ms: Option<i64>) -> Result<Updates, Refusal> {
    let (hub, settings) = (&asked.hub, asked.settings());
    let now_ms = now_ms();
    let query = SinceQuery {
        device_id: client.device_id.clone(),
        start: since_ms.filter(|ms| *ms > 0).map_or(Start::After(0), Start::Time),
        limit: PAGE_ROWS,
        whole: true,
        exclude_own: true,
        tables: Some(tables_of(settings, [ORDER, TRANSACTION])),
        now_ms,
    };
    let since = hub.database().since(query).await?;
    hub.database().note_cursor(&client.device_id, since.from, now_ms).await?;
    let mut updates = Updates { next_sync_token: Some(since.at_ms.to_string()), has_more: since.has_more, ..Updates::default() };
    for told in tell(hub, settings, since.rows).await? {
        let (rows, deleted) = if told.entity == ORDER {
            (&mut updates.orders, &mut updates.deleted_order_ids)
        } else {
            (&mut updates.transactions, &mut updates.deleted_transaction_ids)
        };
        if told.is_deleted() {
            deleted.push(plain_id(&told.written.id));
            continue;
        }
        let written = &told.written;
        let about = About {
            sync_version: written.writes,
            hash: version_mark(&written.table, &written.id, written.version),
            device_id: written.device_id.clone(),
        };
        rows.push(auraflow::encode(&told.entity, &written.id, told.object, &about));
    }
    Ok(updates)
}
