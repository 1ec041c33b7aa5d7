//! Apply: a page → store. Rows and cursor commit together in short transactions; the shadow follows.
//!
//! No trigger fires, so nothing echoes and the POS's own triggers do not count a sale twice. The write lock is held for less than a
//! millisecond at a time, or for a few where there is no write-ahead log. A row with an unsent local change, without its parent, or refused by the store waits in the inbox.

mod cycles;
mod one;
mod referred;
mod sort;
mod together;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction};
use tillsync_core::config::Capture;
use tillsync_core::kept::Kept;
use tillsync_core::key::{entity_id, parse_uuid};
use tillsync_core::rhythm::Moment;
use tillsync_core::row::Row;
use tillsync_core::sync::Applied;
use tillsync_core::window::Happening;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::apply::one::Desk;
use crate::apply::sort::Sorted;
use crate::clock::now_ms;
use crate::identity::{Identity, Known};
use crate::pull::Reach;
use crate::remote::Incoming;
use crate::state::State;
use crate::state::inbox::{self, Reason};
use crate::state::{activity, conflicts, ids as state_ids, marks as state_marks, outside, shadow, snapshot};
use crate::store::{StoreError, applied, journal, marks, open, schema, write};

/// A wait for the next turn that is worth keeping the page's rows sorted for; captures wait as long.
const SHORT_WAIT_MAX: Duration = Duration::from_millis(60);

/// A turn takes as many rows at least, such as a sale with its lines: on a slow disk another commit takes far longer than they do.
const ROWS_MIN: usize = 10;

/// Rows of the inbox tried in one go.
const INBOX_MAX: usize = 1_000;

/// More journal entries than this are captured before anything is applied.
const JOURNAL_MAX: usize = 2_000;

/// Rows that the POS may have changed without the journal saying so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// None: triggers see everything.
    None,
    /// Any but those that were deleted elsewhere and never seen here: triggers were missing for a while, and a scan is due.
    NotDeleted,
    /// Any: there are no triggers.
    All,
}

/// A row on its way into the store.
#[derive(Debug)]
struct Arriving {
    change: Incoming,
    row: Option<Row>,
    /// The first full sync of the table goes on and the server does not know of a row of ours with this key.
    may_meet_unsent: bool,
}

/// What became of it.
#[derive(Debug)]
enum Outcome {
    /// It is in the store, or gone from it; the shadow is to keep this. And the local key that it was given here, if it was.
    Written(Kept, Option<String>),
    Held(Reason, Option<String>),
    /// The register's filter keeps it out.
    Outside,
}

type Outcomes = Vec<(usize, Outcome)>;

/// Why writing came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Everything is written or waits in the inbox.
    AtEnd,
    /// The journal or a changed schema must be looked at first.
    CaptureFirst,
    /// The POS goes first; the rest can be written when it has finished.
    NotOurTurn,
}

impl Agent {
    /// Applies the page that waits.
    pub fn apply(&self) -> Result<Applied, AgentError> {
        let wanted_since = Instant::now();
        loop {
            let mut store = self.store_in_turn(wanted_since);
            store.wanted_since = Some(wanted_since);
            self.make_ready(&mut store)?;
            let stop = self.apply_page(&mut store)?;
            store.wanted_since = None;
            match stop {
                Stop::AtEnd => return Ok(Applied::Done),
                Stop::CaptureFirst => return Ok(Applied::Busy),
                Stop::NotOurTurn => {}
            }
        }
    }

