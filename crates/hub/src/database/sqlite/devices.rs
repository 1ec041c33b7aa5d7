//! Devices: registered, authenticated, suspended, deleted.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tillsync_core::config::Role;
use tillsync_core::wire::hub::Device;

use super::tokens::{self, Token};
use crate::database::model::{Access, Permission, Registration, RegistrationOutcome, Rekey, RekeyOutcome, Terms};
use crate::key::KeyHash;

/// Makes a device. A registration id that is known gives the same device a new key and uses no token up.
pub(super) fn register(tx: &Transaction, registration: &Registration) -> rusqlite::Result<RegistrationOutcome> {
    let known = find_registration(tx, registration)?;
    if let Permission::Token(hash) = registration.permission {
        let own_token = known.as_ref().is_some_and(|known| known.token.as_deref() == Some(hash.as_bytes()));
        match Token::look_up(tx, hash, registration.now_ms)? {
            Token::Unknown => return Ok(RegistrationOutcome::TokenInvalid("this enrolment token is not known here")),
            Token::Expired => return Ok(RegistrationOutcome::TokenInvalid("this enrolment token has expired")),
            Token::UsedUp if !own_token => return Ok(RegistrationOutcome::TokenInvalid("this enrolment token is used up")),
            Token::Usable if known.is_none() => tokens::use_up(tx, hash)?,
            Token::Usable | Token::UsedUp => {}
        }
    }
    let terms = terms_of(tx, registration)?;
    let device_id = match known {
        Some(known) => {
            renew(tx, &known.device_id, registration, &terms)?;
            known.device_id
        }
        None => insert(tx, registration, &terms)?,
    };
    tx.query_row("SELECT * FROM devices WHERE id = ?1", [device_id], read).map(RegistrationOutcome::Registered)
}

/// What the token binds the device to. Without one the device's own word about its role counts where everybody may register; with a
/// token that says nothing a till is a till.
fn terms_of(tx: &Transaction, registration: &Registration) -> rusqlite::Result<Terms> {
    match registration.permission {
        Permission::Open => Ok(Terms { role: registration.request.role, entities: None }),
        Permission::Token(hash) => tokens::terms(tx, hash),
    }
}

struct KnownRegistration {
    device_id: String,
    token: Option<Vec<u8>>,
}

fn find_registration(tx: &Transaction, registration: &Registration) -> rusqlite::Result<Option<KnownRegistration>> {
    let Some(registration_id) = &registration.request.registration_id else {
        return Ok(None);
    };
    tx.query_row("SELECT id, enroll_token FROM devices WHERE registration_id = ?1", [registration_id], |row| {
        Ok(KnownRegistration { device_id: row.get(0)?, token: row.get(1)? })
    })
    .optional()
}

fn insert(tx: &Transaction, registration: &Registration, terms: &Terms) -> rusqlite::Result<String> {
    let Registration { request, permission, key_hash, now_ms } = registration;
    let device_id = uuid::Uuid::new_v4().to_string();
    let token = match permission {
        Permission::Open => None,
        Permission::Token(hash) => Some(hash.as_bytes()),
    };
    tx.execute(
        "INSERT INTO devices (id, name, type, api_key, version, platform, created_at, metadata, registration_id, enroll_token, role,
           entities)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            device_id,
            request.name,
            request.kind,
            key_hash.as_bytes(),
            request.version,
            request.platform,
            now_ms,
            request.metadata.as_ref().map(ToString::to_string),
            request.registration_id,
            token,
            terms.role.unwrap_or_default().as_str(),
            as_json(terms.entities.as_deref()),
        ],
    )?;
    Ok(device_id)
}

fn as_json(entities: Option<&[String]>) -> Option<String> {
    entities.map(|entities| serde_json::to_string(entities).expect("names encode"))
}

/// A suspended device stays suspended, and one that nobody gave another role keeps the one it has. A token says anew which entities
/// are its business; without one that stays.
fn renew(tx: &Transaction, device_id: &str, registration: &Registration, terms: &Terms) -> rusqlite::Result<()> {
    let Registration { request, key_hash, now_ms, .. } = registration;
    tx.execute(
        "UPDATE devices SET api_key = ?2, name = ?3, type = ?4, version = ?5, platform = ?6, metadata = ?7, role = coalesce(?8, role),
           entities = iif(?9, ?10, entities), key_since = ?11, old_key = NULL, old_key_until = NULL WHERE id = ?1",
        params![
            device_id,
            key_hash.as_bytes(),
            request.name,
            request.kind,
            request.version,
            request.platform,
            request.metadata.as_ref().map(ToString::to_string),
            terms.role.map(Role::as_str),
            matches!(registration.permission, Permission::Token(_)),
            as_json(terms.entities.as_deref()),
            now_ms,
        ],
    )?;
    Ok(())
}

