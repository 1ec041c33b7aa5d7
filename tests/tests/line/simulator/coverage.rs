//! What has happened in the runs, so that nobody believes in a check that never had anything to look at.

use std::collections::BTreeMap;

use tillsync_core::merge::Kept;

use super::conflicts::{Noted, Standing};

/// How often things happened, by name.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<String, u64>);

/// What must have happened in a set of runs.
const EXPECTED: [&str; 35] = [
    "a column comes",
    "a column goes",
    "a column in conflict",
    "a copy becomes a register of its own",
    "a copy goes back to a backup of its original",
    "a count that adds up",
    "a key is used again",
    "a key means another row elsewhere",
    "a new column is filled",
    "a new column is filled by both",
    "a new column is filled late",
    "a new column is sent",
    "a person decides",
    "a person decides and the hub does not hear it",
    "a person decides too late: somebody else was first",
    "a person decides too late: the row has moved",
    "a pulled row gets a key of its own",
    "a register is copied",
    "a row in conflict",
    "a row waits for its parent",
    "a store is restored",
    "a table comes",
    "a table goes",
    "a table is rebuilt",
    "a wall clock is set",
    "client keeps the client",
    "fill keeps the client",
    "fill keeps the server",
    "json keeps both",
    "latest keeps the client",
    "latest keeps the server",
    "manager keeps the client",
    "manager keeps the server",
    "server keeps the server",
    "sum keeps both",
];

impl Coverage {
    /// It happened once more.
    pub fn count(&mut self, what: &str) {
        *self.0.entry(what.to_owned()).or_default() += 1;
    }

    /// Counts what a conflict is about.
    pub fn count_conflict(&mut self, noted: &Noted) {
        if noted.standing == Standing::Automatic {
            for dispute in &noted.disputes {
                let kept = match dispute.kept {
                    Kept::Client => "the client",
                    Kept::Server => "the server",
                    Kept::Merged => "both",
                    Kept::Nobody => "nobody",
                };
                self.count(&format!("{} keeps {kept}", dispute.rule.as_str()));
            }
        } else {
            self.count(if noted.disputes.is_empty() { "a row in conflict" } else { "a column in conflict" });
        }
    }

    /// Adds what happened in another run.
    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what.clone()).or_default() += times;
        }
    }

    /// What never happened although it should have.
    pub fn missing(&self) -> Vec<&'static str> {
        EXPECTED.iter().copied().filter(|what| !self.0.contains_key(*what)).collect()
    }
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(what, times)| writeln!(out, "{times:>10} {what}"))
    }
}