    pub(crate) fn apply_page(&self, store: &mut StoreSide) -> Result<Stop, AgentError> {
        let Some(page) = store.page.take() else { return Ok(Stop::AtEnd) };
        self.close_conflicts(&page.changes)?;
        let Sorted { mut arriving, held, unknown } = self.sort_arrivals(store, page.changes)?;
        let local = (0..held.len()).map(|place| (place, Outcome::Held(Reason::Local, None))).collect();
        self.record_outcomes(store, &held, local, None)?;
        self.faults.point("holds recorded")?;
        let cursor = page.reach.cursor();
        match self.write_all(store, &arriving, cursor) {
            Ok((outcomes, Stop::AtEnd, _)) => {
                self.faults.point("page written")?;
                self.record_outcomes(store, &arriving, outcomes, cursor)?;
                self.faults.point("page recorded")?;
                self.reached(store, &page.reach)?;
                Ok(Stop::AtEnd)
            }
            Ok((outcomes, stop, stopped_at)) => {
                let last = stopped_at.checked_sub(1).and_then(|last| arriving.get(last));
                let cursor = cursor.and(last).map(|last| last.change.id);
                self.record_outcomes(store, &arriving[..stopped_at], outcomes, cursor)?;
                // The schema may be what stopped it; then a table that was unknown may be known next time.
                let mut changes: Vec<Incoming> = arriving.drain(stopped_at..).map(|left| left.change).chain(unknown).collect();
                changes.sort_unstable_by_key(|change| change.id);
                store.page = Some(crate::pull::Page { changes, ..page });
                Ok(stop)
            }
            Err(error) => Err(error),
        }
    }

    /// A page is in the store, or in the inbox.
    fn reached(&self, store: &StoreSide, reach: &Reach) -> Result<(), AgentError> {
        let settle = || self.inbox_due.store(true, Ordering::Relaxed);
        match reach {
            Reach::Log { more, with_all_own, .. } => {
                settle();
                if *more { Ok(()) } else { self.caught_up(&store.schema, *with_all_own) }
            }
            Reach::Snapshot(progress) => {
                if progress.after.is_none() {
                    // Rows of a table that refer to each other come in any order; once all are here none waits in vain.
                    settle();
                }
                Ok(snapshot::set(self.state().conn(), progress)?)
            }
        }
    }

