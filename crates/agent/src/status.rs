//! What the agent is doing, gathered from state and store; the sentence is made in the core.

use std::time::Duration;

use tillsync_core::language::english;
use tillsync_core::problem::Problem;
use tillsync_core::status::{Facts, Summary, summarise};
use tillsync_core::sync::Trouble;
use tillsync_core::sync::retry::FAILURES_TO_TELL;

use tillsync_core::window::Happening;
pub use tillsync_core::window::{FullSync, Status};

use crate::agent::{Agent, AgentError};
use crate::clock::now_ms;
use crate::state::{activity, inbox, marks, outbox, shared, snapshot, upload};
use crate::store::null_keys::COUNTED_MAX;
use crate::store::{journal, marks as store_marks, open, schema};

/// What has passed by itself is told for a day; longer would cry wolf.
const NOTICE_SHOWN_MS: i64 = 86_400_000;

/// A status that looks at the store lets the POS go first, but people do not wait longer than this.
const PATIENCE: Duration = Duration::from_millis(200);

struct StoreLook {
    /// Journal entries that are not in the outbox yet.
    waiting: u64,
    /// Whether journal and marks are as the agent left them; if not, it has yet to notice and to compare the rows.
    is_as_left: bool,
    /// What is wrong with the store.
    problems: Vec<Problem>,
}

impl Agent {
    /// Gathers the status.
    pub fn status(&self, running: bool) -> Result<Status, AgentError> {
        let now = now_ms();
        let StoreLook { waiting, is_as_left, mut problems } = self.look_at_store();
        problems.extend(self.copied()?);
        let state = self.state();
        let conn = state.conn();
        let counts = outbox::counts(conn)?;
        // Noted by the server's clock, shown by this machine's.
        let oldest_pending_ms = counts.oldest_pending_ms.map(|at_ms| now.saturating_sub(self.clock.now_ms().saturating_sub(at_ms)));
        let parked = counts.parked + inbox::count_stuck(conn, now)?;
        let cursor = marks::get(conn, marks::CURSOR)?.unwrap_or(0);
        let uploaded = upload::totals(conn)?;
        let full_sync = full_sync(conn)?;
        let noted_ms: i64 = marks::get(conn, marks::NOTICE_MS)?.unwrap_or(0);
        let notice = (now - noted_ms < NOTICE_SHOWN_MS).then_some(marks::NOTICE);
        for name in [marks::TROUBLE, marks::STORE_TROUBLE].into_iter().chain(notice) {
            problems.extend(marks::get::<String>(conn, name)?.and_then(|json| serde_json::from_str(&json).ok()));
        }
        let vanished = marks::get::<i64>(conn, marks::VANISHED)?.unwrap_or(0);
        if vanished > 0 {
            problems.push(Problem::rows_vanished(vanished));
        }
        let shared = shared::counts(conn)?.into_iter().filter(|(table, _)| self.config.includes(table));
        problems.extend(shared.map(|(table, rows)| Problem::rows_without_key(&table, rows, rows >= COUNTED_MAX)));
        let is_compared = is_as_left && !marks::get(conn, marks::SCAN_DUE)?.unwrap_or(false);
        let pending = counts.pending + waiting + uploaded.total.saturating_sub(uploaded.done);
        if !running {
            problems.push(Problem::agent_not_running());
        }
        let facts = Facts {
            pending,
            parked,
            conflicts: counts.conflicts,
            oldest_pending_ms,
            rows_to_fetch: rows_to_fetch(conn, cursor)?,
            offline_since_ms: marks::get(conn, marks::OFFLINE_SINCE_MS)?,
            // A pause that is over ends by itself; its mark stays until the next one.
            paused: marks::get::<i64>(conn, marks::PAUSED)?
                .filter(|until| *until == 0 || *until > now)
                .map(|until| (until > 0).then_some(until)),
            in_step: marks::get(conn, marks::CAUGHT_UP)?.unwrap_or(false) && full_sync.is_none() && is_compared,
            problems,
        };
        let Summary { sentence: says, problems } = summarise(&facts, now);
        let sent = marks::get::<i64>(conn, marks::SENT)?.unwrap_or(0) as u64;
        let received = marks::get::<i64>(conn, marks::RECEIVED)?.unwrap_or(0) as u64;
        Ok(Status {
            state: says.state(),
            sentence: english().sentence(&says, clock_text),
            says,
            pending,
            parked,
            conflicts: counts.conflicts,
            oldest_pending_ms,
            last_sync_ms: marks::get(conn, marks::LAST_SYNC_MS)?,
            cursor,
            device_id: marks::get(conn, marks::DEVICE_ID)?,
            server: self.config.server.clone(),
            store: self.config.store.clone(),
            problems,
            name: self.config.name.clone(),
            running,
            full_sync,
            synced: sent + received,
            sent,
            received,
        })
    }

