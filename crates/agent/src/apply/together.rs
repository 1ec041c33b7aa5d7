//! Rows that the store refuses one by one and takes together, such as two that swapped a unique value.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use crate::agent::{Agent, AgentError, StoreSide};
use crate::apply::{Arriving, INBOX_MAX, JOURNAL_MAX, Outcome, Outcomes, Slice, from_inbox};
use crate::state::inbox::{self, Reason};
use crate::state::marks;
use crate::store::{StoreError, rows};

/// Rows that are tried together when each alone is refused; swaps are of two rows, or of a list that was put in another order.
const TOGETHER_MAX: usize = 100;

enum Together {
    /// And the last number that the store has noted.
    Written(Outcomes, i64),
    /// This row is refused by what is not among these rows; nothing was written.
    InTheWay(usize),
    CaptureFirst,
}

impl Agent {
    /// Rows that stand only in each other's way, such as two that swapped a unique value, are taken out and put in together.
    pub(super) fn settle_together(&self, store: &mut StoreSide) -> Result<(), AgentError> {
        let waiting = inbox::after(self.state().conn(), 0, INBOX_MAX)?.into_iter();
        let refused = waiting.filter(|entry| entry.reason == Reason::Refused && entry.data.is_some()).take(TOGETHER_MAX);
        let mut arriving = self.sort_arrivals(store, refused.map(from_inbox).collect())?.arriving;
        let captured = marks::get(self.state().conn(), marks::CAPTURED_SEQ)?.unwrap_or(0);
        while arriving.len() > 1 {
            let mut conn = self.writer()?;
            let none = HashMap::new();
            let kept_out = RefCell::default();
            let recorded = self.recorded()?;
            let slice = Slice {
                store,
                arriving: &arriving,
                from: 0,
                progress: None,
                captured,
                journal_max: JOURNAL_MAX,
                recorded,
                applied: recorded,
                held: &none,
                agent: self,
                kept_out: &kept_out,
                work: Duration::ZERO,
            };
            match slice.write_together(&mut conn).map_err(|error| StoreError::from_sqlite(&self.config.store, error)) {
                Ok(Together::Written(outcomes, applied)) => {
                    store.applied = Some(applied);
                    self.faults.point("rows written together")?;
                    return self.record_outcomes(store, &arriving, outcomes, None);
                }
                Ok(Together::InTheWay(place)) => drop(arriving.remove(place)),
                Ok(Together::CaptureFirst) => return Ok(()),
                Err(error) if error.is_passing() => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Slice<'_> {
    /// All or nothing: first every row goes out, then every row comes in.
    fn write_together(&self, conn: &mut Connection) -> rusqlite::Result<Together> {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !self.is_as_left(&tx)? {
            return Ok(Together::CaptureFirst);
        }
        let Some(touched) = self.touched(&tx)? else { return Ok(Together::CaptureFirst) };
        let mut merged = Vec::with_capacity(self.arriving.len());
        let mut left_out = Vec::with_capacity(self.arriving.len());
        for arriving in self.arriving {
            let (Some(table), Some(row)) = (self.store.schema.table(&arriving.change.entity), &arriving.row) else {
                return Ok(Together::InTheWay(merged.len()));
            };
            // Columns that did not come along keep their value.
            let mut whole = rows::read(&tx, table, &arriving.values)?.pop().unwrap_or_default();
            for (name, value) in row.iter() {
                whole.set(name, value.clone());
            }
            left_out.push(rows::read_left_out(&tx, table, &arriving.values)?);
            rows::delete(&tx, table, &arriving.values)?;
            merged.push(Arriving {
                change: arriving.change.clone(),
                values: arriving.values.clone(),
                row: Some(whole),
                may_meet_unsent: false,
            });
        }
        let mut outcomes = Outcomes::new();
        for (place, arriving) in merged.iter().enumerate() {
            match self.write_row(&tx, arriving, &touched)? {
                Outcome::Held(..) | Outcome::Outside => return Ok(Together::InTheWay(place)),
                outcome => outcomes.push((place, outcome)),
            }
            if let Some(table) = self.store.schema.table(&arriving.change.entity) {
                rows::put_left_out(&tx, table, &arriving.values, &left_out[place])?;
            }
        }
        let applied = self.note(&tx, &outcomes)?;
        tx.commit()?;
        Ok(Together::Written(outcomes, applied))
    }
}
