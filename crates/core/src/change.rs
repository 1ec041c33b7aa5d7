//! Changes: what the outbox holds and the wire carries.

use serde::{Deserialize, Serialize};

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// The row is new to the register that says so.
    Create,
    /// The row is known and some of its columns changed.
    Update,
    /// The row is gone.
    Delete,
}

impl Operation {
    /// The word on the wire and in databases.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The operation that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "create" => Some(Self::Create),
            "update" => Some(Self::Update),
            "delete" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// What a server said about one change. An HTTP status alone never decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Stored as sent.
    Applied,
    /// Already there: the same event, or the same content.
    Duplicate,
    /// Stored together with what another register changed; the answer carries the row as it is now.
    Merged,
    /// Not stored: it contradicts another register's change and waits for a person.
    Conflict,
    /// Not stored: the server refuses it, with a reason.
    Rejected,
}
