//! Twins: small servers of the five protocols as other people run them. They follow the documents, and have switches for what deployed servers do
//! besides ([`Way`]). Nothing of the hub's is used, so that a fault in it is not mirrored here.

mod auraflow;
mod booky;
mod clock;
mod events;
mod insight;
mod nuqta;
mod server;
mod tests;
mod ways;

use serde_json::Value;

pub use booky::PASSWORD;
pub use server::Twin;
pub use ways::Way;

/// The protocol that a twin speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Nuqta,
    Auraflow,
    Events,
    Booky,
    Insight,
}

impl Protocol {
    /// A server of it.
    pub fn twin(self, ways: &[Way]) -> Twin {
        let server: Box<dyn server::Server> = match self {
            Self::Nuqta => Box::<nuqta::Nuqta>::default(),
            Self::Auraflow => Box::<auraflow::Auraflow>::default(),
            Self::Events => Box::<events::Events>::default(),
            Self::Booky => Box::<booky::Booky>::default(),
            Self::Insight => Box::<insight::Insight>::default(),
        };
        Twin::start(server, ways)
    }
}

/// Rows that no server takes have this word in a text.
pub const POISON: &str = "poison";

/// Whether a row is one that no server takes.
fn is_bad(row: &Value) -> bool {
    row.to_string().contains(POISON)
}

/// The number in a JSON number or in text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// The other kind of JSON for a number.
fn other_kind(id: i64, is_other: bool) -> Value {
    if is_other { Value::String(id.to_string()) } else { Value::from(id) }
}
