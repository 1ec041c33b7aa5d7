//! Reconcile: the shadow against the server. Digests say where the two differ, and only there rows are looked at, so that it costs
//! what the difference costs. It finds what neither side noticed: a server restored from its backup, a delete that is forgotten
//! there, a row that got lost on the way.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tillsync_core::change::Operation;
use tillsync_core::diff::Shadow;
use tillsync_core::digest::{Digest, bucket};
use tillsync_core::kept::Kept;
use tillsync_core::problem::Problem;
use tillsync_core::row::Row;
use tillsync_core::sync::Trouble;
use tillsync_core::wire::snapshot::{At, SnapshotRow};
use uuid::Uuid;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::clock::now_ms;
use crate::identity::{Identity, Known};
use crate::state::{digest, inbox, lost, marks, outbox, outside, shadow};
use crate::store::schema::Table;
use crate::store::{null_keys, open, rows};

/// Buckets whose rows are asked for at a time.
const BUCKETS_PER_REQUEST: usize = 64;

/// Rows asked for at a time.
const ROWS_PER_REQUEST: usize = 500;

/// Differences listed one by one; more are counted.
const LISTED_MAX: usize = 1_000;

/// Between two daily looks.
const DAY_MS: i64 = 86_400_000;

/// The daily look rests this much longer than it works, so that it takes a fifth of a core at most.
const REST_PER_WORK: u32 = 4;

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The server has it and this register does not.
    MissingHere,
    /// This register has it and the server does not.
    MissingThere,
    /// The server has a newer version.
    OlderHere,
    /// The server has an older version: it has lost the newer one.
    OlderThere,
}

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The row.
    pub key: String,
    /// How.
    pub kind: Kind,
    /// Its version here; 0 when it is not here.
    pub version: i64,
    /// Its version at the server; 0 when it is not there.
    pub server_version: i64,
}

/// A table's row counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// The table.
    pub table: String,
    /// Confirmed rows here.
    pub here: Digest,
    /// Rows at the server.
    pub server: Digest,
    /// Rows that differ and are not on their way.
    pub differences: u64,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Per table.
    pub tables: Vec<Compared>,
    /// The rows that differ, as many as fit.
    pub differences: Vec<Difference>,
    /// How many differ in all.
    pub count: u64,
    /// Rows that differ since they are on their way, held back by a filter, or wait for a person.
    pub unsettled: u64,
    /// Rows that were put right: fetched again, or sent again.
    pub repaired: u64,
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The agent's own side failed.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The server could not be asked.
    #[error("the server cannot be asked: {0:?}")]
    Trouble(Trouble),
}

impl ReconcileError {
    /// The same for people.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Agent(error) => error.problem(),
            Self::Trouble(Trouble::Unauthorized(why) | Trouble::KeyMissing(why)) => Problem::key_missing(why),
            Self::Trouble(Trouble::Offline(why) | Trouble::ServerFailed(why)) => Problem::server_unreachable(1, why),
            Self::Trouble(Trouble::NotTheServer(why)) => Problem::not_a_sync_server(why),
            Self::Trouble(trouble) => Problem::server_unreachable(1, &format!("{trouble:?}")),
        }
    }
}

impl From<rusqlite::Error> for ReconcileError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Agent(error.into())
    }
}

impl Agent {
    /// Compares with the server, and puts right what differs when told so.
    pub async fn reconcile(&self, repair: bool) -> Result<Comparison, ReconcileError> {
        let Some((_, cursor)) = self.identity()? else {
            return Err(ReconcileError::Trouble(Trouble::Unauthorized("this register is not enrolled".to_owned())));
        };
        self.compare(repair, cursor).await
    }

    /// The same at the end of a snapshot, which holds everything up to `cursor`. What differs is put right.
    pub(crate) async fn reconcile_up_to(&self, cursor: i64) -> Result<Comparison, ReconcileError> {
        self.compare(true, cursor).await
    }

