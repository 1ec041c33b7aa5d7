//! What goes on in this process only: the end of service, and which devices are being served.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Shared by all requests.
#[derive(Clone)]
pub(crate) struct Live {
    stopping: watch::Sender<bool>,
    served: Arc<Mutex<HashMap<String, u32>>>,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self { stopping: watch::Sender::new(false), served: Arc::default() }
    }

    /// Ends all long polls, now and from now on.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Resolves when service ends.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = stopping.wait_for(|&stopping| stopping).await;
    }

    /// Counts a request of a device until the mark is dropped.
    pub(crate) fn serve(&self, device_id: &str) -> Served {
        *self.lock().entry(device_id.to_owned()).or_default() += 1;
        Served { live: self.clone(), device_id: device_id.to_owned() }
    }

    /// Whether a request of a device is being served.
    pub(crate) fn serves(&self, device_id: &str) -> bool {
        self.lock().contains_key(device_id)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request being served.
pub(crate) struct Served {
    live: Live,
    device_id: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let mut served = self.live.lock();
        match served.get_mut(&self.device_id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                served.remove(&self.device_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_served_until_its_last_request_ends() {
        let live = Live::new();
        let (first, second) = (live.serve("a"), live.serve("a"));
        drop(first);
        assert!(live.serves("a"));
        drop(second);
        assert!(!live.serves("a"));
    }
}
