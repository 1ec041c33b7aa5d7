//! Capture: journal → outbox. One short visit to the store reads the journal and the rows it names as one snapshot; what really
//! changed goes into the outbox in one transaction; only then may the journal be trimmed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction};
use tillsync_core::change::Operation;
use tillsync_core::config::Key;
use tillsync_core::kept::{self, Kept};
use tillsync_core::key::{entity_id, parse_uuid};
use tillsync_core::problem::Problem;
use tillsync_core::rhythm::Moment;
use tillsync_core::row::Row;
use tillsync_core::value::Value;
use uuid::Uuid;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::identity::{Identity, Known, Wired};
use crate::recover::Finding;
use crate::state::ids::{self, Birth, Named};
use crate::state::{State, marks, outbox, refill, selection, shadow, shared, snapshot, upload};
use crate::store::ids as store_ids;
use crate::store::null_keys::{self, Shared};
use crate::store::schema::{Schema, Table};
use crate::store::{StoreError, install, journal, marks as store_marks, open, rows, schema, write};

/// Entries looked at in one visit: about 50 ms of reading.
const ENTRIES_MAX: usize = 5_000;

/// Bytes of rows taken along from one visit, so that memory stays bounded whatever the POS writes.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// In a rollback journal readers block the POS, so a visit there is over after this time.
const ROLLBACK_VISIT_MAX: Duration = Duration::from_millis(3);

/// Entries removed from the journal in one transaction: about 2 ms of write lock.
const TRIM_MAX: usize = 1_000;

/// The POS has written nothing for this long before the journal is trimmed: a till that ties up the store at every sale and
/// waits for no lock should not meet ours.
const TRIM_IDLE_MIN: Duration = Duration::from_secs(1);

/// A journal longer than this is trimmed even while the POS is busy.
const TRIM_WAITING_MAX: i64 = 50_000;

/// What one capture did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Changes added to the outbox.
    pub added: u64,
    /// Whether the journal holds more.
    pub more: bool,
}

/// A key that was looked at, and the row that is there now.
#[derive(Debug)]
pub(crate) struct Look {
    pub table: String,
    /// Its id on the wire.
    pub key: String,
    /// Its key columns as they are on the wire.
    pub key_columns: Row,
    /// The row as it is on the wire.
    pub row: Option<Row>,
    /// When it was born, as far as the journal says so.
    pub birth: Option<Birth>,
}

impl Look {
    /// At a row that is there.
    pub fn at_row(table: &Table, wired: Wired, birth: Option<Birth>) -> Self {
        Self { table: table.name.clone(), key: wired.id, key_columns: wired.key, row: Some(wired.row), birth }
    }

    /// At a key that no row has.
    pub fn at_nothing(table: &Table, key: String, key_columns: Row) -> Self {
        Self { table: table.name.clone(), key, key_columns, row: None, birth: None }
    }
}

/// How a change came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The journal names the row.
    ByTrigger,
    /// Every row was looked at.
    ByScan,
}

struct Visit {
    looks: Vec<Look>,
    /// The journal was read after this entry …
    after: i64,
    /// … up to this one.
    up_to: i64,
    more: bool,
    /// Row counts of tables in which a row may have been pushed out unseen.
    counts: Vec<(String, u64)>,
    /// Keys with NULL that were looked at: table, key, and the rows that share it if there are several.
    null_keys: Vec<(String, String, Option<Shared>)>,
    first_seq: Option<i64>,
    /// Ids that were given on the way.
    named: Vec<Named>,
    /// The last birth in the journal.
    last_birth: Option<Birth>,
}

enum Visited {
    Looked(Visit),
    /// Something is to be got over before anything can be captured.
    Found(Finding),
    /// The store was restored: first everything that it has lost comes back.
    Restoring,
}

