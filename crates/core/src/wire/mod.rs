//! Messages as they travel, one module per family of endpoints.

pub mod hub;
pub mod snapshot;
