//! Three clocks. The wall clock, for what people read and what outlives the process; ticks, for timers; and the server's clock, for when a
//! change was made: read off its answers and counted on by the monotonic clock, so that a wall clock that is wrong or jumps moves
//! nothing.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A machine's monotonic clock gains or loses less than this: 500 parts per million, several times what cheap crystals do.
const DRIFT: u32 = 2_000;

/// A wall clock that is off by this much, for tests.
const SHIFT_VARIABLE: &str = "TILLSYNC_CLOCK_SHIFT_MS";

/// The wall clock, Unix milliseconds; 0 for a machine whose clock stands before 1970.
pub fn now_ms() -> i64 {
    static SHIFT_MS: LazyLock<i64> =
        LazyLock::new(|| std::env::var(SHIFT_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(0));
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64);
    wall.saturating_add(*SHIFT_MS).max(0)
}

/// Milliseconds that never jump, for timers. They begin near the wall clock and mean nothing outside this process.
pub fn ticks_ms() -> i64 {
    static BEGUN: LazyLock<(Instant, i64)> = LazyLock::new(|| (Instant::now(), now_ms()));
    let (begun, wall_ms) = *BEGUN;
    wall_ms.saturating_add(ms(begun.elapsed()))
}

/// A moment of the wall clock in ticks, as far as it can be known now.
pub fn in_ticks(wall_ms: i64) -> i64 {
    ticks_ms().saturating_add(wall_ms.saturating_sub(now_ms()))
}

/// An answer of the server that says what time it is.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// The server's clock when it answered, Unix milliseconds.
    pub server_ms: i64,
    /// When the request went.
    pub sent: Instant,
    /// When the answer was there.
    pub received: Instant,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// It was the first of this process: until then the time was a guess.
    pub first: bool,
    /// What must be added to earlier times of this process, milliseconds.
    pub shift_ms: i64,
    /// The server's clock less the wall clock, milliseconds: the guess of the next process.
    pub offset_ms: i64,
}

/// The server's clock as this process knows it.
#[derive(Debug)]
pub struct Clock(Mutex<Reading>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    server_ms: i64,
    /// How far the truth may be away, milliseconds; `None` for a guess.
    error_ms: Option<i64>,
}

impl Clock {
    /// A clock that nobody has heard of yet; `offset_ms` is what an earlier process found.
    pub fn guess(offset_ms: i64) -> Self {
        Self::at(Instant::now(), now_ms().saturating_add(offset_ms))
    }

    fn at(at: Instant, server_ms: i64) -> Self {
        Self(Mutex::new(Reading { at, server_ms, error_ms: None }))
    }

    /// The server's clock now, Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.reading().ms_at(Instant::now())
    }

    /// Whether the server has been heard.
    pub fn is_sure(&self) -> bool {
        self.reading().error_ms.is_some()
    }

    fn reading(&self) -> Reading {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an answer in; `None` when it says nothing new. It does when it is the first, when it is more exact than what is known by
    /// now, or when it contradicts it: the server's clock was set, or this machine has slept.
    pub fn hear(&self, heard: &Heard) -> Option<Noted> {
        if heard.server_ms <= 0 {
            return None;
        }
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let round_trip_ms = ms(heard.received.saturating_duration_since(heard.sent));
        let server_ms = heard.server_ms.saturating_add(round_trip_ms / 2);
        let error_ms = round_trip_ms / 2 + 1;
        let known_ms = reading.ms_at(heard.received);
        let first = reading.error_ms.is_none();
        if let Some(known_error_ms) = reading.error_ms {
            let age = heard.received.saturating_duration_since(reading.at);
            let grown_ms = known_error_ms.saturating_add(ms(age / DRIFT));
            let contradicts = server_ms.saturating_sub(known_ms).saturating_abs() > grown_ms.saturating_add(error_ms);
            if !contradicts && error_ms >= grown_ms {
                return None;
            }
        }
        *reading = Reading { at: heard.received, server_ms, error_ms: Some(error_ms) };
        let since_ms = ms(heard.received.elapsed());
        Some(Noted {
            first,
            shift_ms: server_ms.saturating_sub(known_ms),
            offset_ms: server_ms.saturating_add(since_ms).saturating_sub(now_ms()),
        })
    }
}

impl Reading {
    fn ms_at(&self, now: Instant) -> i64 {
        let since = ms(now.saturating_duration_since(self.at)) - ms(self.at.saturating_duration_since(now));
        self.server_ms.saturating_add(since)
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_MS: i64 = 365 * 86_400_000;
    const NOON: i64 = 1_800_000_000_000;

    /// A clock that guesses `guess`, and answers that came `(at, round trip, server's clock)` milliseconds after its beginning; gives
    /// what it shows and whether the last answer told it something, each after `at`.
    fn check(guess: i64, answers: &[(u64, u64, i64)], expected: &[(i64, bool)]) {
        let begun = Instant::now();
        let clock = Clock::at(begun, guess);
        for (&(at, round_trip, server_ms), &(shown, told)) in answers.iter().zip(expected) {
            let received = begun + Duration::from_millis(at);
            let sent = received - Duration::from_millis(round_trip);
            let noted = clock.hear(&Heard { server_ms, sent, received });
            assert_eq!((clock.reading().ms_at(received), noted.is_some()), (shown, told), "after {at} ms of {answers:?}");
        }
        assert!(clock.is_sure());
    }

    #[test]
    fn hazard_12_the_first_answer_corrects_a_clock_that_is_a_year_off() {
        for off in [-YEAR_MS, 0, YEAR_MS] {
            let begun = Instant::now();
            let clock = Clock::at(begun, NOON + off);
            assert!(!clock.is_sure());
            let received = begun + Duration::from_millis(1_000);
            let heard = Heard { server_ms: NOON + 900, sent: begun + Duration::from_millis(800), received };
            let noted = clock.hear(&heard).unwrap();
            assert_eq!((noted.first, noted.shift_ms), (true, -off));
            assert_eq!(clock.reading().ms_at(received), NOON + 1_000);
        }
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

    #[test]
    fn ticks_go_on_and_know_a_moment_of_the_wall_clock() {
        let before = ticks_ms();
        assert!(in_ticks(now_ms() + 60_000) >= before + 60_000);
        assert!(ticks_ms() >= before);
    }
}
