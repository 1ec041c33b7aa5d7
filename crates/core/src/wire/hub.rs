//! The hub's own API: the cloud sync API of Nuqta Plus (seed 000), extended by optional members.
//!
//! Everything that the original lacks is optional both ways, so that a client or server of the original keeps working.
//! Paths: `POST /sync/register`, `POST /sync/push`, `POST /sync/pull`, `GET /sync/status`, `GET /sync/stats`,
//! `GET /sync/conflicts`, `POST /sync/conflicts/{id}/resolve`, `POST /sync/suspend/{deviceId}`, `DELETE /sync/{deviceId}`, `GET /health`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::change::{Operation, Verdict};
use crate::config::Role;
use crate::merge::Dispute;
use crate::policy::Policies;

/// The header that names the device; the key itself goes in `Authorization: Bearer`.
pub const DEVICE_ID_HEADER: &str = "x-device-id";

/// A pull without `limit` gets at most this many changes, and never more: the original's default and maximum.
pub const PULL_LIMIT_MAX: u32 = 1000;

/// A push carries at most this many changes; a longer one is 413.
pub const PUSH_CHANGES_MAX: usize = 5000;

/// A request body is at most this many bytes after decompression; a larger one is 413.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A page of a pull stops growing at this many bytes of row data (one row may exceed it).
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The hub holds a long poll at most this long, below the idle time-outs of common proxies.
pub const WAIT_MS_MAX: u64 = 25_000;

/// `POST /sync/register`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisterRequest {
    /// What people call the register.
    pub name: String,
    /// `desktop`, `mobile` or `tablet`.
    #[serde(rename = "type", default = "desktop")]
    pub kind: String,
    /// The client's version.
    #[serde(default)]
    pub version: String,
    /// The operating system.
    #[serde(default)]
    pub platform: String,
    /// Anything the client wants to keep with the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
    /// Permission to register, unless the hub is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enroll_token: Option<String>,
    /// Made once by the client: registering again with the same one gives the same device and a fresh key, so that a lost
    /// answer does not leave a second device behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_id: Option<String>,
    /// What the device may do; a role in the enrolment token binds more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

fn desktop() -> String {
    "desktop".to_owned()
}

/// A device as the hub shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// UUID.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// `desktop`, `mobile` or `tablet`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The client's version.
    pub version: String,
    /// The operating system.
    pub platform: String,
    /// `active`, `inactive` or `suspended`.
    pub status: String,
    /// What it may do.
    #[serde(default)]
    pub role: Role,
    /// Unix milliseconds.
    pub created_at: i64,
    /// The only entities that it may send and fetch; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entities: Option<Vec<String>>,
    /// As given at registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
}

/// Answer to a registration, 201. The only time the key is shown.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisterResponse {
    /// Always true.
    pub success: bool,
    /// The new device.
    pub device: Device,
    /// 32 random bytes in base64.
    pub api_key: String,
    /// Hub clock, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_timestamp: Option<i64>,
}

/// `POST /sync/rekey`: the device has made itself another key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RekeyRequest {
    /// May stand in the header instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// The key so far. May stand in the header instead, and better does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// SHA-256 of the new key's text, 64 hexadecimal digits.
    pub new_key_hash: String,
}

/// Answer to it, also when it is asked again: the new key is the device's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RekeyResponse {
    /// Always true.
    pub success: bool,
    /// When the new key expires, Unix milliseconds; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_expires_at: Option<i64>,
    /// Until when the key before works, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_key_until: Option<i64>,
    /// Hub clock, Unix milliseconds.
    pub server_timestamp: i64,
}

/// `POST /sync/push`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushRequest {
    /// May stand in the header instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// May stand in the header instead, and better does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// The last change id the client has applied; also the base version of changes that give none.
    #[serde(default)]
    pub cursor_id: i64,
    /// In the order they happened.
    pub changes: Vec<PushChange>,
    /// How the entities of these changes are merged; those that are not named have the default. The hub's operator may overrule.
    #[serde(default, skip_serializing_if = "Policies::is_empty")]
    pub policies: Policies,
    /// The client's clock when it sent this, Unix milliseconds: the clock of its `timestamp`s is as wrong as this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<i64>,
    /// The client's store went back in time and learned by a pull what the log held up to this change id, the client's own changes included:
    /// of those it knows no more than its base versions say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_up_to: Option<i64>,
}

