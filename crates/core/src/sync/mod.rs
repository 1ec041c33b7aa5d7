//! The sync machine: what the agent does next. It does no IO; the host carries out one effect per lane and reports what came of it.
//!
//! Three lanes run side by side, each with at most one effect in flight: **capture** (journal → outbox), **up** (outbox →
//! server) and **down** (server → store). Capture has its own lane so that a hanging connection never keeps a sale out of the
//! outbox.

pub mod batch;
pub mod retry;

use crate::sync::batch::BatchSize;
use crate::sync::retry::Retry;

/// How soon to look again when the POS holds the store.
const STORE_BUSY_MS: i64 = 20;

/// A hint brings a capture that keeps failing forward to this, not further.
const FAILED_CAPTURE_MS: i64 = 1_000;

/// How long to leave a refused key alone before trying whether it is accepted again.
const REFUSED_RETRY_MS: i64 = 60_000;

/// A long poll that comes back empty sooner than this is no long poll; ask again on the timer.
const LONG_POLL_MS_MIN: i64 = 500;

/// Settings of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Every lane looks for work at least this often.
    pub interval_ms: i64,
    /// How long the server may hold a pull open; 0 pulls on the timer only.
    pub pull_wait_ms: u64,
    /// The largest batch the protocol takes.
    pub batch_max: u32,
    /// Seeds the jitter.
    pub seed: u64,
}

/// Why a request did not do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No answer: no network, refused, timed out, cut off.
    Offline(String),
    /// An answer that no sync server gives: a captive portal, a wrong address.
    NotTheServer(String),
    /// The server failed (5xx).
    ServerFailed(String),
    /// The server asks for quiet.
    RateLimited {
        /// As long as it asked for.
        retry_after_ms: i64,
    },
    /// The key is refused.
    Unauthorized(String),
    /// The device is suspended.
    Suspended,
    /// The key cannot be read here.
    KeyMissing(String),
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The store's files changed.
    StoreChanged,
    /// The network may be back.
    NetworkUp,
    /// A person asked to sync now.
    Asked,
    /// A person asked for quiet, until then or until [`Event::Resume`].
    Pause {
        /// Unix milliseconds.
        until_ms: Option<i64>,
    },
    /// The quiet is over.
    Resume,
    /// Changes that waited for a person wait no longer.
    Freed,
    /// A capture ended.
    Captured(Captured),
    /// A push ended.
    Pushed(Pushed),
    /// A pull ended.
    Pulled(Pulled),
    /// A page was applied.
    Applied(Applied),
}

/// How a capture ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Captured {
    /// Changes went into the outbox.
    Done {
        /// How many.
        added: u64,
        /// Whether the journal holds more.
        more: bool,
    },
    /// What is there cannot all be captured yet: a pull has to bring back what the store has lost, or the first full sync goes on.
    Later {
        /// How many changes went into the outbox all the same.
        added: u64,
    },
    /// The POS holds the store.
    Busy,
    /// The store cannot be read.
    Failed,
}

/// How a push ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// There was nothing to send.
    Nothing,
    /// What is there waits for a pull: [`Event::Freed`] says when that is over.
    Later,
    /// Every change of the batch has its verdict.
    Done {
        /// Whether more waits.
        more: bool,
        /// Time the server took.
        took_ms: i64,
    },
    /// The server refuses the batch as a whole; there was more than one change in it.
    Refused,
    /// The outbox cannot be read or written.
    Failed,
    /// The request did not do its work.
    Trouble(Trouble),
}

/// How a pull ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// A page is here and waits to be applied.
    Page {
        /// Whether the server has more.
        more: bool,
    },
    /// There is nothing new.
    Nothing,
    /// The host ended the long poll early.
    Interrupted,
    /// The request did not do its work.
    Trouble(Trouble),
}

