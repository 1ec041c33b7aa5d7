//! The hub's clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds now; 0 for a machine whose clock stands before 1970.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}
