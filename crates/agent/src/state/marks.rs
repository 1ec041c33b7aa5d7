//! Single values: who this register is and how far it has come.

use rusqlite::types::{FromSql, ToSql};
use rusqlite::{Connection, OptionalExtension, Result};

pub(super) const CREATE: &str = "CREATE TABLE marks(name TEXT PRIMARY KEY, value) WITHOUT ROWID;";

/// This agent's own id, made at `init`; the store names it as its owner.
pub const AGENT_ID: &str = "agent_id";
/// The id that the server gave this register.
pub const DEVICE_ID: &str = "device_id";
/// The server that gave it.
pub const DEVICE_SERVER: &str = "device_server";
/// The machine that this register lives on, hashed with the agent's id.
pub const MACHINE: &str = "machine";
/// The register was a copy and has a namespace of its own now, of which the store is to hear.
pub const PARTING: &str = "parting";
/// The store that this state belongs to.
pub const STORE: &str = "store";
/// Made once, so that registering again after a lost answer makes no second device.
pub const REGISTRATION_ID: &str = "registration_id";
/// Changes with every restore or clone that is noticed; the store holds the same one.
pub const INCARNATION: &str = "incarnation";
/// The store's namespace, should the POS remove it from the store.
pub const NAMESPACE: &str = "namespace";
/// The journal's number of the last birth that was captured, and its random number: another one there means a restored store.
pub const BIRTH_SEQ: &str = "birth_seq";
/// See [`BIRTH_SEQ`].
pub const BIRTH: &str = "birth";
/// Journal entries up to this one are in the outbox.
pub const CAPTURED_SEQ: &str = "captured_seq";
/// The cursor up to which the shadow is right.
pub const CURSOR: &str = "cursor";
/// What apply noted in the store up to this number is in the shadow.
pub const APPLIED_SEQ: &str = "applied_seq";
/// The server's epoch that the cursor counts in.
pub const EPOCH: &str = "epoch";
/// A new key is kept beside the one in use, and the server may have heard of it.
pub const REKEYING: &str = "rekeying";
/// How far the fetching of a snapshot has come, as JSON; absent while none is fetched.
pub const SNAPSHOT: &str = "snapshot";
/// The server's largest change id when last heard.
pub const HEAD: &str = "head";
/// Whether the pull has once reached the end.
pub const CAUGHT_UP: &str = "caught_up";
/// Pull this register's own changes too, up to the end: the store has lost them.
pub const PULL_OWN: &str = "pull_own";
/// Changes of the outbox up to this one are not in the store: it was restored after they were captured.
pub const LOST_UP_TO: &str = "lost_up_to";
/// A restored store has pulled what it had lost up to this change id.
pub const RESTORED_UP_TO: &str = "restored_up_to";
/// The store must be compared with the shadow, row by row.
pub const SCAN_DUE: &str = "scan_due";
/// So many rows of the shadow were not in the store at the last scan, too many to believe that they were deleted.
pub const VANISHED: &str = "vanished";
/// The store came without the journal that it had: it was made anew, or the POS has reset it.
pub const STORE_ANEW: &str = "store_anew";
/// When the register was last compared with the server, Unix milliseconds.
pub const RECONCILED_MS: &str = "reconciled_ms";
/// When everything was last in step, Unix milliseconds.
pub const LAST_SYNC_MS: &str = "last_sync_ms";
/// Since when the server is not reached; absent while it is.
pub const OFFLINE_SINCE_MS: &str = "offline_since_ms";
/// The last trouble with the server, as JSON of a `Problem`; absent while there is none.
pub const TROUBLE: &str = "trouble";
/// The last trouble with store or state, as JSON of a `Problem`; absent while there is none.
pub const STORE_TROUBLE: &str = "store_trouble";
/// Something worth knowing that has passed, as JSON of a `Problem`.
pub const NOTICE: &str = "notice";
/// When it was noted, Unix milliseconds.
pub const NOTICE_MS: &str = "notice_ms";
/// What synced of each table when the schema was last read, as JSON.
pub const SELECTION: &str = "selection";
/// Tables that were empty when their keys were proposed, as JSON.
pub const UNDECIDED: &str = "undecided";
/// Ids of other registers that speak against what was proposed for such tables, by table, as JSON.
pub const OTHER_KEYS: &str = "other_keys";
/// Tables to which columns came, and how far their rows have been asked for again, as JSON.
pub const REFILL: &str = "refill";
/// Pause: 0 for no end, or the end in Unix milliseconds; absent while not paused.
pub const PAUSED: &str = "paused";
/// The server's clock less the wall clock, in milliseconds, when the server was last heard.
pub const CLOCK_OFFSET_MS: &str = "clock_offset_ms";
/// From this change of the outbox on, times were guessed; absent when none was.
pub const CLOCK_UNSURE: &str = "clock_unsure";
/// Versions and places counted for a server that has none.
pub const COUNTED: &str = "counted";
/// The last pull did not come to the end.
pub const GOES_ON: &str = "goes_on";
/// Something was sent since the last place of that count.
pub const SENT_SINCE: &str = "sent_since";
/// Deletes that stay here, since the protocol has none.
pub const DELETES_KEPT: &str = "deletes_kept";
/// Changes sent so far.
pub const SENT: &str = "sent";
/// Changes received so far.
pub const RECEIVED: &str = "received";

/// Reads a mark; NULL counts as absent.
pub fn get<T: FromSql>(conn: &Connection, name: &str) -> Result<Option<T>> {
    let found = conn.prepare_cached("SELECT value FROM marks WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()?;
    Ok(found.flatten())
}

/// Writes a mark. One that has this value already costs nothing.
pub fn set(conn: &Connection, name: &str, value: impl ToSql) -> Result<()> {
    conn.prepare_cached("INSERT INTO marks(name, value) VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value")?
        .execute((name, value))?;
    Ok(())
}

/// Removes a mark.
pub fn clear(conn: &Connection, name: &str) -> Result<()> {
    conn.prepare_cached("DELETE FROM marks WHERE name = ?1")?.execute([name])?;
    Ok(())
}

/// Raises a mark to at least this.
pub fn raise(conn: &Connection, name: &str, least: i64) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO marks(name, value) VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET value = max(value, excluded.value)",
    )?
    .execute((name, least))?;
    Ok(())
}

/// Adds to a counter.
pub fn add(conn: &Connection, name: &str, amount: i64) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO marks(name, value) VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET value = value + excluded.value",
    )?
    .execute((name, amount))?;
    Ok(())
}
