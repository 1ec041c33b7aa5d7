//! Problems: everything Tillsync ever asks a person to look at, in one place, with what to do about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is stuck.
    Info,
    /// Something waits for a person; the rest goes on.
    Attention,
    /// Syncing stands still until somebody acts.
    Error,
}

/// What a sentence is about: a name, or a number with its plural.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(untagged)]
pub enum Argument {
    /// A number.
    Number(i64),
    /// Anything else.
    Text(String),
}

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Argument {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// A problem as people see it. On the command line `text` and `action` say it; window and tray say it in the person's language, by
/// `code` and `arguments` (see [`crate::language`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Problem {
    /// A stable word for programs.
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// What is the matter, one sentence.
    pub text: String,
    /// What to do, one sentence.
    pub action: String,
    /// What the sentence is about.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(test, ts(as = "Option<BTreeMap<String, Argument>>", optional))]
    pub arguments: BTreeMap<String, Argument>,
}

impl Problem {
    /// The code of rows that are gone and were not believed to be deleted.
    pub const ROWS_VANISHED: &'static str = "rows_vanished";

    /// The code of rows that cannot be told apart.
    pub const ROWS_WITHOUT_KEY: &'static str = "rows_without_key";

    /// Whether rows wait for a person, beside the refused changes and the conflicts, which are counted.
    pub fn needs_a_person(&self) -> bool {
        [Self::ROWS_VANISHED, Self::ROWS_WITHOUT_KEY].contains(&self.code.as_str())
    }

    fn new(code: &str, severity: Severity, text: impl Into<String>, action: impl Into<String>) -> Self {
        Self { code: code.to_owned(), severity, text: text.into(), action: action.into(), arguments: BTreeMap::new() }
    }

    /// The same with something that the sentence is about.
    #[must_use]
    pub fn with(mut self, name: &str, argument: impl Into<Argument>) -> Self {
        self.arguments.insert(name.to_owned(), argument.into());
        self
    }

    /// The server was not reached several times in a row.
    pub fn server_unreachable(failures: u32, why: &str) -> Self {
        Self::new(
            "server_unreachable",
            Severity::Info,
            format!("The server did not answer {failures} times in a row: {why}."),
            "Check the network and the server address; every change is kept and sent when the server answers.",
        )
        .with("failures", i64::from(failures))
        .with("why", why)
    }

    /// The server answers with errors of its own several times in a row.
    pub fn server_failing(failures: u32, why: &str) -> Self {
        Self::new(
            "server_failing",
            Severity::Attention,
            format!("The server failed {failures} times in a row: {why}."),
            "Tell whoever runs the server; every change is kept and sent when it recovers.",
        )
        .with("failures", i64::from(failures))
        .with("why", why)
    }

    /// Something answered that is no sync server.
    pub fn not_a_sync_server(why: &str) -> Self {
        Self::new(
            "not_a_sync_server",
            Severity::Attention,
            format!("What answers at the server address is not a sync server: {why}."),
            "Check the server address, or log in to the network if it shows a log-in page.",
        )
        .with("why", why)
    }

    /// The key was refused.
    pub fn key_refused(why: &str) -> Self {
        Self::new(
            "key_refused",
            Severity::Error,
            format!("The server refuses this register's key: {why}."),
            "Ask for an enrolment token and run `tillsync init` again with it; every change is kept.",
        )
        .with("why", why)
    }

    /// The device is suspended.
    pub fn suspended() -> Self {
        Self::new(
            "suspended",
            Severity::Error,
            "The server has suspended this register.",
            "Ask the administrator of the server to lift the suspension; every change is kept.",
        )
    }

    /// State and key are a copy of a register on another machine.
    pub fn copied(name: &str, device: &str) -> Self {
        Self::new(
            "copied",
            Severity::Error,
            format!("This is a copy of the register {name} (device {device}) on another machine."),
            "Run `tillsync init --enroll-token TOKEN` to make it a register of its own, or `tillsync init --replace` if the other machine is \
             gone for good; the POS goes on, and every change is kept.",
        )
        .with("name", name)
        .with("device", device)
    }