    async fn compare(&self, repair: bool, cursor: i64) -> Result<Comparison, ReconcileError> {
        let Some((device_id, _)) = self.identity()? else {
            return Err(ReconcileError::Trouble(Trouble::Unauthorized("this register is not enrolled".to_owned())));
        };
        let tables = tokio::task::block_in_place(|| self.ready_store().map(|store| store.schema.tables.clone()))?;
        let ask = async |entity: Option<&str>, buckets: Option<&[u32]>| {
            self.remote.digest(&device_id, entity, buckets).await.map_err(ReconcileError::Trouble)
        };
        let whole = ask(None, None).await?;
        let server: HashMap<String, Digest> =
            whole.entities.into_iter().map(|entity| (entity.entity_type, entity.digest)).collect();
        let mut found = Comparison::default();
        for table in tables {
            let here: HashMap<u32, Digest> = self.buckets_of(&table)?;
            let mut compared = Compared {
                table: table.name.clone(),
                here: here.values().fold(Digest::default(), |mut sum, bucket| {
                    sum.add(*bucket);
                    sum
                }),
                server: server.get(&table.entity).copied().unwrap_or_default(),
                differences: 0,
            };
            if compared.here != compared.server {
                let answer = ask(Some(&table.entity), None).await?;
                let there: HashMap<u32, Digest> = answer.buckets.into_iter().map(|bucket| (bucket.bucket, bucket.digest)).collect();
                let mut differing: Vec<u32> =
                    here.keys().chain(there.keys()).copied().filter(|bucket| here.get(bucket) != there.get(bucket)).collect();
                differing.sort_unstable();
                differing.dedup();
                for some in differing.chunks(BUCKETS_PER_REQUEST) {
                    let answer = ask(Some(&table.entity), Some(some)).await?;
                    let rows = answer.rows.into_iter().map(|row| (row.entity_id, row.version)).collect();
                    let differences = tokio::task::block_in_place(|| {
                        self.differences(&table, some, &rows, &answer.at, cursor, &mut found.unsettled)
                    })?;
                    compared.differences += differences.len() as u64;
                    if repair {
                        found.repaired += self.repair(&device_id, &table, &differences).await?;
                    }
                    found.count += differences.len() as u64;
                    let room = LISTED_MAX.saturating_sub(found.differences.len());
                    found.differences.extend(differences.into_iter().take(room));
                }
            }
            found.tables.push(compared);
        }
        tracing::info!(
            differences = found.count,
            repaired = found.repaired,
            unsettled = found.unsettled,
            "compared with the server"
        );
        Ok(found)
    }

    /// The daily look: the store against the shadow, then the shadow against the server; what differs is put right.
    pub(crate) async fn daily_look(&self) -> Result<(), ReconcileError> {
        tokio::task::block_in_place(|| self.scan_at(false, Some(REST_PER_WORK)))?;
        // Other servers than hubs tell nothing of their rows but what changed.
        if self.foreign.is_none() {
            self.reconcile(true).await?;
        }
        Ok(marks::set(self.state().conn(), marks::RECONCILED_MS, now_ms())?)
    }

    /// Whether the last look is long enough ago; the first one counts from when everything was first in step.
    pub(crate) fn daily_look_is_due(&self) -> Result<bool, AgentError> {
        let state = self.state();
        if !marks::get(state.conn(), marks::CAUGHT_UP)?.unwrap_or(false) {
            return Ok(false);
        }
        let now = now_ms();
        let Some(last) = marks::get::<i64>(state.conn(), marks::RECONCILED_MS)? else {
            marks::set(state.conn(), marks::RECONCILED_MS, now)?;
            return Ok(false);
        };
        // A clock that was set back must not put the look off.
        Ok(!(last..last + DAY_MS).contains(&now))
    }

    fn buckets_of(&self, table: &Table) -> Result<HashMap<u32, Digest>, AgentError> {
        let number = self.store().entity(&table.name).number;
        Ok(digest::buckets(self.state().conn(), number)?.into_iter().collect())
    }

