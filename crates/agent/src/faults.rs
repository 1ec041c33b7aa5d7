//! Fault points: tests end the agent between any two steps and start it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The error of an agent that was ended on purpose.
#[derive(Debug, thiserror::Error)]
#[error("ended at the fault point {0}")]
pub struct Ended(pub &'static str);

/// Counts down at every fault point; ends the agent at the last one. The default never does.
#[derive(Clone, Debug, Default)]
pub struct Faults(Option<Arc<AtomicI64>>);

impl Faults {
    /// Ends the agent at the n-th fault point, counted from 1.
    pub fn at(n: i64) -> Self {
        Self(Some(Arc::new(AtomicI64::new(n))))
    }

    /// A step is done and the next has not begun.
    pub fn point(&self, name: &'static str) -> Result<(), Ended> {
        match &self.0 {
            Some(left) if left.fetch_sub(1, Ordering::Relaxed) == 1 => Err(Ended(name)),
            _ => Ok(()),
        }
    }

    /// Whether the countdown has reached its end.
    pub fn reached(&self) -> bool {
        self.0.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) <= 0)
    }
}
