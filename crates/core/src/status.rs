//! From facts to the one honest sentence, as a value: [`crate::language`] puts it into words.

use serde::{Deserialize, Serialize};

use crate::problem::{Problem, Severity};

/// An unsent change older than this is never called healthy.
pub const UNSENT_HOURS_MAX: i64 = 2;

const HOUR_MS: i64 = 3_600_000;

/// The register's state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There is no register yet.
    NotSetUp,
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

/// The one honest sentence. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Sentence {
    /// There is no register yet.
    NotSetUp,
    /// Everything is sent and fetched.
    Synced,
    /// Work is under way.
    Syncing {
        /// Changes still to send and to fetch.
        left: u64,
    },
    /// The server is not reached.
    Offline {
        /// Changes that wait for it.
        waiting: u64,
        /// Since when.
        since_ms: i64,
    },
    /// A person asked for quiet.
    Paused {
        /// Until then, or until a person says so.
        until_ms: Option<i64>,
    },
    /// Something waits for a person.
    Attention {
        /// How many things.
        count: u64,
    },
    /// Syncing stands still.
    Error {
        /// What is the matter.
        problem: Problem,
    },
}

impl Sentence {
    /// The same in one word.
    pub fn state(&self) -> State {
        match self {
            Self::NotSetUp => State::NotSetUp,
            Self::Synced => State::Synced,
            Self::Syncing { .. } => State::Syncing,
            Self::Offline { .. } => State::Offline,
            Self::Paused { .. } => State::Paused,
            Self::Attention { .. } => State::Attention,
            Self::Error { .. } => State::Error,
        }
    }
}

/// Sentence and problems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The sentence.
    pub sentence: Sentence,
    /// Everything a person may want to look at, the worst first.
    pub problems: Vec<Problem>,
}

/// Sums up.
pub fn summarise(facts: &Facts, now: i64) -> Summary {
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
    Summary { sentence: sentence(facts, &problems), problems }
}

fn sentence(facts: &Facts, problems: &[Problem]) -> Sentence {
    match problems.first() {
        Some(problem) if problem.severity == Severity::Error => return Sentence::Error { problem: problem.clone() },
        Some(problem) if problem.severity == Severity::Attention => {
            let counted = |problem: &Problem| problem.code == "parked" || problem.code == "conflicts";
            let others = problems.iter().filter(|problem| problem.severity == Severity::Attention && !counted(problem)).count();
            return Sentence::Attention { count: facts.parked + facts.conflicts + others as u64 };
        }
        _ => {}
    }
    if let Some(until_ms) = facts.paused {
        Sentence::Paused { until_ms }
    } else if let Some(since_ms) = facts.offline_since_ms {
        Sentence::Offline { waiting: facts.pending, since_ms }
    } else if facts.left() > 0 || !facts.in_step {
        Sentence::Syncing { left: facts.left() }
    } else {
        Sentence::Synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 100 * HOUR_MS;

    fn check(facts: Facts, sentence: &Sentence) {
        let facts = Facts { in_step: true, ..facts };
        assert_eq!(summarise(&facts, NOW).sentence, *sentence);
    }

    #[test]
    fn every_state_has_its_sentence() {
        check(Facts::default(), &Sentence::Synced);
        check(Facts { pending: 3, ..Facts::default() }, &Sentence::Syncing { left: 3 });
        check(Facts { pending: 40, rows_to_fetch: 2, ..Facts::default() }, &Sentence::Syncing { left: 42 });
        let since_ms = NOW - HOUR_MS;
        let offline = Facts { pending: 9, offline_since_ms: Some(since_ms), ..Facts::default() };
        check(offline, &Sentence::Offline { waiting: 9, since_ms });
        check(Facts { paused: Some(None), ..Facts::default() }, &Sentence::Paused { until_ms: None });
        check(Facts { paused: Some(Some(NOW)), ..Facts::default() }, &Sentence::Paused { until_ms: Some(NOW) });
        check(Facts { parked: 2, conflicts: 1, ..Facts::default() }, &Sentence::Attention { count: 3 });
        let refused = Facts { problems: vec![Problem::suspended()], parked: 1, ..Facts::default() };
        check(refused, &Sentence::Error { problem: Problem::suspended() });
    }

    #[test]
    fn nothing_is_called_healthy_while_something_is_stuck() {
        let old = Some(NOW - 3 * HOUR_MS);
        let one = || Sentence::Attention { count: 1 };
        check(Facts { pending: 1, oldest_pending_ms: old, ..Facts::default() }, &one());
        check(Facts { pending: 1, oldest_pending_ms: old, offline_since_ms: old, ..Facts::default() }, &one());
        check(Facts { parked: 1, paused: Some(None), ..Facts::default() }, &one());
    }
}
