//! Users, their sessions, and the devices that their clients are.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tillsync_core::config::Role;

use crate::database::clients::{ClientWish, NewUser, Session, User};
use crate::database::model::Terms;
use crate::key::KeyHash;

/// A user has a handful of machines; more are a client that makes up a new name every time.
const CLIENTS_PER_USER_MAX: i64 = 200;

/// So many sessions a user has at once; the oldest go.
const SESSIONS_PER_USER_MAX: i64 = 100;

const COLUMNS: &str = "id, name, password, token IS NOT NULL, role, entities";

fn read(row: &Row) -> rusqlite::Result<User> {
    let (role, entities): (String, Option<String>) = (row.get(4)?, row.get(5)?);
    let terms = Terms { role: Role::parse(&role), entities: entities.map(|json| serde_json::from_str(&json).unwrap_or_default()) };
    Ok(User { id: row.get(0)?, name: row.get(1)?, password: row.get(2)?, has_token: row.get(3)?, terms })
}

fn find(connection: &Connection, condition: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<Option<User>> {
    let sql = format!("SELECT {COLUMNS} FROM users WHERE {condition} = ?1");
    connection.prepare_cached(&sql)?.query_row([value], read).optional()
}

pub(super) fn by_name(connection: &Connection, name: &str) -> rusqlite::Result<Option<User>> {
    find(connection, "name", name)
}

pub(super) fn by_token(connection: &Connection, hash: KeyHash) -> rusqlite::Result<Option<User>> {
    find(connection, "token", hash.as_bytes())
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<User>> {
    let sql = format!("SELECT {COLUMNS} FROM users ORDER BY name");
    connection.prepare_cached(&sql)?.query_map([], read)?.collect()
}

/// Makes a user or gives the one of this name what is new. Says whether there was none.
pub(super) fn put(tx: &Transaction, wish: &NewUser) -> rusqlite::Result<bool> {
    let role = wish.terms.role.unwrap_or_default().as_str();
    let entities = wish.terms.entities.as_ref().map(|entities| serde_json::to_string(entities).expect("names encode"));
    let known = by_name(tx, &wish.name)?;
    if let Some(user) = &known {
        tx.execute(
            "UPDATE users SET password = coalesce(?2, password), token = coalesce(?3, token), role = ?4, entities = ?5 WHERE id = ?1",
            params![user.id, wish.password, wish.token.map(|hash| hash.as_bytes().to_vec()), role, entities],
        )?;
        tx.execute("UPDATE devices SET role = ?2, entities = ?3 WHERE user_id = ?1", params![user.id, role, entities])?;
        if wish.password.is_some() {
            tx.execute("DELETE FROM sessions WHERE user_id = ?1", [user.id])?;
        }
    } else {
        tx.execute(
            "INSERT INTO users (name, password, token, role, entities, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![wish.name, wish.password, wish.token.map(|hash| hash.as_bytes().to_vec()), role, entities, wish.now_ms],
        )?;
    }
    Ok(known.is_none())
}

/// The user of a Google account, made when there is none yet.
pub(super) fn of_google(tx: &Transaction, account: &str, name: &str, now_ms: i64) -> rusqlite::Result<Option<User>> {
    if let Some(user) = find(tx, "google", account)? {
        return Ok(Some(user));
    }
    // A user of that name who has a password may be somebody else.
    if by_name(tx, name)?.is_some_and(|user| user.password.is_some() || user.has_token) {
        return Ok(None);
    }
    let sql = "INSERT INTO users (name, google, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING";
    tx.execute(sql, params![name, account, now_ms])?;
    tx.execute("UPDATE users SET google = ?2 WHERE name = ?1 AND google IS NULL", [name, account])?;
    find(tx, "google", account)
}

/// Forgets a user, the sessions and the devices; the changes stay.
pub(super) fn remove(tx: &Transaction, name: &str) -> rusqlite::Result<bool> {
    let Some(user) = by_name(tx, name)? else { return Ok(false) };
    tx.execute("DELETE FROM devices WHERE user_id = ?1", [user.id])?;
    tx.execute("DELETE FROM users WHERE id = ?1", [user.id])?;
    Ok(true)
}

/// Begins a session.
pub(super) fn begin_session(tx: &Transaction, session: &Session) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM sessions WHERE expires_at < ?1", [session.now_ms])?;
    tx.execute(
        "INSERT INTO sessions (id, user_id, refresh, expires_at, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![session.id, session.user_id, session.refresh.as_bytes(), session.expires_at_ms, session.now_ms],
    )?;
    tx.execute(
        "DELETE FROM sessions WHERE user_id = ?1 AND id NOT IN
           (SELECT id FROM sessions WHERE user_id = ?1 ORDER BY created_at DESC LIMIT ?2)",
        params![session.user_id, SESSIONS_PER_USER_MAX],
    )?;
    Ok(())
}

/// The user of a session that goes on.
pub(super) fn of_session(connection: &Connection, id: &str, now_ms: i64) -> rusqlite::Result<Option<User>> {
    let sql = format!("SELECT {COLUMNS} FROM users WHERE id = (SELECT user_id FROM sessions WHERE id = ?1 AND expires_at > ?2)");
    connection.prepare_cached(&sql)?.query_row(params![id, now_ms], read).optional()
}

/// The session of a refresh token, which then lasts longer.
pub(super) fn refresh(
    tx: &Transaction,
    hash: KeyHash,
    expires_at_ms: i64,
    now_ms: i64,
) -> rusqlite::Result<Option<(String, User)>> {
    let sql = "UPDATE sessions SET expires_at = ?2 WHERE refresh = ?1 AND expires_at > ?3 RETURNING id";
    let session: Option<String> =
        tx.prepare_cached(sql)?.query_row(params![hash.as_bytes(), expires_at_ms, now_ms], |row| row.get(0)).optional()?;
    let Some(session) = session else { return Ok(None) };
    Ok(of_session(tx, &session, now_ms)?.map(|user| (session, user)))
}

/// Ends a session.
pub(super) fn end_session(tx: &Transaction, id: &str) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM sessions WHERE id = ?1", [id])?;
    Ok(())
}

