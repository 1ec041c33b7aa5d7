//! What an HTTP answer means: a body to decode, a refusal of this request, or trouble.

use tillsync_core::sync::Trouble;
use tillsync_core::wire::hub::ErrorResponse;

use crate::remote::transport::{NoAnswer, Response};

/// How long to stay away when a server limits the rate and does not say how long.
const RATE_LIMIT_MS: i64 = 30_000;

/// As much of a foreign answer as people are shown.
const EXCERPT_CHARS: usize = 80;

/// No body to decode.
#[derive(Debug)]
pub enum Refusal {
    /// The server refuses this request for its content or size.
    Request(String),
    /// The cursor is from before what the server still knows of deletes.
    Expired(String),
    /// Nothing is wrong with the request.
    Trouble(Trouble),
}

/// Sorts an answer. Only JSON is believed: captive portals and proxies answer in HTML with any status.
pub fn understand(response: Result<Response, NoAnswer>) -> Result<Vec<u8>, Refusal> {
    let response = response.map_err(|NoAnswer(why)| Refusal::Trouble(Trouble::Offline(why)))?;
    let json = response.body.first().is_some_and(|byte| matches!(byte, b'{' | b'['));
    let error = serde_json::from_slice::<ErrorResponse>(&response.body).ok();
    let code = error.as_ref().and_then(|error| error.code.clone()).unwrap_or_default();
    let text = error.map_or_else(|| format!("status {} with {}", response.status, excerpt(&response.body)), |error| error.error);
    Err(match response.status {
        200..=299 if json => return Ok(response.body),
        401 if json => Refusal::Trouble(Trouble::Unauthorized(text)),
        403 if json && code == "suspended" => Refusal::Trouble(Trouble::Suspended),
        403 if json => Refusal::Trouble(Trouble::Unauthorized(text)),
        410 if json && code == "cursor_expired" => Refusal::Expired(text),
        400 | 409 | 422 if json => Refusal::Request(text),
        // A proxy in between may refuse a large body in its own words.
        413 => Refusal::Request(format!("it is larger than what the server takes at once ({text})")),
        429 => Refusal::Trouble(Trouble::RateLimited { retry_after_ms: response.retry_after_ms.unwrap_or(RATE_LIMIT_MS) }),
        407 => Refusal::Trouble(Trouble::Offline("the proxy asks for a log-in".to_owned())),
        500..=599 => match response.retry_after_ms {
            Some(retry_after_ms) => Refusal::Trouble(Trouble::RateLimited { retry_after_ms }),
            None => Refusal::Trouble(Trouble::ServerFailed(text)),
        },
        _ => Refusal::Trouble(Trouble::NotTheServer(text)),
    })
}

/// Why a server that knows this register does not do what it was asked: there is no such thing, or it is not for this register.
pub fn refused_here(response: &Response) -> Option<String> {
    let error: ErrorResponse = serde_json::from_slice(&response.body).ok()?;
    match (response.status, error.code.as_deref()) {
        (403, Some("not_allowed")) | (404, Some("not_found")) => Some(error.error),
        _ => None,
    }
}

/// Whether the key was the register's and is not good any more.
pub fn is_expired_key(response: &Response) -> bool {
    let code = || serde_json::from_slice::<ErrorResponse>(&response.body).ok()?.code;
    response.status == 401 && code().as_deref() == Some("key_expired")
}

/// The beginning of an answer that is not understood.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let short: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(EXCERPT_CHARS).collect();
    if short.is_empty() { "an empty answer".to_owned() } else { format!("the answer \"{short}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, expected: &str) {
        let response = Response { status, body: body.as_bytes().to_vec(), ..Response::default() };
        let meaning = format!("{:?}", understand(Ok(response)));
        assert!(meaning.contains(expected), "{status} {body}: {meaning}");
    }

    #[test]
    fn statuses_mean_what_they_should() {
        check(200, r#"{"success":true}"#, "Ok(");
        check(200, "<html>log in</html>", "NotTheServer");
        check(200, "", "NotTheServer");
        check(302, "", "NotTheServer");
        check(401, r#"{"error":"wrong key"}"#, "Unauthorized(\"wrong key\")");
        check(401, "<html>", "NotTheServer");
        check(403, r#"{"error":"no","code":"suspended"}"#, "Suspended");
        check(410, r#"{"error":"too old","code":"cursor_expired"}"#, "Expired(\"too old\")");
        check(410, "<html>", "NotTheServer");
        check(404, r#"{"error":"no"}"#, "NotTheServer");
        check(413, "<html>", "larger than what the server takes at once");
        check(
            413,
            r#"{"error":"a body has at most 9 bytes"}"#,
            "larger than what the server takes at once (a body has at most 9 bytes)",
        );
        check(400, r#"{"error":"bad"}"#, "Request(\"bad\")");
        check(429, "", "RateLimited");
        check(502, "<html>Bad Gateway</html>", "ServerFailed");
    }
}
