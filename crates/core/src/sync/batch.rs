//! How many changes go into a batch: as many as the server takes in good time.

/// A batch that takes longer than this is halved.
const SLOW_MS: i64 = 3_000;

/// A batch that takes less than this may grow.
const QUICK_MS: i64 = 1_000;

/// Where a fresh connection starts.
const START: u32 = 500;

/// The current size of a batch.
#[derive(Debug)]
pub struct BatchSize {
    current: u32,
    max: u32,
}

impl BatchSize {
    /// Starts in the middle.
    pub fn new(max: u32) -> Self {
        Self { current: START.min(max).max(1), max: max.max(1) }
    }

    /// At most this many changes.
    pub fn get(&self) -> u32 {
        self.current
    }

    /// A batch got through in this time.
    pub fn took(&mut self, took_ms: i64) {
        if took_ms < QUICK_MS {
            self.current = (self.current * 2).min(self.max);
        } else if took_ms > SLOW_MS {
            self.halve();
        }
    }

    /// A batch was refused or failed as a whole.
    pub fn halve(&mut self) {
        self.current = (self.current / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_when_quick_and_shrinks_to_one() {
        let mut size = BatchSize::new(1000);
        size.took(10);
        assert_eq!(size.get(), 1000);
        size.took(10);
        assert_eq!(size.get(), 1000);
        size.took(5000);
        assert_eq!(size.get(), 500);
        for _ in 0..20 {
            size.halve();
        }
        assert_eq!(size.get(), 1);
    }
}
