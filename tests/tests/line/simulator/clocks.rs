//! The clocks of a register: a wall clock that is off by hours or years and jumps, one that cannot jump but drifts, and what the agent
//! makes of the hub's.

use fastrand::Rng;
use tillsync_core::clock::{Heard, Reading};

use super::register::Register;

/// What the hub's clock shows when the world begins. The hub's is the right one.
const BEGINNING_MS: i64 = 1_800_000_000_000;

/// How far a wall clock may be off: about three years.
const OFF_MS_MAX: i64 = 100_000_000_000;

/// A clock that cannot jump gains or loses at most this many parts in a million.
const DRIFT_MAX: i64 = 300;

/// The hub leaves a clock alone that is off by less than two minutes, and a request may be a minute on its way.
const TOLERANCE_MS: u64 = 190_000;

/// The hub's clock.
pub fn hub_ms(now: i64) -> i64 {
    BEGINNING_MS + now
}

/// A register's two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    off_ms: i64,
    drift: i64,
    /// Somebody has set the wall clock since the agent began.
    set: bool,
}

impl Clocks {
    /// Right ones, or wrong ones.
    pub fn draw(wrong: bool, rng: &mut Rng) -> Self {
        if !wrong {
            return Self { off_ms: 0, drift: 0, set: false };
        }
        Self { off_ms: off(rng), drift: rng.i64(-DRIFT_MAX..=DRIFT_MAX), set: false }
    }

    /// Of another machine: times that were guessed by the original's say nothing here.
    pub fn elsewhere(self) -> Self {
        Self { set: true, ..self }
    }

    /// The clock that cannot jump.
    pub fn ticks(self, now: i64) -> i64 {
        now + now * self.drift / 1_000_000
    }

    fn wall_ms(self, now: i64) -> i64 {
        BEGINNING_MS + self.off_ms + self.ticks(now)
    }
}

fn off(rng: &mut Rng) -> i64 {
    if rng.bool() { rng.i64(-OFF_MS_MAX..OFF_MS_MAX) } else { rng.i64(-86_400_000..86_400_000) }
}

impl Register {
    /// Somebody sets the wall clock.
    pub fn set_wall_clock(&mut self, rng: &mut Rng) {
        (self.clocks.off_ms, self.clocks.set) = (off(rng), true);
    }

    /// The clock as the agent finds it when it begins. Where an earlier process guessed by another wall clock, nobody can know any more
    /// when that was.
    pub fn begin_clock(&mut self, now: i64) -> Reading {
        if std::mem::take(&mut self.clocks.set) {
            self.state.doubt_guessed_times();
        }
        Reading::guess(self.clocks.ticks(now), self.clocks.wall_ms(now) + self.state.clock_offset_ms)
    }

    /// What the register takes for the hub's clock.
    pub fn hub_clock_ms(&mut self, now: i64) -> i64 {
        let tick = self.clocks.ticks(now);
        self.agent().clock.ms_at(tick)
    }

    /// The time of what is about to be captured. Until the hub has been heard it is a guess, and noted as one.
    pub fn capture_time(&mut self, now: i64) -> i64 {
        if !self.agent().clock.is_sure() && self.state.clock_unsure_from.is_none() {
            self.state.clock_unsure_from = Some(self.state.added() as i64);
        }
        self.hub_clock_ms(now)
    }

    /// An answer says what time it is at the hub.
    pub fn hear(&mut self, server_ms: i64, sent: i64, now: i64) {
        let clocks = self.clocks;
        let heard = Heard { server_ms, sent, received: clocks.ticks(now) };
        let Some(noted) = self.agent().clock.hear(&heard) else { return };
        self.state.clock_offset_ms = self.hub_clock_ms(now) - clocks.wall_ms(now);
        if let Some(from) = self.state.clock_unsure_from.take_if(|_| noted.first) {
            self.state.shift_times(from, noted.shift_ms);
        }
    }
}

/// Whether a change that was captured at one time may count as written at another, by the hub's clock.
pub fn is_near(captured: i64, written_at_ms: i64) -> bool {
    hub_ms(captured).abs_diff(written_at_ms) <= TOLERANCE_MS
}
