//! The sync server that ships with Tillsync: one change log, served over the cloud sync API of Nuqta Plus and its extensions.
//!
//! Modules in reading order: what is served, who may ask, what a request may be, where it is kept. What becomes of a pushed
//! change is not decided here but by the pure [`tillsync_core::merge`]; the wire types are [`tillsync_core::wire::hub`].
//! There is no state outside the database but the head that wakes long polls.

mod hub;
mod router;

mod endpoints;
mod openapi;
mod protocols;

mod body;
mod credentials;
mod query;
mod refusal;

mod clock;
mod google;
mod jwt;
mod key;
mod live;
mod password;
mod rate;
mod retention;

pub mod cli;
pub mod database;

pub use hub::{Hub, Keys, Options};
pub use router::router;