impl Agent {
    /// Copies the journal to the outbox, once.
    pub fn capture(&self) -> Result<Capture, AgentError> {
        let mut store = self.store_to_read();
        let visit = match self.visit(&mut store)? {
            Visited::Looked(visit) => visit,
            Visited::Restoring => return Ok(Capture::default()),
            Visited::Found(finding) => {
                self.recover(&mut store, finding)?;
                // A table that is new, or all of a restored store, is to be sent: the push lane looks, too.
                return Ok(Capture { added: 1, more: true });
            }
        };
        self.faults.point("journal read")?;
        let quiet = visit.looks.is_empty() && !visit.more;
        // Entries that name no row are captured as well: nothing waits behind them.
        let mut capture = if visit.up_to == visit.after { Capture::default() } else { self.record_visit(&store, &visit)? };
        self.faults.point("captured")?;
        let waiting = visit.first_seq.map_or(0, |first| visit.up_to - first);
        if !quiet {
            store.written_at = Some(Instant::now());
        }
        let idle = quiet && store.written_at.is_none_or(|at| at.elapsed() >= TRIM_IDLE_MIN);
        if (idle && waiting > 0) || waiting > TRIM_WAITING_MAX {
            self.trim(visit.up_to)?;
            self.forget_deleted(&store)?;
        }
        if !visit.more && self.inbox_due.swap(false, Ordering::Relaxed) {
            let settled = self.settle_inbox(&mut store).and_then(|()| self.give_back_referred(&store));
            capture.added += settled.inspect_err(|_| self.inbox_due.store(true, Ordering::Relaxed))?;
        }
        Ok(capture)
    }

    fn visit(&self, store: &mut StoreSide) -> Result<Visited, AgentError> {
        let conn = open::reader(&self.config.store)?;
        let seq = marks::get(self.state().conn(), marks::CAPTURED_SEQ)?.unwrap_or(0);
        let restoring = self.is_restoring()?;
        let read = || {
            conn.execute_batch("BEGIN")?;
            if let Some(finding) = self.examine(&conn, store)? {
                return Ok(Visited::Found(finding));
            }
            if restoring {
                return Ok(Visited::Restoring);
            }
            let readers_block = !open::is_wal(&conn)?;
            self.turns().readers_block = readers_block;
            let state = store.schema.needs_state().then(|| self.state());
            let known = Known::default();
            let visit = read_visit(
                &conn,
                store,
                seq,
                readers_block,
                Identity::new(&conn, state.as_deref().map(State::conn), store, &known)?,
            );
            conn.execute_batch("COMMIT")?;
            visit.map(Visited::Looked)
        };
        read().map_err(|error| self.store_error(error))
    }

    fn record_visit(&self, store: &StoreSide, visit: &Visit) -> Result<Capture, AgentError> {
        let mut state = self.state();
        let tx = state.write()?;
        ids::remember(&tx, &visit.named)?;
        let added = record_looks(&tx, store, &visit.looks, Seen::ByTrigger, self.capture_time(&tx)?)?;
        marks::set(&tx, marks::CAPTURED_SEQ, visit.up_to)?;
        if let Some(birth) = visit.last_birth {
            marks::set(&tx, marks::BIRTH_SEQ, birth.seq)?;
            marks::set(&tx, marks::BIRTH, birth.random)?;
        }
        for (table, key, found) in &visit.null_keys {
            if shared::remove(&tx, table, key)? && found.is_none() {
                // What the server has under this key can come in.
                self.inbox_due.store(true, Ordering::Relaxed);
            }
            if let Some(found) = found {
                shared::put(&tx, table, found)?;
            }
        }
        for (table, count) in &visit.counts {
            let uploaded = upload::get(&tx, table)?.is_some_and(|progress| progress.finished);
            if uploaded && shadow::count(&tx, store.entity(table).number)? != *count {
                marks::set(&tx, marks::SCAN_DUE, true)?;
            }
        }
        tx.commit()?;
        if added > 0 {
            tracing::info!(added, journal = visit.up_to, "captured");
        }
        Ok(Capture { added, more: visit.more })
    }