    /// The rows in some buckets that differ from the server's. What is on its way, or held back for a known reason, is only counted.
    fn differences(
        &self,
        table: &Table,
        buckets: &[u32],
        theirs: &HashMap<String, i64>,
        at: &At,
        cursor: i64,
        unsettled: &mut u64,
    ) -> Result<Vec<Difference>, AgentError> {
        let number = self.store().entity(&table.name).number;
        let state = self.state();
        let conn = state.conn();
        let mut here: HashMap<u32, Digest> = digest::buckets(conn, number)?.into_iter().collect();
        here.retain(|bucket, _| buckets.contains(bucket));
        let mut differing = Vec::new();
        for (key, server_version) in theirs {
            let kept = shadow::get(conn, number, key)?;
            let version = kept.as_ref().and_then(Kept::row).map_or(0, |row| row.version);
            if version > 0
                && let Some(bucket) = here.get_mut(&bucket(key))
            {
                bucket.rows = bucket.rows.saturating_sub(1);
            }
            if version != *server_version {
                differing.push((key.clone(), version, *server_version));
            }
        }
        // Only when a bucket has more rows than the server named is there one that the server does not have.
        if here.values().any(|bucket| bucket.rows > 0) {
            let only_here = digest::rows_in(conn, number, |bucket| here.get(&bucket).is_some_and(|left| left.rows > 0))?;
            differing
                .extend(only_here.into_iter().filter(|(key, _)| !theirs.contains_key(key)).map(|(key, version)| (key, version, 0)));
        }
        let mut found = Vec::new();
        for (key, version, server_version) in differing {
            let kind = match (version, server_version) {
                (0, _) => Kind::MissingHere,
                (_, 0) => Kind::MissingThere,
                _ if version < server_version => Kind::OlderHere,
                _ => Kind::OlderThere,
            };
            if kind == Kind::MissingHere && !table.direction.pulls() {
                continue;
            }
            let on_its_way = server_version > cursor || version > at.head_cursor_id;
            let held = inbox::holds(conn, &table.name, &key, server_version.max(1))?
                || outbox::has_unsent(conn, &table.name, &key)?
                || outside::holds(conn, &table.name, &key)?;
            if on_its_way || held {
                *unsettled += 1;
                continue;
            }
            found.push(Difference { table: table.name.clone(), key, kind, version, server_version });
        }
        Ok(found)
    }

    /// Fetches again what is missing or older here, takes out what the server has deleted, and sends again what it has lost. Gives the
    /// number of rows.
    async fn repair(&self, device_id: &str, table: &Table, found: &[Difference]) -> Result<u64, ReconcileError> {
        let mut repaired = 0;
        for some in found.chunks(ROWS_PER_REQUEST) {
            let ids: Vec<String> = some.iter().map(|found| found.key.clone()).collect();
            let answer = self.remote.rows(device_id, &table.entity, &ids).await.map_err(ReconcileError::Trouble)?;
            let mut rows: HashMap<String, _> = answer.rows.into_iter().map(|row| (row.entity_id.clone(), row)).collect();
            let sides = some.iter().map(|found| (found, Side::of(found, rows.remove(&found.key), &answer.at)));
            let (mut entries, mut lost) = (Vec::new(), Vec::new());
            for (found, side) in sides {
                match side {
                    Side::Theirs { version, data } if table.direction.pulls() => entries.push(inbox::Entry {
                        entity: table.name.clone(),
                        key: found.key.clone(),
                        change_id: version,
                        operation: if data.is_some() { Operation::Update } else { Operation::Delete },
                        data,
                        reason: inbox::Reason::Local,
                        detail: None,
                    }),
                    Side::Ours { server_version } if table.direction.pushes() => {
                        lost.push(Difference { server_version, ..found.clone() });
                    }
                    Side::Theirs { .. } | Side::Ours { .. } | Side::Neither => {}
                }
            }
            repaired += (entries.len() + lost.len()) as u64;
            tokio::task::block_in_place(|| {
                self.hold_all(&entries)?;
                self.send_again(table, &lost)
            })?;
        }
        self.inbox_due.store(true, Ordering::Relaxed);
        Ok(repaired)
    }

