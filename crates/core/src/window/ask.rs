//! What the window may ask, and the answers. [`Ask`] goes to the agent, wherever it runs; [`Shell`] to the app around the window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Activity, Conflict, Found, Hour, Parked, Setting, Status, Table};
use crate::problem::Problem;

/// One of the two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The register's.
    Local,
    /// The server's.
    Server,
}

/// What is to stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "keep", rename_all = "snake_case")]
pub enum Keep {
    /// All of one side.
    All {
        /// Which.
        side: Side,
    },
    /// Column by column.
    Each {
        /// Which side, by column; what is not named stays the server's.
        columns: BTreeMap<String, Side>,
    },
}

/// A question to the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// How things are.
    Status,
    /// Conflicts that wait for a person.
    Conflicts,
    /// What happened, the latest first.
    Activity,
    /// Changes of the last 24 hours, hour by hour.
    Hours,
    /// What was refused.
    Parked,
    /// How each table syncs.
    Tables,
    /// Sync now.
    SyncNow,
    /// Be quiet.
    Pause {
        /// For so many minutes, or until [`Ask::Resume`].
        minutes: Option<u32>,
    },
    /// Go on.
    Resume,
    /// Decide a conflict.
    Decide {
        /// Its number.
        id: i64,
        /// The row's version that the person saw.
        version: i64,
        /// What is to stay.
        keep: Keep,
    },
    /// Send a refused change again.
    Retry {
        /// Its number.
        id: i64,
    },
    /// Give a refused change up.
    Discard {
        /// Its number.
        id: i64,
    },
}

/// What became of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "decided", rename_all = "snake_case")]
pub enum Decided {
    /// It is carried out.
    Done,
    /// The row has changed since the person looked; nothing was written.
    RowChanged {
        /// The conflict with the values of now.
        conflict: Box<Conflict>,
    },
    /// Somebody was first.
    Before {
        /// Who.
        by: Option<String>,
    },
    /// The server does not take it.
    Refused {
        /// Why.
        why: String,
    },
    /// The server was not reached.
    Unreachable {
        /// Why.
        why: String,
    },
}

/// The agent's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Ask::Status`].
    Status {
        /// How things are.
        status: Box<Status>,
    },
    /// To [`Ask::Conflicts`].
    Conflicts {
        /// The oldest first.
        conflicts: Vec<Conflict>,
    },
    /// To [`Ask::Activity`].
    Activity {
        /// The latest first.
        activity: Vec<Activity>,
    },
    /// To [`Ask::Hours`].
    Hours {
        /// The oldest first.
        hours: Vec<Hour>,
    },
    /// To [`Ask::Parked`].
    Parked {
        /// The oldest first.
        parked: Vec<Parked>,
    },
    /// To [`Ask::Tables`].
    Tables {
        /// In the order of their names.
        tables: Vec<Table>,
    },
    /// To [`Ask::Decide`].
    Decided {
        /// What became of it.
        decided: Decided,
    },
    /// To [`Ask::Discard`].
    Discarded {
        /// Where a copy is.
        file: String,
    },
    /// To everything else.
    Done,
    /// It could not be done.
    Failed {
        /// Why.
        problem: Problem,
    },
}

/// What a set-up needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// The POS's store.
    pub store: String,
    /// The server's address.
    pub server: String,
    /// Permission to register.
    pub code: String,
    /// What people call this register.
    pub name: String,
    /// Digits that a manager enters before deciding.
    pub pin: Option<String>,
}

/// A question to the app around the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Shell {
    /// What the window shows beside the agent's doings.
    Setting,
    /// Speak another language; the system's when absent.
    Language {
        /// Its code.
        code: Option<String>,
    },
    /// Start at login, or not.
    Autostart {
        /// Which.
        on: bool,
    },
    /// Let a manager decide.
    Unlock {
        /// The PIN.
        pin: String,
    },
    /// The end of it.
    Lock,
    /// Look for stores on this machine.
    FindStores,
    /// Let the person choose a file.
    PickStore,
    /// Ask whether a sync server answers.
    TestServer {
        /// Its address.
        server: String,
    },
    /// Make this machine a register.
    SetUp {
        /// With this.
        with: SetUp,
    },
}

/// The app's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum ShellReply {
    /// To [`Shell::Setting`], and to everything that changes it.
    Setting {
        /// As it is now.
        setting: Box<Setting>,
    },
    /// To [`Shell::Unlock`], when it is the wrong PIN.
    WrongPin {
        /// No try is taken for so many seconds.
        wait_s: u32,
    },
    /// To [`Shell::FindStores`] and [`Shell::PickStore`].
    Stores {
        /// What was found.
        stores: Vec<Found>,
    },
    /// To [`Shell::TestServer`] and [`Shell::SetUp`]: it worked.
    Done,
    /// It did not.
    Failed {
        /// Why.
        problem: Problem,
    },
}
