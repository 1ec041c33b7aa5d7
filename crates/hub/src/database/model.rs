//! What crosses the seam.

use std::collections::HashSet;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tillsync_core::change::Operation;
use tillsync_core::config::Role;
use tillsync_core::policy::Policies;
use tillsync_core::row::Row;
use tillsync_core::wire::hub::{Conflict, Device, PullChange, PushChange, PushResult, RegisterRequest, Resolution};
use tillsync_core::wire::snapshot::SnapshotRow;
use uuid::Uuid;

use crate::key::KeyHash;

/// What authenticates a device.
pub struct Access {
    /// The hash of its key.
    pub key_hash: KeyHash,
    /// When it got the key, Unix milliseconds.
    pub since_ms: i64,
    /// The hash of the key before, and until when that works, Unix milliseconds.
    pub old_key: Option<(KeyHash, i64)>,
    /// Whether the administrator suspended it.
    pub suspended: bool,
}

/// A device's wish for another key.
pub struct Rekey {
    /// The device.
    pub device_id: String,
    /// The hash of the key that it came with.
    pub used: KeyHash,
    /// The hash of the one that it is to have.
    pub new: KeyHash,
    /// Until when the one so far works, Unix milliseconds.
    pub old_until_ms: i64,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// What became of it.
pub enum RekeyOutcome {
    /// The new key is the device's, now or since it asked before.
    Done {
        /// Since when, Unix milliseconds.
        since_ms: i64,
        /// Until when the key before works, Unix milliseconds.
        old_until_ms: Option<i64>,
    },
    /// The device has a third key by now.
    NotItsKey,
}

/// Why somebody may register.
#[derive(Clone, Copy)]
pub enum Permission {
    /// The hub lets everybody register.
    Open,
    /// An enrolment token with this hash.
    Token(KeyHash),
}

/// What an enrolment token binds its devices to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Their role; left to them when `None`.
    pub role: Option<Role>,
    /// The entities that they may send and fetch; all when `None`.
    pub entities: Option<Vec<String>>,
}

