//! One row: from the wire into the store, under the key that it has or gets here.

use std::collections::HashSet;

use rusqlite::{Connection, ErrorCode};
use tillsync_core::kept::{self, Kept};
use tillsync_core::key::{entity_id, is_nobody, parse_uuid};
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use crate::apply::{Arriving, Outcome, Slice, Unseen};
use crate::identity::{Identity, Local};
use crate::state::inbox::Reason;
use crate::state::{outside, shadow};
use crate::store::schema::{Reference, Table};
use crate::store::{ids, null_keys, rows};

/// What people are told of a row whose table is set up differently elsewhere.
const FOREIGN_KEY: &str =
    "its key counts for every register elsewhere and for each one alone here; `tillsync tables` must say the same on all";

/// What people are told of a row whose key several rows have here.
const SHARED_KEY: &str = "its key holds NULL, and several rows have it here; nothing tells which of them is meant";

impl Slice<'_> {
    pub(super) fn write_row(&self, desk: &Desk<'_>, arriving: &Arriving) -> rusqlite::Result<Outcome> {
        let Arriving { change, row, .. } = arriving;
        let Some(table) = self.store.schema.table(&change.entity) else { return Ok(Outcome::Held(Reason::Refused, None)) };
        let written = match desk.identity.to_local(table, &change.key, change.operation, row.as_ref())? {
            Local::Known { values, row } => self.write_known(desk, table, arriving, &values, row.as_ref()),
            Local::New { fresh, row } => self.write_new(desk, table, arriving, &fresh, row),
            Local::Absent => Ok(Outcome::Written(Kept::Deleted(change.id), None)),
            Local::Foreign => Ok(Outcome::Held(Reason::Refused, Some(FOREIGN_KEY.to_owned()))),
            Local::Orphan { parent, id } => self.wait_for(desk, table, arriving, &parent, Some(&id.to_string())),
        };
        refused_is_held(written)
    }

    pub(super) fn write_known(
        &self,
        desk: &Desk<'_>,
        table: &Table,
        arriving: &Arriving,
        values: &[Value],
        row: Option<&Row>,
    ) -> rusqlite::Result<Outcome> {
        if null_keys::is_shared(desk.conn, table, values)? {
            return Ok(Outcome::Held(Reason::Refused, Some(SHARED_KEY.to_owned())));
        }
        if self.is_changed_here(desk, table, arriving, values, row)? {
            return Ok(Outcome::Held(Reason::Local, None));
        }
        self.put_known(desk, table, arriving, values, row)
    }

    /// Whether the POS has touched the row since the last capture, or, where no trigger tells, changed it since it was last seen: a scan finds
    /// that. Until it is captured the server's row waits.
    pub(super) fn is_changed_here(
        &self,
        desk: &Desk<'_>,
        table: &Table,
        arriving: &Arriving,
        values: &[Value],
        row: Option<&Row>,
    ) -> rusqlite::Result<bool> {
        if !desk.touched.is_empty() && desk.touched.contains(&(table.number, entity_id(values))) {
            return Ok(true);
        }
        if self.unseen == Unseen::None || !table.direction.pushes() {
            return Ok(false);
        }
        let entity = self.store.entity(&table.name);
        let kept = shadow::get(desk.identity.state(), entity.number, &arriving.change.key)?;
        // A backup may hold rows that were deleted since and forgotten here as well.
        if kept.is_none() && row.is_none() && self.unseen == Unseen::NotDeleted {
            return Ok(false);
        }
        let Some(here) = rows::read(desk.conn, table, values)?.pop() else {
            return Ok(row.is_some() && kept.is_some_and(|kept| kept.row().is_some()));
        };
        if row.is_some_and(|row| row.same_as(&here)) {
            return Ok(false);
        }
        let wired = desk.identity.to_wire(table, here)?.row;
        Ok(kept::capture(kept.as_ref(), Some(&wired), &entity.columns).is_some())
    }

    /// Writes or deletes the row with this key.
    pub(super) fn put_known(
        &self,
        desk: &Desk<'_>,
        table: &Table,
        arriving: &Arriving,
        values: &[Value],
        row: Option<&Row>,
    ) -> rusqlite::Result<Outcome> {
        let (conn, change_id) = (desk.conn, arriving.change.id);
        if arriving.may_meet_unsent
            && let Some(here) = rows::read(conn, table, values)?.pop()
            && !row.is_some_and(|row| row.same_as(&here))
        {
            // Two stores that were not the same before Tillsync came: the server brings the two rows together.
            return Ok(Outcome::Held(Reason::Local, None));
        }
        let Some(row) = row else {
            let deleted = delete(conn, table, values, change_id)?;
            if let (Outcome::Written(..), Some(id)) = (&deleted, parse_uuid(&arriving.change.key).filter(|_| table.fresh.is_some()))
            {
                ids::remove(conn, table.number, id)?;
            }
            return Ok(deleted);
        };
        if let Some(parent) = missing_parent(conn, table, row)? {
            let id = self.store.schema.table(&parent.table).zip(arriving.row.as_ref());
            let id = id.and_then(|(other, wired)| table.parent_id(other, parent, wired));
            return self.wait_for(desk, table, arriving, &parent.table, id.as_deref());
        }
        self.upsert(desk, table, arriving, values, row)
    }

    fn write_new(&self, desk: &Desk<'_>, table: &Table, arriving: &Arriving, fresh: &str, row: Row) -> rusqlite::Result<Outcome> {
        if let Some(parent) = missing_parent(desk.conn, table, &row)? {
            return self.wait_for(desk, table, arriving, &parent.table, None);
        }
        let (values, row) = desk.identity.give_key(table, &arriving.change.key, fresh, row, &desk.touched)?;
        // The row and its key come together or not at all: what the store refuses leaves no key behind.
        desk.conn.execute_batch("SAVEPOINT tillsync_key")?;
        if let Some(id) = parse_uuid(&arriving.change.key) {
            ids::put(desk.conn, table.number, id, &entity_id(&values))?;
        }
        let written = self.upsert(desk, table, arriving, &values, &row);
        if !matches!(written, Ok(Outcome::Written(..))) {
            desk.conn.execute_batch("ROLLBACK TO tillsync_key")?;
            desk.identity.forget(table, &values);
        }
        desk.conn.execute_batch("RELEASE tillsync_key")?;
        written
    }

    /// The row waits for another one, unless that one is kept out by a filter: then it is kept out as well.
    fn wait_for(
        &self,
        desk: &Desk<'_>,
        table: &Table,
        arriving: &Arriving,
        parent: &str,
        id: Option<&str>,
    ) -> rusqlite::Result<Outcome> {
        let is_filtered = self.store.schema.table(parent).is_some_and(|parent| parent.filter.is_some());
        if let Some(id) = id.filter(|_| is_filtered) {
            let place = (parent.to_owned(), id.to_owned());
            if self.kept_out.borrow().contains(&place) || outside::holds(desk.identity.state(), parent, id)? {
                self.kept_out.borrow_mut().insert((table.name.clone(), arriving.change.key.clone()));
                return Ok(Outcome::Outside);
            }
        }
        Ok(Outcome::Held(Reason::Parent, Some(format!("its {parent} is not here"))))
    }

    /// Writes the row, unless it is new here and the filter keeps it out. A row that is here follows the server wherever it goes.
    fn upsert(
        &self,
        desk: &Desk<'_>,
        table: &Table,
        arriving: &Arriving,
        values: &[Value],
        row: &Row,
    ) -> rusqlite::Result<Outcome> {
        let conn = desk.conn;
        desk.identity.know(table, values, &arriving.change.key);
        let write = || -> rusqlite::Result<Outcome> {
            let stored = rows::upsert(conn, table, values, row)?;
            let given = table.fresh.as_ref().and_then(|_| parse_uuid(&arriving.change.key));
            let given = given.map(|id| ids::local_of(conn, table.number, id)).transpose()?.flatten();
            let wired = desk.identity.to_wire(table, stored)?.row;
            let columns = &self.store.entity(&table.name).columns;
            Ok(Outcome::Written(Kept::received(Some(&wired), arriving.change.id, columns), given))
        };
        if table.filter.is_none() || !rows::read(conn, table, values)?.is_empty() {
            return write();
        }
        // The store itself says what its columns make of the values, so the row is written and looked at.
        conn.execute_batch("SAVEPOINT tillsync_row")?;
        let written = write();
        if written.is_ok() && rows::is_outside(conn, table, values)? {
            conn.execute_batch("ROLLBACK TO tillsync_row; RELEASE tillsync_row")?;
            self.kept_out.borrow_mut().insert((table.name.clone(), arriving.change.key.clone()));
            return Ok(Outcome::Outside);
        }
        conn.execute_batch("RELEASE tillsync_row")?;
        written
    }
}

