//! The seam to the database: what the endpoints ask, whatever answers it.

mod checks;
pub mod clients;
mod error;
mod for_clients;
mod model;
mod sqlite;

use std::collections::HashSet;

use tillsync_core::wire::hub::Stats;
use tillsync_core::wire::snapshot::{BucketDigest, EntityDigest, RowVersion};
use tokio::sync::watch;

pub use error::{DatabaseError, OpenError};
pub use model::{
    Access, Batch, BatchOutcome, Compared, ConflictPage, ConflictQuery, ConflictStatus, Extra, Page, PageQuery, Permission, Place,
    Progress, Registration, RegistrationOutcome, Rekey, RekeyOutcome, Resolve, ResolveOutcome, Resolved, Snapshot, SnapshotQuery,
    Terms, Wanted, version_mark,
};
pub use sqlite::{Pruned, Sqlite};

use crate::key::KeyHash;

/// A database of one of the kinds the hub knows. Clones share it.
#[derive(Clone)]
pub enum Database {
    /// One SQLite file.
    Sqlite(Sqlite),
}

impl Database {
    /// The kind, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
        }
    }

    /// The epoch: another one means that the log is another one.
    pub fn epoch(&self) -> &str {
        match self {
            Self::Sqlite(sqlite) => sqlite.epoch(),
        }
    }

    /// Follows the largest change id.
    pub fn heads(&self) -> watch::Receiver<i64> {
        match self {
            Self::Sqlite(sqlite) => sqlite.heads(),
        }
    }

    /// Fails when the database does not answer.
    pub async fn check(&self) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.check().await,
        }
    }

    /// Makes a device, or gives a known registration a new key.
    pub async fn register(&self, registration: Registration) -> Result<RegistrationOutcome, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.register(registration).await,
        }
    }

    /// Lets `uses` devices register until `expires_at_ms`, on these terms.
    pub async fn add_enroll_token(&self, hash: KeyHash, uses: u32, expires_at_ms: i64, terms: Terms) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.add_enroll_token(hash, uses, expires_at_ms, terms).await,
        }
    }

    /// What authenticates a device; `None` for a stranger.
    pub async fn access_of(&self, device_id: &str) -> Result<Option<Access>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.access_of(device_id).await,
        }
    }

    /// Gives a device the key that it made itself.
    pub async fn rekey(&self, wish: Rekey) -> Result<RekeyOutcome, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.rekey(wish).await,
        }
    }

    /// Counts the age of devices' keys from now on, unless it is counted already.
    pub async fn let_keys_age(&self, now_ms: i64) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.let_keys_age(now_ms).await,
        }
    }

    /// The hash of the admin key, once there is one.
    pub async fn admin_key_hash(&self) -> Result<Option<KeyHash>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.admin_key_hash().await,
        }
    }

    /// Sets the admin key; without `replace` only if there is none. Says whether it was set.
    pub async fn set_admin_key(&self, hash: KeyHash, replace: bool) -> Result<bool, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.set_admin_key(hash, replace).await,
        }
    }

    /// Decides about every change of a batch and stores all of it or nothing.
    pub async fn push(&self, batch: Batch) -> Result<BatchOutcome, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.push(batch).await,
        }
    }

    /// The entities that are a device's business; `None` for all.
    pub async fn entities_of(&self, device_id: &str) -> Result<Option<HashSet<String>>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.entities_of(device_id).await,
        }
    }

    /// Whether a device is a manager's.
    pub async fn sees_everything(&self, device_id: &str) -> Result<bool, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.sees_everything(device_id).await,
        }
    }

    /// Reads a part of the conflict log.
    pub async fn conflicts(&self, query: ConflictQuery) -> Result<ConflictPage, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.conflicts(query).await,
        }
    }

    /// Carries out a person's decision, unless the row or the conflict has moved.
    pub async fn resolve(&self, wish: Resolve) -> Result<ResolveOutcome, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.resolve(wish).await,
        }
    }

    /// Reads a page of the log.
    pub async fn page(&self, query: PageQuery) -> Result<Page, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.page(query).await,
        }
    }

    /// Reads rows as they are now.
    pub async fn snapshot(&self, query: SnapshotQuery) -> Result<Snapshot, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.snapshot(query).await,
        }
    }

    /// The digest of every entity that has rows.
    pub async fn entity_digests(&self) -> Result<Compared<EntityDigest>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.entity_digests().await,
        }
    }

    /// The digest of every bucket of an entity that has rows.
    pub async fn bucket_digests(&self, entity_type: String) -> Result<Compared<BucketDigest>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.bucket_digests(entity_type).await,
        }
    }

    /// The rows of some buckets of an entity, deleted ones left out.
    pub async fn rows_in_buckets(&self, entity_type: String, buckets: Vec<u32>) -> Result<Compared<RowVersion>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.rows_in_buckets(entity_type, buckets).await,
        }
    }

    /// Notes how far a device has applied the log.
    pub async fn note_cursor(&self, device_id: &str, cursor: i64, now_ms: i64) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.note_cursor(device_id, cursor, now_ms).await,
        }
    }

    /// How far a device is.
    pub async fn progress(&self, device_id: &str) -> Result<Progress, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.progress(device_id).await,
        }
    }

    /// The change id up to which this log and that of an epoch it has left are the same; `None` for an epoch that it never was in.
    pub async fn forked_at(&self, epoch: &str) -> Result<Option<i64>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.forked_at(epoch).await,
        }
    }

    /// Begins a new epoch, from the next start on: the log was restored from a backup.
    pub async fn begin_epoch(&self) -> Result<String, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.begin_epoch().await,
        }
    }

    /// Removes some of what is older than the retention and needed by nobody.
    pub async fn prune(&self, retention_ms: i64, now_ms: i64) -> Result<Pruned, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.prune(retention_ms, now_ms).await,
        }
    }

    /// Numbers over the whole hub.
    pub async fn stats(&self) -> Result<Stats, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.stats().await,
        }
    }

    /// Suspends or resumes a device; false when there is no such device.
    pub async fn set_suspended(&self, device_id: &str, suspended: bool) -> Result<bool, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.set_suspended(device_id, suspended).await,
        }
    }

    /// Forgets a device and its key; its changes stay. False when there is no such device.
    pub async fn delete_device(&self, device_id: &str) -> Result<bool, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.delete_device(device_id).await,
        }
    }
}
