//! The hub's protocol: pure encoding and decoding.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::value::RawValue;
use tillsync_core::change::Verdict;
use tillsync_core::wire::hub::{
    ConflictsResponse, PULL_LIMIT_MAX, PullRequest, PullResponse, PushChange, PushError, PushRequest, PushResponse, PushResult,
    RegisterRequest, RegisterResponse, RekeyRequest, ResolveRequest, ResolveResponse,
};
use tillsync_core::wire::snapshot::{DigestRequest, SnapshotRequest, SnapshotResponse};

use crate::clock::Heard;
use crate::credentials::Key;
use crate::remote::transport::{Request, Response};
use crate::remote::{Answer, Incoming, Outgoing, PullQuery, PulledPage, PushContext, RegisterReply, Resolves};

/// `POST /sync/register`.
pub fn encode_register(request: &RegisterRequest) -> Request {
    Request::new("/sync/register", serde_json::to_vec(request).expect("a registration encodes"))
}

/// The answer to a registration.
pub fn decode_register(body: &[u8], heard: impl Fn(i64) -> Heard) -> RegisterReply {
    match serde_json::from_slice::<RegisterResponse>(body) {
        Ok(answer) => {
            let heard = answer.server_timestamp.map(heard);
            RegisterReply::Registered { device_id: answer.device.id, key: Key::from(answer.api_key), heard }
        }
        Err(error) => RegisterReply::Refused(format!("the answer to the registration cannot be understood: {error}")),
    }
}

/// `POST /sync/push`.
pub fn encode_push(context: PushContext, batch: &[Outgoing]) -> Request {
    let changes = batch.iter().enumerate().map(|(place, change)| PushChange {
        id: place as i64 + 1,
        operation: change.operation,
        entity_type: change.entity_type.clone(),
        entity_id: change.key.clone(),
        timestamp: change.at_ms,
        data: RawValue::from_string(change.data.clone()).ok(),
        event_id: Some(change.event_id),
        base_version: change.base_version,
        updated_fields: change.updated_fields.clone(),
        base: change.before.clone().and_then(|json| RawValue::from_string(json).ok()),
        renamed: change.renamed.clone(),
        restored: change.restored,
    });
    let request = PushRequest {
        device_id: None,
        api_key: None,
        cursor_id: context.cursor,
        changes: changes.collect(),
        policies: context.policies,
        sent_at: context.sent_at_ms,
        restored_up_to: context.restored_up_to,
    };
    Request::new("/sync/push", serde_json::to_vec(&request).expect("a push encodes"))
}

/// One answer per change of the batch, in its order; and the server's clock, Unix milliseconds.
pub fn decode_push(body: &[u8], batch: &[Outgoing]) -> Result<(Vec<Answer>, i64), String> {
    let response: PushResponse =
        serde_json::from_slice(body).map_err(|error| format!("the answer to a push is damaged: {error}"))?;
    if !response.success {
        return Err("the answer to a push says neither yes nor why not".to_owned());
    }
    let mut results: HashMap<i64, PushResult> = response.results.into_iter().map(|result| (result.id, result)).collect();
    let errors: HashMap<i64, PushError> = response.errors.into_iter().map(|error| (error.change_id, error)).collect();
    let judged_by_error = results.is_empty();
    let (stored, refused) = (response.synced_count as usize, errors.len());
    if judged_by_error && stored + refused < batch.len() {
        return Err(format!("it stored {stored} of {} changes and does not say which", batch.len()));
    }
    let answers = (1..=batch.len() as i64).map(|id| match (results.remove(&id), errors.get(&id)) {
        (Some(result), _) => Answer {
            verdict: Some(result.status),
            version: result.version,
            server_data: result.server_data.map(|data| data.get().to_owned()),
            reason: result.error,
            conflict: result.conflict,
        },
        (None, Some(error)) => Answer::only(Some(Verdict::Rejected), Some(error.error.clone())),
        // A server of the original protocol names only what it did not store.
        (None, None) => Answer::only(judged_by_error.then_some(Verdict::Applied), None),
    });
    Ok((answers.collect(), response.server_timestamp))
}