/// A row that the store refuses waits, with what the store said. A text in an integer key is no violation of a constraint but a mismatch.
pub(super) fn refused_is_held(written: rusqlite::Result<Outcome>) -> rusqlite::Result<Outcome> {
    match written {
        Err(error) if matches!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch)) => {
            Ok(Outcome::Held(Reason::Refused, Some(error.to_string())))
        }
        other => other,
    }
}

/// What the rows of one transaction are written with.
pub(super) struct Desk<'a> {
    pub conn: &'a Connection,
    pub identity: Identity<'a>,
    /// Local keys that the POS touched since the last capture.
    pub touched: HashSet<(i64, String)>,
}

/// The reference of a row, as it is to be in the store, to a row that is not there.
fn missing_parent<'a>(conn: &Connection, table: &'a Table, row: &Row) -> rusqlite::Result<Option<&'a Reference>> {
    for parent in table.parents.iter().filter(|parent| parent.table != table.name) {
        // Where keys are translated, a POS may write 0 for nobody.
        let is_link = table.links.iter().any(|link| link.columns == parent.columns);
        let nobody = is_link && parent.columns.iter().filter_map(|column| row.get(column)).any(is_nobody);
        if !nobody && !rows::parent_is_there(conn, parent, row)? {
            return Ok(Some(parent));
        }
    }
    Ok(None)
}

fn delete(conn: &Connection, table: &Table, values: &[Value], change_id: i64) -> rusqlite::Result<Outcome> {
    if !table.children.is_empty()
        && let Some(row) = rows::read(conn, table, values)?.pop()
    {
        for child in &table.children {
            let refers_to_itself = child.table == table.name
                && child.columns.iter().zip(&child.other_columns).all(|(own, other)| row.get(own) == row.get(other));
            if !refers_to_itself && rows::has_children(conn, child, &row)? {
                return Ok(Outcome::Held(Reason::Children, Some(format!("rows of {} refer to it", child.table))));
            }
        }
    }
    rows::delete(conn, table, values)?;
    Ok(Outcome::Written(Kept::Deleted(change_id), None))
}
