//! What a visit may find wrong with the store, and how the agent gets over it: a changed schema, a lost journal, a restored file.

use std::collections::{HashMap, HashSet};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension};
use tillsync_core::change::Operation;
use tillsync_core::key::{entity_id, parse_entity_id, parse_uuid};
use tillsync_core::problem::Problem;
use tillsync_core::value::Value;
use uuid::Uuid;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::apply::{note_received, take_over};
use crate::machine::kept_from_original;
use crate::scan::wired_key;
use crate::state::{again, conflicts, ids, inbox, lost, marks as state_marks, outbox, shadow, snapshot, upload};
use crate::store::ids as store_ids;
use crate::store::schema::Table;
use crate::store::{StoreError, applied, journal, marks, open, rows, schema};

/// Numbers left out after a restore, so that no sequence number that may have been used is used again.
const SEQUENCE_GAP: i64 = 1_000_000;

/// Rows named in one visit, so that the store is never held for long.
const NAMED_PER_VISIT: usize = 1_000;

/// What a visit found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The schema is not the one that is known.
    Schema,
    /// The journal or the marks are gone: a "reset database" function, most likely.
    JournalLost,
    /// Apply wrote rows that the state does not know of.
    Applied,
    /// The store is an older copy of itself, or a copy of another register's.
    Restored,
}

/// Rows that the restored store does not hold give up their keys: the POS uses them again, and when they come back they get others. What
/// it holds of pulled rows is what counts.
fn forget_lost_ids(conn: &Connection, state: &Connection, store: &StoreSide) -> rusqlite::Result<()> {
    if store.schema.tables.iter().all(|table| table.fresh.is_none()) {
        return Ok(());
    }
    let (births, first) = journal::births(conn)?;
    // What the journal names may be about to be deleted.
    let named = journal::after(conn, &store.schema, 0, usize::MAX >> 1)?;
    let named: HashSet<(i64, String)> = named.iter().map(|entry| (entry.table, entity_id(&entry.key))).collect();
    let tables = store.schema.tables.iter().map(|table| (store.entity(&table.name).number, table));
    let tables: HashMap<i64, &Table> = tables.collect();
    let is_there = |entity: i64, local: &str| {
        let Some(table) = tables.get(&entity) else { return Ok(true) };
        let values = parse_entity_id(local).filter(|values| values.len() == table.key.len()).unwrap_or_default();
        let is_named = named.contains(&(table.number, local.to_owned()));
        Ok(values.is_empty() || is_named || !rows::read(conn, table, &values)?.is_empty())
    };
    ids::forget_lost(state, first, |birth| births.get(&birth.seq) == Some(&birth.random), is_there)?;
    for table in store.schema.tables.iter().filter(|table| table.fresh.is_some()) {
        let entity = store.entity(&table.name).number;
        ids::clear_copies(state, entity)?;
        store_ids::all(conn, table.number, |id, local| ids::copy(state, entity, id, &local))?;
    }
    Ok(())
}

/// Whether the journal tells another birth under the number of the last one that was captured: the store went back and has come as far
/// again since.
fn is_another_past(conn: &Connection, state: &Connection) -> rusqlite::Result<bool> {
    let Some(seq) = state_marks::get::<i64>(state, state_marks::BIRTH_SEQ)? else { return Ok(false) };
    let random: Option<i64> = state_marks::get(state, state_marks::BIRTH)?;
    let there =
        conn.prepare_cached("SELECT r FROM _tillsync_journal WHERE seq = ?1")?.query_row([seq], |row| row.get(0)).optional()?;
    Ok(there.is_some_and(|there: Option<i64>| there != random))
}

/// Whether the store is one from before this register parted from the one that it is a copy of, however little has happened since.
fn is_from_before_parting(conn: &Connection, state: &Connection) -> rusqlite::Result<bool> {
    let mine: Option<String> = state_marks::get(state, state_marks::NAMESPACE)?;
    if mine.is_none() || state_marks::get(state, state_marks::PARTING)?.unwrap_or(false) {
        return Ok(false);
    }
    let theirs: Option<String> = marks::get(conn, marks::NAMESPACE)?;
    Ok(theirs.is_some() && theirs != mine)
}

