//! One request to a server of another protocol, whoever must log in again for it, and what its status means.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use serde_json::Value as Json;
use tillsync_core::protocol::client::login::{self, Proof, Session};
use tillsync_core::protocol::client::{Ask, error_code, error_text, nuqta, server_ms};
use tillsync_core::sync::Trouble;

use super::Foreign;
use crate::agent::Agent;
use crate::clock::{Heard, now_ms};
use crate::credentials::Key;
use crate::enrol::platform;
use crate::remote::http::excerpt;
use crate::remote::transport::{NoAnswer, Request, Response};

/// A server that limits the rate and does not say for how long is left alone this long, and twice as long each time: some count refused calls.
const QUIET_MS: i64 = 30_000;

/// But no longer than the longest window that is known.
const QUIET_MS_MAX: i64 = 900_000;

/// A clock that is off from a server's date by more is wrong.
const DATE_MS_OFF_MIN: u64 = 2_000;

/// Why there is nothing to decode.
#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    /// The server failed; one of the request's items may be why, or it may all be stored.
    Failed(String),
    /// The server refuses this request for its content or size.
    Request(String),
    /// Nothing is wrong with the request.
    Trouble(Trouble),
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Failed(why) => Self::ServerFailed(why),
            Refused::Request(why) => Self::NotTheServer(why),
            Refused::Trouble(trouble) => trouble,
        }
    }
}

impl Agent {
    /// The key as it is kept; none where the protocol needs none.
    pub(super) fn foreign_key(&self, foreign: &Foreign, device_id: &str) -> Result<Option<Key>, Refused> {
        match self.remote.credentials().read(device_id) {
            Ok(key) => Ok(Some(key).filter(|key| !key.expose_secret().is_empty())),
            Err(why) if foreign.facts.needs_token || foreign.facts.registers => Err(Refused::Trouble(Trouble::KeyMissing(why))),
            Err(_) => Ok(None),
        }
    }

    /// Sends a request, and once more when its token was over and could be renewed.
    pub(super) async fn ask_foreign(&self, foreign: &Foreign, device_id: &str, ask: &Ask) -> Result<(Json, Heard), Refused> {
        foreign.keep_quiet()?;
        let key = self.foreign_key(foreign, device_id)?.filter(|_| !foreign.facts.registers);
        let session = key.map(|key| Session::read(key.expose_secret()));
        let first = self.send_foreign(foreign, device_id, ask, session.as_ref()).await;
        let Err(Refused::Trouble(Trouble::Unauthorized(why))) = first else { return first };
        // Somebody may have logged in again meanwhile, in another process.
        self.remote.credentials().forget();
        let kept = self.foreign_key(foreign, device_id)?.filter(|_| !foreign.facts.registers);
        let kept = kept.map(|key| Session::read(key.expose_secret()));
        let session = match (kept, session) {
            (Some(kept), Some(before)) if kept != before => kept,
            (Some(Session { refresh: Some(refresh), .. }), _) => {
                let session = self.log_in(foreign, &Proof::Refresh(refresh)).await?;
                let key = Key::from(session.keep());
                self.remote.credentials().write(device_id, &key).map_err(|why| Refused::Trouble(Trouble::KeyMissing(why)))?;
                tracing::info!("the log-in is renewed");
                session
            }
            _ => return Err(Refused::Trouble(Trouble::Unauthorized(format!("{why}; run `tillsync login`")))),
        };
        self.send_foreign(foreign, device_id, ask, Some(&session)).await
    }

    /// Asks for a session.
    pub(crate) async fn log_in(&self, foreign: &Foreign, proof: &Proof) -> Result<Session, Refused> {
        let before = if let Proof::Refresh(token) = proof { Some(token.as_str()) } else { None };
        let (answer, _) = self.send_foreign(foreign, "", &login::ask(&foreign.login, proof), None).await?;
        login::session(&answer, before).map_err(|why| Refused::Trouble(Trouble::Unauthorized(why)))
    }