/// `POST /sync/pull`.
pub fn encode_pull(query: &PullQuery) -> Request {
    let request = PullRequest {
        device_id: None,
        api_key: None,
        from_cursor_id: query.cursor,
        limit: Some(query.limit.unwrap_or(PULL_LIMIT_MAX)),
        exclude_own: query.exclude_own,
        entity_types: query.entities.clone(),
        wait_ms: (query.wait_ms > 0).then_some(query.wait_ms),
        epoch: query.epoch.clone(),
    };
    let mut request = Request::new("/sync/pull", serde_json::to_vec(&request).expect("a pull encodes"));
    request.wait = Duration::from_millis(query.wait_ms);
    request
}

/// A page, and the server's clock, Unix milliseconds. A cursor that goes back or stands still although there is more would pull for ever.
pub fn decode_pull(body: &[u8], asked_from: i64) -> Result<(PulledPage, i64), String> {
    let response: PullResponse =
        serde_json::from_slice(body).map_err(|error| format!("the answer to a pull is damaged: {error}"))?;
    if !response.success {
        return Err("the answer to a pull says neither yes nor why not".to_owned());
    }
    if !response.changes.is_sorted_by(|a, b| a.id < b.id) {
        return Err("the changes of a pull are out of order".to_owned());
    }
    let last = response.changes.last().map_or(asked_from, |change| change.id);
    let cursor = response.new_cursor_id.max(last).max(asked_from);
    let changes = response.changes.into_iter().map(|change| Incoming {
        resolves: change.resolves.map(|conflict_id| Resolves { conflict_id, by: change.device_id }),
        id: change.id,
        entity: change.entity_type,
        key: change.entity_id,
        operation: change.operation,
        data: change.data.map(|data| data.get().to_owned()).filter(|data| data != "null"),
    });
    let page = PulledPage {
        changes: changes.collect(),
        more: response.has_more && cursor > asked_from,
        cursor,
        head: response.head_cursor_id,
        epoch: response.epoch,
        pruned_through: response.pruned_through.unwrap_or(0),
        key_renew_at: response.key_renew_at,
        forked_at: response.forked_at,
    };
    Ok((page, response.server_timestamp))
}

/// `POST /sync/conflicts/{id}/resolve`.
pub fn encode_resolve(id: i64, request: &ResolveRequest) -> Request {
    let body = serde_json::to_vec(request).expect("a decision encodes");
    Request::new(format!("/sync/conflicts/{id}/resolve"), body)
}

/// The answer to a decision; `None` when it is none.
pub fn decode_resolve(response: &Response) -> Option<ResolveResponse> {
    let answer: ResolveResponse = serde_json::from_slice(&response.body).ok()?;
    matches!((response.status, answer.success), (200, true) | (409, false)).then_some(answer)
}

/// `GET /sync/conflicts`.
pub fn encode_conflicts(after: i64) -> Request {
    Request::get(format!("/sync/conflicts?after={after}"))
}

/// A page of the conflict log; `None` when it is none.
pub fn decode_conflicts(response: &Response) -> Option<ConflictsResponse> {
    serde_json::from_slice(&response.body).ok().filter(|page: &ConflictsResponse| response.status == 200 && page.success)
}

/// `POST /sync/digest`.
pub fn encode_digest(entity_type: Option<&str>, buckets: Option<&[u32]>) -> Request {
    let request = DigestRequest {
        entity_type: entity_type.map(str::to_owned),
        buckets: buckets.map(<[u32]>::to_vec),
        ..DigestRequest::default()
    };
    Request::new("/sync/digest", serde_json::to_vec(&request).expect("a digest request encodes"))
}

/// `POST /sync/rekey`.
pub fn encode_rekey(new_key_hash: &str) -> Request {
    let request = RekeyRequest { device_id: None, api_key: None, new_key_hash: new_key_hash.to_owned() };
    Request::new("/sync/rekey", serde_json::to_vec(&request).expect("a wish for a key encodes"))
}

/// `POST /sync/snapshot` for the rows above a version.
pub fn encode_snapshot(entity_type: &str, after: Option<i64>) -> Request {
    let request = SnapshotRequest { entity_type: entity_type.to_owned(), after_version: after, ..SnapshotRequest::default() };
    Request::new("/sync/snapshot", serde_json::to_vec(&request).expect("a snapshot request encodes"))
}

