//! Retention while the hub serves: old entries go a few at a time, and requests come in between.

use std::time::Duration;

use crate::clock::now_ms;
use crate::database::{DatabaseError, Pruned};
use crate::hub::Hub;

/// Longer than this nobody waits for what is old to go …
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// … and it is looked for this often within the retention.
const LOOKS_PER_RETENTION: u32 = 24;

/// A short retention does not keep the hub busy.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Between two transactions, so that pruning years takes a small part of the disk's time.
const REST: Duration = Duration::from_millis(10);

impl Hub {
    /// Removes everything that is older than the retention and needed by nobody.
    pub async fn prune(&self, retention: Duration) -> Result<Pruned, DatabaseError> {
        let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let mut all = Pruned::default();
        loop {
            let some = self.database().prune(retention_ms, now_ms()).await?;
            all.entries += some.entries;
            all.deletes += some.deletes;
            if !some.more {
                return Ok(all);
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// The same again and again until the hub stops.
    pub async fn keep_pruned(self, retention: Duration) {
        let pause = (retention / LOOKS_PER_RETENTION).clamp(PAUSE_MIN, PAUSE_MAX);
        loop {
            match self.prune(retention).await {
                Ok(Pruned { entries: 0, .. }) => {}
                Ok(Pruned { entries, deletes, .. }) => tracing::info!(entries, deletes, "old entries are pruned"),
                Err(error) => tracing::warn!(%error, "old entries are not pruned"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stopped() => return,
            }
        }
    }
}