    /// A copy has an identity of its own now.
    pub fn parted(name: &str) -> Self {
        Self::new(
            "parted",
            Severity::Info,
            format!("This was a copy of the register {name} on another machine; it is a register of its own now."),
            "Nothing to do. If the other machine is gone, its device can be deleted at the server.",
        )
        .with("name", name)
    }

    /// There is no key to be found.
    pub fn key_missing(why: &str) -> Self {
        Self::new(
            "key_missing",
            Severity::Error,
            format!("This register's key cannot be read: {why}."),
            "Unlock the keychain, or run `tillsync init` again with an enrolment token.",
        )
        .with("why", why)
    }

    /// Changes that the server refuses.
    pub fn parked(count: u64) -> Self {
        Self::new(
            "parked",
            Severity::Attention,
            format!("{count} refused by the server or the store."),
            "See `tillsync outbox --parked`; send again with `outbox retry ID` or give up with `outbox discard ID`.",
        )
        .with("count", count as i64)
    }

    /// Changes that contradict another register's.
    pub fn conflicts(count: u64) -> Self {
        Self::new(
            "conflicts",
            Severity::Attention,
            format!("{count} in conflict with another register."),
            "See `tillsync conflicts`; decide with `tillsync conflicts resolve ID --keep local` or `--keep server`.",
        )
        .with("count", count as i64)
    }

    /// The oldest unsent change is older than anybody should have to wait.
    pub fn oldest_unsent(hours: i64) -> Self {
        Self::new(
            "oldest_unsent",
            Severity::Attention,
            format!("The oldest unsent change is {hours} h old."),
            "Check the network and the server; `tillsync doctor` says more.",
        )
        .with("hours", hours)
    }

    /// The store cannot be used.
    pub fn store(code: &str, text: impl Into<String>, action: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(code, Severity::Error, text.clone(), action).with("why", text.trim_end_matches('.'))
    }

    /// A table that does not sync.
    pub fn table_refused(table: &str, why: &str) -> Self {
        Self::new(
            "table_refused",
            Severity::Info,
            format!("The table {table} does not sync: {why}."),
            "Give it a primary key, or leave it out with `exclude_tables` in the config.",
        )
        .with("table", table)
        .with("why", why)
    }

    /// The config says something about a table that does not fit the store.
    pub fn settings(what: &str) -> Self {
        Self::new(
            "settings",
            Severity::Attention,
            format!("The config does not fit the store: {what}."),
            "Correct it with `tillsync tables set` or in the config; `tillsync tables` shows what is there.",
        )
        .with("why", what)
    }

    /// The config has changed what a table's keys mean, after rows of it were synced.
    pub fn key_changed(table: &str, before: &str) -> Self {
        Self::new(
            "key_changed",
            Severity::Error,
            format!("The config gives the table {table} another kind of key than its rows were synced with."),
            format!(
                "Set it back with `tillsync tables set {table} --key {before}`; with another key the rows would come a second time."
            ),
        )
        .with("table", table)
    }

    /// The journal was missing and has been put back.
    pub fn journal_lost(what: &str) -> Self {
        Self::new(
            "journal_lost",
            Severity::Info,
            format!(
                "The POS removed a part of Tillsync's journal ({what}); it was put back and the store was compared row by row."
            ),
            "Nothing to do. If it happens often, ask the POS vendor to leave the tables and triggers named _tillsync_* alone.",
        )
        .with("what", what)
    }

    /// Many rows are gone from the store and no trigger saw them go.
    pub fn rows_vanished(count: i64) -> Self {
        Self::new(
            Self::ROWS_VANISHED,
            Severity::Attention,
            format!("{count} rows have vanished from the store without a trace; the other registers still have them."),
            "If that is right, run `tillsync verify --accept-deletes`; to have them back, `tillsync verify --fetch-vanished`.",
        )
        .with("count", count)
    }

