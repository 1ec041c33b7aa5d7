//! From facts to the one honest sentence.

use serde::{Deserialize, Serialize};

use crate::problem::{Problem, Severity};

/// An unsent change older than this is never called healthy.
pub const UNSENT_HOURS_MAX: i64 = 2;

const HOUR_MS: i64 = 3_600_000;

/// The register's state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything is sent and fetched.
    Synced,
    /// Work is under way.
    Syncing,
    /// The server is not reached; changes are kept.
    Offline,
    /// A person asked for quiet.
    Paused,
    /// Something waits for a person; the rest goes on.
    Attention,
    /// Syncing stands still until somebody acts.
    Error,
}

/// What the state follows from.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Changes not yet confirmed by the server: outbox, journal and rows of the first full sync.
    pub pending: u64,
    /// Changes refused by the server and rows refused by the store.
    pub parked: u64,
    /// Changes that contradict another register's.
    pub conflicts: u64,
    /// When the oldest pending change was made.
    pub oldest_pending_ms: Option<i64>,
    /// Changes known to be on the server and still to fetch.
    pub rows_to_fetch: u64,
    /// Since when the server is not reached.
    pub offline_since_ms: Option<i64>,
    /// Paused; the inner value is the end, if there is one.
    pub paused: Option<Option<i64>>,
    /// Whether a first complete round has been made and no row has to be compared since.
    pub in_step: bool,
    /// Problems already known.
    pub problems: Vec<Problem>,
}

impl Facts {
    fn left(&self) -> u64 {
        self.pending + self.rows_to_fetch
    }
}

/// State, sentence and problems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// One word.
    pub state: State,
    /// One sentence.
    pub sentence: String,
    /// Everything a person may want to look at, the worst first.
    pub problems: Vec<Problem>,
}

/// Sums up. `clock` turns Unix milliseconds into the local `hh:mm`.
pub fn summarise(facts: &Facts, now: i64, clock: impl Fn(i64) -> String) -> Summary {
    let mut problems = facts.problems.clone();
    if facts.parked > 0 {
        problems.push(Problem::parked(facts.parked));
    }
    if facts.conflicts > 0 {
        problems.push(Problem::conflicts(facts.conflicts));
    }
    let age_h = facts.oldest_pending_ms.map_or(0, |oldest| (now - oldest) / HOUR_MS);
    if facts.pending > 0 && age_h >= UNSENT_HOURS_MAX {
        problems.push(Problem::oldest_unsent(age_h));
    }
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    let state = state(facts, &problems);
    let sentence = sentence(state, facts, &problems, clock);
    Summary { state, sentence, problems }
}

fn state(facts: &Facts, problems: &[Problem]) -> State {
    match problems.first().map(|problem| problem.severity) {
        Some(Severity::Error) => return State::Error,
        Some(Severity::Attention) => return State::Attention,
        Some(Severity::Info) | None => {}
    }
    if facts.paused.is_some() {
        State::Paused
    } else if facts.offline_since_ms.is_some() {
        State::Offline
    } else if facts.left() > 0 || !facts.in_step {
        State::Syncing
    } else {
        State::Synced
    }
}

fn sentence(state: State, facts: &Facts, problems: &[Problem], clock: impl Fn(i64) -> String) -> String {
    match state {
        State::Synced => "Up to date".to_owned(),
        State::Syncing => match facts.left() {
            0 => "Syncing".to_owned(),
            left => format!("Syncing ({left} left)"),
        },
        State::Offline => {
            let since = facts.offline_since_ms.map(clock).unwrap_or_default();
            match facts.pending {
                0 => format!("Offline since {since}"),
                1 => format!("Offline, 1 change waiting since {since}"),
                waiting => format!("Offline, {waiting} changes waiting since {since}"),
            }
        }
        State::Paused => match facts.paused.flatten() {
            Some(until) => format!("Paused until {}", clock(until)),
            None => "Paused".to_owned(),
        },
        State::Attention => {
            let waiting = facts.parked + facts.conflicts;
            let others = problems
                .iter()
                .filter(|p| p.severity == Severity::Attention && p.code != "parked" && p.code != "conflicts")
                .count();
            format!("Needs attention ({})", waiting + others as u64)
        }
        State::Error => {
            let reason = problems.first().map(|problem| problem.text.trim_end_matches('.')).unwrap_or_default();
            format!("Can't sync ({reason})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 100 * HOUR_MS;

    fn check(facts: Facts, state: State, sentence: &str) {
        let facts = Facts { in_step: true, ..facts };
        let summary = summarise(&facts, NOW, |ms| format!("{:02}:{:02}", ms / HOUR_MS % 24, ms / 60_000 % 60));
        assert_eq!((summary.state, summary.sentence.as_str()), (state, sentence));
    }

    #[test]
    fn every_state_has_its_sentence() {
        check(Facts::default(), State::Synced, "Up to date");
        check(Facts { pending: 3, ..Facts::default() }, State::Syncing, "Syncing (3 left)");
        check(Facts { pending: 40, rows_to_fetch: 2, ..Facts::default() }, State::Syncing, "Syncing (42 left)");
        let offline = Some(NOW - HOUR_MS);
        check(Facts { offline_since_ms: offline, ..Facts::default() }, State::Offline, "Offline since 03:00");
        check(
            Facts { pending: 1, offline_since_ms: offline, ..Facts::default() },
            State::Offline,
            "Offline, 1 change waiting since 03:00",
        );
        check(
            Facts { pending: 9, offline_since_ms: offline, ..Facts::default() },
            State::Offline,
            "Offline, 9 changes waiting since 03:00",
        );
        check(Facts { paused: Some(None), ..Facts::default() }, State::Paused, "Paused");
        check(Facts { paused: Some(Some(NOW)), ..Facts::default() }, State::Paused, "Paused until 04:00");
        check(Facts { parked: 2, conflicts: 1, ..Facts::default() }, State::Attention, "Needs attention (3)");
        let refused = Facts { problems: vec![Problem::suspended()], ..Facts::default() };
        check(refused, State::Error, "Can't sync (The server has suspended this register)");
    }

    #[test]
    fn nothing_is_called_healthy_while_something_is_stuck() {
        let old = Some(NOW - 3 * HOUR_MS);
        check(Facts { pending: 1, oldest_pending_ms: old, ..Facts::default() }, State::Attention, "Needs attention (1)");
        check(
            Facts { pending: 1, oldest_pending_ms: old, offline_since_ms: old, ..Facts::default() },
            State::Attention,
            "Needs attention (1)",
        );
        check(Facts { parked: 1, paused: Some(None), ..Facts::default() }, State::Attention, "Needs attention (1)");
    }
}
