//! The retry schedule: at once, then 1, 2, 4, 8 … s up to a cap, with jitter. Nothing is ever given up.

/// The longest wait. A shop whose line is back should not wait longer for its sales.
pub const WAIT_MS_MAX: i64 = 60_000;

/// So many failures in a row are worth a person's attention.
pub const FAILURES_TO_TELL: u32 = 5;

/// One lane's failures in a row.
#[derive(Debug)]
pub struct Retry {
    failures: u32,
    jitter: fastrand::Rng,
}

impl Retry {
    /// A fresh schedule; the seed makes the jitter repeatable.
    pub fn new(seed: u64) -> Self {
        Self { failures: 0, jitter: fastrand::Rng::with_seed(seed) }
    }

    /// Counts a failure and says how long to wait, in milliseconds. The jitter takes off up to a quarter, so that a fleet
    /// does not come back in step.
    pub fn failed(&mut self) -> i64 {
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            return 0;
        }
        let doublings = (self.failures - 2).min(16);
        let wait_ms = (1000_i64 << doublings).min(WAIT_MS_MAX);
        wait_ms - self.jitter.i64(0..=wait_ms / 4)
    }

    /// Starts over.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over() {
        let mut retry = Retry::new(7);
        assert_eq!(retry.failed(), 0);
        for full in [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
            let wait_ms = retry.failed();
            assert!((full - full / 4..=full).contains(&wait_ms), "{wait_ms} is not about {full}");
        }
        retry.succeeded();
        assert_eq!(retry.failed(), 0);
    }

    #[test]
    fn the_same_seed_gives_the_same_waits() {
        let waits = |seed| {
            let mut retry = Retry::new(seed);
            (0..20).map(|_| retry.failed()).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