/// The device that a client is, made when it comes for the first time; `None` when the user has too many.
pub(super) fn device_of(tx: &Transaction, wish: &ClientWish) -> rusqlite::Result<Option<(String, bool)>> {
    let known = known_device(tx, &wish.client)?;
    if known.is_some() {
        return Ok(known);
    }
    let count: i64 = match wish.user_id {
        Some(user_id) => tx.query_row("SELECT count(*) FROM devices WHERE user_id = ?1", [user_id], |row| row.get(0))?,
        None => tx.query_row("SELECT count(*) FROM devices WHERE user_id IS NULL AND client IS NOT NULL", [], |row| row.get(0))?,
    };
    if count >= CLIENTS_PER_USER_MAX {
        return Ok(None);
    }
    let id = uuid::Uuid::new_v4().to_string();
    let entities = wish.terms.entities.as_ref().map(|entities| serde_json::to_string(entities).expect("names encode"));
    // Nobody has the key of which this would be the hash.
    tx.execute(
        "INSERT INTO devices (id, name, type, api_key, version, platform, created_at, role, entities, user_id, client)
         VALUES (?1, ?2, 'desktop', ?3, '', ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            id,
            wish.name,
            wish.no_key.as_bytes(),
            wish.protocol,
            wish.now_ms,
            wish.terms.role.unwrap_or_default().as_str(),
            entities,
            wish.user_id,
            wish.client
        ],
    )?;
    Ok(Some((id, false)))
}

/// The device of a client that came before, and whether it is suspended.
pub(super) fn known_device(connection: &Connection, client: &str) -> rusqlite::Result<Option<(String, bool)>> {
    let sql = "SELECT id, status = 'suspended' FROM devices WHERE client = ?1";
    connection.prepare_cached(sql)?.query_row([client], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// The device whose key has this hash.
pub(super) fn device_of_key(connection: &Connection, hash: KeyHash) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT id FROM devices WHERE api_key = ?1 UNION ALL SELECT id FROM devices WHERE old_key = ?1 LIMIT 1";
    connection.prepare_cached(sql)?.query_row([hash.as_bytes()], |row| row.get(0)).optional()
}

/// Names of the devices that sync, and when each last did, Unix milliseconds; the latest first.
pub(super) fn last_syncs(connection: &Connection, limit: i64) -> rusqlite::Result<Vec<(String, i64)>> {
    let sql = "SELECT name, last_sync_at FROM devices WHERE status = 'active' AND last_sync_at IS NOT NULL ORDER BY last_sync_at DESC LIMIT ?1";
    connection.prepare_cached(sql)?.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
