//! Request bodies: bounded in size and time, then parsed with the path of what is wrong.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tillsync_core::wire::hub::BODY_BYTES_MAX;

use crate::refusal::Refusal;

/// Every request but a push fits into this many bytes; its longest part is a list of entities.
pub(crate) const SMALL_BODY_BYTES_MAX: usize = 1024 * 1024;

/// A body must arrive within this time: 16 MiB at 1.5 Mbit/s, so a slow line passes and a stalled one frees its memory.
const BODY_WAIT: Duration = Duration::from_secs(90);

/// Of a refused body this much is still read and thrown away, since many clients read the answer only after they have sent
/// everything, and take a closed connection for a broken line.
const DISCARDED_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

/// Reads a body that the layers below have decompressed, so the limit holds for what memory sees.
pub(crate) async fn read(headers: &HeaderMap, mut body: Body, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        discard(body).await;
        return Err(Refusal::unsupported_encoding());
    }
    let Ok(collected) = tokio::time::timeout(BODY_WAIT, collect(&mut body, bytes_max)).await else {
        return Err(Refusal::too_slow());
    };
    match collected {
        Collected::Whole(bytes) => Ok(bytes),
        Collected::Broken => Err(Refusal::bad_request("the body broke off or is not what its Content-Encoding says")),
        Collected::TooLarge => {
            discard(body).await;
            Err(Refusal::too_large(format!("a body has at most {bytes_max} bytes: send less at once")))
        }
    }
}

enum Collected {
    Whole(Vec<u8>),
    Broken,
    TooLarge,
}

async fn collect(body: &mut Body, bytes_max: usize) -> Collected {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Collected::Broken;
        };
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Collected::TooLarge;
        }
        bytes.extend_from_slice(&data);
    }
    Collected::Whole(bytes)
}

/// Reads a refused body to its end, within limits.
pub(crate) async fn discard(mut body: Body) {
    let reading = async {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, |data| data.len());
            if discarded > DISCARDED_BYTES_MAX {
                return;
            }
        }
    };
    // When the time is up the answer goes out all the same.
    let _ = tokio::time::timeout(BODY_WAIT, reading).await;
}

/// Parses a body. Only a body that fails is parsed again to find the path, which costs time.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        let text = plain_text(&error);
        match field_at_fault::<T>(bytes) {
            Some(field) => Refusal::bad_field(field, text),
            None => Refusal::bad_request(text),
        }
    })
}

/// The error without the value that caused it: rows do not belong into answers that clients log.
fn plain_text(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof => {
            format!("the body is not JSON (line {}, column {})", error.line(), error.column())
        }
        _ => missing_field(&error.to_string()).map_or_else(
            || format!("this member does not have the right form (line {}, column {})", error.line(), error.column()),
            |field| format!("`{field}` is missing"),
        ),
    }
}

fn field_at_fault<T: DeserializeOwned>(bytes: &[u8]) -> Option<String> {
    let mut input = serde_json::Deserializer::from_slice(bytes);
    let error = serde_path_to_error::deserialize::<_, T>(&mut input).err()?;
    if matches!(error.inner().classify(), serde_json::error::Category::Syntax | serde_json::error::Category::Eof) {
        return None;
    }
    let path = error.path().to_string();
    let parent = if path == "." { None } else { Some(path) };
    match (parent, missing_field(&error.inner().to_string())) {
        (Some(parent), Some(field)) => Some(format!("{parent}.{field}")),
        (parent, field) => parent.or(field),
    }
}

fn missing_field(message: &str) -> Option<String> {
    let (field, _) = message.strip_prefix("missing field `")?.split_once('`')?;
    Some(field.to_owned())
}

#[cfg(test)]
mod tests {
    use tillsync_core::wire::hub::PushRequest;

    use super::*;

    fn check(body: &str, field: Option<&str>) {
        let Err(refusal) = parse::<PushRequest>(body.as_bytes()) else { panic!("{body} must be refused") };
        let shown = format!("{refusal:?}");
        match field {
            Some(field) => assert!(shown.contains(&format!("field: Some({field:?})")), "{body}: {shown}"),
            None => assert!(shown.contains("field: None"), "{body}: {shown}"),
        }
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn the_member_at_fault_is_named_and_its_value_is_not() {
        check("", None);
        check("<html>secret</html>", None);
        check("{\"changes\":[", None);
        check("[]", None);
        check("{}", Some("changes"));
        check(r#"{"changes":"secret"}"#, Some("changes"));
        check(r#"{"cursorId":"secret","changes":[]}"#, Some("cursorId"));
        check(
            r#"{"changes":[{"operation":"secret","entityType":"a","entityId":"1","timestamp":1}]}"#,
            Some("changes[0].operation"),
        );
        check(r#"{"changes":[{"operation":"create","entityId":"1","timestamp":1}]}"#, Some("changes[0].entityType"));
        check(
            r#"{"changes":[{"operation":"create","entityType":"a","entityId":"1","timestamp":1,"eventId":"secret"}]}"#,
            Some("changes[0].eventId"),
        );
        check(r#"{"changes":[1]}"#, Some("changes[0]"));
    }
}