impl Agent {
    /// Looks whether the store is as the agent left it.
    pub(crate) fn examine(&self, conn: &Connection, store: &StoreSide) -> rusqlite::Result<Option<Finding>> {
        if schema::version(conn)? != store.schema.version || store.schema.version == 0 {
            return Ok(Some(Finding::Schema));
        }
        let state = self.state();
        let mine: Option<String> = state_marks::get(state.conn(), state_marks::INCARNATION)?;
        let theirs: Option<String> = marks::get(conn, marks::INCARNATION)?;
        let Some(theirs) = theirs else {
            return Ok(Some(Finding::JournalLost));
        };
        let captured: i64 = state_marks::get(state.conn(), state_marks::CAPTURED_SEQ)?.unwrap_or(0);
        let cursor: i64 = state_marks::get(state.conn(), state_marks::CURSOR)?.unwrap_or(0);
        let store_cursor: i64 = marks::get(conn, marks::CURSOR)?.unwrap_or(0);
        let recorded: i64 = state_marks::get(state.conn(), state_marks::APPLIED_SEQ)?.unwrap_or(0);
        let applied: i64 = marks::get(conn, marks::APPLIED_SEQ)?.unwrap_or(0);
        let behind = journal::last(conn)? < captured || store_cursor < cursor || applied < recorded;
        let behind = behind || is_another_past(conn, state.conn())? || is_from_before_parting(conn, state.conn())?;
        if mine.as_deref() != Some(&theirs) || behind {
            return Ok(Some(Finding::Restored));
        }
        Ok((applied > recorded).then_some(Finding::Applied))
    }

