//! Rows that were deleted elsewhere while rows here refer to them: a product goes on one register just when another one sells it. The sale
//! is what counts, so the row comes back, everywhere; see docs/decisions/0011.

use tillsync_core::change::Operation;
use tillsync_core::kept::Kept;
use tillsync_core::problem::Problem;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::apply::INBOX_MAX;
use crate::capture::{Look, Seen, record_looks};
use crate::identity::{Identity, Known};
use crate::state::inbox::{self, Reason};
use crate::state::{marks, outbox, shadow};
use crate::store::schema::Table;
use crate::store::{open, rows};

impl Agent {
    /// Gives rows back whose delete waits, since rows here refer to them and nothing is under way that could change that. Gives back how
    /// many.
    pub(crate) fn give_back_referred(&self, store: &StoreSide) -> Result<u64, AgentError> {
        let waiting: Vec<inbox::Entry> = inbox::after(self.state().conn(), None, INBOX_MAX)?
            .into_iter()
            .filter(|entry| entry.reason == Reason::Children && entry.operation == Operation::Delete)
            .collect();
        if waiting.is_empty() || store.page.is_some() || !self.has_heard_all()? {
            return Ok(0);
        }
        let mut given = 0;
        for entry in &waiting {
            let Some(table) = store.schema.table(&entry.entity).filter(|table| table.direction.pushes()) else { continue };
            if !self.children_are_settled(table)? {
                continue;
            }
            let Some(look) = self.look_at_referred(store, table, &entry.key)? else { continue };
            given += self.give_back(store, entry, look)?;
        }
        Ok(given)
    }

    /// Whether everything that the server has is here: the deletes of the rows that refer would be, too.
    fn has_heard_all(&self) -> Result<bool, AgentError> {
        let state = self.state();
        let number = |name| marks::get::<i64>(state.conn(), name).map(Option::unwrap_or_default);
        let caught_up = marks::get(state.conn(), marks::CAUGHT_UP)?.unwrap_or(false);
        Ok(caught_up && number(marks::CURSOR)? >= number(marks::HEAD)?)
    }

    /// Whether no row of the tables that refer waits for the server or for a person: what becomes of it may let the row go.
    fn children_are_settled(&self, table: &Table) -> Result<bool, AgentError> {
        for child in &table.children {
            if outbox::has_unsent_of(self.state().conn(), &child.table)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn look_at_referred(&self, store: &StoreSide, table: &Table, id: &str) -> Result<Option<Look>, AgentError> {
        let conn = open::reader(&self.config.store)?;
        let look = || -> rusqlite::Result<Option<Look>> {
            let (state, known) = (self.state(), Known::default());
            let identity = Identity::new(&conn, Some(state.conn()), store, &known)?;
            let Some(values) = identity.key_to_local(table, id)? else { return Ok(None) };
            let Some(row) = rows::read(&conn, table, &values)?.pop() else { return Ok(None) };
            Ok(Some(Look::at_row(table, identity.to_wire(table, row)?, None)))
        };
        look().map_err(|error| self.store_error(error))
    }

    /// The row is made anew on top of its delete.
    fn give_back(&self, store: &StoreSide, entry: &inbox::Entry, look: Look) -> Result<u64, AgentError> {
        let mut state = self.state();
        let tx = state.write()?;
        if inbox::version(&tx, &entry.entity, &entry.key)? != Some(entry.change_id) {
            return Ok(0);
        }
        inbox::release(&tx, &entry.entity, &entry.key, entry.change_id)?;
        shadow::put(&tx, store.entity(&entry.entity).number, &entry.key, &Kept::Deleted(entry.change_id))?;
        let added = record_looks(&tx, store, &[look], Seen::ByTrigger, self.capture_time(&tx)?)?;
        tx.commit()?;
        drop(state);
        self.notice(&Problem::given_back(&entry.entity, entry.detail.as_deref().unwrap_or("rows refer to it")))?;
        Ok(added)
    }
}
