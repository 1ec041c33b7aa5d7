//! SQLite behind the seam: one writer, a few readers, one file per group of tables.

mod head_file;
mod open;
mod readers;

mod devices;
mod tokens;
mod users;

mod conflicts;
mod log;
mod push;
mod resolve;

mod cursors;
mod page;
mod retention;
mod since;
mod snapshot;

mod for_clients;
mod full;
mod queue;

mod meta;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tillsync_core::wire::hub::Stats;
use tillsync_core::wire::snapshot::{BucketDigest, EntityDigest, RowVersion};
use tokio::sync::{Mutex, watch};

use super::error::{DatabaseError, OpenError};
use super::model::{
    Access, Batch, BatchOutcome, Compared, ConflictPage, ConflictQuery, Page, PageQuery, Progress, Registration,
    RegistrationOutcome, Rekey, RekeyOutcome, Resolve, ResolveOutcome, Snapshot, SnapshotQuery, Terms,
};
use crate::clock::now_ms;
use crate::key::KeyHash;
use head_file::{HeadFile, Told};
use readers::Readers;
pub use retention::Pruned;

/// A hub database in one SQLite file. Clones share it.
#[derive(Clone)]
pub struct Sqlite {
    /// SQLite takes one writer at a time; waiting here is fair and does not poll.
    writer: Arc<Mutex<Writer>>,
    readers: Readers,
    head: watch::Sender<i64>,
    epoch: Arc<str>,
}

/// What writes, one at a time.
struct Writer {
    connection: Connection,
    head_file: HeadFile,
    /// The head that the file has.
    told: i64,
}

