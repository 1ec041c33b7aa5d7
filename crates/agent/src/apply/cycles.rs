//! Rows that wait for each other: each refers to one that is not here, and around. One is written without what it refers to, which lets the
//! others in; then it comes whole.

use std::collections::HashMap;

use tillsync_core::row::Row;
use tillsync_core::value::Value;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::apply::{Arriving, INBOX_MAX, Outcome, from_inbox};
use crate::state::inbox::{self, Reason};
use crate::state::shadow;
use crate::store::schema::{Schema, Table};

/// A row by its table and its id on the wire.
type Place = (String, String);

/// The rows of the inbox that wait, by what each refers to among them.
type Waiting = HashMap<Place, Vec<(Place, Vec<String>)>>;

impl Agent {
    /// Lets one in of rows that wait for each other, where a reference may be empty for a moment. Says whether there was one.
    pub(super) fn settle_cycles(&self, store: &mut StoreSide) -> Result<bool, AgentError> {
        let entries = inbox::after(self.state().conn(), None, INBOX_MAX)?.into_iter();
        let mut rows: HashMap<Place, Arriving> = HashMap::new();
        for entry in entries.filter(|entry| entry.reason == Reason::Parent) {
            let change = from_inbox(entry);
            let Some(Ok(row)) = change.data.as_deref().map(serde_json::from_str::<Row>) else { continue };
            rows.insert((change.entity.clone(), change.key.clone()), Arriving { change, row: Some(row), may_meet_unsent: false });
        }
        let waiting = find_references(&store.schema, &rows);
        let mut found = None;
        for place in waiting.keys().filter(|place| refers_back(&waiting, place)) {
            if !self.is_in_for_now(store, &rows[place])? {
                found = Some(place);
                break;
            }
        }
        let Some(place) = found else { return Ok(false) };
        let Some(mut arriving) = rows.remove(place) else { return Ok(false) };
        for (_, columns) in waiting[place].iter().filter(|(other, _)| other == place || reaches(&waiting, other, place)) {
            for column in columns {
                arriving.row.get_or_insert_default().set(column, Value::Null);
            }
        }
        // Not the version that the server has: that one stays in the inbox and comes when the others are here.
        arriving.change.id -= 1;
        let arriving = [arriving];
        let (outcomes, ..) = self.write_all(store, &arriving, None)?;
        let is_in = outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Written(..)));
        self.record_outcomes(store, &arriving, outcomes, None)?;
        Ok(is_in)
    }

    /// Whether the row is in the store already without what it refers to.
    fn is_in_for_now(&self, store: &StoreSide, row: &Arriving) -> Result<bool, AgentError> {
        let Some(entity) = store.entities.get(&row.change.entity) else { return Ok(true) };
        let kept = shadow::get(self.state().conn(), entity.number, &row.change.key)?;
        Ok(kept.is_some_and(|kept| kept.version() == row.change.id - 1))
    }
}

fn find_references(schema: &Schema, rows: &HashMap<Place, Arriving>) -> Waiting {
    let mut waiting = Waiting::new();
    for (place, Arriving { row, .. }) in rows {
        let (Some(table), Some(row)) = (schema.table(&place.0), row) else { continue };
        waiting.insert(place.clone(), references_of(schema, table, row).filter(|(other, _)| rows.contains_key(other)).collect());
    }
    waiting
}

/// What a row refers to, with the columns that may be empty for it: rows that have ids of their own, and rows of earlier tables.
fn references_of(schema: &Schema, table: &Table, row: &Row) -> impl Iterator<Item = (Place, Vec<String>)> {
    let linked = table.links.iter().filter_map(|link| match row.get(&link.column)? {
        Value::Text(id) => Some(((link.table.clone(), id.clone()), vec![link.column.clone()])),
        _ => None,
    });
    let declared = table.parents.iter().filter_map(move |reference| {
        let other = schema.table(&reference.table)?;
        Some(((other.name.clone(), table.parent_id(other, reference, row)?), reference.columns.clone()))
    });
    linked.chain(declared).filter(|(_, columns)| !columns.iter().any(|column| table.key.contains(column)))
}

fn refers_back(waiting: &Waiting, place: &Place) -> bool {
    waiting[place].iter().any(|(other, _)| other == place || reaches(waiting, other, place))
}

/// Whether one row refers to another, also by way of others.
fn reaches(waiting: &Waiting, from: &Place, to: &Place) -> bool {
    let mut seen = vec![from];
    let mut next = 0;
    while let Some(place) = seen.get(next) {
        next += 1;
        for (other, _) in waiting.get(*place).into_iter().flatten() {
            if other == to {
                return true;
            }
            if !seen.contains(&other) {
                seen.push(other);
            }
        }
    }
    false
}