/// A wish to register.
pub struct Registration {
    /// As sent, already checked, without the token.
    pub request: RegisterRequest,
    /// Why it may.
    pub permission: Permission,
    /// The hash of the key that the device gets.
    pub key_hash: KeyHash,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// What became of it.
pub enum RegistrationOutcome {
    /// The device, new or known by its registration id.
    Registered(Device),
    /// The token does not let it, for this reason.
    TokenInvalid(&'static str),
}

/// The changes of one push.
#[derive(Clone, Default)]
pub struct Batch {
    /// Who pushes.
    pub device_id: String,
    /// The cursor it says it has.
    pub cursor_id: i64,
    /// In the order they happened.
    pub changes: Vec<PushChange>,
    /// How their entities are merged.
    pub policies: Policies,
    /// What must be added to the device's times to get this hub's, milliseconds.
    pub skew_ms: i64,
    /// The device knows of its own changes up to this id no more than its base versions say; 0 when it has never lost any.
    pub restored_up_to: i64,
    /// The client cannot wait for a person: what no rule decides goes by time. It started from what it last pulled.
    pub by_time: bool,
    /// What else there is to know of each change, in their order; nothing of those beyond its end.
    pub extras: Vec<Extra>,
    /// Unix milliseconds.
    pub now_ms: i64,
}

impl Batch {
    /// A delete of a row in the version that its client knows.
    pub fn delete(table: &str, id: &str, version: i64, now_ms: i64) -> PushChange {
        PushChange {
            id: 0,
            operation: Operation::Delete,
            entity_type: table.to_owned(),
            entity_id: id.to_owned(),
            timestamp: now_ms,
            data: None,
            event_id: Some(Uuid::new_v4()),
            base_version: Some(version),
            updated_fields: None,
            base: None,
            renamed: std::collections::BTreeMap::new(),
            restored: None,
        }
    }
}

/// What other protocols have to say of a change.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// The change, by its place in the batch, without which this one is not stored.
    pub part_of: Option<usize>,
    /// How often the client has written the row: what is not newer than the hub's row is not stored.
    pub sync_version: Option<i64>,
    /// What the hub gave the client to recognise the version by that it started from, see [`version_mark`].
    pub known_mark: Option<String>,
}

/// What a version of a row is recognised by, for clients that give it back: 64 hexadecimal digits.
pub fn version_mark(entity_type: &str, entity_id: &str, version: i64) -> String {
    let digest = Sha256::digest(format!("{entity_type}\0{entity_id}\0{version}").as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What became of them.
pub struct BatchOutcome {
    /// One per change, in order.
    pub results: Vec<PushResult>,
    /// Where the device may go on pulling from.
    pub new_cursor_id: i64,
}

/// Which part of the log a device wants.
#[derive(Clone)]
pub struct PageQuery {
    /// Who pulls.
    pub device_id: String,
    /// Entries after this id.
    pub from: i64,
    /// At most this many.
    pub limit: usize,
    /// Leave out its own, except merged ones.
    pub exclude_own: bool,
    /// Only these entities.
    pub entity_types: Option<HashSet<String>>,
}

/// A part of the log.
pub struct Page {
    /// In the order of their ids.
    pub changes: Vec<PullChange>,
    /// Whether there is or may be more.
    pub has_more: bool,
    /// Everything up to here was looked at.
    pub new_cursor_id: i64,
    /// The largest change id at the time.
    pub head: i64,
    /// The query's cursor lies beyond the head: this log is not the one that the cursor came from.
    pub beyond_head: bool,
    /// Deletes up to this change id may be forgotten.
    pub pruned_through: i64,
    /// The query's cursor lies before that: nobody knows what the device has yet to delete.
    pub expired: bool,
}

impl Page {
    /// A page without changes.
    pub fn empty(head: i64, pruned_through: i64) -> Self {
        Self { changes: Vec::new(), has_more: false, new_cursor_id: 0, head, beyond_head: false, pruned_through, expired: false }
    }

    /// Whether there is nothing to say, so that a long poll goes on.
    pub fn is_quiet(&self) -> bool {
        self.changes.is_empty() && !self.has_more && !self.beyond_head && !self.expired
    }
}

/// How far a device is.
pub struct Progress {
    /// The last cursor it pulled from.
    pub cursor: i64,
    /// Unix milliseconds of its last push or pull.
    pub last_sync_at: Option<i64>,
    /// Changes of others after its cursor.
    pub pending: i64,
    /// The largest change id.
    pub head: i64,
}

/// How entries of the conflict log stand.
#[derive(Clone, Copy)]
pub enum ConflictStatus {
    /// A person has to decide.
    Pending,
    /// A rule decided.
    Automatic,
    /// A person has decided.
    Resolved,
}

/// Which part of the conflict log somebody wants.
#[derive(Clone)]
pub struct ConflictQuery {
    /// Only those about a change of this device, on either side.
    pub device_id: Option<String>,
    /// Only those of this entity.
    pub entity: Option<String>,
    /// Only those that stand like this.
    pub status: Option<ConflictStatus>,
    /// Entries after this id.
    pub after: i64,
    /// At most this many.
    pub limit: usize,
}

/// A part of the conflict log.
pub struct ConflictPage {
    /// In the order of their ids.
    pub conflicts: Vec<Conflict>,
    /// Whether there is more.
    pub has_more: bool,
}

/// A person's decision.
pub struct Resolve {
    /// About this conflict.
    pub conflict_id: i64,
    /// At this device; `None` for the administrator.
    pub device_id: Option<String>,
    /// How.
    pub resolution: Resolution,
    /// The version of the row that the person saw.
    pub base_version: i64,
    /// Columns to set, for [`Resolution::Merged`].
    pub columns: Row,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// A conflict and its row as they are now.
pub struct Resolved {
    /// The conflict.
    pub conflict: Conflict,
    /// The row; `None` when it is deleted.
    pub data: Option<Box<RawValue>>,
}

/// What became of a decision. Only the first of them wrote anything.
pub enum ResolveOutcome {
    /// It is carried out.
    Resolved(Box<Resolved>),
    /// The row has another version by now.
    RowChanged(Box<Resolved>),
    /// Somebody has decided before.
    AlreadyResolved(Box<Resolved>),
    /// It makes no sense, for this reason.
    Impossible(String),
    /// It is another device's conflict.
    NotAllowed,
    /// There is no such conflict.
    Unknown,
}

/// Where the log stood when something was read.
#[derive(Clone, Copy)]
pub struct Place {
    /// The largest change id.
    pub head: i64,
    /// Deletes up to this change id may be forgotten.
    pub pruned_through: i64,
}

/// Which rows of an entity are wanted as they are now.
pub struct SnapshotQuery {
    /// The kind of rows.
    pub entity_type: String,
    /// Which.
    pub wanted: Wanted,
    /// At most this many of a page.
    pub limit: usize,
}

/// A page of rows, or some by name.
pub enum Wanted {
    /// The ones of a version above this one; all for 0.
    Above(i64),
    /// Just these, deleted ones included.
    These(Vec<String>),
}

/// Rows as they are now.
pub struct Snapshot {
    /// In the order of their versions, or as asked for.
    pub rows: Vec<SnapshotRow>,
    /// Whether there are more.
    pub has_more: bool,
    /// Where the log stood.
    pub place: Place,
}

/// What there is to compare with.
pub struct Compared<T> {
    /// What was asked for.
    pub found: Vec<T>,
    /// Where the log stood.
    pub place: Place,
}