    /// Pulled rows that the POS has deleted lose their ids in the store, so that the next row with such a key is another one for good.
    fn forget_deleted(&self, store: &StoreSide) -> Result<(), AgentError> {
        let over = ids::over(self.state().conn())?;
        if over.is_empty() || self.turns().moment(Instant::now()) != Moment::Ours {
            return Ok(());
        }
        let conn = self.writer()?;
        conn.busy_timeout(Duration::ZERO).map_err(|error| self.store_error(error))?;
        for (entity, id) in over {
            let table = store.schema.tables.iter().find(|table| store.entity(&table.name).number == entity);
            // A row that has come back meanwhile has been noted anew.
            let is_back = matches!(shadow::get(self.state().conn(), entity, &id.to_string())?, Some(Kept::Row(_)));
            if let Some(table) = table.filter(|_| !is_back) {
                match store_ids::remove(&conn, table.number, id).map_err(|error| StoreError::from_sqlite(&self.config.store, error))
                {
                    Ok(()) => {}
                    Err(error) if error.is_passing() => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
            ids::settle_over(self.state().conn(), entity, id)?;
        }
        Ok(())
    }

    /// Removes captured entries from the journal. A POS that is writing goes first.
    fn trim(&self, up_to: i64) -> Result<(), AgentError> {
        if self.turns().moment(Instant::now()) != Moment::Ours {
            return Ok(());
        }
        let mut conn = match self.writer() {
            Ok(conn) => conn,
            Err(StoreError::Busy) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        conn.busy_timeout(Duration::ZERO).map_err(|error| self.store_error(error))?;
        loop {
            let (_, lock) = self.turns().begin();
            let trimmed = write::begin(&conn, lock).and_then(|turn| {
                let trimmed = journal::trim(&turn, up_to, TRIM_MAX)?;
                turn.commit().map(|locked| (trimmed, locked))
            });
            self.turns().end(trimmed.as_ref().ok().map(|(_, locked)| *locked));
            match trimmed.map(|(trimmed, _)| trimmed) {
                Ok(TRIM_MAX) => {
                    conn.between_turns();
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(_) => return Ok(()),
                Err(error) => {
                    let error = StoreError::from_sqlite(&self.config.store, error);
                    return if error.is_passing() { Ok(()) } else { Err(error.into()) };
                }
            }
        }
    }

    /// Brings schema, journal and triggers up to date.
    pub(crate) fn install(&self, store: &mut StoreSide) -> Result<install::Installed, AgentError> {
        let mut conn = self.writer()?;
        let wrap = |error| self.store_error(error);
        let mut read = schema::read(&conn, &self.config).map_err(wrap)?;
        if let Some(table) = selection::find_other_key(self.state().conn(), &read)? {
            let kind = if table.fresh.is_some() { Key::Global } else { Key::Register };
            return Err(AgentError::Problem(Problem::key_changed(&table.name, kind.as_str())));
        }
        let found = install::check(&conn, &mut read, self.config.capture).map_err(wrap)?;
        if found.as_ref().is_none_or(|found| found.journal || !found.tables.is_empty()) {
            self.scan_later()?;
        }
        self.forget_tables(&found.unwrap_or_default().new)?;
        let installed = install::install(&mut conn, &mut read, self.config.capture).map_err(wrap)?;
        // A store that was set up before any table had keys of its own.
        let (incarnation, namespace) = (store_marks::INCARNATION, store_marks::NAMESPACE);
        let get = |name| store_marks::get::<String>(&conn, name).map_err(wrap);
        if get(incarnation)?.is_some() && get(namespace)?.is_none() {
            store_marks::set(&conn, namespace, Uuid::new_v4().to_string()).map_err(wrap)?;
        }
        drop(conn);
        self.faults.point("installed")?;
        let fetch_again = self.take_up(store, read)?;
        self.faults.point("schema taken up")?;
        if fetch_again {
            let conn = self.writer()?;
            store_marks::set(&conn, store_marks::CURSOR, 0).map_err(|error| self.store_error(error))?;
            store.page = None;
            self.pull_anew.store(true, Ordering::Relaxed);
        }
        Ok(installed)
    }

    /// Rows may have changed unseen. Noted before what saw nothing is put back, so that no end of the agent hides it.
    pub(crate) fn scan_later(&self) -> Result<(), AgentError> {
        let state = self.state();
        if marks::get::<String>(state.conn(), marks::INCARNATION)?.is_some() {
            marks::set(state.conn(), marks::SCAN_DUE, true)?;
        }
        Ok(())
    }

    /// What is known of tables that the store has never been set up for is about another past: it went back to a backup from before they came.
    /// Here they are as new as on their first day. Noted before the store is set up for them.
    fn forget_tables(&self, new: &[String]) -> Result<(), AgentError> {
        if new.is_empty() {
            return Ok(());
        }
        let mut state = self.state();
        let tx = state.write()?;
        for table in new {
            if shadow::forget_entity(&tx, table)? {
                // Its rows come back from the server, whoever wrote them.
                marks::set(&tx, marks::PULL_OWN, true)?;
            }
            upload::remove(&tx, table)?;
        }
        Ok(tx.commit()?)
    }

    /// From now on this is the schema. Gives back whether more comes through than before: then rows that were passed over are fetched
    /// again with everything else, and what is known is passed over.
    fn take_up(&self, store: &mut StoreSide, schema: Schema) -> Result<bool, AgentError> {
        let mut state = self.state();
        let tx = state.write()?;
        let known = shadow::entity_count(&tx)?;
        let widened = selection::take_up(&tx, &schema)?;
        store.entities.clear();
        for table in &schema.tables {
            let entity = shadow::entity(&tx, &table.name, table.print_columns(), &table.base_columns)?;
            store.entities.insert(table.name.clone(), entity);
        }
        shared::keep(&tx, &schema)?;
        if self.foreign.is_some() {
            // Who cannot ask for rows by name cannot ask what is in columns that came.
            marks::clear(&tx, marks::REFILL)?;
        }
        for table in &schema.tables {
            if let Some(entity) = store.entities.get_mut(&table.name) {
                entity.columns.added = refill::added(&tx, &table.name)?;
            }
        }
        let fetch_again = widened || (known > 0 && shadow::entity_count(&tx)? > known);
        if fetch_again {
            marks::set(&tx, marks::CURSOR, 0)?;
            snapshot::clear(&tx)?;
        }
        tx.commit()?;
        store.schema = schema;
        Ok(fetch_again)
    }
}

fn read_visit(conn: &Connection, store: &StoreSide, seq: i64, hurry: bool, identity: Identity<'_>) -> rusqlite::Result<Visit> {
    let schema = &store.schema;
    let started = Instant::now();
    let entries = journal::after(conn, schema, seq, ENTRIES_MAX)?;
    let mut visit = Visit {
        looks: Vec::new(),
        after: seq,
        up_to: seq,
        more: entries.len() == ENTRIES_MAX,
        counts: Vec::new(),
        null_keys: Vec::new(),
        first_seq: conn.query_row("SELECT min(seq) FROM _tillsync_journal", [], |row| row.get(0))?,
        named: Vec::new(),
        last_birth: None,
    };
    let births = births(&entries);
    let mut seen = HashSet::new();
    let mut bytes = 0;
    for entry in entries {
        if bytes > BYTES_MAX || (hurry && started.elapsed() > ROLLBACK_VISIT_MAX && visit.up_to > seq) {
            visit.more = true;
            break;
        }
        visit.up_to = entry.seq;
        visit.last_birth = entry.birth.map(|random| Birth { seq: entry.seq, random }).or(visit.last_birth);
        let Some(table) = schema.numbered(entry.table).filter(|table| table.direction.pushes()) else { continue };
        let place = (entry.table, entity_id(&entry.key));
        if seen.contains(&place) {
            continue;
        }
        let birth = births.get(&place).copied();
        if entry.key.iter().any(Value::is_null) {
            visit.null_keys.push((table.name.clone(), place.1.clone(), null_keys::shared(conn, table, &entry.key)?));
        }
        for look in look_at(conn, table, &entry.key, &identity, birth)? {
            if seen.insert((entry.table, look.key.clone())) {
                bytes += look.row.as_ref().map_or(0, |row| row.iter().map(|(_, value)| value.size()).sum());
                visit.looks.push(look);
            }
        }
        seen.insert(place);
    }
    visit.named = identity.into_named();
    if !visit.more {
        // With a filter the numbers need not agree: rows may have left it.
        let loose = schema.tables.iter().filter(|table| {
            table.has_loose_unique && table.filter.is_none() && visit.looks.iter().any(|look| look.table == table.name)
        });
        visit.counts = loose.map(|table| Ok((table.name.clone(), rows::count(conn, table)?))).collect::<rusqlite::Result<_>>()?;
    }
    Ok(visit)
}

/// The first birth of every key.
fn births(entries: &[journal::Entry]) -> HashMap<(i64, String), Birth> {
    let mut births = HashMap::new();
    for entry in entries {
        if let Some(random) = entry.birth {
            births.entry((entry.table, entity_id(&entry.key))).or_insert(Birth { seq: entry.seq, random });
        }
    }
    births
}

/// Looks at a key. Where its collation finds a row whose key differs (in case, say), the key itself is gone and the row that
/// was found is looked at too.
fn look_at(
    conn: &Connection,
    table: &Table,
    key: &[Value],
    identity: &Identity<'_>,
    birth: Option<Birth>,
) -> rusqlite::Result<Vec<Look>> {
    let mut found = rows::read(conn, table, key)?;
    if found.len() > 1 {
        tracing::warn!(table = table.name, "rows share a key that holds NULL; they cannot be told apart and do not sync");
        return Ok(Vec::new());
    }
    let gone = || -> rusqlite::Result<Option<Look>> {
        Ok(identity.gone(table, key)?.map(|(id, key_columns)| Look::at_nothing(table, id, key_columns)))
    };
    let Some(row) = found.pop() else { return Ok(gone()?.into_iter().collect()) };
    let own = rows::key_of(table, &row);
    let mut looks = Vec::with_capacity(1);
    // A row outside the filter is none of anybody's business, and one that has just left it stays as it is elsewhere.
    if rows::is_outside(conn, table, &own)? {
        return Ok(looks);
    }
    if entity_id(&own) != entity_id(key) {
        looks.extend(gone()?);
    }
    looks.push(Look::at_row(table, identity.to_wire(table, row)?, birth));
    Ok(looks)
}

/// Turns what was seen into changes: parents before children, and deletes last, children before parents. The shadow follows.
pub(crate) fn record_looks(
    tx: &Transaction<'_>,
    store: &StoreSide,
    looks: &[Look],
    seen: Seen,
    now: i64,
) -> Result<u64, AgentError> {
    let mut ordered: Vec<&Look> = looks.iter().collect();
    ordered.sort_by_key(|look| {
        let place = store.schema.place(&look.table) as i64;
        if look.row.is_some() { (0, place) } else { (1, -place) }
    });
    let mut added = 0;
    for look in ordered {
        added += u64::from(record_look(tx, store, look, seen, now)?);
        note_identity(tx, store, look)?;
    }
    Ok(added)
}

/// A row that was seen keeps its id; one that is gone gives it up, so that the next row with its key is another one.
fn note_identity(tx: &Transaction<'_>, store: &StoreSide, look: &Look) -> Result<(), AgentError> {
    let is_own = store.schema.table(&look.table).is_some_and(|table| table.fresh.is_some());
    let Some(id) = parse_uuid(&look.key).filter(|_| is_own) else { return Ok(()) };
    let entity = store.entity(&look.table).number;
    match look.row {
        Some(_) => ids::seen(tx, entity, id, look.birth)?,
        None => ids::give_up(tx, entity, id)?,
    }
    Ok(())
}

fn record_look(tx: &Transaction<'_>, store: &StoreSide, look: &Look, seen: Seen, now: i64) -> Result<bool, AgentError> {
    let entity = store.entity(&look.table);
    let kept = shadow::get(tx, entity.number, &look.key)?;
    let Some(kept::Captured { difference, before, kept }) = kept::capture(kept.as_ref(), look.row.as_ref(), &entity.columns) else {
        return Ok(false);
    };
    let data = look.row.as_ref().unwrap_or(&look.key_columns).to_json();
    // What only a scan finds in columns that have just come was computed by the migration that brought them.
    let is_computed = seen == Seen::ByScan
        && difference
            .updated_fields
            .as_ref()
            .is_some_and(|fields| fields.iter().all(|field| entity.columns.added.iter().any(|added| added.name == *field)));
    outbox::add(
        tx,
        &outbox::NewEntry {
            event_id: Uuid::now_v7(),
            entity: &look.table,
            key: &look.key,
            operation: difference.operation,
            data,
            updated_fields: difference.updated_fields.as_deref(),
            before: (!before.is_empty()).then(|| before.to_json()),
            at_ms: if is_computed { outbox::NOBODYS_MS } else { now },
        },
    )?;
    shadow::put(tx, entity.number, &look.key, &kept)?;
    debug_assert!(difference.operation == Operation::Delete || look.row.is_some());
    Ok(true)
}
