//! Rekey: another API key for this register. The register makes it itself and keeps it before anybody hears of it; the server gets only its hash,
//! and lets the key before go on for a while. Whatever gets lost on the way, the register has a key that works.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tillsync_core::problem::Problem;
use tillsync_core::sync::Trouble;
use uuid::Uuid;

use crate::agent::{Agent, AgentError};
use crate::credentials::Key;
use crate::remote::RekeyReply;
use crate::state::marks;

/// A request that was on its way while the key was replaced has its answer within this time.
const JUST_NOW: Duration = Duration::from_secs(2);

/// How a rekey ended.
#[derive(Debug)]
pub enum Rekeyed {
    /// The register has another key.
    Done {
        /// When that expires, Unix milliseconds; never when `None`.
        expires_ms: Option<i64>,
    },
    /// The server has no such thing.
    Refused(String),
    /// The request did not do its work; it goes on where it was next time.
    Trouble(Trouble),
}

impl Agent {
    /// Replaces the key.
    pub async fn rekey(&self) -> Result<Rekeyed, AgentError> {
        let mut last = self.rekeying.lock().await;
        self.rekey_alone(&mut last).await
    }

    async fn rekey_alone(&self, last: &mut Option<Instant>) -> Result<Rekeyed, AgentError> {
        let Some((device_id, _)) = self.identity()? else {
            return Ok(Rekeyed::Trouble(Trouble::Unauthorized("this register is not enrolled".to_owned())));
        };
        let missing = |why: String| AgentError::Problem(Problem::key_missing(&why));
        let credentials = self.remote.credentials();
        let begun: Option<bool> = marks::get(self.state().conn(), marks::REKEYING)?;
        let key = match credentials.read_other(&device_id).filter(|_| begun.is_some()) {
            Some(key) => key,
            None => {
                let key = make_key();
                credentials.write_other(&device_id, &key).map_err(missing)?;
                self.faults.point("key made")?;
                marks::set(self.state().conn(), marks::REKEYING, true)?;
                key
            }
        };
        let reply = self.remote.rekey(&device_id, &hash(&key)).await;
        self.faults.point("key told")?;
        match reply {
            RekeyReply::Done(answer) => {
                credentials.replace(&device_id, &key).map_err(missing)?;
                self.faults.point("key taken")?;
                marks::clear(self.state().conn(), marks::REKEYING)?;
                *last = Some(Instant::now());
                tracing::info!("the key is replaced");
                Ok(Rekeyed::Done { expires_ms: answer.key_expires_at })
            }
            RekeyReply::Refused(why) => Ok(Rekeyed::Refused(why)),
            RekeyReply::Trouble(trouble) => Ok(Rekeyed::Trouble(trouble)),
        }
    }

    /// Replaces a key that has expired, which the server allows for a while. Says whether it did.
    pub(crate) async fn rekey_expired(&self) -> Result<bool, AgentError> {
        let mut last = self.rekeying.lock().await;
        if !self.remote.key_has_expired() {
            // Another lane may have been faster.
            return Ok(last.is_some_and(|last| last.elapsed() < JUST_NOW));
        }
        match self.rekey_alone(&mut last).await {
            Ok(rekeyed) => Ok(matches!(rekeyed, Rekeyed::Done { .. })),
            Err(AgentError::Problem(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Replaces the key when its time has come, or when that was begun and not finished. Nothing waits for it.
    pub(crate) async fn rekey_if_due(&self, renew_ms: Option<i64>, server_ms: i64) -> Result<(), AgentError> {
        let mut last = self.rekeying.lock().await;
        let begun: Option<bool> = marks::get(self.state().conn(), marks::REKEYING)?;
        // The answer was on its way while the key was replaced.
        let renew_ms = renew_ms.filter(|_| last.is_none_or(|last| last.elapsed() >= JUST_NOW));
        if begun.is_none() && renew_ms.is_none_or(|renew_ms| server_ms < renew_ms) {
            return Ok(());
        }
        match self.rekey_alone(&mut last).await {
            Ok(Rekeyed::Done { .. }) => Ok(()),
            Ok(Rekeyed::Refused(why)) => {
                tracing::warn!(why, "the key cannot be replaced");
                Ok(())
            }
            Ok(Rekeyed::Trouble(trouble)) => {
                tracing::warn!(?trouble, "the key is not replaced yet");
                Ok(())
            }
            Err(AgentError::Problem(problem)) => {
                tracing::warn!(text = problem.text, "the key is not replaced yet");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// 32 random bytes in base64.
fn make_key() -> Key {
    let bytes = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
    // Six bits of each are fixed; hashing spreads the other 244 over all.
    Key::from(BASE64.encode(Sha256::digest(bytes)))
}

fn hash(key: &Key) -> String {
    Sha256::digest(key.expose_secret().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