    /// Conflicts that a person has decided elsewhere: the decision takes the place of the change that waited.
    fn close_conflicts(&self, changes: &[Incoming]) -> Result<(), AgentError> {
        let state = self.state();
        for (change, resolves) in changes.iter().filter_map(|change| Some((change, change.resolves.as_ref()?))) {
            if conflicts::close_by_change(state.conn(), resolves, change)? {
                self.freed.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Tries the rows that wait in the inbox and may be applicable by now.
    pub(crate) fn settle_inbox(&self, store: &mut StoreSide) -> Result<(), AgentError> {
        // What came in may have been what others waited for that were tried before it.
        while self.settle_once(store)? && inbox::has_orphans(self.state().conn())? {}
        Ok(())
    }

    /// Tries every row of the inbox; says whether any came in.
    fn settle_once(&self, store: &mut StoreSide) -> Result<bool, AgentError> {
        let mut progress = false;
        let mut after: Option<inbox::Entry> = None;
        loop {
            let waiting = inbox::after(self.state().conn(), after.as_ref(), INBOX_MAX)?;
            let Some(last) = waiting.last() else { break };
            after = Some(inbox::Entry { data: None, ..last.clone() });
            let changes = waiting.into_iter().map(from_inbox).collect();
            let Sorted { arriving, unknown, .. } = self.sort_arrivals(store, changes)?;
            for change in unknown {
                // Should its table come back, it is fetched again.
                inbox::release(self.state().conn(), &change.entity, &change.key, change.id)?;
            }
            if arriving.is_empty() {
                continue;
            }
            let (outcomes, stop, _) = self.write_all(store, &arriving, None)?;
            self.faults.point("inbox written")?;
            progress |= outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Written(..)));
            self.record_outcomes(store, &arriving, outcomes, None)?;
            if stop != Stop::AtEnd {
                self.inbox_due.store(true, Ordering::Relaxed);
                return Ok(false);
            }
        }
        self.settle_together(store)?;
        Ok(progress || self.settle_cycles(store)?)
    }

    /// Writes rows in short transactions. Gives back the outcomes, and why and before which row it stopped.
    fn write_all(
        &self,
        store: &mut StoreSide,
        arriving: &[Arriving],
        cursor: Option<i64>,
    ) -> Result<(Outcomes, Stop, usize), AgentError> {
        let mut conn = self.writer()?;
        self.turns().pause();
        conn.busy_timeout(Duration::ZERO).map_err(|error| self.store_error(error))?;
        self.turns().readers_block = !open::is_wal(&conn).map_err(|error| self.store_error(error))?;
        let captured = state_marks::get(self.state().conn(), state_marks::CAPTURED_SEQ)?.unwrap_or(0);
        // After a restore nothing is captured before everything is pulled, so the whole journal must be looked through.
        let journal_max = if self.is_restoring()? { usize::MAX >> 1 } else { JOURNAL_MAX };
        let recorded = self.recorded()?;
        let mut applied = recorded;
        let epoch: Option<String> = state_marks::get(self.state().conn(), state_marks::EPOCH)?;
        let mut waits_from = inbox::oldest(self.state().conn())?;
        let mut outcomes = Outcomes::new();
        let mut held: HashMap<usize, (Reason, Option<String>)> = HashMap::new();
        let (kept_out, known) = (RefCell::default(), RefCell::default());
        let unseen = self.unseen()?;
        let mut next = 0;
        // Opening the store took its time, too.
        if store.wanted_since.is_some_and(|wanted_since| !self.comes_up(wanted_since)) {
            return Ok((outcomes, Stop::NotOurTurn, next));
        }
        loop {
            let progress = cursor.map(|cursor| Progress { cursor, epoch: epoch.as_deref(), waits_from });
            // Whoever holds the state may wait for the disk; the POS's store must not wait with us.
            let state = (unseen != Unseen::None || store.schema.needs_state()).then(|| self.state());
            let (work, lock) = self.turns().begin();
            let slice = Slice {
                store,
                arriving,
                from: next,
                progress,
                captured,
                journal_max,
                recorded,
                applied,
                held: &held,
                kept_out: &kept_out,
                known: &known,
                unseen,
                work,
                lock,
            };
            let wrote = slice
                .write(&conn, state.as_deref().map(State::conn))
                .map_err(|error| StoreError::from_sqlite(&self.config.store, error));
            self.turns().end(if let Ok(Wrote::Done { locked, .. }) = &wrote { Some(*locked) } else { None });
            drop(state);
            match wrote {
                Ok(Wrote::Done { outcomes: new, next: reached, applied: noted, .. }) => {
                    applied = noted;
                    store.applied = Some(noted);
                    outcomes.extend(new);
                    next = reached;
                    self.faults.point("slice written")?;
                }
                Ok(Wrote::MustHold(new)) => {
                    // The cursor must not pass a row that is neither in the store nor in the inbox.
                    let rows: Outcomes =
                        new.iter().map(|(place, (reason, detail))| (*place, Outcome::Held(*reason, detail.clone()))).collect();
                    self.record_outcomes(store, arriving, rows, None)?;
                    waits_from = inbox::oldest(self.state().conn())?;
                    held.extend(new);
                    continue;
                }
                Ok(Wrote::CaptureFirst) => return Ok((outcomes, Stop::CaptureFirst, next)),
                Err(StoreError::Busy) => {
                    self.turns().met_pos();
                    return Ok((outcomes, Stop::NotOurTurn, next));
                }
                Err(StoreError::SchemaChanged) => return Ok((outcomes, Stop::CaptureFirst, next)),
                Err(error) => return Err(error.into()),
            }
            if next >= arriving.len() {
                return Ok((outcomes, Stop::AtEnd, next));
            }
            conn.between_turns();
            if !self.comes_up(store.wanted_since.unwrap_or_else(Instant::now)) {
                return Ok((outcomes, Stop::NotOurTurn, next));
            }
        }
    }

    /// Waits for a turn that comes up in a moment; says whether it did.
    fn comes_up(&self, wanted_since: Instant) -> bool {
        let asked = Instant::now();
        loop {
            let moment = self.turns().moment(wanted_since);
            match moment {
                Moment::Ours => return true,
                Moment::Wait(wait) if asked.elapsed() + wait <= SHORT_WAIT_MAX => std::thread::sleep(wait),
                Moment::Wait(_) => return false,
            }
        }
    }

    /// Which rows the POS may have changed without the journal saying so. In a restored store old rows look the same; there the server's
    /// rows come first.
    pub(crate) fn unseen(&self) -> Result<Unseen, AgentError> {
        let scan_due = state_marks::get(self.state().conn(), state_marks::SCAN_DUE)?.unwrap_or(false);
        Ok(match self.config.capture {
            _ if self.is_restoring()? => Unseen::None,
            _ if scan_due => Unseen::NotDeleted,
            Capture::Scan => Unseen::All,
            Capture::Triggers => Unseen::None,
        })
    }

    /// Brings shadow, inbox and cursor up to what was written.
    fn record_outcomes(
        &self,
        store: &StoreSide,
        arriving: &[Arriving],
        outcomes: Outcomes,
        cursor: Option<i64>,
    ) -> Result<(), AgentError> {
        let now = now_ms();
        let mut state = self.state();
        let tx = state.write()?;
        let mut received = 0;
        for (place, outcome) in outcomes {
            let Arriving { change, .. } = &arriving[place];
            match outcome {
                Outcome::Written(kept, local) => {
                    take_over(&tx, store, &change.entity, &change.key, &kept, local.as_deref())?;
                    received += 1;
                }
                Outcome::Outside => {
                    outside::add(&tx, &change.entity, &change.key)?;
                    inbox::release(&tx, &change.entity, &change.key, change.id)?;
                }
                Outcome::Held(reason, detail) => {
                    let entry = inbox::Entry {
                        entity: change.entity.clone(),
                        key: change.key.clone(),
                        change_id: change.id,
                        operation: change.operation,
                        data: change.data.clone(),
                        reason,
                        detail,
                    };
                    inbox::hold(&tx, &entry, now)?;
                }
            }
        }
        if let Some(cursor) = cursor {
            state_marks::set(&tx, state_marks::CURSOR, cursor)?;
            // With a cursor the log goes on.
            snapshot::clear(&tx)?;
        }
        note_received(&tx, received)?;
        Ok(tx.commit()?)
    }
}

/// The row is in the store as the server has it, under the local key that it was given there, if it was.
pub(crate) fn take_over(
    tx: &Transaction<'_>,
    store: &StoreSide,
    table: &str,
    key: &str,
    kept: &Kept,
    local: Option<&str>,
) -> Result<(), AgentError> {
    let entity = store.entity(table).number;
    match (parse_uuid(key), kept, local) {
        (Some(id), Kept::Row(_), Some(local)) => state_ids::copy(tx, entity, id, local)?,
        (Some(id), Kept::Deleted(_), _) => state_ids::remove(tx, entity, id)?,
        _ => {}
    }
    shadow::put(tx, entity, key, kept)?;
    outside::remove(tx, table, key)?;
    Ok(inbox::release(tx, table, key, kept.version())?)
}

/// So many rows that the store has noted are in the state now.
pub(crate) fn note_received(tx: &Transaction<'_>, rows: i64) -> Result<(), AgentError> {
    if rows > 0 {
        state_marks::add(tx, state_marks::APPLIED_SEQ, rows)?;
        state_marks::add(tx, state_marks::RECEIVED, rows)?;
        activity::count(tx, Happening::Received, rows.unsigned_abs(), now_ms())?;
        tracing::info!(received = rows, "applied");
    }
    Ok(())
}

fn from_inbox(entry: inbox::Entry) -> Incoming {
    Incoming {
        id: entry.change_id,
        entity: entry.entity,
        key: entry.key,
        operation: entry.operation,
        data: entry.data,
        resolves: None,
    }
}

/// One transaction's worth of rows.
struct Slice<'a> {
    store: &'a StoreSide,
    arriving: &'a [Arriving],
    from: usize,
    /// `None` for rows of the inbox, which move no cursor.
    progress: Option<Progress<'a>>,
    captured: i64,
    journal_max: usize,
    /// What the store has noted up to this number is in the state.
    recorded: i64,
    /// The last number that the store has noted.
    applied: i64,
    held: &'a HashMap<usize, (Reason, Option<String>)>,
    /// Rows that the filters have kept out since the visit began.
    kept_out: &'a RefCell<HashSet<(String, String)>>,
    /// Ids of rows written since the visit began.
    known: &'a Known,
    /// Rows that are compared with what was last seen of them.
    unseen: Unseen,
    /// Work before committing.
    work: Duration,
    lock: write::Lock,
}

