//! How often one client may ask: a number of requests in a while, counted in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tillsync_core::protocol::settings::Limit;

/// So many clients are counted at once; when there are more, those whose while is over are forgotten first.
const COUNTED_MAX: usize = 100_000;

/// Counts of all clients. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Rates {
    counts: Arc<Mutex<HashMap<String, Count>>>,
}

#[derive(Clone, Copy)]
struct Count {
    since_ms: i64,
    requests: u32,
}

/// How a client stands with its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// So many requests in a while …
    pub limit: u32,
    /// … of which these are left; `None` when this one was too much.
    pub left: Option<u32>,
    /// When the while is over, Unix milliseconds.
    pub until_ms: i64,
}

impl Allowance {
    /// Until then, in whole seconds and at least one.
    pub(crate) fn wait_seconds(&self, now_ms: i64) -> u64 {
        u64::try_from((self.until_ms - now_ms).div_euclid(1000) + 1).unwrap_or(1)
    }
}

impl Rates {
    /// Counts a request. One that is too much is not counted.
    pub(crate) fn count(&self, client: &str, limit: Limit, now_ms: i64) -> Allowance {
        let window_ms = i64::from(limit.seconds) * 1000;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= COUNTED_MAX && !counts.contains_key(client) {
            counts.retain(|_, count| now_ms.abs_diff(count.since_ms) < window_ms.unsigned_abs());
            if counts.len() >= COUNTED_MAX {
                counts.clear();
            }
        }
        let count = counts.entry(client.to_owned()).or_insert(Count { since_ms: now_ms, requests: 0 });
        if now_ms.abs_diff(count.since_ms) >= window_ms.unsigned_abs() {
            *count = Count { since_ms: now_ms, requests: 0 };
        }
        let until_ms = count.since_ms + window_ms;
        if count.requests >= limit.requests {
            return Allowance { limit: limit.requests, left: None, until_ms };
        }
        count.requests += 1;
        Allowance { limit: limit.requests, left: Some(limit.requests - count.requests), until_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_number_in_every_while() {
        let (rates, limit) = (Rates::default(), Limit { requests: 2, seconds: 60 });
        let left = |client: &str, now_ms| rates.count(client, limit, now_ms).left;
        assert_eq!([left("a", 0), left("a", 1), left("a", 59_999)], [Some(1), Some(0), None]);
        assert_eq!([left("b", 59_999), left("a", 60_000)], [Some(1), Some(1)]);
        assert_eq!(left("a", -60_001), Some(1), "a clock that was put back locks nobody out");
        let refused = Allowance { limit: 2, left: None, until_ms: 60_000 };
        assert_eq!([refused.wait_seconds(59_500), refused.wait_seconds(0), refused.wait_seconds(70_000)], [1, 61, 1]);
    }
}
