//! The hub: its database and what its requests share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tillsync_core::policy::Policies;
use tillsync_core::protocol::{Mapping, Protocols};

use crate::database::clients::NewUser;
use crate::database::{Database, DatabaseError, OpenError, Sqlite, Terms};
use crate::key::Key;
use crate::live::Live;
use crate::password;
use crate::rate::Rates;

/// How a hub serves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Devices may register without an enrolment token.
    pub open_registration: bool,
    /// How entities are merged, whatever the devices say.
    pub policies: Arc<Policies>,
    /// How the other protocols are served.
    pub protocols: Arc<Protocols>,
}

/// How long keys of devices are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// So long after it was given, milliseconds; for ever when `None`.
    pub lifetime_ms: Option<i64>,
    /// A key that was replaced works so much longer, and one that has expired may still be replaced, milliseconds.
    pub grace_ms: i64,
}

impl Default for Keys {
    fn default() -> Self {
        Self { lifetime_ms: None, grace_ms: 86_400_000 }
    }
}

impl Keys {
    /// When a key from then expires, Unix milliseconds.
    pub fn expires_at(&self, since_ms: i64) -> Option<i64> {
        self.lifetime_ms.map(|lifetime_ms| since_ms.saturating_add(lifetime_ms))
    }

    /// From when on it should be replaced: when two thirds of its time have passed.
    pub fn renew_at(&self, since_ms: i64) -> Option<i64> {
        self.lifetime_ms.map(|lifetime_ms| since_ms.saturating_add(lifetime_ms / 3 * 2))
    }
}

/// A hub over one database. Clones share it.
#[derive(Clone)]
pub struct Hub {
    database: Database,
    live: Live,
    keys: Keys,
    rates: Rates,
}

impl Hub {
    /// Opens the SQLite file, making it when there is none.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let sqlite = tokio::task::spawn_blocking(move || Sqlite::open(&path)).await.map_err(|_| OpenError::Interrupted)??;
        Ok(Self { database: Database::Sqlite(sqlite), live: Live::new(), keys: Keys::default(), rates: Rates::default() })
    }

    /// The same with another life of keys.
    pub fn with_keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// How long keys of devices are good for.
    pub fn keys(&self) -> Keys {
        self.keys
    }

    /// The admin key of a hub that has none yet; `None` when it was made before, since only its hash is kept.
    pub async fn make_first_admin_key(&self) -> Result<Option<String>, DatabaseError> {
        let key = Key::make();
        let made = self.database.set_admin_key(key.hash(), false).await?;
        Ok(made.then(|| key.reveal().to_owned()))
    }

    /// A new admin key; the old one stops working.
    pub async fn replace_admin_key(&self) -> Result<String, DatabaseError> {
        let key = Key::make();
        self.database.set_admin_key(key.hash(), true).await?;
        Ok(key.reveal().to_owned())
    }

    /// A token that lets `uses` devices register within `valid_for`, on these terms.
    pub async fn make_enroll_token(&self, uses: u32, valid_for: Duration, terms: Terms) -> Result<String, DatabaseError> {
        let token = Key::make_token();
        let lifetime_ms = i64::try_from(valid_for.as_millis()).unwrap_or(i64::MAX);
        self.database.add_enroll_token(token.hash(), uses, crate::clock::now_ms().saturating_add(lifetime_ms), terms).await?;
        Ok(token.reveal().to_owned())
    }

    /// Lets somebody in by other protocols, or gives a user of this name another password, another token, other terms. Gives the token, if one
    /// is wanted.
    pub async fn put_user(
        &self,
        name: &str,
        password: Option<&str>,
        with_token: bool,
        terms: Terms,
    ) -> Result<Option<String>, DatabaseError> {
        let token = with_token.then(Key::make);
        let wish = NewUser {
            name: name.to_owned(),
            password: password.map(password::hash),
            token: token.as_ref().map(Key::hash),
            terms,
            now_ms: crate::clock::now_ms(),
        };
        self.database.put_user(wish).await?;
        Ok(token.map(|token| token.reveal().to_owned()))
    }

    /// Ends all long polls; for shutting down.
    pub fn stop(&self) {
        self.live.stop();
    }

    /// Resolves when [`Hub::stop`] was called.
    pub async fn stopped(&self) {
        self.live.stopped().await;
    }

    /// The database, for requests and for tests that look behind the API.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Makes rows that travel inside others quick to find.
    pub async fn prepare(&self, protocols: &Protocols) -> Result<(), DatabaseError> {
        for (_, settings) in protocols.each() {
            for name in settings.entities.keys() {
                for (_, child) in Mapping::of_entity(&settings.entities, name).children() {
                    self.database.index_children(&child.table, &child.parent).await?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.rates
    }

    pub(crate) fn live(&self) -> &Live {
        &self.live
    }
}
