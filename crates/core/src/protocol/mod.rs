//! The protocols of other people's servers and clients: their messages, and how these and the common model say the same thing.
//!
//! One file per protocol with its wire types and pure functions: the hub decodes what a client sends into [`Said`] and encodes
//! what it holds; the agent does the opposite ([`client`]). Names and shapes of rows are a matter of settings
//! ([`mapping`]), values of [`plain`], times of [`time`].

pub mod auraflow;
pub mod booky;
pub mod events;
pub mod insight;

pub mod client;

pub mod mapping;
pub mod parts;
pub mod plain;
pub mod said;
pub mod settings;
pub mod time;

pub use mapping::{Entities, Entity, Mapping};
pub use said::{Fault, Said};
pub use settings::{Protocols, Settings};

/// An object on the wire.
pub type Object = serde_json::Map<String, serde_json::Value>;

#[cfg(test)]
mod tests;
