//! `POST /sync/pull`: a page of the log, or the wait for one.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use tillsync_core::wire::hub::{PULL_LIMIT_MAX, PullRequest, PullResponse, WAIT_MS_MAX};
use tokio::time::Instant;

use crate::body::SMALL_BODY_BYTES_MAX;
use crate::clock::now_ms;
use crate::credentials::{Admitted, Credentials, admit_with_key};
use crate::database::{Page, PageQuery};
use crate::hub::Hub;
use crate::refusal::Refusal;

/// A client asks for the entities of one shop's database; a longer list is a mistake.
const ENTITY_TYPES_MAX: usize = 1000;

pub(crate) async fn pull(State(hub): State<Hub>, headers: HeaderMap, body: Body) -> Result<Json<PullResponse>, Refusal> {
    let (admitted, request) = admit_with_key(&hub, &headers, body, SMALL_BODY_BYTES_MAX, |request: &mut PullRequest| {
        Credentials::from_body(&mut request.device_id, &mut request.api_key)
    })
    .await?;
    let wait = Duration::from_millis(request.wait_ms.unwrap_or(0).min(WAIT_MS_MAX));
    let own_epoch = hub.database().epoch();
    if let Some(epoch) = request.epoch.as_deref().filter(|epoch| *epoch != own_epoch) {
        // Its cursor means nothing in this log.
        let forked_at = hub.database().forked_at(epoch).await?;
        let head = *hub.database().heads().borrow();
        let page = Page { beyond_head: true, ..Page::empty(head, 0) };
        return Ok(Json(PullResponse { forked_at, ..answer(page, own_epoch) }));
    }
    let Admitted { device_id, expires_at: key_expires_at, renew_at: key_renew_at } = admitted;
    let query = query_of(request, device_id)?;
    let noting = hub.database().note_cursor(&query.device_id, query.from, now_ms());
    let (noted, page) = tokio::join!(noting, first_page(&hub, query.clone(), wait));
    noted?;
    let page = page?;
    if page.expired {
        return Err(Refusal::cursor_expired());
    }
    Ok(Json(PullResponse { key_expires_at, key_renew_at, ..answer(page, hub.database().epoch()) }))
}

fn query_of(request: PullRequest, device_id: String) -> Result<PageQuery, Refusal> {
    let limit = request.limit.unwrap_or(PULL_LIMIT_MAX).min(PULL_LIMIT_MAX);
    if limit == 0 {
        return Err(Refusal::bad_field("limit", format!("a page has 1 to {PULL_LIMIT_MAX} changes")));
    }
    if request.from_cursor_id < 0 {
        return Err(Refusal::bad_field("fromCursorId", "a cursor is 0 or a change id"));
    }
    if request.entity_types.as_ref().is_some_and(|types| types.len() > ENTITY_TYPES_MAX) {
        return Err(Refusal::bad_field("entityTypes", format!("at most {ENTITY_TYPES_MAX} entities")));
    }
    Ok(PageQuery {
        device_id,
        from: request.from_cursor_id,
        limit: limit as usize,
        exclude_own: request.exclude_own,
        entity_types: request.entity_types.map(|types| types.into_iter().collect()),
    })
}

/// The first page that has something to say, or whatever there is when the time is up or the hub stops.
async fn first_page(hub: &Hub, mut query: PageQuery, wait: Duration) -> Result<Page, Refusal> {
    let deadline = Instant::now() + wait;
    let mut heads = hub.database().heads();
    loop {
        // What is stored after this line wakes the wait below, so nothing slips between the read and the wait.
        heads.mark_unchanged();
        let page = {
            let _served = hub.live().serve(&query.device_id);
            hub.database().page(query.clone()).await?
        };
        if !page.is_quiet() || Instant::now() >= deadline {
            return Ok(page);
        }
        query.from = page.new_cursor_id;
        tokio::select! {
            changed = heads.changed() => if changed.is_err() { return Ok(page) },
            () = tokio::time::sleep_until(deadline) => return Ok(page),
            () = hub.live().stopped() => return Ok(page),
        }
    }
}

fn answer(page: Page, epoch: &str) -> PullResponse {
    PullResponse {
        success: true,
        changes: page.changes,
        has_more: page.has_more,
        new_cursor_id: page.new_cursor_id,
        server_timestamp: now_ms(),
        epoch: Some(epoch.to_owned()),
        head_cursor_id: Some(page.head),
        pruned_through: Some(page.pruned_through),
        forked_at: None,
        key_expires_at: None,
        key_renew_at: None,
    }
}