    /// Rows that share a key which holds NULL. `is_more` when not all of them were counted.
    pub fn rows_without_key(table: &str, rows: u64, is_more: bool) -> Self {
        let said = match (rows, is_more) {
            (1, false) => "1 row of the table".to_owned(),
            (rows, false) => format!("{rows} rows of the table"),
            (rows, true) => format!("{rows} rows or more of the table"),
        };
        Self::new(
            Self::ROWS_WITHOUT_KEY,
            Severity::Attention,
            format!("{said} {table} cannot be told apart and do not sync: their key holds NULL, and more than one row has it."),
            "Give each of these rows a key of its own, or leave the table out with `exclude_tables` in the config.",
        )
        .with("table", table)
        .with("count", rows as i64)
    }

    /// The store went back in time.
    pub fn store_restored() -> Self {
        Self::new(
            "store_restored",
            Severity::Info,
            "The store was restored from an older copy; what it had lost is fetched from the server again.",
            "Nothing to do.",
        )
    }

    /// The register was away for longer than the server remembers deletes.
    pub fn away_too_long() -> Self {
        Self::new(
            "away_too_long",
            Severity::Info,
            "This register was away for longer than the server remembers what was deleted; it fetches everything anew and keeps its own \
             changes.",
            "Nothing to do.",
        )
    }

    /// A row was deleted elsewhere, but rows here refer to it.
    pub fn given_back(table: &str, why: &str) -> Self {
        Self::new(
            "given_back",
            Severity::Info,
            format!("A row of {table} that was deleted on another register has come back: {why}."),
            "Nothing to do. Delete it again once nothing refers to it.",
        )
        .with("table", table)
        .with("why", why)
    }

    /// The server lost a part of its log.
    pub fn server_reset() -> Self {
        Self::new(
            "server_reset",
            Severity::Attention,
            "The server was reset or restored from an older backup.",
            "Tell whoever runs the server; this register compares and sends again what the server lost.",
        )
    }

    /// The state folder cannot be written.
    pub fn state(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(
            "state",
            Severity::Error,
            text.clone(),
            "Free some space or repair the state folder; the journal in the store keeps every change.",
        )
        .with("why", text.trim_end_matches('.'))
    }

    /// This machine could not be made a register.
    pub fn set_up_failed(why: &str) -> Self {
        Self::new("set_up_failed", Severity::Error, format!("{why}."), "Correct it, then try again.").with("why", why)
    }

    /// A till's person asked for what only a manager may do.
    pub fn manager_only() -> Self {
        Self::new("manager_only", Severity::Attention, "Only a manager can decide.", "Ask a manager to enter the PIN.")
    }

    /// The administrator has set it.
    pub fn managed() -> Self {
        Self::new("managed", Severity::Info, "This is set by your administrator.", "Ask them to change it.")
    }

    /// What was asked cannot be meant.
    pub fn not_understood(what: &str) -> Self {
        Self::new(
            "not_understood",
            Severity::Error,
            format!("This was asked for, and cannot be meant: {what}."),
            "Start Tillsync again.",
        )
        .with("what", what)
    }

    /// No agent runs.
    pub fn agent_not_running() -> Self {
        Self::new(
            "agent_not_running",
            Severity::Info,
            "No agent is running.",
            "Start it with `tillsync run`, or sync once with `tillsync sync`.",
        )
    }

    /// The store uses a rollback journal.
    pub fn rollback_journal() -> Self {
        Self::new(
            "rollback_journal",
            Severity::Info,
            "The store uses a rollback journal, in which readers and writers block each other.",
            "If the POS vendor agrees, switch the store to WAL (`PRAGMA journal_mode=WAL`).",
        )
    }
}