    /// The store's side with a schema that has been read: before the first look nothing is known of any table, and a pulled row of
    /// an unknown table would be passed over. And the state knows which rows of the store the server wrote.
    pub(crate) fn ready_store(&self) -> Result<MutexGuard<'_, StoreSide>, AgentError> {
        let mut store = self.store();
        self.make_ready(&mut store)?;
        Ok(store)
    }

    /// Does what makes a store's side a ready one.
    pub(crate) fn make_ready(&self, store: &mut StoreSide) -> Result<(), AgentError> {
        if store.schema.version == 0 {
            self.recover_schema(store)?;
        }
        if store.applied != Some(self.recorded()?) {
            self.learn_applied(store)?;
        }
        Ok(())
    }

    /// Gets over a finding.
    pub(crate) fn recover(&self, store: &mut StoreSide, finding: Finding) -> Result<(), AgentError> {
        tracing::info!(?finding, "recovering");
        match finding {
            Finding::Schema => self.recover_schema(store),
            Finding::JournalLost => self.recover_journal(store),
            Finding::Applied => self.learn_applied(store),
            Finding::Restored => self.recover_restored(store),
        }
    }

    /// Reads the schema again and puts back what is missing. Rows of a table whose triggers were missing may have changed unseen.
    pub(crate) fn recover_schema(&self, store: &mut StoreSide) -> Result<(), AgentError> {
        let installed = self.install(store)?;
        if installed.journal {
            self.recover_journal(store)?;
        } else if !installed.tables.is_empty() {
            tracing::info!(tables = ?installed.tables, "triggers put back");
        }
        if state_marks::get(self.state().conn(), state_marks::PARTING)?.unwrap_or(false) {
            let conn = self.writer()?;
            // A restored store forgets first what it has lost.
            if self.examine(&conn, store).map_err(|error| self.store_error(error))? != Some(Finding::Restored) {
                self.part_store(&conn, store)?;
            }
        }
        Ok(())
    }

    /// The number up to which the state has what apply noted in the store.
    pub(crate) fn recorded(&self) -> Result<i64, AgentError> {
        Ok(state_marks::get(self.state().conn(), state_marks::APPLIED_SEQ)?.unwrap_or(0))
    }

    /// The agent ended between writing rows and recording them: the state takes over what the store has noted.
    fn learn_applied(&self, store: &mut StoreSide) -> Result<(), AgentError> {
        let conn = open::reader(&self.config.store)?;
        let wrap = |error| self.store_error(error);
        if self.examine(&conn, store).map_err(wrap)?.is_some_and(|finding| finding != Finding::Applied) {
            // The next capture gets over it.
            return Ok(());
        }
        let recorded = self.recorded()?;
        let noted = applied::after(&conn, recorded).map_err(wrap)?;
        let local_of = |entry: &applied::Entry| parse_uuid(&entry.key).map(|id| store_ids::local_of(&conn, entry.table, id));
        let has_ids = store_ids::are_there(&conn).map_err(wrap)?;
        let locals = noted.iter().map(|entry| local_of(entry).filter(|_| has_ids).transpose().map(Option::flatten));
        let locals: Vec<Option<String>> = locals.collect::<rusqlite::Result<_>>().map_err(wrap)?;
        let last = marks::get(&conn, marks::APPLIED_SEQ).map_err(wrap)?.unwrap_or(0);
        drop(conn);
        if last > recorded {
            let mut state = self.state();
            let tx = state.write()?;
            for (applied::Entry { table, key, kept }, local) in noted.iter().zip(&locals) {
                let Some(table) = store.schema.numbered(*table) else { continue };
                take_over(&tx, store, &table.name, key, kept, local.as_deref())?;
            }
            note_received(&tx, last - recorded)?;
            tx.commit()?;
            self.inbox_due.store(true, Ordering::Relaxed);
        }
        store.applied = Some(last);
        Ok(())
    }

    fn recover_journal(&self, store: &mut StoreSide) -> Result<(), AgentError> {
        self.install(store)?;
        let (captured, cursor, epoch, incarnation, owner) = {
            let state = self.state();
            let conn = state.conn();
            (
                state_marks::get::<i64>(conn, state_marks::CAPTURED_SEQ)?.unwrap_or(0),
                state_marks::get::<i64>(conn, state_marks::CURSOR)?.unwrap_or(0),
                state_marks::get::<String>(conn, state_marks::EPOCH)?,
                state_marks::get::<String>(conn, state_marks::INCARNATION)?,
                state_marks::get::<String>(conn, state_marks::AGENT_ID)?,
            )
        };
        let recorded = self.recorded()?;
        let first_time = incarnation.is_none();
        let incarnation = incarnation.unwrap_or_else(|| Uuid::new_v4().to_string());
        self.scan_later()?;
        let conn = self.writer()?;
        let was_served = marks::get::<String>(&conn, marks::NAMESPACE).map_err(|error| self.store_error(error))?.is_some();
        let write = || {
            conn.execute_batch("BEGIN IMMEDIATE")?;
            journal::lift(&conn, captured)?;
            marks::set(&conn, marks::INCARNATION, &incarnation)?;
            marks::set(&conn, marks::OWNER, owner)?;
            marks::set(&conn, marks::OWNER_STATE_DIR, self.config.state_dir.to_string_lossy())?;
            marks::set(&conn, marks::STORE_PATH, self.store_place())?;
            marks::set(&conn, marks::CURSOR, cursor)?;
            marks::set(&conn, marks::EPOCH, epoch)?;
            applied::clear(&conn)?;
            marks::set(&conn, marks::APPLIED_SEQ, recorded)
        };
        write().map_err(|error| self.store_error(error))?;
        self.recover_ids(&conn, store)?;
        if !first_time {
            self.forget_reused_keys(&conn, store)?;
        }
        conn.execute_batch("COMMIT").map_err(|error| self.store_error(error))?;
        store.applied = Some(recorded);
        store.schema.version = schema::version(&conn).map_err(|error| self.store_error(error))?;
        self.begin_births_anew()?;
        if first_time && was_served {
            self.name_all(store)?;
        }
        state_marks::set(self.state().conn(), state_marks::INCARNATION, incarnation)?;
        if !first_time {
            state_marks::set(self.state().conn(), state_marks::STORE_ANEW, true)?;
            self.notice(&Problem::journal_lost("its tables"))?;
        }
        Ok(())
    }

    /// The store went back in time. What the server wrote since is pulled again, this register's own changes included; until that
    /// is done nothing is captured, and then every row is compared.
    fn recover_restored(&self, store: &mut StoreSide) -> Result<(), AgentError> {
        let conn = self.writer()?;
        let wrap = |error| self.store_error(error);
        let owner: Option<String> = marks::get(&conn, marks::OWNER).map_err(wrap)?;
        let (mine, captured, epoch) = {
            let state = self.state();
            (
                state_marks::get::<String>(state.conn(), state_marks::AGENT_ID)?,
                state_marks::get::<i64>(state.conn(), state_marks::CAPTURED_SEQ)?.unwrap_or(0),
                state_marks::get::<String>(state.conn(), state_marks::EPOCH)?,
            )
        };
        if owner != mine {
            let state_dir = marks::get(&conn, marks::OWNER_STATE_DIR).map_err(wrap)?.unwrap_or_default();
            return Err(StoreError::Owned { store: self.config.store.clone(), state_dir }.into());
        }
        let same_epoch = marks::get::<String>(&conn, marks::EPOCH).map_err(wrap)? == epoch;
        let cursor = if same_epoch { whole_up_to(&conn).map_err(wrap)? } else { 0 };
        let recorded = self.recorded()?;
        let oldest: Option<i64> = conn.query_row("SELECT min(seq) FROM _tillsync_journal", [], |row| row.get(0)).map_err(wrap)?;
        let incarnation = Uuid::new_v4().to_string();
        {
            let mut state = self.state();
            let tx = state.write()?;
            lost::remember_after(&tx, cursor)?;
            shadow::forget_after(&tx, cursor)?;
            forget_lost_ids(&conn, &tx, store)?;
            for entry in outbox::sendable(&tx, 0, u32::MAX)? {
                if let Some(entity) = store.entities.get(&entry.entity) {
                    shadow::remove(&tx, entity.number, &entry.key)?;
                }
            }
            state_marks::set(&tx, state_marks::CURSOR, cursor)?;
            snapshot::clear(&tx)?;
            state_marks::set(&tx, state_marks::PULL_OWN, true)?;
            state_marks::set(&tx, state_marks::LOST_UP_TO, outbox::next_id(&tx)? - 1)?;
            state_marks::set(&tx, state_marks::CAUGHT_UP, false)?;
            state_marks::set(&tx, state_marks::SCAN_DUE, true)?;
            // Everything in the restored journal counts as new: nobody knows which entries came after the restore.
            state_marks::set(&tx, state_marks::CAPTURED_SEQ, oldest.map_or(0, |seq| seq - 1))?;
            state_marks::set(&tx, state_marks::INCARNATION, &incarnation)?;
            state_marks::clear(&tx, state_marks::BIRTH_SEQ)?;
            tx.commit()?;
        }
        store.page = None;
        let write = || {
            conn.execute_batch("BEGIN IMMEDIATE")?;
            let last = journal::last(&conn)?;
            journal::lift(&conn, captured.max(last) + SEQUENCE_GAP)?;
            marks::set(&conn, marks::INCARNATION, &incarnation)?;
            marks::set(&conn, marks::CURSOR, cursor)?;
            applied::clear(&conn)?;
            marks::set(&conn, marks::APPLIED_SEQ, recorded)?;
            conn.execute_batch("COMMIT")
        };
        write().map_err(wrap)?;
        store.applied = Some(recorded);
        self.part_store(&conn, store)?;
        // A pull that waits at the server asked for other registers' changes alone, and from a later cursor.
        self.pull_anew.store(true, Ordering::Relaxed);
        self.notice(&Problem::store_restored())
    }

    /// The journal is another one: what is known of births in the one before says nothing about it.
    fn begin_births_anew(&self) -> Result<(), AgentError> {
        let mut state = self.state();
        let tx = state.write()?;
        ids::forget_births(&tx)?;
        state_marks::clear(&tx, state_marks::BIRTH_SEQ)?;
        Ok(tx.commit()?)
    }

    /// Puts into the store what ids are made from, and what the state knows of pulled rows when the POS removed it.
    fn recover_ids(&self, conn: &Connection, store: &StoreSide) -> Result<(), AgentError> {
        let wrap = |error| self.store_error(error);
        let state = self.state();
        let mine: Option<String> = state_marks::get(state.conn(), state_marks::NAMESPACE)?;
        let theirs: Option<String> = marks::get(conn, marks::NAMESPACE).map_err(wrap)?;
        let is_parting = state_marks::get(state.conn(), state_marks::PARTING)?.unwrap_or(false);
        if marks::get::<bool>(conn, marks::COPIED).map_err(wrap)?.is_some() {
            let kept = kept_from_original(conn, state.conn(), store).map_err(wrap)?;
            store_ids::part_from_original(conn, &kept, Uuid::new_v4()).map_err(wrap)?;
        } else if is_parting && theirs.is_some() {
            // The state has a namespace of its own already, and the store is to have it, too.
            return Ok(());
        } else if theirs.is_none() {
            let namespace = mine.unwrap_or_else(|| Uuid::new_v4().to_string());
            marks::set(conn, marks::NAMESPACE, namespace).map_err(wrap)?;
            for table in store.schema.tables.iter().filter(|table| table.fresh.is_some()) {
                for (id, local) in ids::copies(state.conn(), store.entity(&table.name).number)? {
                    let values = parse_entity_id(&local).unwrap_or_default();
                    if values.len() == table.key.len() && !rows::read(conn, table, &values).map_err(wrap)?.is_empty() {
                        store_ids::put(conn, table.number, id, &local).map_err(wrap)?;
                    }
                }
            }
        }
        let namespace: Option<String> = marks::get(conn, marks::NAMESPACE).map_err(wrap)?;
        Ok(state_marks::set(state.conn(), state_marks::NAMESPACE, namespace)?)
    }

    /// A store that was served before holds rows that the server knows by their ids. Before any of them comes by a pull it must be known
    /// here under its key, or it would come as another row.
    fn name_all(&self, store: &StoreSide) -> Result<(), AgentError> {
        for table in store.schema.tables.iter().filter(|table| table.fresh.is_some()) {
            let mut after: Option<Vec<Value>> = None;
            loop {
                let conn = open::reader(&self.config.store)?;
                let found =
                    rows::read_after(&conn, table, after.as_deref(), NAMED_PER_VISIT).map_err(|error| self.store_error(error))?;
                let Some(last) = found.last() else { break };
                after = Some(rows::key_of(table, last));
                let (looks, named) = self.name(store, &conn, table, found).map_err(|error| self.store_error(error))?;
                drop(conn);
                let mut state = self.state();
                let tx = state.write()?;
                ids::remember(&tx, &named)?;
                for id in looks.iter().filter_map(|look| parse_uuid(&look.key)) {
                    ids::seen(&tx, store.entity(&table.name).number, id, None)?;
                }
                tx.commit()?;
            }
        }
        Ok(())
    }

    /// The server was restored from a backup: its log is the one that it was up to `head`, and what came after is lost there. Everything that
    /// this register knows from then is sent again, whoever made it.
    pub(crate) fn server_went_back(&self, store: &mut StoreSide, epoch: Option<&str>, head: i64) -> Result<(), AgentError> {
        let (conn, restoring) = (self.writer()?, self.is_restoring()?);
        let cursor = {
            let mut state = self.state();
            let tx = state.write()?;
            conflicts::clear(&tx)?;
            if restoring {
                // What the store has lost, too, is in the outbox alone.
                outbox::resend_after(&tx, head)?;
            }
            for table in store.schema.tables.iter().filter(|table| table.direction.pushes()) {
                for key in again::note_after(&tx, store.entity(&table.name).number, head)? {
                    delete_again(&tx, table, &key)?;
                }
            }
            shadow::go_back_to(&tx, head)?;
            inbox::release_after(&tx, head)?;
            upload::reset(&tx)?;
            let cursor = state_marks::get(&tx, state_marks::CURSOR)?.unwrap_or(0).min(head);
            snapshot::clear(&tx)?;
            state_marks::set(&tx, state_marks::CURSOR, cursor)?;
            state_marks::set(&tx, state_marks::EPOCH, epoch)?;
            state_marks::set(&tx, state_marks::CAUGHT_UP, false)?;
            tx.commit()?;
            cursor
        };
        store.page = None;
        let write = || {
            marks::set(&conn, marks::CURSOR, cursor)?;
            marks::set(&conn, marks::EPOCH, epoch)
        };
        write().map_err(|error| self.store_error(error))?;
        // The push lane has rows to send, too.
        self.pull_anew.store(true, Ordering::Relaxed);
        self.notice(&Problem::server_reset())
    }

    /// The server counts anew: everything is compared with it again, and what it had confirmed since is sent again.
    pub(crate) fn server_was_reset(&self, store: &mut StoreSide, epoch: Option<&str>, head: i64) -> Result<(), AgentError> {
        let conn = self.writer()?;
        {
            let mut state = self.state();
            let tx = state.write()?;
            let same_epoch = state_marks::get::<String>(&tx, state_marks::EPOCH)?.as_deref() == epoch;
            outbox::resend_after(&tx, if same_epoch { head } else { 0 })?;
            conflicts::clear(&tx)?;
            shadow::reset_versions(&tx)?;
            upload::reset(&tx)?;
            lost::clear(&tx)?;
            again::clear(&tx)?;
            for entry in inbox::after(&tx, None, usize::MAX >> 1)? {
                inbox::release(&tx, &entry.entity, &entry.key, i64::MAX)?;
            }
            state_marks::set(&tx, state_marks::CURSOR, 0)?;
            snapshot::clear(&tx)?;
            state_marks::clear(&tx, state_marks::RESTORED_UP_TO)?;
            state_marks::set(&tx, state_marks::EPOCH, epoch)?;
            state_marks::set(&tx, state_marks::CAUGHT_UP, false)?;
            tx.commit()?;
        }
        store.page = None;
        let write = || {
            marks::set(&conn, marks::CURSOR, 0)?;
            marks::set(&conn, marks::EPOCH, epoch)
        };
        write().map_err(|error| self.store_error(error))?;
        self.notice(&Problem::server_reset())
    }
}

/// The cursor up to which nothing of the server's is missing in the store: what waited in the inbox then may be out of it by now.
fn whole_up_to(conn: &Connection) -> rusqlite::Result<i64> {
    let cursor: i64 = marks::get(conn, marks::CURSOR)?.unwrap_or(0);
    Ok(marks::get(conn, marks::WHOLE)?.unwrap_or(cursor).min(cursor))
}

/// A delete that the server has lost, unless a change of the row waits to be sent anyway.
fn delete_again(tx: &Connection, table: &Table, key: &str) -> Result<(), AgentError> {
    let Some(key_columns) = wired_key(table, key) else { return Ok(()) };
    if outbox::has_unsent(tx, &table.name, key)? {
        return Ok(());
    }
    let change = outbox::NewEntry {
        event_id: Uuid::now_v7(),
        entity: &table.name,
        key,
        operation: Operation::Delete,
        data: key_columns.to_json(),
        updated_fields: None,
        before: None,
        at_ms: outbox::NOBODYS_MS,
    };
    Ok(outbox::add(tx, &change)?)
}