    /// Makes a device of this register. Every call makes another one.
    pub(crate) async fn register_at(&self, foreign: &Foreign) -> Result<(String, Key), Trouble> {
        let metadata = serde_json::json!({ "role": self.config.role });
        let ask = nuqta::register(&self.config.name, env!("CARGO_PKG_VERSION"), platform(), &metadata);
        let (answer, _) = self.send_foreign(foreign, "", &ask, None).await?;
        let (device_id, key) = nuqta::registered(&answer).map_err(Trouble::NotTheServer)?;
        Ok((device_id, Key::from(key)))
    }

    async fn send_foreign(
        &self,
        foreign: &Foreign,
        device_id: &str,
        ask: &Ask,
        session: Option<&Session>,
    ) -> Result<(Json, Heard), Refused> {
        let mut request = match &ask.body {
            None => Request::get(ask.path.clone()),
            Some(body) => Request::new(ask.path.clone(), serde_json::to_vec(body).expect("JSON encodes")),
        };
        request.device = session.map(|session| (device_id.to_owned(), Key::from(session.access.clone())));
        let sent = Instant::now();
        let response = self.remote.deliver_as_it_is(request).await;
        let response = response.map_err(|NoAnswer(why)| Refused::Trouble(Trouble::Offline(why)))?;
        foreign.note_limit(&response);
        let date_ms = response.date_ms;
        let answer = foreign.understand(response, &ask.path)?;
        // What answers say may be a place in a log and no clock. A date has whole seconds: a clock that agrees with it is better than that.
        let server_ms = date_ms.or_else(|| server_ms(&answer)).filter(|ms| ms.abs_diff(now_ms()) > DATE_MS_OFF_MIN);
        let server_ms = server_ms.unwrap_or_else(now_ms);
        Ok((answer, Heard { server_ms, sent, received: Instant::now() }))
    }
}

