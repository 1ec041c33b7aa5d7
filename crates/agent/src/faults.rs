//! Fault points: tests end the agent between any two steps and start it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The error of an agent that was ended on purpose.
#[derive(Debug, thiserror::Error)]
#[error("ended at the fault point {0}")]
pub struct Ended(pub &'static str);

/// Counts down at fault points; ends the agent at the last one. The default never does.
#[derive(Clone, Debug, Default)]
pub struct Faults(Option<Arc<Countdown>>);

#[derive(Debug)]
struct Countdown {
    left: AtomicI64,
    /// Counts only points with this name.
    name: Option<&'static str>,
}

impl Faults {
    /// Ends the agent at the n-th fault point, counted from 1.
    pub fn at(n: i64) -> Self {
        Self(Some(Arc::new(Countdown { left: AtomicI64::new(n), name: None })))
    }

    /// Ends the agent the first time it gets to this fault point.
    pub fn at_point(name: &'static str) -> Self {
        Self(Some(Arc::new(Countdown { left: AtomicI64::new(1), name: Some(name) })))
    }

    /// A step is done and the next has not begun.
    pub fn point(&self, name: &'static str) -> Result<(), Ended> {
        match &self.0 {
            Some(countdown) if countdown.name.is_none_or(|counted| counted == name) => {
                if countdown.left.fetch_sub(1, Ordering::Relaxed) == 1 { Err(Ended(name)) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Whether the countdown has reached its end.
    pub fn reached(&self) -> bool {
        self.0.as_ref().is_some_and(|countdown| countdown.left.load(Ordering::Relaxed) <= 0)
    }
}