/// A page of rows. One that does not move on would fetch for ever, and one that is empty but not the last would leave rows out.
pub fn decode_snapshot(body: &[u8], after: Option<i64>) -> Result<SnapshotResponse, String> {
    let response: SnapshotResponse =
        serde_json::from_slice(body).map_err(|error| format!("the answer to a request for rows is damaged: {error}"))?;
    if !response.success {
        return Err("the answer to a request for rows says neither yes nor why not".to_owned());
    }
    let versions = after.into_iter().chain(response.rows.iter().map(|row| row.version));
    if !versions.is_sorted_by(|a, b| a < b) {
        return Err("the rows of a snapshot are out of order".to_owned());
    }
    if response.has_more && response.rows.is_empty() {
        return Err("a page of a snapshot is empty and not the last".to_owned());
    }
    Ok(response)
}

/// `POST /sync/snapshot` for some rows.
pub fn encode_rows(entity_type: &str, ids: &[String]) -> Request {
    let request =
        SnapshotRequest { entity_type: entity_type.to_owned(), entity_ids: Some(ids.to_vec()), ..SnapshotRequest::default() };
    Request::new("/sync/snapshot", serde_json::to_vec(&request).expect("a snapshot request encodes"))
}

#[cfg(test)]
mod tests {
    use tillsync_core::change::Operation;
    use uuid::Uuid;

    use super::*;

    fn batch(size: usize) -> Vec<Outgoing> {
        let change = Outgoing {
            event_id: Uuid::nil(),
            entity: "sales".into(),
            entity_type: "sales".into(),
            key: "1".into(),
            operation: Operation::Create,
            data: "{}".into(),
            updated_fields: None,
            before: None,
            renamed: std::collections::BTreeMap::new(),
            base_version: None,
            restored: None,
            at_ms: 0,
        };
        vec![change; size]
    }

    fn verdicts(body: &str, size: usize) -> Vec<Option<Verdict>> {
        decode_push(body.as_bytes(), &batch(size)).unwrap().0.into_iter().map(|answer| answer.verdict).collect()
    }

    #[test]
    fn every_change_gets_its_own_verdict() {
        let head = r#"{"success":true,"syncedCount":1,"newCursorId":3,"serverTimestamp":1"#;
        let results =
            format!(r#"{head},"results":[{{"id":2,"status":"rejected","error":"x"}},{{"id":1,"status":"applied","version":3}}]}}"#);
        assert_eq!(verdicts(&results, 3), [Some(Verdict::Applied), Some(Verdict::Rejected), None]);
        let original = format!(r#"{head},"errors":[{{"changeId":2,"error":"x"}}]}}"#);
        assert_eq!(verdicts(&original, 2), [Some(Verdict::Applied), Some(Verdict::Rejected)]);
        // Nobody knows which of three.
        assert!(decode_push(original.as_bytes(), &batch(3)).unwrap_err().contains("1 of 3"));
    }

    #[test]
    fn a_pull_that_does_not_move_ends() {
        let page = |cursor: i64| {
            let body = format!(r#"{{"success":true,"changes":[],"hasMore":true,"newCursorId":{cursor},"serverTimestamp":1}}"#);
            decode_pull(body.as_bytes(), 5).unwrap().0
        };
        assert_eq!((page(9).more, page(9).cursor), (true, 9));
        assert_eq!((page(5).more, page(5).cursor), (false, 5));
        assert_eq!((page(2).more, page(2).cursor), (false, 5));
    }

    #[test]
    fn pages_of_a_snapshot_rise_by_version() {
        let page = |versions: &[i64]| {
            let rows: Vec<String> = versions.iter().map(|version| format!(r#"{{"entityId":"x","version":{version}}}"#)).collect();
            let rows = rows.join(",");
            let at = r#""epoch":"e","headCursorId":9,"serverTimestamp":1"#;
            let body = format!(r#"{{"success":true,"rows":[{rows}],"hasMore":true,{at}}}"#);
            decode_snapshot(body.as_bytes(), Some(3)).map(|page| page.rows.len())
        };
        assert_eq!(page(&[4, 7]), Ok(2));
        for wrong in [&[7, 4][..], &[4, 4], &[3, 4], &[]] {
            assert!(page(wrong).is_err(), "{wrong:?}");
        }
    }
}