/// What the store is to say of its progress once the last row is in it.
struct Progress<'a> {
    cursor: i64,
    /// The server's epoch that the cursor counts in.
    epoch: Option<&'a str>,
    /// The oldest change in the inbox.
    waits_from: Option<i64>,
}

enum Wrote {
    Done {
        outcomes: Outcomes,
        next: usize,
        /// The last number that the store has noted.
        applied: i64,
        /// How long the store was locked.
        locked: Duration,
    },
    /// These rows must be in the inbox before the cursor may pass them; nothing was written.
    MustHold(HashMap<usize, (Reason, Option<String>)>),
    /// The journal holds so much that it must be captured first, or the store is not as the agent left it; nothing was written.
    CaptureFirst,
}

impl Slice<'_> {
    fn write(&self, conn: &Connection, state: Option<&Connection>) -> rusqlite::Result<Wrote> {
        let tx = write::begin(conn, self.lock)?;
        let started = Instant::now();
        if !self.is_as_left(&tx)? {
            return Ok(Wrote::CaptureFirst);
        }
        let Some(touched) = self.touched(&tx)? else { return Ok(Wrote::CaptureFirst) };
        let desk = Desk { conn: &tx, identity: Identity::new(&tx, state, self.store, self.known)?, touched };
        let (mut outcomes, mut holds) = (Outcomes::new(), HashMap::new());
        let mut next = self.from;
        // However slow the machine is.
        while let Some(arriving) = self.arriving.get(next)
            && (next < self.from + ROWS_MIN || started.elapsed() < self.work)
        {
            if !self.held.contains_key(&next) {
                match self.write_row(&desk, arriving)? {
                    Outcome::Held(reason, detail) => drop(holds.insert(next, (reason, detail))),
                    outcome => outcomes.push((next, outcome)),
                }
            }
            next += 1;
        }
        if !holds.is_empty() {
            return Ok(Wrote::MustHold(holds));
        }
        if let Some(Progress { cursor, epoch, waits_from }) = self.progress {
            let reached = if next >= self.arriving.len() { cursor } else { self.arriving[next - 1].change.id };
            marks::set(&tx, marks::CURSOR, reached)?;
            marks::set(&tx, marks::EPOCH, epoch)?;
            marks::set(&tx, marks::WHOLE, waits_from.map_or(reached, |oldest| reached.min(oldest - 1)))?;
        }
        drop(desk);
        let applied = self.note(&tx, &outcomes)?;
        let locked = tx.commit()?;
        Ok(Wrote::Done { outcomes, next, applied, locked })
    }

    /// Whether the schema is the one that is known, and the store no other file than the one that was written last.
    fn is_as_left(&self, conn: &Connection) -> rusqlite::Result<bool> {
        if schema::version(conn)? != self.store.schema.version {
            return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_SCHEMA), None));
        }
        Ok(marks::get::<i64>(conn, marks::APPLIED_SEQ)?.unwrap_or(0) == self.applied)
    }

    /// Notes what was written, in place of what the state has by now, and gives back the last number.
    fn note(&self, conn: &Connection, outcomes: &Outcomes) -> rusqlite::Result<i64> {
        if self.applied == self.recorded {
            applied::clear(conn)?;
        }
        let mut seq = self.applied;
        for (place, outcome) in outcomes {
            let change = &self.arriving[*place].change;
            let (Outcome::Written(kept, _), Some(table)) = (outcome, self.store.schema.table(&change.entity)) else { continue };
            seq += 1;
            applied::note(conn, seq, table.number, &change.key, kept)?;
        }
        if seq > self.applied {
            marks::set(conn, marks::APPLIED_SEQ, seq)?;
        }
        Ok(seq)
    }

    /// Rows that the POS touched since the last capture; `None` when they are too many to look through under the lock.
    fn touched(&self, conn: &Connection) -> rusqlite::Result<Option<HashSet<(i64, String)>>> {
        let entries = journal::after(conn, &self.store.schema, self.captured, self.journal_max)?;
        let full = entries.len() == self.journal_max;
        Ok((!full).then(|| entries.into_iter().map(|entry| (entry.table, entity_id(&entry.key))).collect()))
    }
}
