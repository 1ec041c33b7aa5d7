//! Capture: journal → outbox.

use std::collections::BTreeSet;

use tillsync_core::change::Operation;
use tillsync_core::kept;
use tillsync_core::row::Row;
use tillsync_core::sync::Captured;

use super::faults::{Crash, happens};
use super::register::{Around, Register};
use super::restore::Finding;
use super::shop::Key;
use super::state::{Change, EventId, Standing};

impl Register {
    /// Copies the journal to the outbox, once.
    pub fn capture(&mut self, around: &mut Around<'_>) -> Result<Captured, Crash> {
        if happens(around.rng, around.weather.store_busy) {
            return Ok(Captured::Busy);
        }
        if self.examine() == Some(Finding::Restored) {
            self.recover_restored(around);
            return Ok(Captured::Done { added: 1, more: true });
        }
        if self.learn_applied() {
            return Ok(Captured::Done { added: 1, more: true });
        }
        if self.state.pull_own {
            return Ok(Captured::Later);
        }
        let (looks, up_to, more) = self.visit(around.weather.journal_max);
        self.point(around)?;
        let quiet = looks.is_empty() && !more;
        let added = if quiet { 0 } else { self.record_visit(looks, up_to, around.now) };
        self.point(around)?;
        if quiet || around.rng.u8(0..4) == 0 {
            self.store.trim(up_to);
        }
        if !more && std::mem::take(&mut self.agent().inbox_due) {
            self.settle_inbox(around)?;
        }
        let added = if more || !self.state.scan_due { added } else { added + self.scan(around.now) };
        Ok(Captured::Done { added, more })
    }

    /// One snapshot of the journal and of the rows that it names.
    fn visit(&self, limit: usize) -> (Vec<(Key, Option<Row>)>, i64, bool) {
        let mut up_to = self.state.captured_seq;
        let (mut seen, mut looks, mut entries) = (BTreeSet::new(), Vec::new(), 0);
        for (seq, key) in self.store.journal_after(up_to, limit) {
            up_to = *seq;
            entries += 1;
            if seen.insert(key) {
                looks.push((key.clone(), self.store.row(key).cloned()));
            }
        }
        (looks, up_to, entries == limit)
    }

    /// Parents before children, and deletes last, children before parents; all in one commit.
    fn record_visit(&mut self, mut looks: Vec<(Key, Option<Row>)>, up_to: i64, now: i64) -> u64 {
        looks.sort_by_key(|((table, _), row)| {
            let place = *table as i64;
            if row.is_some() { (0, place) } else { (1, -place) }
        });
        let before = self.state.added();
        for (key, row) in looks {
            self.record_look(key, row, now);
        }
        self.state.captured_seq = up_to;
        (self.state.added() - before) as u64
    }

    /// Whether it is a change.
    pub fn record_look(&mut self, key: Key, row: Option<Row>, now: i64) -> bool {
        let kept = self.state.shadow.get(&key);
        let Some(kept::Captured { difference, before, kept }) = kept::capture(kept, row.as_ref(), self.shop.columns(key.0)) else {
            return false;
        };
        self.state.shadow.insert(key.clone(), kept);
        let at_ms = self.capture_time(now);
        self.events += 1;
        debug_assert!(difference.operation == Operation::Delete || row.is_some());
        self.state.add(Change {
            event: EventId::Captured(self.number, self.events),
            key,
            operation: difference.operation,
            row: row.unwrap_or_default(),
            updated_fields: difference.updated_fields,
            before,
            standing: Standing::Waiting,
            at_ms,
            captured: Some(now),
            conflict: None,
        });
        true
    }
}
