//! Scan: the store against the shadow, row by row, where rows may have changed unseen.

use super::capture::{Look, Seen};
use super::register::Register;
use super::shop::Table;

impl Register {
    /// Whether a scan is due and may begin: what the first full sync has yet to send it would leave out.
    pub fn must_scan(&self) -> bool {
        self.state.scan_due && self.has_uploaded()
    }

    /// Compares every row. Gives back how many changes it found.
    pub fn scan(&mut self, now: i64) -> u64 {
        let tables: Vec<Table> = self.store.schema.tables().collect();
        let mut added = 0;
        for table in &tables {
            let mut identity = self.identity();
            let looks = self.store.rows_of(*table).map(|(place, row)| {
                let (key, row) = identity.wire(place, row);
                Look { key, row: Some(row), birth: None }
            });
            let looks: Vec<Look> = looks.collect();
            let named = identity.named;
            self.state.ids.remember(named);
            added += self.record_looks(looks, Seen::ByScan, now);
        }
        for table in tables.iter().rev() {
            let kept = self.state.shadow.iter().filter(|(key, kept)| key.0 == *table && kept.row().is_some());
            let is_there = |place| self.store.row(&place).is_some();
            let vanished = kept.filter(|(key, _)| !self.identity().key_to_local(key).is_some_and(is_there));
            let looks = vanished.map(|(key, _)| Look { key: key.clone(), row: None, birth: None }).collect();
            added += self.record_looks(looks, Seen::ByScan, now);
        }
        self.state.scan_due = false;
        added
    }
}
