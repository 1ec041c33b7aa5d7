//! What goes wrong, and when: all of it drawn from the one seed.

use fastrand::Rng;
use tillsync_core::sync::Settings;

/// The agent was ended; what it held in memory is gone.
#[derive(Debug)]
pub struct Crash;

/// How bad the world of one run is. Probabilities are in thousandths.
#[derive(Clone, Debug)]
pub struct Weather {
    pub registers: usize,
    pub calm_after_ms: i64,
    pub pos_pause_ms_max: i64,
    pub crash: u32,
    pub pos_between_steps: u32,
    pub lost_request: u32,
    pub lost_answer: u32,
    pub duplicated: u32,
    pub late: u32,
    pub failed: u32,
    pub lost_hint: u32,
    pub store_busy: u32,
    pub partition: u32,
    pub hub_down: u32,
    pub kill: u32,
    /// The hub refuses larger pushes.
    pub push_max: usize,
    pub page_max: usize,
    pub journal_max: usize,
    pub slice_max: usize,
    pub rows_before: i64,
    /// Whether wall clocks are wrong, and how often somebody sets one.
    pub wrong_clocks: bool,
    pub clock_set: u32,
    /// How often somebody restores a backup of the store.
    pub restore: u32,
    /// How often somebody copies a register's disk to another machine.
    pub copy: u32,
    /// Whether somebody looks at conflicts before the calm, and how often at least.
    pub persons: bool,
    pub person_pause_ms_max: i64,
    pub sync: Settings,
}

impl Weather {
    /// Draws the weather of a run.
    pub fn draw(rng: &mut Rng) -> Self {
        let rate = |rng: &mut Rng, max: u32| if rng.bool() { 0 } else { rng.u32(0..=max) };
        let interval_ms = if rng.bool() { 30_000 } else { rng.i64(1_000..10_000) };
        let pull_wait_ms = if rng.u8(0..4) == 0 { 0 } else { 25_000 };
        Self {
            registers: rng.usize(2..=4),
            calm_after_ms: rng.i64(5_000..50_000),
            pos_pause_ms_max: rng.i64(800..8_000),
            crash: rate(rng, 60),
            pos_between_steps: rate(rng, 300),
            lost_request: rate(rng, 250),
            lost_answer: rate(rng, 250),
            duplicated: rate(rng, 200),
            late: rate(rng, 200),
            failed: rate(rng, 100),
            lost_hint: rate(rng, 500),
            store_busy: rate(rng, 200),
            partition: rate(rng, 300),
            hub_down: rate(rng, 200),
            kill: rate(rng, 300),
            push_max: rng.usize(1..30),
            page_max: rng.usize(1..20),
            journal_max: rng.usize(2..40),
            slice_max: rng.usize(1..6),
            rows_before: rng.i64(0..8),
            wrong_clocks: rng.bool(),
            clock_set: rate(rng, 200),
            restore: if rng.u8(0..3) == 0 { rng.u32(0..=120) } else { 0 },
            copy: if rng.u8(0..3) == 0 { rng.u32(0..=300) } else { 0 },
            persons: rng.bool(),
            person_pause_ms_max: rng.i64(500..8_000),
            sync: Settings { interval_ms, pull_wait_ms, batch_max: rng.u32(1..40), seed: rng.u64(..) },
        }
    }

    /// No more faults. Limits stay.
    pub fn calm(&mut self) {
        for rate in [
            &mut self.crash,
            &mut self.pos_between_steps,
            &mut self.lost_request,
            &mut self.lost_answer,
            &mut self.duplicated,
            &mut self.late,
            &mut self.failed,
            &mut self.lost_hint,
            &mut self.store_busy,
            &mut self.partition,
            &mut self.hub_down,
            &mut self.clock_set,
            &mut self.restore,
            &mut self.copy,
            &mut self.kill,
        ] {
            *rate = 0;
        }
    }
}

/// Whether something with this probability happens.
pub fn happens(rng: &mut Rng, thousandths: u32) -> bool {
    thousandths > 0 && rng.u32(0..1000) < thousandths
}
