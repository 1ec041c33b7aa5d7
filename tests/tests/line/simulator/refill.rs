//! Refill: columns came to a table. Its rows are asked for again page by page, and both sides get what they lack there.

use std::collections::{BTreeMap, BTreeSet};

use tillsync_core::change::Operation;
use tillsync_core::diff::{Added, Shadow, has_come};
use tillsync_core::kept::{self, COMING, Kept};
use tillsync_core::row::Row;
use tillsync_core::sync::{Event, Pushed};
use tillsync_core::value::Value;

use super::capture::NOBODYS_MS;
use super::hub::Outgoing;
use super::network::Message;
use super::push::Batch;
use super::register::{Around, Register};
use super::shop::{Key, Place, Table};
use super::state::{Due, EventId, Held};
use super::world::World;

/// A page of rows whose new columns are looked at.
#[derive(Clone, Debug)]
pub struct Refill {
    pub table: Table,
    due: Due,
    pub keys: Vec<Key>,
    /// Those of them that come late.
    late: BTreeSet<String>,
}

/// Rows as the hub has them, with their versions.
pub type Theirs = BTreeMap<Key, (i64, Row)>;

/// What becomes of the new columns of one row.
#[derive(Default)]
struct Verdicts {
    /// The hub's value is to come into the store.
    fill: bool,
    /// The register's value goes to the hub.
    send: Vec<String>,
    /// Both have one, and neither is known to be the later.
    disputed: bool,
}

impl World {
    /// Looks at the next page of a table to which columns came. Says whether there is one.
    pub fn refill(&mut self, number: usize, rows_max: usize) -> Result<bool, String> {
        let Some(refill) = self.registers[number].next_refill(rows_max) else { return Ok(false) };
        let keys = refill.keys.clone();
        self.ask_in_push(number, Batch::Question(refill), |call| Message::Question(call, keys))?;
        Ok(true)
    }

    /// The hub has told of the rows: what it lacks is sent, or the next page follows.
    pub fn refilled(&mut self, number: usize, mut refill: Refill, theirs: &Theirs) -> Result<(), String> {
        let Some(outgoing) = self.step(number, |register, around| register.look_at_page(&mut refill, theirs, around)) else {
            return Ok(());
        };
        if outgoing.is_empty() {
            self.later(number, 0, Event::Pushed(Pushed::Done { more: true, took_ms: 0 }));
            return Ok(());
        }
        let rows = outgoing.iter().map(|change| (change.key.clone(), change.row.clone())).collect();
        let sent_at = Some(self.registers[number].hub_clock_ms(self.now));
        self.send_batch(number, Batch::Refill(refill, rows), outgoing, sent_at)
    }
}

impl Register {
    /// The next page of a table that is due. Tables without rows left are done.
    fn next_refill(&mut self, rows_max: usize) -> Option<Refill> {
        let sent = self.state.refill.keys().copied().filter(|table| self.state.is_sent(*table) && self.store.schema.has(*table));
        for table in sent.collect::<Vec<_>>() {
            let due = self.state.refill[&table].clone();
            let is_left = |key: &&Key| match due.is_through {
                true => due.late.contains(&key.1) && !self.state.has_unsent(key),
                false => due.after.as_ref().is_none_or(|after| key.1 > *after),
            };
            let shadow = self.state.shadow.keys().filter(|key| key.0 == table);
            let keys: Vec<Key> = shadow.filter(is_left).take(rows_max).cloned().collect();
            if !keys.is_empty() {
                return Some(Refill { table, due, keys, late: BTreeSet::new() });
            }
            self.pass_through(table);
        }
        None
    }

    /// No row of the table is left to ask for, now or at all.
    fn pass_through(&mut self, table: Table) {
        let Some(due) = self.state.refill.get_mut(&table) else { return };
        due.is_through = true;
        if due.late.is_empty() {
            self.state.refill.remove(&table);
            if let Some(columns) = self.state.known_columns().get_mut(&table) {
                columns.added.clear();
            }
        }
    }

    /// The rows of the page are done but for those that come late, unless something else is due by now.
    pub fn advance_refill(&mut self, refill: &Refill) {
        if let Some(due) = self.state.refill.get_mut(&refill.table).filter(|due| **due == refill.due) {
            if due.is_through {
                due.late.retain(|late| !refill.keys.iter().any(|key| key.1 == *late));
            } else {
                due.after = refill.keys.last().map(|key| key.1.clone());
            }
            due.late.extend(refill.late.iter().cloned());
        }
    }

    fn look_at_page(
        &mut self,
        refill: &mut Refill,
        theirs: &Theirs,
        around: &mut Around<'_>,
    ) -> Result<Vec<Outgoing>, super::faults::Crash> {
        self.point(around)?;
        self.learn_applied();
        let mut outgoing = Vec::new();
        refill.late.clear();
        for key in &refill.keys.clone() {
            let mut identity = self.identity();
            let place = identity.key_to_local(key);
            let here = place.and_then(|place| self.store.row(&place).map(|row| identity.wire(&place, row).1));
            match (here, theirs.get(key)) {
                (Some(here), Some((_, row))) if self.state.has_unsent(key) => {
                    if self.look_at_unsent(&refill.due.added, key, &here, row) {
                        around.coverage.count("a new column is filled late");
                        refill.late.insert(key.1.clone());
                    }
                }
                (Some(here), Some((version, row))) => {
                    outgoing.extend(self.look_at_row(&refill.due.added, key, &here, (*version, row), around));
                }
                (Some(here), None) => self.see_added(key, &here, None),
                (None, _) => {}
            }
        }
        if outgoing.is_empty() {
            self.advance_refill(refill);
        }
        self.agent().inbox_due = true;
        self.point(around)?;
        Ok(outgoing)
    }

