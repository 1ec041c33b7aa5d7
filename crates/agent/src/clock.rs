//! The agent's clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock, Unix milliseconds; 0 for a machine whose clock stands before 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64)
}
