//! Three clocks. The wall clock, for what people read and what outlives the process; ticks, for timers; and the server's clock, for when a
//! change was made ([`tillsync_core::clock`]).

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tillsync_core::clock::{self, Reading};

/// A wall clock that is off by this much, for tests.
const SHIFT_VARIABLE: &str = "TILLSYNC_CLOCK_SHIFT_MS";

/// The wall clock, Unix milliseconds; 0 for a machine whose clock stands before 1970.
pub fn now_ms() -> i64 {
    static SHIFT_MS: LazyLock<i64> =
        LazyLock::new(|| std::env::var(SHIFT_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(0));
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64);
    wall.saturating_add(*SHIFT_MS).max(0)
}

/// When this process began to look at clocks, by both.
static BEGUN: LazyLock<(Instant, i64)> = LazyLock::new(|| (Instant::now(), now_ms()));

/// Milliseconds that never jump, for timers. They begin near the wall clock and mean nothing outside this process.
pub fn ticks_ms() -> i64 {
    ticks_at(Instant::now())
}

fn ticks_at(instant: Instant) -> i64 {
    let (begun, wall_ms) = *BEGUN;
    wall_ms + ms(instant.saturating_duration_since(begun)) - ms(begun.saturating_duration_since(instant))
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

impl Clock {
    /// A clock that nobody has heard of yet; `offset_ms` is what an earlier process found.
    pub fn guess(offset_ms: i64) -> Self {
        Self(Mutex::new(Reading::guess(ticks_ms(), now_ms().saturating_add(offset_ms))))
    }

    /// The server's clock now, Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.reading().ms_at(ticks_ms())
    }

    /// Whether the server has been heard.
    pub fn is_sure(&self) -> bool {
        self.reading().is_sure()
    }

    fn reading(&self) -> Reading {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an answer in; `None` when it says nothing new.
    pub fn hear(&self, heard: &Heard) -> Option<Noted> {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Heard { server_ms, sent, received } = *heard;
        let clock::Noted { first, shift_ms } =
            reading.hear(&clock::Heard { server_ms, sent: ticks_at(sent), received: ticks_at(received) })?;
        Some(Noted { first, shift_ms, offset_ms: reading.ms_at(ticks_ms()).saturating_sub(now_ms()) })
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_go_on_and_know_a_moment_of_the_wall_clock() {
        let before = ticks_ms();
        assert!(in_ticks(now_ms() + 60_000) >= before + 60_000);
        assert!(ticks_ms() >= before);
        let later = Instant::now() + Duration::from_secs(5);
        assert_eq!(ticks_at(later) - ticks_at(later - Duration::from_secs(5)), 5_000);
    }

    #[test]
    fn an_answer_puts_the_clock_right_and_tells_the_next_process() {
        let clock = Clock::guess(-86_400_000);
        let (server_ms, received) = (now_ms() + 3_600_000, Instant::now());
        let noted = clock.hear(&Heard { server_ms, sent: received, received }).unwrap();
        assert!(noted.first && noted.shift_ms.abs_diff(90_000_000) < 1_000, "{noted:?}");
        assert!(noted.offset_ms.abs_diff(3_600_000) < 1_000 && clock.is_sure(), "{noted:?}");
        assert!(clock.now_ms().abs_diff(server_ms) < 1_000);
    }
}
