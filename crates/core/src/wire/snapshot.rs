//! The hub's answers about rows as they are now, beside the log: snapshots for a register that is new, digests for one that
//! wants to know whether it holds what the hub holds. Paths: `POST /sync/snapshot`, `POST /sync/digest`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::digest::Digest;

/// A page of a snapshot has at most this many rows.
pub const SNAPSHOT_LIMIT_MAX: u32 = 1000;

/// A request names at most this many rows or buckets.
pub const NAMED_MAX: usize = 1000;

/// `POST /sync/snapshot`: rows of one entity as they are now.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRequest {
    /// May stand in the header instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// May stand in the header instead, and better does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// The kind of rows.
    pub entity_type: String,
    /// Rows of a version above this one; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_version: Option<i64>,
    /// Just these rows, deleted ones included; at most [`NAMED_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_ids: Option<Vec<String>>,
    /// At most this many rows, and never more than [`SNAPSHOT_LIMIT_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A page of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotResponse {
    /// True unless the whole request failed.
    pub success: bool,
    /// In the order of their versions, the oldest write first. A row that is written between two pages comes in a later one, maybe
    /// again.
    pub rows: Vec<SnapshotRow>,
    /// Whether there are more.
    pub has_more: bool,
    /// What held when the rows were read.
    #[serde(flatten)]
    pub at: At,
}

/// A row as it is now.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRow {
    /// The row.
    pub entity_id: String,
    /// The change id that wrote it last.
    pub version: i64,
    /// The whole row; null when it is deleted.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
}

/// Where the log stood when something was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct At {
    /// The hub's epoch.
    pub epoch: String,
    /// The largest change id. Whoever goes on pulling from the one of a snapshot's first page misses nothing.
    pub head_cursor_id: i64,
    /// Deletes up to this change id may be forgotten: a row of a smaller version that the hub does not know was deleted.
    #[serde(default)]
    pub pruned_through: i64,
    /// Hub clock, Unix milliseconds.
    pub server_timestamp: i64,
}

/// `POST /sync/digest`. Without `entityType` one digest per entity; with it one per bucket; with `buckets` too, the rows in these.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DigestRequest {
    /// May stand in the header instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// May stand in the header instead, and better does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// The kind of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_type: Option<String>,
    /// Buckets, 0 to 1023; at most [`NAMED_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<Vec<u32>>,
}

/// Answer to a digest request; only what was asked for is there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DigestResponse {
    /// True unless the whole request failed.
    pub success: bool,
    /// Per entity that has rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<EntityDigest>,
    /// Per bucket that has rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<BucketDigest>,
    /// The rows of the buckets that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RowVersion>,
    /// What held when this was read.
    #[serde(flatten)]
    pub at: At,
}

/// An entity's digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntityDigest {
    /// The kind of rows.
    pub entity_type: String,
    /// Number and hash of its rows.
    #[serde(flatten)]
    pub digest: Digest,
}

/// A bucket's digest.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct BucketDigest {
    /// The bucket.
    pub bucket: u32,
    /// Number and hash of its rows.
    #[serde(flatten)]
    pub digest: Digest,
}

/// A row and its version.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowVersion {
    /// The row.
    pub entity_id: String,
    /// The change id that wrote it last.
    pub version: i64,
}