impl Foreign {
    /// Whether the server may be asked now.
    fn keep_quiet(&self) -> Result<(), Refused> {
        let until = *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(());
        }
        Err(Refused::Trouble(Trouble::RateLimited { retry_after_ms: left.as_millis() as i64 + 1 }))
    }

    fn note_limit(&self, response: &Response) {
        let asked_ms = match response.status {
            429 => response.retry_after_ms.or(response.quiet_ms),
            _ => response.quiet_ms,
        };
        let quiet_ms = match (response.status, asked_ms) {
            (429, None) => {
                let before = self.limited.fetch_add(1, Ordering::Relaxed).min(10);
                Some((QUIET_MS << before).min(QUIET_MS_MAX))
            }
            (_, asked_ms) => {
                self.limited.store(0, Ordering::Relaxed);
                asked_ms
            }
        };
        if let Some(quiet_ms) = quiet_ms.filter(|ms| *ms > 0) {
            let until = Instant::now() + Duration::from_millis(quiet_ms.unsigned_abs());
            *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
    }

    fn quiet_ms(&self) -> i64 {
        let until = *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(1_000, |until| until.saturating_duration_since(Instant::now()).as_millis() as i64)
    }

    /// Sorts an answer. Only JSON is believed, but that the server fails.
    fn understand(&self, response: Response, path: &str) -> Result<Json, Refused> {
        let Response { status, body, .. } = response;
        let answer: Option<Json> =
            serde_json::from_slice(&body).ok().filter(|answer: &Json| answer.is_object() || answer.is_array());
        let said = answer.as_ref().and_then(error_text);
        let why = said.unwrap_or_else(|| format!("status {status} with {}", excerpt(&body)));
        let code = answer.as_ref().and_then(error_code).unwrap_or_default().to_owned();
        let trouble = |trouble| Err(Refused::Trouble(trouble));
        let unauthorized = || {
            let is_suspended = format!("{why} {code}").to_lowercase().contains("suspend");
            if is_suspended { trouble(Trouble::Suspended) } else { trouble(Trouble::Unauthorized(why.clone())) }
        };
        match (status, answer) {
            (429, _) => trouble(Trouble::RateLimited { retry_after_ms: self.quiet_ms() }),
            (400.., Some(_)) if code == "RATE_LIMITED" => trouble(Trouble::RateLimited { retry_after_ms: self.quiet_ms() }),
            (400.., Some(_)) if code == "UNAUTHORIZED" => unauthorized(),
            (200..=299, Some(answer)) => Ok(answer),
            (401 | 403, Some(_)) => unauthorized(),
            (404, _) => trouble(Trouble::NotTheServer(format!("there is no {} ({why})", path.split('?').next().unwrap_or(path)))),
            (400 | 409 | 422, Some(_)) => Err(Refused::Request(why)),
            (413, _) => Err(Refused::Request(format!("it is larger than what the server takes at once ({why})"))),
            (407, _) => trouble(Trouble::Offline("the proxy asks for a log-in".to_owned())),
            (502..=504, _) => match response.retry_after_ms {
                Some(retry_after_ms) => trouble(Trouble::RateLimited { retry_after_ms }),
                None => trouble(Trouble::ServerFailed(why)),
            },
            (500..=599, _) => Err(Refused::Failed(why)),
            _ => trouble(Trouble::NotTheServer(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tillsync_core::config::Config;

    use super::*;

    const CONFIG: &str =
        "store = 'pos.db'\nserver = 'http://books.example'\nname = 'Desk'\nstate_dir = 'state'\nprotocol = 'booky'";

    fn foreign() -> Foreign {
        Foreign::new(&Config::parse(CONFIG).unwrap()).unwrap()
    }

    fn check(status: u16, body: &str, expected: &str) {
        let response = Response { status, body: body.as_bytes().to_vec(), ..Response::default() };
        let meaning = format!("{:?}", foreign().understand(response, "/api/sync/operations"));
        assert!(meaning.contains(expected), "{status} {body}: {meaning}");
    }

    #[test]
    fn answers_mean_what_they_should() {
        check(200, r#"{"results":[]}"#, "Ok(");
        check(200, "<html>log in</html>", "NotTheServer");
        check(401, r#"{"ok":false,"error":{"code":"INTERNAL_ERROR","message":"no device"}}"#, "Unauthorized(\"no device\")");
        check(401, "<html>", "NotTheServer");
        check(403, r#"{"error":"Device is suspended"}"#, "Suspended");
        check(400, r#"{"error":"x","code":"UNAUTHORIZED"}"#, "Unauthorized");
        check(500, r#"{"error":"SYNC_FAILED","message":"boom"}"#, "Failed(\"boom\")");
        check(500, "<pre>Error</pre>", "Failed(");
        check(502, "<html>", "ServerFailed");
        check(413, "<html>", "larger than what the server takes");
        check(422, r#"{"detail":[{"msg":"bad"}]}"#, "Request(");
        check(404, r#"{"detail":"Not Found"}"#, "there is no /api/sync/operations");
        check(429, "", "RateLimited");
        check(503, r#"{"error":"x","code":"RATE_LIMITED"}"#, "RateLimited");
    }

    #[test]
    fn a_server_that_limits_and_does_not_say_how_long_is_left_alone_longer_each_time() {
        let foreign = foreign();
        let mut before = 0;
        for _ in 0..3 {
            foreign.note_limit(&Response { status: 429, ..Response::default() });
            let Err(Refused::Trouble(Trouble::RateLimited { retry_after_ms })) = foreign.keep_quiet() else {
                panic!("it may be asked")
            };
            assert!(retry_after_ms > before + QUIET_MS / 2, "{retry_after_ms} after {before}");
            before = retry_after_ms;
        }
        foreign.note_limit(&Response { status: 200, quiet_ms: Some(0), ..Response::default() });
        foreign.note_limit(&Response { status: 429, ..Response::default() });
        assert!(foreign.quiet_ms() <= QUIET_MS);
    }
}
