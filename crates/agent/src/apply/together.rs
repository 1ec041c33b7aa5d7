//! Rows that the store refuses one by one and takes together, such as two that swapped a unique value.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use rusqlite::Connection;
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::apply::one::{Desk, refused_is_held};
use crate::apply::{Arriving, INBOX_MAX, JOURNAL_MAX, Outcome, Outcomes, Slice, Unseen, from_inbox};
use crate::identity::{Identity, Local};
use crate::state::State;
use crate::state::inbox::{self, Reason};
use crate::state::marks;
use crate::store::schema::Table;
use crate::store::{StoreError, null_keys, rows, write};

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
        let waiting = inbox::after(self.state().conn(), None, INBOX_MAX)?.into_iter();
        let refused = waiting.filter(|entry| entry.reason == Reason::Refused && entry.data.is_some()).take(TOGETHER_MAX);
        let mut arriving = self.sort_arrivals(store, refused.map(from_inbox).collect())?.arriving;
        let captured = marks::get(self.state().conn(), marks::CAPTURED_SEQ)?.unwrap_or(0);
        while arriving.len() > 1 {
            let conn = self.writer()?;
            let none = HashMap::new();
            let (kept_out, known) = (RefCell::default(), RefCell::default());
            let recorded = self.recorded()?;
            let unseen = self.unseen()?;
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
                kept_out: &kept_out,
                known: &known,
                unseen,
                work: Duration::ZERO,
                lock: write::Lock::Late,
            };
            let state = (unseen != Unseen::None || store.schema.needs_state()).then(|| self.state());
            let wrote = slice.write_together(&conn, state.as_deref().map(State::conn));
            drop(state);
            match wrote.map_err(|error| StoreError::from_sqlite(&self.config.store, error)) {
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
    fn write_together(&self, conn: &Connection, state: Option<&Connection>) -> rusqlite::Result<Together> {
        let tx = write::begin(conn, self.lock)?;
        if !self.is_as_left(&tx)? {
            return Ok(Together::CaptureFirst);
        }
        let Some(touched) = self.touched(&tx)? else { return Ok(Together::CaptureFirst) };
        let desk = Desk { conn: &tx, identity: Identity::new(&tx, state, self.store, self.known)?, touched };
        let mut taken_out = Vec::with_capacity(self.arriving.len());
        for (place, Arriving { change, row, .. }) in self.arriving.iter().enumerate() {
            let table = self.store.schema.table(&change.entity);
            let local =
                table.map(|table| desk.identity.to_local(table, &change.key, change.operation, row.as_ref())).transpose()?;
            // Only rows that are here can stand in each other's way; a new one is refused by one that is here.
            let (Some(table), Some(Local::Known { values, row: Some(row) })) = (table, local) else {
                return Ok(Together::InTheWay(place));
            };
            let is_shared = null_keys::is_shared(&tx, table, &values)?;
            if is_shared || self.is_changed_here(&desk, table, &self.arriving[place], &values, Some(&row))? {
                return Ok(Together::InTheWay(place));
            }
            // Columns that did not come along keep their value.
            let mut whole = rows::read(&tx, table, &values)?.pop().unwrap_or_default();
            for (name, value) in row.iter() {
                whole.set(name, value.clone());
            }
            let left_out = rows::read_left_out(&tx, table, &values)?;
            rows::delete(&tx, table, &values)?;
            taken_out.push(TakenOut { table, values, whole, left_out });
        }
        let mut outcomes = Outcomes::new();
        for (place, (arriving, out)) in self.arriving.iter().zip(&taken_out).enumerate() {
            let alone = Arriving { change: arriving.change.clone(), row: arriving.row.clone(), may_meet_unsent: false };
            match refused_is_held(self.put_known(&desk, out.table, &alone, &out.values, Some(&out.whole)))? {
                Outcome::Held(..) | Outcome::Outside => return Ok(Together::InTheWay(place)),
                outcome => outcomes.push((place, outcome)),
            }
            rows::put_left_out(&tx, out.table, &out.values, &out.left_out)?;
        }
        drop(desk);
        let applied = self.note(&tx, &outcomes)?;
        tx.commit()?;
        Ok(Together::Written(outcomes, applied))
    }
}

/// A row that was taken out, and what it is to be when it comes back.
struct TakenOut<'a> {
    table: &'a Table,
    values: Vec<Value>,
    whole: Row,
    left_out: Row,
}