/// One change of a push.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushChange {
    /// The client's own number, echoed in results and errors.
    #[serde(default)]
    pub id: i64,
    /// `create`, `update` or `delete`.
    pub operation: Operation,
    /// The kind of row.
    pub entity_type: String,
    /// The row.
    pub entity_id: String,
    /// When it was made, Unix milliseconds, by the client's clock; by the hub's as far as the client knows it.
    pub timestamp: i64,
    /// The row's columns. An update may carry all of them or only the changed ones; a delete may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// One id for life; a push that repeats it is a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<uuid::Uuid>,
    /// The row's version that the client had when it made the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_version: Option<i64>,
    /// The columns that an update changed; all of `data` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_fields: Option<Vec<String>>,
    /// Columns as they were before the change: counters and JSON values are merged from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Box<RawValue>>,
    /// Columns of an update that are others under a new name: the new one, and the one before. A register that hears late of another one's
    /// new name sends what it has; the later of what was written under either name stays.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub renamed: BTreeMap<String, String>,
    /// The version that the row had in an epoch that the hub has left, after the place where it did: the hub has lost it, and `data` is the whole row.
    /// Of several that are given back, the latest version stays. With `updatedFields` these were changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<i64>,
}

/// Answer to a push, 200 whenever the changes were looked at one by one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushResponse {
    /// True unless the whole request failed.
    pub success: bool,
    /// How many changes are stored now, duplicates included.
    pub synced_count: u32,
    /// A cursor that the client may go on pulling from without missing another device's change.
    pub new_cursor_id: i64,
    /// Hub clock, Unix milliseconds.
    pub server_timestamp: i64,
    /// The changes that were not stored.
    #[serde(default)]
    pub errors: Vec<PushError>,
    /// One per change, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<PushResult>,
    /// The hub's epoch; another one means that it was restored or reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
}

/// Why one change was not stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushError {
    /// The client's number of the change.
    pub change_id: i64,
    /// For people.
    pub error: String,
    /// The row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
}

/// What became of one change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushResult {
    /// The client's number of the change.
    pub id: i64,
    /// The verdict.
    pub status: Verdict,
    /// The row's version now: the change id that last wrote it. Absent when the row is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// The row as it is on the server now, for `merged` and `conflict`; absent when it is deleted there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_data: Option<Box<RawValue>>,
    /// Why, for `conflict` and `rejected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the hub put into its conflict log about this change, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Box<Conflict>>,
}

/// An entry of the conflict log: both values, who, when, what decided, and how it ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// Its number.
    pub id: i64,
    /// The kind of row.
    pub entity_type: String,
    /// The row.
    pub entity_id: String,
    /// What the client did.
    pub operation: Operation,
    /// The client.
    pub device_id: String,
    /// What people call the client; absent once it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// The client's change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<uuid::Uuid>,
    /// When the client wrote its value, by the hub's clock, Unix milliseconds.
    pub client_at: i64,
    /// What the client wrote; null for a delete.
    #[serde(default)]
    pub client_value: Option<Box<RawValue>>,
    /// The columns it changed; all of its value when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_fields: Option<Vec<String>>,
    /// The version it started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_version: Option<i64>,
    /// The row at that version, as far as it is known.
    #[serde(default)]
    pub base_value: Option<Box<RawValue>>,
    /// Who had written what the hub had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_device_id: Option<String>,
    /// What people call that device; absent once it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_device_name: Option<String>,
    /// When, by the hub's clock, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_at: Option<i64>,
    /// What the hub had; null when the row was deleted.
    #[serde(default)]
    pub server_value: Option<Box<RawValue>>,
    /// The columns that both had changed, each with the rule that decided; none when it is about the row as a whole.
    #[serde(default)]
    pub rules: Vec<Dispute>,
    /// Why nothing decided, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `pending`, `client-wins`, `server-wins` or `merged`.
    pub resolution: String,
    /// The row after it; null while it is pending, and for a delete.
    #[serde(default)]
    pub resolved_value: Option<Box<RawValue>>,
    /// The person's device, or `admin`; absent when a rule decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
    /// Unix milliseconds; absent while it is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// The row's version now: what a resolution must name.
    pub version: i64,
}

impl Conflict {
    /// Whether a person has to decide.
    pub fn is_pending(&self) -> bool {
        self.resolution == "pending"
    }
}

/// Answer to `GET /sync/conflicts`. Query: `status` (`pending`, `automatic`, `resolved`), `entity`, `after` (an id), `limit`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConflictsResponse {
    /// True unless the whole request failed.
    pub success: bool,
    /// In the order of their ids.
    pub conflicts: Vec<Conflict>,
    /// Whether there is more after the last one.
    pub has_more: bool,
    /// The hub's epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
}

