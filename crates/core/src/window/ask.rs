//! What the window may ask, and the answers. [`Ask`] goes to the agent, wherever it runs; [`Shell`] to the app around the window.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Activity, Conflict, Found, Hour, Parked, Setting, Status, Table};
use crate::language::codes;
use crate::problem::Problem;

/// A week; whoever wants more pauses until further notice.
const PAUSE_MINUTES_MAX: u32 = 7 * 24 * 60;

/// As many as SQLite allows in a table.
const COLUMNS_MAX: usize = 2_000;

/// The longest text that anybody types or pastes; paths are the longest of them.
const TEXT_BYTES_MAX: usize = 4_096;

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

/// What a person typed that nobody else may see: it is in no log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
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

impl Ask {
    /// Whether a till's person needs a manager for it.
    pub fn takes_a_manager(&self) -> bool {
        matches!(self, Self::Decide { .. } | Self::Retry { .. } | Self::Discard { .. })
    }

    /// Refuses what no window of ours would ask.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Pause { minutes: Some(minutes) } if !(1..=PAUSE_MINUTES_MAX).contains(minutes) => {
                Err("a pause of no or of endless time")
            }
            Self::Decide { keep: Keep::Each { columns }, .. } if columns.len() > COLUMNS_MAX => Err("more columns than a row has"),
            _ => Ok(()),
        }
    }
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
    pub code: Secret,
    /// What people call this register.
    pub name: String,
    /// Digits that a manager enters before deciding.
    pub pin: Option<Secret>,
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
        pin: Secret,
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

impl Shell {
    /// Refuses what no window of ours would ask.
    pub fn check(&self) -> Result<(), &'static str> {
        let texts: Vec<&str> = match self {
            Self::Language { code: Some(code) } if !codes().any(|known| known == code) => {
                return Err("a language that is not there");
            }
            Self::Unlock { pin } => vec![pin.expose()],
            Self::TestServer { server } => vec![server],
            Self::SetUp { with } => {
                let pin = with.pin.as_ref().map_or("", Secret::expose);
                vec![&with.store, &with.server, with.code.expose(), &with.name, pin]
            }
            _ => Vec::new(),
        };
        let is_too_long = |text: &&str| text.len() > TEXT_BYTES_MAX || text.contains(char::is_control);
        if texts.iter().any(is_too_long) { Err("a text that nobody types") } else { Ok(()) }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn asks(json: &str, is_fine: bool) {
        let asked = serde_json::from_str::<Ask>(json).map_err(|error| error.to_string());
        let checked = asked.and_then(|ask| ask.check().map_err(str::to_owned));
        assert_eq!(checked.is_ok(), is_fine, "{json}: {checked:?}");
    }

    #[track_caller]
    fn asks_the_app(json: &str, is_fine: bool) {
        let asked = serde_json::from_str::<Shell>(json).map_err(|error| error.to_string());
        let checked = asked.and_then(|ask| ask.check().map_err(str::to_owned));
        assert_eq!(checked.is_ok(), is_fine, "{json}: {checked:?}");
    }

    #[test]
    fn what_no_window_of_ours_asks_is_refused() {
        asks(r#"{"ask":"pause","minutes":30}"#, true);
        asks(r#"{"ask":"pause","minutes":null}"#, true);
        asks(r#"{"ask":"pause","minutes":0}"#, false);
        asks(r#"{"ask":"pause","minutes":10081}"#, false);
        asks(r#"{"ask":"pause","minutes":-1}"#, false);
        asks(r#"{"ask":"pause","minutes":1,"command":"stop"}"#, false);
        asks(r#"{"ask":"stop"}"#, false);
        asks(r#"{"ask":"decide","id":1,"version":2,"keep":{"keep":"all","side":"mine"}}"#, false);
        asks(r#"{"ask":"decide","id":"1 OR 1","version":2,"keep":{"keep":"all","side":"local"}}"#, false);
        let columns: Vec<String> = (0..=COLUMNS_MAX).map(|column| format!(r#""c{column}":"local""#)).collect();
        let many = |columns: &[String]| {
            format!(r#"{{"ask":"decide","id":1,"version":2,"keep":{{"keep":"each","columns":{{{}}}}}}}"#, columns.join(","))
        };
        asks(&many(&columns), false);
        asks(&many(&columns[1..]), true);
        asks_the_app(r#"{"ask":"language","code":"ar"}"#, true);
        asks_the_app(r#"{"ask":"language","code":null}"#, true);
        asks_the_app(r#"{"ask":"language","code":"../../etc"}"#, false);
        asks_the_app(r#"{"ask":"test_server","server":"https://sync.example.com"}"#, true);
        asks_the_app(r#"{"ask":"test_server","server":"https://x\n"}"#, false);
        asks_the_app(&format!(r#"{{"ask":"unlock","pin":"{}"}}"#, "1".repeat(TEXT_BYTES_MAX + 1)), false);
        asks_the_app(r#"{"ask":"open","path":"/etc/passwd"}"#, false);
    }

    #[test]
    fn what_is_secret_is_in_no_log() {
        let asked: Shell = serde_json::from_str(r#"{"ask":"unlock","pin":"2580"}"#).unwrap();
        assert_eq!(format!("{asked:?}"), "Unlock { pin: (secret) }");
    }
}