    /// Puts right what a comparison of confirmed rows does not see, when the server has forgotten deletes: rows that wait in the inbox
    /// and are gone by now, and rows that a restored store has back and did not confirm.
    pub(crate) async fn take_out_forgotten(&self, device_id: &str, head: i64) -> Result<(), ReconcileError> {
        for table in tokio::task::block_in_place(|| self.ready_store().map(|store| store.schema.tables.clone()))? {
            let number = self.store().entity(&table.name).number;
            let unsure = {
                let state = self.state();
                let waiting = inbox::rows_up_to(state.conn(), &table.name, head)?;
                waiting.into_iter().chain(lost::unseen(state.conn(), number)?)
            };
            let unsure = unsure.map(|(key, version)| Difference {
                table: table.name.clone(),
                key,
                kind: Kind::MissingThere,
                version,
                server_version: 0,
            });
            self.repair(device_id, &table, &unsure.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    fn hold_all(&self, entries: &[inbox::Entry]) -> Result<(), AgentError> {
        let now = now_ms();
        let mut state = self.state();
        let tx = state.write()?;
        for entry in entries {
            inbox::hold(&tx, entry, now)?;
        }
        Ok(tx.commit()?)
    }

    fn send_again(&self, table: &Table, lost: &[Difference]) -> Result<(), AgentError> {
        if lost.is_empty() {
            return Ok(());
        }
        let store = self.store_to_read();
        let conn = open::reader(&self.config.store)?;
        let entity = store.entity(&table.name);
        let mut state = self.state();
        let tx = state.write()?;
        for found in lost {
            let read = read_wired(&conn, &tx, &store, table, &found.key).map_err(|error| self.store_error(error))?;
            // What is gone meanwhile is in the journal and goes its usual way.
            let (Some(row), Some(Kept::Row(kept))) = (read, shadow::get(&tx, entity.number, &found.key)?) else { continue };
            shadow::put(&tx, entity.number, &found.key, &Kept::Row(Shadow { version: found.server_version, ..kept }))?;
            outbox::add(
                &tx,
                &outbox::NewEntry {
                    event_id: Uuid::now_v7(),
                    entity: &table.name,
                    key: &found.key,
                    operation: if found.server_version > 0 { Operation::Update } else { Operation::Create },
                    data: row.to_json(),
                    updated_fields: None,
                    before: None,
                    at_ms: now_ms(),
                },
            )?;
        }
        Ok(tx.commit()?)
    }
}

/// Which side is right about a row.
enum Side {
    /// The server: the row, or that it was deleted.
    Theirs { version: i64, data: Option<String> },
    /// This register: the server has lost what it had, and has this version or none.
    Ours { server_version: i64 },
    /// They agree by now.
    Neither,
}

impl Side {
    /// By what the server says when it is asked for the row by name; then deletes are told, too, as long as it remembers them.
    fn of(found: &Difference, row: Option<SnapshotRow>, at: &At) -> Self {
        match row {
            Some(row) if row.version > found.version => {
                Self::Theirs { version: row.version, data: row.data.map(|data| data.get().to_owned()) }
            }
            Some(row) if row.version < found.version => Self::Ours { server_version: row.version },
            Some(_) => Self::Neither,
            None if found.version == 0 => Self::Neither,
            // The server forgets deletes after a while; a row from before was deleted there.
            None if found.version <= at.pruned_through => Self::Theirs { version: at.pruned_through, data: None },
            None => Self::Ours { server_version: 0 },
        }
    }
}

/// The row with this id as it is on the wire; `None` when it is not here, or several rows share its key.
pub(crate) fn read_wired(
    conn: &Connection,
    state: &Connection,
    store: &StoreSide,
    table: &Table,
    key: &str,
) -> rusqlite::Result<Option<Row>> {
    let known = Known::default();
    let identity = Identity::new(conn, Some(state), store, &known)?;
    let Some(values) = identity.key_to_local(table, key)?.filter(|values| values.len() == table.key.len()) else { return Ok(None) };
    let row = if null_keys::is_shared(conn, table, &values)? { None } else { rows::read(conn, table, &values)?.pop() };
    row.map(|row| identity.to_wire(table, row).map(|wired| wired.row)).transpose()
}