/// How a person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// The client's values.
    ClientWins,
    /// The hub's values.
    ServerWins,
    /// The hub's row with the columns of `data`.
    Merged,
}

/// `POST /sync/conflicts/{id}/resolve`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolveRequest {
    /// How.
    pub resolution: Resolution,
    /// The row's version that the person saw; when the row has another one, nothing is written.
    pub base_version: i64,
    /// Columns and values, for `merged`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
}

/// Answer to a resolution that was carried out, 200; and, with `success` false and a code, to one that was not, 409.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResolveResponse {
    /// Whether it was carried out.
    pub success: bool,
    /// The conflict as it is now.
    pub conflict: Conflict,
    /// The row as it is now; null when it is deleted.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// `row_changed` or `already_resolved`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// `POST /sync/pull`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// May stand in the header instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// May stand in the header instead, and better does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// Changes after this id.
    #[serde(default)]
    pub from_cursor_id: i64,
    /// At most this many; [`PULL_LIMIT_MAX`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Leave out what this device pushed itself, except what the hub merged into it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exclude_own: bool,
    /// Only these entities; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_types: Option<Vec<String>>,
    /// When there is nothing yet, wait this long for a change (at most [`WAIT_MS_MAX`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// The epoch that the cursor counts in. When it is not the hub's, the answer has no changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
}

/// One page of changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullResponse {
    /// True unless the whole request failed.
    pub success: bool,
    /// In the order of their ids.
    pub changes: Vec<PullChange>,
    /// Whether to pull again at once.
    pub has_more: bool,
    /// Where to go on from.
    pub new_cursor_id: i64,
    /// Hub clock, Unix milliseconds.
    pub server_timestamp: i64,
    /// The hub's epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// The largest change id there is, for progress and to notice a hub that lost its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_cursor_id: Option<i64>,
    /// Deletes up to this change id may be forgotten. A smaller cursor but 0 is answered with 410 `cursor_expired`; who starts over from 0
    /// hears nothing of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned_through: Option<i64>,
    /// Up to this change id the hub's log and that of the epoch which the request named are the same: the hub was restored from a backup. What
    /// a client knows from after it is lost, to be sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_at: Option<i64>,
    /// When the key that the request came with expires, Unix milliseconds; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_expires_at: Option<i64>,
    /// From when on the device should replace its key, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_renew_at: Option<i64>,
}

/// One change of a page.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullChange {
    /// The change id, which is also the row's version after it.
    pub id: i64,
    /// What happened.
    pub operation: Operation,
    /// The kind of row.
    pub entity_type: String,
    /// The row.
    pub entity_id: String,
    /// Clock of the client that made it, Unix milliseconds.
    pub timestamp: i64,
    /// The whole row after the change; null for a delete.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
    /// Always true: it is in the log.
    #[serde(default = "yes")]
    pub is_synced: bool,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// The conflict that a person decided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolves: Option<i64>,
}

fn yes() -> bool {
    true
}

/// `GET /sync/status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusResponse {
    /// True unless the whole request failed.
    pub success: bool,
    /// The device's state.
    pub status: DeviceStatus,
}

/// A device's state as the hub sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// The device.
    pub device_id: String,
    /// Unix milliseconds of its last push or pull; null before.
    pub last_sync_at: Option<i64>,
    /// Whether a request of its is being served now.
    pub is_syncing: bool,
    /// Changes of other devices after its cursor.
    pub pending_changes: i64,
    /// The last cursor it pulled from.
    pub cursor_id: i64,
    /// `synced` or `pending`.
    pub status: String,
    /// The hub's epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// The largest change id there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_cursor_id: Option<i64>,
}

/// `GET /sync/stats`, for administrators.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatsResponse {
    /// True unless the whole request failed.
    pub success: bool,
    /// The numbers.
    pub stats: Stats,
}

/// Numbers over the whole hub.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Devices that may sync.
    pub active_devices: i64,
    /// Entries of the change log.
    pub total_changes: i64,
    /// Conflicts that wait for a person.
    pub pending_conflicts: i64,
    /// When the log last grew, RFC 3339; null before.
    pub last_update_at: Option<String>,
}

/// Any refusal. `error` is for people, `code` for programs, `field` names the member at fault.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// Always false.
    #[serde(default)]
    pub success: bool,
    /// For people: what is wrong and what to do.
    pub error: String,
    /// One of: `bad_request`, `unauthorized`, `suspended`, `not_found`, `too_large`, `rate_limited`, `internal`, `enroll_token_required`,
    /// `enroll_token_invalid`, `row_changed`, `already_resolved`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The member at fault, as a path such as `changes[3].operation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}