impl Sqlite {
    /// Opens the file, making or migrating it when needed.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let opened = open::open(path)?;
        Ok(Self {
            writer: Arc::new(Mutex::new(Writer { connection: opened.writer, head_file: opened.head_file, told: opened.head })),
            readers: Readers::new(opened.readers),
            head: watch::Sender::new(opened.head),
            epoch: opened.epoch.into(),
        })
    }

    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    pub(super) fn heads(&self) -> watch::Receiver<i64> {
        self.head.subscribe()
    }

    pub(super) async fn check(&self) -> Result<(), DatabaseError> {
        self.readers.read(|connection| log::head(connection)).await.map(|_| ())
    }

    pub(super) async fn register(&self, registration: Registration) -> Result<RegistrationOutcome, DatabaseError> {
        self.write(move |tx| devices::register(tx, &registration)).await
    }

    pub(super) async fn add_enroll_token(
        &self,
        hash: KeyHash,
        uses: u32,
        expires_at_ms: i64,
        terms: Terms,
    ) -> Result<(), DatabaseError> {
        self.write(move |tx| tokens::add(tx, hash, uses, expires_at_ms, &terms)).await
    }

    pub(super) async fn access_of(&self, device_id: &str) -> Result<Option<Access>, DatabaseError> {
        let device_id = device_id.to_owned();
        self.readers.read(move |connection| devices::access_of(connection, &device_id)).await
    }

    pub(super) async fn rekey(&self, wish: Rekey) -> Result<RekeyOutcome, DatabaseError> {
        self.write(move |tx| devices::rekey(tx, &wish)).await
    }

    pub(super) async fn let_keys_age(&self, now_ms: i64) -> Result<(), DatabaseError> {
        self.write(move |tx| meta::let_keys_age(tx, now_ms)).await
    }

    pub(super) async fn admin_key_hash(&self) -> Result<Option<KeyHash>, DatabaseError> {
        self.readers.read(|connection| meta::admin_key_hash(connection)).await
    }

    pub(super) async fn set_admin_key(&self, hash: KeyHash, replace: bool) -> Result<bool, DatabaseError> {
        self.write(move |tx| meta::set_admin_key(tx, hash, replace)).await
    }

    pub(super) async fn push(&self, batch: Batch) -> Result<BatchOutcome, DatabaseError> {
        self.write(move |tx| push::push(tx, &batch)).await
    }

    pub(super) async fn entities_of(&self, device_id: &str) -> Result<Option<HashSet<String>>, DatabaseError> {
        let device_id = device_id.to_owned();
        self.readers.read(move |connection| devices::entities_of(connection, &device_id)).await
    }

    pub(super) async fn sees_everything(&self, device_id: &str) -> Result<bool, DatabaseError> {
        let device_id = device_id.to_owned();
        self.readers.read(move |connection| devices::sees_everything(connection, &device_id)).await
    }

    pub(super) async fn conflicts(&self, query: ConflictQuery) -> Result<ConflictPage, DatabaseError> {
        self.readers.read(move |connection| conflicts::page(connection, &query)).await
    }

    pub(super) async fn resolve(&self, wish: Resolve) -> Result<ResolveOutcome, DatabaseError> {
        self.write(move |tx| resolve::resolve(tx, &wish)).await
    }

    pub(super) async fn page(&self, query: PageQuery) -> Result<Page, DatabaseError> {
        self.readers.read(move |connection| page::read(connection, &query)).await
    }

    pub(super) async fn snapshot(&self, query: SnapshotQuery) -> Result<Snapshot, DatabaseError> {
        self.readers.read(move |tx| snapshot::read(tx, &query)).await
    }

    pub(super) async fn entity_digests(&self) -> Result<Compared<EntityDigest>, DatabaseError> {
        self.readers.read(snapshot::entities).await
    }

    pub(super) async fn bucket_digests(&self, entity_type: String) -> Result<Compared<BucketDigest>, DatabaseError> {
        self.readers.read(move |tx| snapshot::buckets(tx, &entity_type)).await
    }

    pub(super) async fn rows_in_buckets(
        &self,
        entity_type: String,
        buckets: Vec<u32>,
    ) -> Result<Compared<RowVersion>, DatabaseError> {
        self.readers.read(move |tx| snapshot::rows_in(tx, &entity_type, &buckets)).await
    }

    pub(super) async fn note_cursor(&self, device_id: &str, cursor: i64, now_ms: i64) -> Result<(), DatabaseError> {
        let id = device_id.to_owned();
        if self.readers.read(move |connection| cursors::is_noted(connection, &id, cursor, now_ms)).await? {
            return Ok(());
        }
        let id = device_id.to_owned();
        self.write(move |tx| cursors::note(tx, &id, cursor, now_ms)).await
    }

    pub(super) async fn progress(&self, device_id: &str) -> Result<Progress, DatabaseError> {
        let device_id = device_id.to_owned();
        self.readers.read(move |connection| cursors::progress(connection, &device_id)).await
    }

    pub(super) async fn forked_at(&self, epoch: &str) -> Result<Option<i64>, DatabaseError> {
        let epoch = epoch.to_owned();
        self.readers.read(move |connection| meta::forked_at(connection, &epoch)).await
    }

    pub(super) async fn begin_epoch(&self) -> Result<String, DatabaseError> {
        let epoch = self.write(meta::new_epoch).await?;
        let mut writer = self.writer.lock().await;
        let told = Told { epoch: epoch.clone(), head: writer.told };
        // Without the new word in the file the next start begins one more epoch, which is as good.
        let _ = writer.head_file.write(&told);
        Ok(epoch)
    }

    pub(super) async fn prune(&self, retention_ms: i64, now_ms: i64) -> Result<Pruned, DatabaseError> {
        self.write(move |tx| retention::prune(tx, retention_ms, now_ms)).await
    }

    pub(super) async fn stats(&self) -> Result<Stats, DatabaseError> {
        self.readers.read(|connection| meta::stats(connection)).await
    }

    pub(super) async fn set_suspended(&self, device_id: &str, suspended: bool) -> Result<bool, DatabaseError> {
        let device_id = device_id.to_owned();
        self.write(move |tx| devices::set_suspended(tx, &device_id, suspended)).await
    }

    pub(super) async fn delete_device(&self, device_id: &str) -> Result<bool, DatabaseError> {
        let device_id = device_id.to_owned();
        self.write(move |tx| devices::delete(tx, &device_id)).await
    }

    /// Runs work in one write transaction: committed when it succeeds, rolled back when it fails or panics. It runs to its
    /// end even when the caller goes away, and the new head wakes the long polls either way.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let mut writer = self.writer.clone().lock_owned().await;
        let (heads, epoch) = (self.head.clone(), self.epoch.clone());
        let task = tokio::task::spawn_blocking(move || {
            let Writer { connection, head_file, told } = &mut *writer;
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&tx)?;
            let head = log::head(&tx)?;
            if head > *told {
                since::note_arrival(&tx, head, now_ms())?;
            }
            tx.commit()?;
            if head > *told {
                *told = head;
                if let Err(error) = head_file.write(&Told { epoch: epoch.to_string(), head }) {
                    tracing::warn!(%error, "the head cannot be written down; a restore from a backup may go unnoticed");
                }
            }
            heads.send_if_modified(|known| std::mem::replace(known, head) != head);
            Ok(result)
        });
        task.await.map_err(|_| DatabaseError::BrokenOff)?
    }
}
