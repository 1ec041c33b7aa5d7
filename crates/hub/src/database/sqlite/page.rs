//! Reading a page of the log.

use std::collections::HashSet;

use rusqlite::{Row, Transaction, params};
use serde_json::value::RawValue;
use tillsync_core::change::Operation;
use tillsync_core::wire::hub::{PAGE_BYTES_MAX, PullChange};

use super::{cursors, devices, log, meta};
use crate::database::model::{Page, PageQuery};

/// A request looks at no more than this many entries, so that a narrow filter over a long log answers in time; the client
/// goes on from where the scan stopped.
pub(crate) const SCAN_MAX: usize = 50_000;

const ENTRIES: &str = "SELECT id, device_id, merged, operation, entity_type, entity_id, timestamp, data, resolves
    FROM change_log WHERE id > ?1 ORDER BY id";

pub(super) fn read(tx: &Transaction, query: &PageQuery) -> rusqlite::Result<Page> {
    let (head, pruned_through) = (log::head(tx)?, meta::pruned_through(tx)?);
    if query.from > head {
        // The log was restored or reset. From 0 on a client that follows the original protocol misses nothing; the head
        // and the epoch tell the others.
        return Ok(Page { new_cursor_id: 0, beyond_head: true, ..Page::empty(head, pruned_through) });
    }
    if cursors::is_expired(tx, &query.device_id, query.from)? {
        return Ok(Page { expired: true, ..Page::empty(head, pruned_through) });
    }
    let allowed = devices::entities_of(tx, &query.device_id)?;
    let mut page = Page { new_cursor_id: query.from, ..Page::empty(head, pruned_through) };
    let mut statement = tx.prepare_cached(ENTRIES)?;
    let mut entries = statement.query(params![query.from])?;
    let (mut scanned, mut bytes) = (0, 0);
    while let Some(entry) = entries.next()? {
        let wanted = is_wanted(entry, query, allowed.as_ref())?;
        let size = if wanted { size(entry)? } else { 0 };
        let full = page.changes.len() >= query.limit || (!page.changes.is_empty() && bytes + size > PAGE_BYTES_MAX);
        if scanned == SCAN_MAX || (wanted && full) {
            page.has_more = true;
            return Ok(page);
        }
        scanned += 1;
        page.new_cursor_id = entry.get(0)?;
        if wanted {
            bytes += size;
            page.changes.push(change(entry)?);
        }
    }
    page.new_cursor_id = head;
    Ok(page)
}

fn is_wanted(entry: &Row, query: &PageQuery, allowed: Option<&HashSet<String>>) -> rusqlite::Result<bool> {
    let merged: bool = entry.get(2)?;
    if query.exclude_own && !merged && entry.get_ref(1)?.as_bytes()? == query.device_id.as_bytes() {
        return Ok(false);
    }
    let entity = entry.get_ref(4)?.as_str()?;
    let is_in = |types: Option<&HashSet<String>>| types.is_none_or(|types| types.contains(entity));
    Ok(is_in(query.entity_types.as_ref()) && is_in(allowed))
}

fn size(entry: &Row) -> rusqlite::Result<usize> {
    Ok(entry.get_ref(7)?.as_bytes_or_null()?.map_or(0, <[u8]>::len))
}

fn change(entry: &Row) -> rusqlite::Result<PullChange> {
    let operation = entry.get_ref(3)?.as_str()?;
    let data: Option<String> = entry.get(7)?;
    Ok(PullChange {
        id: entry.get(0)?,
        operation: Operation::parse(operation).ok_or_else(|| log::damaged(3, "operation"))?,
        entity_type: entry.get(4)?,
        entity_id: entry.get(5)?,
        timestamp: entry.get(6)?,
        data: data.map(RawValue::from_string).transpose().map_err(|_| log::damaged(7, "data"))?,
        is_synced: true,
        device_id: Some(entry.get(1)?),
        resolves: entry.get(8)?,
    })
}
