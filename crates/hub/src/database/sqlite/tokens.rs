//! Enrolment tokens.

use rusqlite::{OptionalExtension, Transaction, params};
use tillsync_core::config::Role;

use crate::clock::now_ms;
use crate::database::model::Terms;
use crate::key::KeyHash;

pub(super) fn add(tx: &Transaction, hash: KeyHash, uses: u32, expires_at_ms: i64, terms: &Terms) -> rusqlite::Result<()> {
    let entities = terms.entities.as_ref().map(|entities| serde_json::to_string(entities).expect("names encode"));
    tx.execute(
        "INSERT INTO enroll_tokens (hash, uses_left, expires_at, created_at, role, entities) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![hash.as_bytes(), uses, expires_at_ms, now_ms(), terms.role.map(Role::as_str), entities],
    )?;
    Ok(())
}

/// What a token binds its devices to.
pub(super) fn terms(tx: &Transaction, hash: KeyHash) -> rusqlite::Result<Terms> {
    let found: Option<(Option<String>, Option<String>)> = tx
        .query_row("SELECT role, entities FROM enroll_tokens WHERE hash = ?1", [hash.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let (role, entities) = found.unwrap_or_default();
    Ok(Terms {
        role: role.and_then(|word| Role::parse(&word)),
        // A list that cannot be read allows nothing.
        entities: entities.map(|json| serde_json::from_str(&json).unwrap_or_default()),
    })
}

/// What a token allows.
pub(super) enum Token {
    Usable,
    UsedUp,
    Expired,
    Unknown,
}

impl Token {
    pub(super) fn look_up(tx: &Transaction, hash: KeyHash, now_ms: i64) -> rusqlite::Result<Self> {
        let found: Option<(i64, i64)> = tx
            .query_row("SELECT uses_left, expires_at FROM enroll_tokens WHERE hash = ?1", [hash.as_bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        Ok(match found {
            None => Self::Unknown,
            Some((_, expires_at)) if expires_at <= now_ms => Self::Expired,
            Some((0, _)) => Self::UsedUp,
            Some(_) => Self::Usable,
        })
    }
}

/// Takes one use away.
pub(super) fn use_up(tx: &Transaction, hash: KeyHash) -> rusqlite::Result<()> {
    tx.execute("UPDATE enroll_tokens SET uses_left = uses_left - 1 WHERE hash = ?1", [hash.as_bytes()])?;
    Ok(())
}
