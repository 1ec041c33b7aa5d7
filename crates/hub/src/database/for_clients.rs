//! The seam for clients of other protocols.

use super::clients::{ChildrenQuery, ClientWish, Full, NewUser, Part, Queued, Session, Since, SinceQuery, Undone, User, Written};
use super::error::DatabaseError;
use super::{BatchOutcome, Database};
use crate::key::KeyHash;

impl Database {
    /// The user of a name.
    pub async fn user_named(&self, name: &str) -> Result<Option<User>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.user_named(name).await,
        }
    }

    /// The user of a token.
    pub async fn user_of_token(&self, hash: KeyHash) -> Result<Option<User>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.user_of_token(hash).await,
        }
    }

    /// The user of a session that goes on.
    pub async fn user_of_session(&self, id: &str, now_ms: i64) -> Result<Option<User>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.user_of_session(id, now_ms).await,
        }
    }

    /// The user of a Google account, made when there is none yet; `None` when another user has that name.
    pub async fn user_of_google(&self, account: &str, name: &str, now_ms: i64) -> Result<Option<User>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.user_of_google(account, name, now_ms).await,
        }
    }

    /// Everybody.
    pub async fn users(&self) -> Result<Vec<User>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.users().await,
        }
    }

    /// Makes a user, or changes the one of this name. Says whether it is new.
    pub async fn put_user(&self, wish: NewUser) -> Result<bool, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.put_user(wish).await,
        }
    }

    /// Forgets a user, the sessions and the devices; the changes stay. False when there is none.
    pub async fn remove_user(&self, name: &str) -> Result<bool, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.remove_user(name).await,
        }
    }

    /// Begins a session.
    pub async fn begin_session(&self, session: Session) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.begin_session(session).await,
        }
    }

    /// The session of a refresh token, which then lasts longer.
    pub async fn refresh_session(
        &self,
        hash: KeyHash,
        expires_at_ms: i64,
        now_ms: i64,
    ) -> Result<Option<(String, User)>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.refresh_session(hash, expires_at_ms, now_ms).await,
        }
    }

    /// Ends a session.
    pub async fn end_session(&self, id: &str) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.end_session(id).await,
        }
    }

    /// The device whose key has this hash.
    pub async fn device_of_key(&self, hash: KeyHash) -> Result<Option<String>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.device_of_key(hash).await,
        }
    }

    /// Names of devices and when each last synced, Unix milliseconds.
    pub async fn last_syncs(&self, limit: i64) -> Result<Vec<(String, i64)>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.last_syncs(limit).await,
        }
    }

    /// Reads rows that were written since a place or a time.
    pub async fn since(&self, query: SinceQuery) -> Result<Since, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.since(query).await,
        }
    }

    /// The rows of a table that belong to a row of another one, by their ids.
    pub async fn children(&self, query: ChildrenQuery) -> Result<Vec<Part>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.children(query).await,
        }
    }

    /// Makes such rows quick to find.
    pub async fn index_children(&self, table: &str, column: &str) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.index_children(table, column).await,
        }
    }

    /// Leaves an operation here for later. False when there are too many.
    pub async fn queue(&self, user: &str, queued: Queued) -> Result<bool, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.queue(user, queued).await,
        }
    }

    /// What a user left here and has not marked.
    pub async fn queued(&self, user: &str) -> Result<Vec<Queued>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.queued(user).await,
        }
    }

    /// How much that is.
    pub async fn count_queued(&self, user: &str) -> Result<i64, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.count_queued(user).await,
        }
    }

    /// Marks some of it; says how many there were.
    pub async fn mark_queued(&self, user: &str, ids: Vec<String>) -> Result<usize, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.mark_queued(user, ids).await,
        }
    }

    /// Removes what is marked.
    pub async fn clear_queued(&self, user: &str) -> Result<usize, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.clear_queued(user).await,
        }
    }

    /// Stores a full sync; gives its number.
    pub async fn store_full(&self, full: Full) -> Result<(i64, BatchOutcome), DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.store_full(full).await,
        }
    }

    /// Takes a full sync back; only the own one of a device.
    pub async fn undo_full(&self, id: i64, device_id: Option<String>, now_ms: i64) -> Result<Undone, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.undo_full(id, device_id, now_ms).await,
        }
    }

    /// The device that a client is, made when it comes for the first time, and whether it is suspended; `None` when its user has too many.
    pub async fn device_of_client(&self, wish: ClientWish) -> Result<Option<(String, bool)>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.device_of_client(wish).await,
        }
    }

    /// The secret that access tokens are signed with, made when there is none.
    pub async fn token_secret(&self) -> Result<Vec<u8>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.token_secret().await,
        }
    }

    /// Some rows of a table, also those that are gone.
    pub async fn named_rows(&self, table: &str, ids: Vec<String>) -> Result<Vec<Written>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.named_rows(table, ids).await,
        }
    }
}
