//! One file per endpoint: authenticate, parse, ask the database, answer.

pub(crate) mod health;
pub(crate) mod register;
pub(crate) mod rekey;

pub(crate) mod conflicts;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod snapshot;
pub(crate) mod status;

pub(crate) mod admin;
