//! The server's clock as a register knows it: read off the server's answers and counted on by a clock that cannot jump, so that a wall
//! clock that is wrong moves nothing. Ticks are milliseconds of that clock, from any beginning.

/// A clock that cannot jump gains or loses less than one part in this many: 500 per million, several times what cheap crystals do.
const DRIFT: i64 = 2_000;

/// A register's clock that is less than this away is right, milliseconds: the difference may as well be the time that a request took.
const SKEW_MS_MIN: i64 = 120_000;

/// An answer of the server that says what time it is.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// The server's clock when it answered, Unix milliseconds.
    pub server_ms: i64,
    /// When the request went, in ticks.
    pub sent: i64,
    /// When the answer was there, in ticks.
    pub received: i64,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// It was the first: until then the time was a guess.
    pub first: bool,
    /// What must be added to earlier times, milliseconds.
    pub shift_ms: i64,
}

/// What is known of the server's clock.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    at: i64,
    server_ms: i64,
    /// How far the truth may be away, milliseconds; `None` for a guess.
    error_ms: Option<i64>,
}

impl Reading {
    /// A guess, before the server has been heard: at this tick its clock shows this.
    pub fn guess(at: i64, server_ms: i64) -> Self {
        Self { at, server_ms, error_ms: None }
    }

    /// The server's clock at a tick, Unix milliseconds.
    pub fn ms_at(&self, tick: i64) -> i64 {
        self.server_ms.saturating_add(tick.saturating_sub(self.at))
    }

    /// Whether the server has been heard.
    pub fn is_sure(&self) -> bool {
        self.error_ms.is_some()
    }

    /// Takes an answer in; `None` when it says nothing new. It does when it is the first, when it is more exact than what is known by
    /// now, or when it contradicts it: the server's clock was set, or this machine has slept.
    pub fn hear(&mut self, heard: &Heard) -> Option<Noted> {
        if heard.server_ms <= 0 {
            return None;
        }
        let round_trip_ms = heard.received.saturating_sub(heard.sent).max(0);
        let server_ms = heard.server_ms.saturating_add(round_trip_ms / 2);
        let error_ms = round_trip_ms / 2 + 1;
        let known_ms = self.ms_at(heard.received);
        let first = self.error_ms.is_none();
        if let Some(known_error_ms) = self.error_ms {
            let age = heard.received.saturating_sub(self.at).max(0);
            let grown_ms = known_error_ms.saturating_add(age / DRIFT);
            let contradicts = server_ms.saturating_sub(known_ms).saturating_abs() > grown_ms.saturating_add(error_ms);
            if !contradicts && error_ms >= grown_ms {
                return None;
            }
        }
        *self = Self { at: heard.received, server_ms, error_ms: Some(error_ms) };
        Some(Noted { first, shift_ms: server_ms.saturating_sub(known_ms) })
    }
}

/// How many of the changes with these numbers, in order, go in one batch, since their times are by one clock; and whether that is the
/// register's as it is now. Until the server has been heard, changes up to `unsure_from` are by the server's clock already, and whoever took
/// the register's for it would put them wrong.
pub fn by_one_clock(is_sure: bool, unsure_from: Option<i64>, numbers: &[i64]) -> (usize, bool) {
    let right = numbers.iter().take_while(|number| !is_sure && unsure_from.is_none_or(|from| **number < from)).count();
    if right > 0 { (right, false) } else { (numbers.len(), true) }
}

/// What must be added to the times of a push to get the server's, milliseconds: `sent_at` is what the register took for the server's clock
/// when it sent the push.
pub fn skew_ms(sent_at: Option<i64>, now_ms: i64) -> i64 {
    let skew_ms = sent_at.map_or(0, |sent_at| now_ms.saturating_sub(sent_at));
    if skew_ms.saturating_abs() < SKEW_MS_MIN { 0 } else { skew_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_MS: i64 = 365 * 86_400_000;
    const NOON: i64 = 1_800_000_000_000;

    /// A clock that guesses `guess`, and answers that came `(at, round trip, server's clock)` milliseconds after its beginning; gives
    /// what it shows and whether the last answer told it something, each after `at`.
    fn check(guess: i64, answers: &[(i64, i64, i64)], expected: &[(i64, bool)]) {
        let mut reading = Reading::guess(0, guess);
        for (&(received, round_trip, server_ms), &(shown, told)) in answers.iter().zip(expected) {
            let noted = reading.hear(&Heard { server_ms, sent: received - round_trip, received });
            assert_eq!((reading.ms_at(received), noted.is_some()), (shown, told), "after {received} ms of {answers:?}");
        }
        assert!(reading.is_sure());
    }

    #[test]
    fn hazard_12_the_first_answer_corrects_a_clock_that_is_a_year_off() {
        for off in [-YEAR_MS, 0, YEAR_MS] {
            let mut reading = Reading::guess(0, NOON + off);
            assert!(!reading.is_sure());
            let noted = reading.hear(&Heard { server_ms: NOON + 900, sent: 800, received: 1_000 });
            assert_eq!(noted, Some(Noted { first: true, shift_ms: -off }));
            assert_eq!(reading.ms_at(1_000), NOON + 1_000);
        }
    }

    #[test]
    fn hazard_12_times_by_two_clocks_do_not_go_in_one_push() {
        for (is_sure, unsure_from, expected) in [
            (true, Some(5), (3, true)),
            (true, None, (3, true)),
            (false, None, (3, false)),
            (false, Some(5), (2, false)),
            (false, Some(3), (3, true)),
            (false, Some(9), (3, false)),
        ] {
            assert_eq!(by_one_clock(is_sure, unsure_from, &[3, 4, 5]), expected, "{is_sure} {unsure_from:?}");
        }
    }

    #[test]
    fn a_guess_is_put_right_by_the_time_of_sending_and_a_slow_line_moves_nothing() {
        assert_eq!(skew_ms(Some(NOON - YEAR_MS), NOON), YEAR_MS);
        assert_eq!(skew_ms(Some(NOON - 500), NOON), 0);
        assert_eq!(skew_ms(None, NOON), 0);
    }

    #[test]
    fn the_more_exact_answer_counts_and_grows_old() {
        // A long poll says little about the time; a quick answer says much; then nothing better comes for hours.
        check(
            0,
            &[
                (25_000, 25_000, NOON),
                (30_000, 20, NOON + 17_490),
                (60_000, 200, NOON + 47_400),
                (40_000_000, 200, NOON + 39_987_500),
            ],
            &[(NOON + 12_500, true), (NOON + 17_500, true), (NOON + 47_500, false), (NOON + 39_987_600, true)],
        );
    }

    #[test]
    fn hazard_12_a_servers_clock_that_was_set_is_followed_and_sleep_is_noticed() {
        check(
            0,
            &[(1_000, 10, NOON), (2_000, 10, NOON + 1_000), (3_000, 10, NOON + 3_600_000), (4_000, 10, NOON)],
            &[(NOON + 5, true), (NOON + 1_005, false), (NOON + 3_600_005, true), (NOON + 5, true)],
        );
    }
}