/// Whether the device is a manager's.
pub(super) fn is_manager(connection: &Connection, device_id: &str) -> rusqlite::Result<bool> {
    let found = connection
        .prepare_cached("SELECT role = 'manager' FROM devices WHERE id = ?1")?
        .query_row([device_id], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(false))
}

/// The entities that are a device's business; `None` for all.
pub(super) fn entities_of(connection: &Connection, device_id: &str) -> rusqlite::Result<Option<HashSet<String>>> {
    let found: Option<Option<String>> = connection
        .prepare_cached("SELECT entities FROM devices WHERE id = ?1")?
        .query_row([device_id], |row| row.get(0))
        .optional()?;
    Ok(found.flatten().map(|json| serde_json::from_str(&json).unwrap_or_default()))
}

/// Whether the device may look at other devices' conflicts: a manager's whose business is everything.
pub(super) fn sees_everything(connection: &Connection, device_id: &str) -> rusqlite::Result<bool> {
    Ok(is_manager(connection, device_id)? && entities_of(connection, device_id)?.is_none())
}

fn read(row: &Row) -> rusqlite::Result<Device> {
    let metadata: Option<String> = row.get("metadata")?;
    let entities: Option<String> = row.get("entities")?;
    let role: String = row.get("role")?;
    Ok(Device {
        id: row.get("id")?,
        name: row.get("name")?,
        kind: row.get("type")?,
        version: row.get("version")?,
        platform: row.get("platform")?,
        status: row.get("status")?,
        role: Role::parse(&role).unwrap_or_default(),
        created_at: row.get("created_at")?,
        entities: entities.map(|json| serde_json::from_str(&json).unwrap_or_default()),
        metadata: metadata.and_then(|text| serde_json::from_str(&text).ok()),
    })
}

pub(super) fn access_of(connection: &Connection, device_id: &str) -> rusqlite::Result<Option<Access>> {
    let sql = "SELECT api_key, status = 'suspended',
          max(coalesce(key_since, created_at), coalesce((SELECT value FROM meta WHERE name = 'keys_age_from'), 0)),
          old_key, old_key_until FROM devices WHERE id = ?1";
    let access = |row: &Row| {
        let hash = |place| row.get::<_, Option<Vec<u8>>>(place).map(|bytes| bytes.and_then(|bytes| KeyHash::from_bytes(&bytes)));
        let old_key = hash(3)?.zip(row.get(4)?);
        let (suspended, since_ms) = (row.get(1)?, row.get(2)?);
        Ok(hash(0)?.map(|key_hash| Access { key_hash, since_ms, old_key, suspended }))
    };
    Ok(connection.prepare_cached(sql)?.query_row([device_id], access).optional()?.flatten())
}

/// Gives a device another key. Asked again with the same one it is done already; who comes with the key before may ask for nothing else.
pub(super) fn rekey(tx: &Transaction, wish: &Rekey) -> rusqlite::Result<RekeyOutcome> {
    let Some(access) = access_of(tx, &wish.device_id)? else { return Ok(RekeyOutcome::NotItsKey) };
    if access.key_hash.as_bytes() == wish.new.as_bytes() {
        return Ok(RekeyOutcome::Done { since_ms: access.since_ms, old_until_ms: access.old_key.map(|(_, until_ms)| until_ms) });
    }
    if access.key_hash.as_bytes() != wish.used.as_bytes() {
        return Ok(RekeyOutcome::NotItsKey);
    }
    tx.execute(
        "UPDATE devices SET old_key = api_key, old_key_until = ?3, api_key = ?2, key_since = ?4 WHERE id = ?1",
        params![wish.device_id, wish.new.as_bytes(), wish.old_until_ms, wish.now_ms],
    )?;
    Ok(RekeyOutcome::Done { since_ms: wish.now_ms, old_until_ms: Some(wish.old_until_ms) })
}

pub(super) fn set_suspended(tx: &Transaction, device_id: &str, suspended: bool) -> rusqlite::Result<bool> {
    let status = if suspended { "suspended" } else { "active" };
    Ok(tx.execute("UPDATE devices SET status = ?2 WHERE id = ?1", params![device_id, status])? == 1)
}

/// The log keeps the device's changes; only its right to sync, its cursor and its name go.
pub(super) fn delete(tx: &Transaction, device_id: &str) -> rusqlite::Result<bool> {
    Ok(tx.execute("DELETE FROM devices WHERE id = ?1", [device_id])? == 1)
}
