//! What crosses the boundary between the window and the rest: questions, answers, and everything that they carry.
//!
//! The TypeScript side of it, `ui/src/backend/types.ts`, is written by a test of this module, which fails when the file is stale. Times are
//! Unix milliseconds.

mod ask;
mod conflict;
mod status;
#[cfg(test)]
mod typescript;

use serde::{Deserialize, Serialize};

use crate::problem::Problem;

pub use ask::{Ask, Decided, Keep, Reply, Secret, SetUp, Shell, ShellReply, Side};
pub use conflict::{Column, Conflict, ConflictKind, columns_of, title};
pub use status::{FullSync, Status};

/// Events that the window can look back at.
pub const ACTIVITY_MAX: u32 = 200;

/// Hours in the chart.
pub const HOURS: u32 = 24;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// Changes went to the server.
    Sent,
    /// Changes came from the server.
    Received,
    /// The agent started.
    Started,
    /// The agent ended.
    Stopped,
    /// The server stopped answering.
    Offline,
    /// It answers again.
    Online,
    /// The first full sync is complete.
    FullSync,
    /// A person asked for quiet.
    Paused,
    /// The end of it.
    Resumed,
    /// Two registers disagree about a row.
    Conflict,
    /// Somebody decided.
    Decided,
    /// The server refused a change.
    Parked,
    /// A person sent it again.
    Retried,
    /// A person gave it up.
    Discarded,
    /// Something worth knowing.
    Problem,
}

impl Happening {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Sent,
        Self::Received,
        Self::Started,
        Self::Stopped,
        Self::Offline,
        Self::Online,
        Self::FullSync,
        Self::Paused,
        Self::Resumed,
        Self::Conflict,
        Self::Decided,
        Self::Parked,
        Self::Retried,
        Self::Discarded,
        Self::Problem,
    ];
}

/// One line of the activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Activity {
    /// Its number.
    pub id: i64,
    /// When it was, last.
    pub at_ms: i64,
    /// What happened.
    pub what: Happening,
    /// How many changes.
    pub count: u64,
    /// The table.
    pub entity: Option<String>,
    /// What a person would call the row.
    pub row: Option<String>,
    /// What is the matter.
    pub problem: Option<Problem>,
}

/// Changes of one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Hour {
    /// Its beginning.
    pub start_ms: i64,
    /// Changes sent.
    pub sent: u64,
    /// Changes received.
    pub received: u64,
}

/// A change that the server refuses, or a row that the store refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Parked {
    /// The change's number; absent for a row that comes from the server, which is tried again by itself.
    pub id: Option<i64>,
    /// The table.
    pub entity: String,
    /// What a person would call the row.
    pub row: String,
    /// Why.
    pub reason: String,
    /// When the POS made it.
    pub at_ms: Option<i64>,
}

/// Which way a table's rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Both ways.
    Both,
    /// To the server only.
    Push,
    /// From the server only.
    Pull,
    /// Neither.
    No,
}

/// A table of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Which way its rows go.
    pub way: Way,
    /// Why it does not sync.
    pub reason: Option<String>,
    /// Columns that never leave the register.
    pub secrets: Vec<String>,
}

/// A file that may be the POS's store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Found {
    /// Where it is.
    pub path: String,
    /// What is in it.
    pub tables: Vec<Table>,
    /// Why it cannot be used.
    pub problem: Option<Problem>,
}

/// What the window shows beside the agent's doings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Setting {
    /// Whether there is a register.
    pub set_up: bool,
    /// The language that a person chose; the system's when absent.
    pub language: Option<String>,
    /// What the system speaks, best first.
    pub system_languages: Vec<String>,
    /// Whether it starts at login.
    pub autostart: bool,
    /// Names of the settings that the administrator has set.
    pub managed: Vec<String>,
    /// Whether this is a manager's machine.
    pub manager: bool,
    /// Whether decisions need a PIN.
    pub has_pin: bool,
    /// Whether it has been entered.
    pub unlocked: bool,
    /// The version of the program.
    pub version: String,
    /// What a set-up would use: the name of the machine, and what policy says.
    pub proposed_name: String,
    /// See [`Self::proposed_name`].
    pub proposed_server: String,
}
