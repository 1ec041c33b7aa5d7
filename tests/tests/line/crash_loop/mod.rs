//! The crash loop: the real agent on real SQLite files against the real hub in memory. The first, second, third … step or
//! network call fails; then everything goes on, and both stores and the hub must hold what an undisturbed run leaves behind.

mod applied;
mod between;
mod columns;
mod compare;
mod counters;
mod fetching;
mod giving_back;
mod line;
mod numbers;
mod pos;
mod register;
mod rekeying;
mod schema;
mod shop;

use line::Fault;
use pos::Journal;
use shop::{Outcome, Shop, Trouble};

/// More steps than any scenario has; a loop that gets here does not count.
const STEPS_MAX: i64 = 1_000;

/// Runs the scenario with trouble at the first, second, third … place, until no place is left, and compares every end with the
/// undisturbed one. There must be at least so many places, or the loop tests nothing.
fn check(journal: Journal, places_min: i64, trouble: impl Fn(i64) -> Trouble) {
    let undisturbed = Shop::run(journal, Trouble::None).end;
    for place in 1..STEPS_MAX {
        let trouble = trouble(place);
        let Outcome { end, happened } = Shop::run(journal, trouble);
        assert_eq!(end, undisturbed, "{trouble:?} with {journal:?}");
        if !happened {
            assert!(place > places_min, "only {} places", place - 1);
            return;
        }
    }
    panic!("the scenario never ends undisturbed");
}

#[test]
fn an_agent_may_end_after_every_step_with_a_write_ahead_log() {
    check(Journal::Wal, 30, |step| Trouble::EndOfA { step });
    check(Journal::Wal, 30, |step| Trouble::EndOfB { step });
}

#[test]
fn an_agent_may_end_after_every_step_with_a_rollback_journal() {
    check(Journal::Delete, 30, |step| Trouble::EndOfA { step });
    check(Journal::Delete, 30, |step| Trouble::EndOfB { step });
}

#[test]
fn every_request_may_get_lost() {
    check(Journal::Wal, 20, |call| Trouble::Call { call, fault: Fault::RequestLost });
}

#[test]
fn every_answer_may_get_lost() {
    check(Journal::Wal, 20, |call| Trouble::Call { call, fault: Fault::AnswerLost });
}

#[test]
fn every_request_may_arrive_twice() {
    check(Journal::Wal, 20, |call| Trouble::Call { call, fault: Fault::Doubled });
}