/// How an apply ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The page is in the store, or in the inbox.
    Done,
    /// The POS holds the store, or changes must be captured first; the page is kept.
    Busy,
    /// The store or the state cannot be written; the page is dropped and pulled again.
    Failed,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Copy the journal to the outbox.
    Capture,
    /// Send the next batch.
    Push {
        /// At most this many changes.
        changes_max: u32,
    },
    /// Fetch the next page.
    Pull {
        /// How long the server may wait for a change.
        wait_ms: u64,
    },
    /// Apply the page that is here.
    Apply,
    /// End the long poll that is in flight.
    InterruptPull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// Nothing in flight; due at this time.
    Due(i64),
    /// An effect is in flight since then.
    Busy(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down {
    Idle { due_ms: i64 },
    Pulling { since_ms: i64, wait_ms: u64 },
    PageHere { due_ms: i64, page: Page },
    Applying { page: Page },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    /// When the pull started that brought it.
    since_ms: i64,
    more: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Sync {
    settings: Settings,
    capture: Lane,
    /// The store changed while a capture was running.
    capture_again: bool,
    capture_retry: Retry,
    captured_all_ms: i64,
    up: Lane,
    up_again: bool,
    up_retry: Retry,
    sent_all_ms: i64,
    batch: BatchSize,
    down: Down,
    down_retry: Retry,
    /// The long poll in flight is to be ended.
    interrupt: bool,
    /// The next pull asks only for what is there.
    pull_at_once: bool,
    /// When the pull started that last found nothing new.
    pulled_all_ms: i64,
    paused: Option<Option<i64>>,
    /// The server asked for quiet until then; nothing cuts this short.
    quiet_until_ms: i64,
}

impl Sync {
    /// A machine that starts by doing everything once.
    pub fn new(settings: Settings, now: i64) -> Self {
        Self {
            settings,
            capture: Lane::Due(now),
            capture_again: false,
            capture_retry: Retry::new(settings.seed ^ 1),
            captured_all_ms: i64::MIN,
            up: Lane::Due(now),
            up_again: false,
            up_retry: Retry::new(settings.seed ^ 2),
            sent_all_ms: i64::MIN,
            batch: BatchSize::new(settings.batch_max),
            down: Down::Idle { due_ms: now },
            down_retry: Retry::new(settings.seed ^ 3),
            interrupt: false,
            pull_at_once: true,
            pulled_all_ms: i64::MIN,
            paused: None,
            quiet_until_ms: i64::MIN,
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: Event, now: i64) {
        match event {
            // What fails again and again may itself be what touches the store.
            Event::StoreChanged if self.capture_retry.failures() > 1 => self.want_capture(now + FAILED_CAPTURE_MS),
            Event::StoreChanged => self.want_capture(now),
            Event::NetworkUp => self.hurry(now),
            Event::Asked => {
                self.want_capture(now);
                self.hurry(now);
                self.want_push(now);
                self.pull_at_once = true;
                self.interrupt = matches!(self.down, Down::Pulling { wait_ms, .. } if wait_ms > 0);
            }
            Event::Pause { until_ms } => {
                self.paused = Some(until_ms);
                self.interrupt = matches!(self.down, Down::Pulling { wait_ms, .. } if wait_ms > 0);
            }
            Event::Resume => {
                self.paused = None;
                self.hurry(now);
                self.want_push(now);
            }
            Event::Freed => self.has_more_to_send(now),
            Event::Captured(captured) => self.captured(&captured, now),
            Event::Pushed(pushed) => self.pushed(pushed, now),
            Event::Pulled(pulled) => self.pulled(pulled, now),
            Event::Applied(applied) => self.applied(&applied, now),
        }
    }

    /// The next thing to do now, if any. Call until it gives `None`.
    pub fn poll_effect(&mut self, now: i64) -> Option<Effect> {
        if let Some(Some(until)) = self.paused
            && until <= now
        {
            self.handle(Event::Resume, now);
        }
        if matches!(self.capture, Lane::Due(due) if due <= now) {
            self.capture = Lane::Busy(now);
            self.capture_again = false;
            return Some(Effect::Capture);
        }
        if let Down::PageHere { due_ms, page } = self.down
            && due_ms <= now
        {
            self.down = Down::Applying { page };
            return Some(Effect::Apply);
        }
        if std::mem::take(&mut self.interrupt) {
            return Some(Effect::InterruptPull);
        }
        if self.paused.is_some() || now < self.quiet_until_ms {
            return None;
        }
        if matches!(self.up, Lane::Due(due) if due <= now) {
            self.up = Lane::Busy(now);
            self.up_again = false;
            return Some(Effect::Push { changes_max: self.batch.get() });
        }
        match &mut self.down {
            Down::Idle { due_ms } if *due_ms <= now => {
                // The first pull after a trouble asks only for what is there, so that success shows at once.
                let at_once = self.pull_at_once || self.down_retry.failures() > 0;
                let wait_ms = if at_once { 0 } else { self.settings.pull_wait_ms };
                self.pull_at_once = false;
                self.down = Down::Pulling { since_ms: now, wait_ms };
                Some(Effect::Pull { wait_ms })
            }
            _ => None,
        }
    }

    /// When to call [`Sync::poll_effect`] again if nothing happens before.
    pub fn next_wakeup(&self) -> Option<i64> {
        let mut times = Vec::with_capacity(5);
        if let Lane::Due(due) = self.capture {
            times.push(due);
        }
        if let Down::PageHere { due_ms, .. } = self.down {
            times.push(due_ms);
        }
        match self.paused {
            Some(until) => times.extend(until),
            None => {
                let quiet = self.quiet_until_ms;
                if let Lane::Due(due) = self.up {
                    times.push(due.max(quiet));
                }
                if let Down::Idle { due_ms } = self.down {
                    times.push(due_ms.max(quiet));
                }
            }
        }
        times.into_iter().min()
    }

    /// Whether everything that was there at `since` is captured, sent and pulled.
    pub fn settled_since(&self, since: i64) -> bool {
        self.captured_all_ms >= since && self.sent_all_ms >= since && self.pulled_all_ms >= since
    }

    /// Whether a lane waits because its last effect failed.
    pub fn is_backing_off(&self) -> bool {
        self.failures() > 0
    }

    /// Failures in a row, of the lane that has more.
    pub fn failures(&self) -> u32 {
        self.up_retry.failures().max(self.down_retry.failures())
    }

    /// Whether a person asked for quiet, and until when.
    pub fn paused(&self) -> Option<Option<i64>> {
        self.paused
    }

    fn want_capture(&mut self, at: i64) {
        match &mut self.capture {
            Lane::Due(due) => *due = at.min(*due),
            Lane::Busy(_) => self.capture_again = true,
        }
    }

    fn want_push(&mut self, now: i64) {
        match &mut self.up {
            // While backing off, new work does not cut the wait short.
            Lane::Due(due) if self.up_retry.failures() == 0 => *due = now.min(*due),
            Lane::Due(_) => {}
            Lane::Busy(_) => self.up_again = true,
        }
    }

    fn has_more_to_send(&mut self, now: i64) {
        self.sent_all_ms = i64::MIN;
        self.want_push(now);
    }

    /// Cuts waits short: a hint says that things may be better now.
    fn hurry(&mut self, now: i64) {
        if let Lane::Due(due) = &mut self.up {
            *due = now.min(*due);
        }
        match &mut self.down {
            Down::Idle { due_ms } => *due_ms = now.min(*due_ms),
            Down::Pulling { .. } | Down::PageHere { .. } | Down::Applying { .. } => {}
        }
    }

    fn captured(&mut self, captured: &Captured, now: i64) {
        let Lane::Busy(since) = self.capture else { return };
        let due = match captured {
            Captured::Done { added, more } => {
                self.capture_retry.succeeded();
                if *added > 0 {
                    self.has_more_to_send(now);
                }
                if *more {
                    now
                } else {
                    self.captured_all_ms = since;
                    if self.capture_again { now } else { now + self.settings.interval_ms }
                }
            }
            Captured::Later { added } => {
                self.capture_retry.succeeded();
                if *added > 0 {
                    self.has_more_to_send(now);
                }
                self.captured_all_ms = i64::MIN;
                if self.capture_again { now } else { now + self.settings.interval_ms }
            }
            Captured::Busy => now + STORE_BUSY_MS,
            Captured::Failed => now + self.capture_retry.failed(),
        };
        self.capture = Lane::Due(due);
    }

    fn pushed(&mut self, pushed: Pushed, now: i64) {
        let Lane::Busy(since) = self.up else { return };
        let due = match pushed {
            Pushed::Nothing => {
                self.up_retry.succeeded();
                if self.up_again {
                    now
                } else {
                    self.sent_all_ms = since;
                    now + self.settings.interval_ms
                }
            }
            Pushed::Later => {
                self.up_retry.succeeded();
                self.sent_all_ms = i64::MIN;
                if self.up_again { now } else { now + self.settings.interval_ms }
            }
            Pushed::Done { more: _, took_ms } => {
                self.up_retry.succeeded();
                self.batch.took(took_ms);
                // Ask again even without more: only an empty outbox proves that all is sent.
                now
            }
            Pushed::Refused => {
                self.batch.halve();
                now
            }
            Pushed::Failed => now + self.up_retry.failed(),
            Pushed::Trouble(trouble) => {
                if matches!(trouble, Trouble::ServerFailed(_)) {
                    self.batch.halve();
                }
                now + self.wait_after(&trouble, now, true)
            }
        };
        self.up = Lane::Due(due);
    }

    fn pulled(&mut self, pulled: Pulled, now: i64) {
        let Down::Pulling { since_ms, wait_ms } = self.down else { return };
        self.interrupt = false;
        self.down = match pulled {
            Pulled::Page { more } => {
                self.down_retry.succeeded();
                Down::PageHere { due_ms: now, page: Page { since_ms, more } }
            }
            Pulled::Nothing => {
                self.down_retry.succeeded();
                self.pulled_all_ms = since_ms;
                let waited = wait_ms == 0 || now - since_ms >= LONG_POLL_MS_MIN;
                let at_once = self.pull_at_once || (self.settings.pull_wait_ms > 0 && waited);
                Down::Idle { due_ms: if at_once { now } else { now + self.settings.interval_ms } }
            }
            Pulled::Interrupted => Down::Idle { due_ms: now },
            Pulled::Trouble(trouble) => Down::Idle { due_ms: now + self.wait_after(&trouble, now, false) },
        };
    }

    fn applied(&mut self, applied: &Applied, now: i64) {
        let Down::Applying { page } = self.down else { return };
        self.down = match applied {
            Applied::Done => {
                if self.capture_retry.failures() > 0 {
                    // What kept the capture may have been this page.
                    self.want_capture(now);
                }
                if !page.more {
                    self.pulled_all_ms = page.since_ms;
                }
                let at_once = page.more || self.pull_at_once || self.settings.pull_wait_ms > 0;
                self.pull_at_once |= page.more;
                Down::Idle { due_ms: if at_once { now } else { now + self.settings.interval_ms } }
            }
            Applied::Busy => Down::PageHere { due_ms: now + STORE_BUSY_MS, page },
            Applied::Failed => Down::Idle { due_ms: now + self.down_retry.failed() },
        };
    }

    fn wait_after(&mut self, trouble: &Trouble, now: i64, up: bool) -> i64 {
        let retry = if up { &mut self.up_retry } else { &mut self.down_retry };
        let wait_ms = retry.failed();
        match trouble {
            Trouble::Offline(_) | Trouble::NotTheServer(_) | Trouble::ServerFailed(_) => wait_ms,
            Trouble::RateLimited { retry_after_ms } => {
                self.quiet_until_ms = self.quiet_until_ms.max(now + retry_after_ms);
                *retry_after_ms
            }
            Trouble::Unauthorized(_) | Trouble::Suspended | Trouble::KeyMissing(_) => REFUSED_RETRY_MS,
        }
    }
}

#[cfg(test)]
mod tests;