    /// Rows that may lack what the hub holds in new columns: nobody has asked yet, or they wait for it behind changes of their own.
    pub fn late_rows(&self) -> BTreeSet<Place> {
        let refilling = self.state.refilling();
        let is_new = |table: &Table| {
            let known = self.state.selection.get(table);
            let names = self.store.schema.columns(*table).iter().map(|column| column.name);
            refilling.contains(table) || known.is_none_or(|known| !names.eq(known.iter().map(String::as_str)))
        };
        let tables: BTreeSet<Table> = self.store.schema.tables().filter(is_new).collect();
        let unasked = self.store.rows().keys().filter(|place| tables.contains(&place.0)).cloned();
        let late = self.state.refill.iter().flat_map(|(table, due)| due.late.iter().map(|id| (*table, id.clone())));
        unasked.chain(late.filter_map(|key| self.identity().key_to_local(&key))).collect()
    }

    /// What was sent of new columns has its verdict, so that it is no change any more.
    pub fn see_sent(&mut self, refill: &Refill, rows: &[(Key, Row)]) {
        let is_sent = |field: &String| refill.due.added.iter().any(|column| column.name == *field);
        for (key, row) in rows {
            let Some(kept @ Kept::Row(_)) = self.state.shadow.get(key) else { continue };
            let columns = self.state.columns(key.0);
            let is_all = kept::capture(Some(kept), Some(row), columns)
                .is_none_or(|found| found.difference.updated_fields.is_some_and(|fields| fields.iter().all(is_sent)));
            if is_all {
                let seen = Kept::received(Some(row), kept.version(), columns);
                self.state.shadow.insert(key.clone(), seen);
            }
        }
    }

    /// What the POS made of the row is on its way. Where it gives a new column another value than the hub has, it was made without knowing that
    /// one. Says whether the row lacks what the hub has.
    fn look_at_unsent(&mut self, added: &[Added], key: &Key, here: &Row, theirs: &Row) -> bool {
        let verdicts = judge(added, here, theirs);
        self.see_added(key, here, (!verdicts.send.is_empty()).then_some(0));
        verdicts.fill
    }

    /// Where nothing in a row has changed but that columns came, it was seen with them from now on.
    fn see_added(&mut self, key: &Key, here: &Row, version: Option<i64>) {
        let Some(Kept::Row(known)) = self.state.shadow.get(key).cloned() else { return };
        let (columns, version) = (self.state.columns(key.0), version.unwrap_or(known.version));
        let is_as_before = kept::capture(Some(&Kept::Row(known.clone())), Some(here), columns).is_none();
        let seen = if is_as_before { Kept::received(Some(here), version, columns) } else { Kept::Row(Shadow { version, ..known }) };
        self.state.shadow.insert(key.clone(), seen);
    }

    fn look_at_row(
        &mut self,
        added: &[Added],
        key: &Key,
        here: &Row,
        theirs: (i64, &Row),
        around: &mut Around<'_>,
    ) -> Option<Outgoing> {
        let Some(Kept::Row(known)) = self.state.shadow.get(key).cloned() else { return None };
        if known.version > theirs.0 {
            // A pull was faster than this answer, and brought the row with its new columns.
            around.coverage.count("a pull is faster than a new column");
            return None;
        }
        let columns = self.state.columns(key.0);
        // Where a row was received or confirmed with something in the column, changes of it are changes like any other.
        let is_new = |column: &&Added| known.version <= 0 || !has_come(&known, here, column, &columns.prints);
        let added: Vec<Added> = added.iter().filter(is_new).cloned().collect();
        let verdicts = judge(&added, here, theirs.1);
        let is_due = verdicts.fill || !verdicts.send.is_empty();
        // Until then nobody here has seen what the hub holds there.
        let version = if is_due { COMING } else { known.version };
        let is_as_before = kept::capture(Some(&Kept::Row(known.clone())), Some(here), columns).is_none();
        let seen = if is_as_before && verdicts.send.is_empty() {
            Kept::received(Some(here), version, columns)
        } else {
            // What is sent is seen when it has its verdict; and what else the POS has changed is yet to be captured.
            Kept::Row(Shadow { version, ..known })
        };
        self.state.shadow.insert(key.clone(), seen);
        if verdicts.send.is_empty() {
            if verdicts.fill {
                around.coverage.count("a new column is filled");
                self.state.hold(key, Held { change_id: theirs.0, row: Some(theirs.1.clone()) });
            }
            return None;
        }
        around.coverage.count(if verdicts.disputed { "a new column is filled by both" } else { "a new column is sent" });
        let at_ms = if verdicts.disputed { NOBODYS_MS } else { self.hub_clock_ms(around.now) };
        self.events += 1;
        Some(Outgoing {
            event: EventId::Refilled(self.number, self.events),
            key: key.clone(),
            operation: Operation::Update,
            row: here.clone(),
            updated_fields: Some(verdicts.send),
            before: Row::default(),
            base_version: (!verdicts.disputed).then_some(theirs.0),
            at_ms,
            captured: None,
        })
    }
}

fn judge(added: &[Added], here: &Row, theirs: &Row) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for column in added {
        let value = here.get(&column.name).unwrap_or(&Value::Null);
        let server = theirs.get(&column.name).filter(|server| !server.is_null());
        let is_unset = column.is_as_it_came(value) || value.is_null();
        match server {
            Some(server) if server == value => {}
            None if is_unset => {}
            Some(_) if is_unset => verdicts.fill = true,
            Some(_) | None => {
                verdicts.disputed |= server.is_some();
                verdicts.send.push(column.name.clone());
            }
        }
    }
    verdicts
}
