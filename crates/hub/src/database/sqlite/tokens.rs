//! Enrolment tokens.

use rusqlite::{OptionalExtension, Transaction, params};
use tillsync_core::config::Role;

use crate::clock::now_ms;
use crate::key::KeyHash;

pub(super) fn add(tx: &Transaction, hash: KeyHash, uses: u32, expires_at_ms: i64, role: Option<Role>) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO enroll_tokens (hash, uses_left, expires_at, created_at, role) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![hash.as_bytes(), uses, expires_at_ms, now_ms(), role.map(Role::as_str)],
    )?;
    Ok(())
}

/// The role that a token binds its devices to, if it does.
pub(super) fn role(tx: &Transaction, hash: KeyHash) -> rusqlite::Result<Option<Role>> {
    let word: Option<Option<String>> =
        tx.query_row("SELECT role FROM enroll_tokens WHERE hash = ?1", [hash.as_bytes()], |row| row.get(0)).optional()?;
    Ok(word.flatten().and_then(|word| Role::parse(&word)))
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