    fn look_at_store(&self) -> StoreLook {
        let (captured, incarnation) = {
            let state = self.state();
            let incarnation = marks::get::<String>(state.conn(), marks::INCARNATION).ok().flatten();
            (marks::get(state.conn(), marks::CAPTURED_SEQ).ok().flatten().unwrap_or(0), incarnation)
        };
        let look = || -> Result<StoreLook, AgentError> {
            self.wait_to_read(PATIENCE);
            let conn = open::reader(&self.config.store)?;
            let wrap = |error| self.store_error(error);
            let schema = schema::read(&conn, &self.config).map_err(wrap)?;
            let refused = schema.refused.iter().map(|refused| Problem::table_refused(&refused.table, &refused.reason));
            let known = store_marks::get::<String>(&conn, store_marks::INCARNATION).map_err(wrap)? == incarnation;
            Ok(StoreLook {
                waiting: journal::waiting(&conn, captured).unwrap_or(0),
                is_as_left: known && journal::last(&conn).is_ok_and(|last| last >= captured),
                problems: refused.collect(),
            })
        };
        match look() {
            Ok(found) => found,
            Err(AgentError::Store(error)) if error.is_passing() => StoreLook { waiting: 0, is_as_left: true, problems: Vec::new() },
            Err(error) => StoreLook { waiting: 0, is_as_left: false, problems: vec![error.problem()] },
        }
    }

    /// The server answered: whatever was wrong with the way there is over.
    pub(crate) fn server_answers(&self) -> Result<(), AgentError> {
        const NOTE_MS: i64 = 1_000;
        let state = self.state();
        let conn = state.conn();
        let noted: i64 = marks::get(conn, marks::LAST_SYNC_MS)?.unwrap_or(0);
        let now = now_ms();
        let trouble =
            marks::get::<String>(conn, marks::TROUBLE)?.is_some() || marks::get::<i64>(conn, marks::OFFLINE_SINCE_MS)?.is_some();
        if trouble || (now - noted).abs() >= NOTE_MS {
            if marks::get::<i64>(conn, marks::OFFLINE_SINCE_MS)?.is_some() {
                activity::note(conn, Happening::Online, now)?;
            }
            marks::clear(conn, marks::TROUBLE)?;
            marks::clear(conn, marks::OFFLINE_SINCE_MS)?;
            marks::set(conn, marks::LAST_SYNC_MS, now)?;
        }
        Ok(())
    }

    /// Notes trouble with the server for the status; `failures` in a row so far.
    pub(crate) fn note_trouble(&self, trouble: &Trouble, failures: u32) -> Result<(), AgentError> {
        let tell = failures >= FAILURES_TO_TELL;
        let (offline, problem) = match trouble {
            Trouble::Offline(why) => (true, tell.then(|| Problem::server_unreachable(failures, why))),
            Trouble::NotTheServer(why) => (true, Some(Problem::not_a_sync_server(why))),
            Trouble::ServerFailed(why) => (true, tell.then(|| Problem::server_failing(failures, why))),
            Trouble::RateLimited { .. } => (false, None),
            Trouble::Unauthorized(why) => (false, Some(Problem::key_refused(why))),
            Trouble::Suspended => (false, Some(Problem::suspended())),
            Trouble::KeyMissing(why) => (false, Some(Problem::key_missing(why))),
        };
        let state = self.state();
        let conn = state.conn();
        if offline && marks::get::<i64>(conn, marks::OFFLINE_SINCE_MS)?.is_none() {
            marks::set(conn, marks::OFFLINE_SINCE_MS, now_ms())?;
            activity::note(conn, Happening::Offline, now_ms())?;
        }
        if let Some(problem) = problem {
            marks::set(conn, marks::TROUBLE, serde_json::to_string(&problem).expect("a problem encodes"))?;
        }
        Ok(())
    }
}

/// Rows of a snapshot, or changes of the log.
fn rows_to_fetch(conn: &rusqlite::Connection, cursor: i64) -> Result<u64, AgentError> {
    if let Some(snapshot) = snapshot::get(conn)? {
        return Ok(snapshot.total.saturating_sub(snapshot.done));
    }
    Ok(marks::get::<i64>(conn, marks::HEAD)?.unwrap_or(0).saturating_sub(cursor).max(0) as u64)
}

/// The first full sync while it lasts.
pub(crate) fn full_sync(conn: &rusqlite::Connection) -> Result<Option<FullSync>, AgentError> {
    let up = upload::totals(conn)?;
    let caught_up = marks::get(conn, marks::CAUGHT_UP)?.unwrap_or(false);
    if up.finished && caught_up {
        return Ok(None);
    }
    let (down_done, down_total) = match snapshot::get(conn)? {
        Some(snapshot) => (snapshot.done.min(snapshot.total), snapshot.total),
        None if caught_up => (0, 0),
        None => {
            let cursor: i64 = marks::get(conn, marks::CURSOR)?.unwrap_or(0);
            (cursor as u64, marks::get(conn, marks::HEAD)?.unwrap_or(0).max(cursor) as u64)
        }
    };
    Ok(Some(FullSync { done: up.done + down_done, total: up.total + down_total }))
}

/// Local `hh:mm`.
pub fn clock_text(unix_ms: i64) -> String {
    let zone = jiff::tz::TimeZone::system();
    jiff::Timestamp::from_millisecond(unix_ms).map(|time| time.to_zoned(zone).strftime("%H:%M").to_string()).unwrap_or_default()
}
