//! One agent: config, state, store and server together. The steps are methods of it, one file each.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tillsync_core::config::Config;
use tillsync_core::problem::Problem;
use tillsync_core::rhythm::Moment;

use crate::clock::{Clock, Heard, now_ms};
use crate::faults::{Ended, Faults};
use crate::foreign::Foreign;
use crate::pin::Gate;
use crate::remote::Remote;
use crate::state::shadow::Entity;
use crate::state::{State, StateError, activity, marks, outbox};
use crate::store::schema::Schema;
use crate::store::turns::Turns;
use crate::store::{StoreError, open, write};

/// While waiting for a turn the POS is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A clock that is off by less is noted as it was.
const OFFSET_MS_MIN: u64 = 500;

/// What can stop a step.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// A test ended the agent.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// Something that a person has to know before anything goes on.
    #[error("{}", .0.text)]
    Problem(Problem),
}

impl From<rusqlite::Error> for AgentError {
    fn from(error: rusqlite::Error) -> Self {
        Self::State(error.into())
    }
}

impl AgentError {
    /// The same for people.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Store(error) => error.problem(),
            Self::State(error) => error.problem(),
            Self::Ended(error) => Problem::state(format!("{error}.")),
            Self::Problem(problem) => problem.clone(),
        }
    }
}

/// The agent.
#[derive(Debug)]
pub struct Agent {
    /// The config.
    pub config: Config,
    /// The server.
    pub remote: Remote,
    /// The other end, where it is no hub.
    pub foreign: Option<Foreign>,
    /// The server's clock.
    pub clock: Clock,
    /// Fault points, for tests.
    pub faults: Faults,
    state: Mutex<State>,
    store: Mutex<StoreSide>,
    turns: Mutex<Turns>,
    /// Held while the key is replaced: there is one other key, and one wish. When it was last.
    pub(crate) rekeying: tokio::sync::Mutex<Option<Instant>>,
    /// Rows of the inbox may have become applicable.
    pub(crate) inbox_due: AtomicBool,
    /// Every lane is to look again: the cursor went back while a pull may be waiting at the server with the one before, or a restored store
    /// is whole again.
    pub(crate) pull_anew: AtomicBool,
    /// The config is to follow what other registers have; see [`crate::adopt`].
    pub(crate) keys_in_doubt: AtomicBool,
    /// Changes that waited for a person may go.
    pub(crate) freed: AtomicBool,
    /// Moves when the loop has done something, after which the status may be another.
    pub(crate) news: tokio::sync::watch::Sender<()>,
    /// Who may decide here.
    pub(crate) gate: Gate,
}

/// A connection of ours that writes to the store.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    agent: &'a Agent,
    /// There until it is dropped.
    conn: Option<Connection>,
    /// Somebody reads an old state of the store, so that its log cannot be cut off for now.
    keeps_log: bool,
}

impl Writer<'_> {
    /// Between two turns.
    pub fn between_turns(&mut self) {
        if self.keeps_log {
            return;
        }
        self.agent.turns().is_ours();
        match write::shorten_log(self) {
            Ok(was_long) => self.keeps_log = was_long && !write::has_empty_log(self),
            // It grows on, and the next turn says what is wrong.
            Err(error) => tracing::debug!(%error, "the log was not cut off"),
        }
        self.agent.turns().pause();
    }
}

impl Deref for Writer<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn.as_ref().expect("open until dropped")
    }
}

impl DerefMut for Writer<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.conn.as_mut().expect("open until dropped")
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // Closing may write, too.
        self.agent.turns().is_ours();
        if let Some(Err(error)) = self.conn.as_ref().map(write::before_close) {
            // Whatever could not be done now is done by the close.
            tracing::debug!(%error, "the log was not moved before the close");
        }
        self.conn = None;
        self.agent.turns().pause();
    }
}

/// What is known of the store between two visits. Whoever holds it is the only one of us at the store.
#[derive(Debug, Default)]
pub struct StoreSide {
    /// The schema at the last visit.
    pub schema: Schema,
    /// The entities' numbers and column orders in the shadow, by table.
    pub entities: HashMap<String, Entity>,
    /// The pulled page that waits to be applied.
    pub page: Option<crate::pull::Page>,
    /// The number of the last row that apply noted in the store; `None` before the first look.
    pub applied: Option<i64>,
    /// When the POS was last seen writing.
    pub written_at: Option<std::time::Instant>,
    /// Since when the page that waits is to be written. However often it is interrupted, it waits for the POS only so long.
    pub wanted_since: Option<Instant>,
}

impl StoreSide {
    /// The shadow's entity of a table that syncs.
    pub fn entity(&self, table: &str) -> &Entity {
        &self.entities[table]
    }
}

impl Agent {
    /// An agent over an open state.
    pub fn new(config: Config, state: State, remote: Remote) -> Self {
        // A state that cannot be read is told by the first step that needs more of it.
        let offset_ms = marks::get(state.conn(), marks::CLOCK_OFFSET_MS).ok().flatten().unwrap_or(0);
        Self {
            turns: Mutex::new(Turns::at(&config.store)),
            foreign: Foreign::new(&config),
            config,
            remote,
            clock: Clock::guess(offset_ms),
            faults: Faults::default(),
            state: Mutex::new(state),
            store: Mutex::default(),
            rekeying: tokio::sync::Mutex::default(),
            inbox_due: AtomicBool::new(true),
            pull_anew: AtomicBool::new(false),
            keys_in_doubt: AtomicBool::new(false),
            freed: AtomicBool::new(false),
            news: tokio::sync::watch::Sender::new(()),
            gate: Gate::default(),
        }
    }

    /// The state. Held for single short transactions only.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The store's side. Whoever needs both takes this one first.
    pub fn store(&self) -> MutexGuard<'_, StoreSide> {
        self.store.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whose turn it is at the store. Held for a look only.
    pub(crate) fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A connection that writes to the store. What changes there while it lives is our doing.
    pub(crate) fn writer(&self) -> Result<Writer<'_>, StoreError> {
        self.turns().is_ours();
        let conn = open::writer(&self.config.store);
        if conn.is_err() {
            self.turns().pause();
        }
        Ok(Writer { agent: self, conn: Some(conn?), keeps_log: false })
    }

    /// The store's side, as soon as the moment is ours. Whoever waits holds neither store nor state, so that the other lanes go on.
    pub(crate) fn store_in_turn(&self, wanted_since: Instant) -> MutexGuard<'_, StoreSide> {
        loop {
            self.wait_for_turn(wanted_since, Duration::MAX);
            let store = self.store();
            // Waiting for another lane may have taken longer than the moment lasted.
            if self.turns().moment(wanted_since) == Moment::Ours {
                return store;
            }
        }
    }

    /// The same for reading: without a write-ahead log readers get in the POS's way, with one they do not.
    pub(crate) fn store_to_read(&self) -> MutexGuard<'_, StoreSide> {
        let readers_block = self.turns().readers_block;
        if readers_block { self.store_in_turn(Instant::now()) } else { self.store() }
    }

    /// Never waits for the POS: for tests whose POS writes on the same thread, between two steps.
    pub fn never_wait(&self) {
        self.turns().is_alone();
    }

    /// Waits for a moment to read, but no longer than people wait for an answer.
    pub(crate) fn wait_to_read(&self, patience: Duration) {
        let readers_block = self.turns().readers_block;
        if readers_block {
            self.wait_for_turn(Instant::now(), patience);
        }
    }

    fn wait_for_turn(&self, wanted_since: Instant, patience: Duration) {
        loop {
            let moment = self.turns().moment(wanted_since);
            match moment {
                Moment::Wait(wait) if wanted_since.elapsed() < patience => std::thread::sleep(wait.min(LOOK_EVERY)),
                Moment::Wait(_) | Moment::Ours => return,
            }
        }
    }

    /// Sorts out what SQLite said about the store.
    pub(crate) fn store_error(&self, error: rusqlite::Error) -> AgentError {
        StoreError::from_sqlite(&self.config.store, error).into()
    }

    /// Takes in what time it is at the server. Times of changes that were only guessed so far are put right.
    pub(crate) fn hear(&self, heard: &Heard) -> Result<(), AgentError> {
        let mut state = self.state();
        // Under the lock of the state, so that no change is captured by the old time and passed over here.
        let Some(noted) = self.clock.hear(heard) else { return Ok(()) };
        let known: Option<i64> = marks::get(state.conn(), marks::CLOCK_OFFSET_MS)?;
        let unsure: Option<i64> = marks::get(state.conn(), marks::CLOCK_UNSURE)?;
        if known.is_some_and(|known| known.abs_diff(noted.offset_ms) < OFFSET_MS_MIN) && unsure.is_none() {
            return Ok(());
        }
        let tx = state.write()?;
        marks::set(&tx, marks::CLOCK_OFFSET_MS, noted.offset_ms)?;
        if let Some(from) = unsure.filter(|_| noted.first) {
            outbox::shift_times(&tx, from, noted.shift_ms)?;
            marks::clear(&tx, marks::CLOCK_UNSURE)?;
        }
        tx.commit()?;
        if noted.first && noted.shift_ms.unsigned_abs() >= OFFSET_MS_MIN {
            tracing::info!(shift_ms = noted.shift_ms, "the clock was wrong; times of changes are put right");
        }
        Ok(())
    }

    /// The time of what is about to be captured. Until the server has been heard it is a guess, and noted as one.
    pub(crate) fn capture_time(&self, conn: &rusqlite::Connection) -> Result<i64, AgentError> {
        if !self.clock.is_sure() && marks::get::<i64>(conn, marks::CLOCK_UNSURE)?.is_none() {
            marks::set(conn, marks::CLOCK_UNSURE, outbox::next_id(conn)?)?;
        }
        Ok(self.clock.now_ms())
    }

    /// Puts down something that a person may want to know later.
    pub(crate) fn notice(&self, problem: &Problem) -> Result<(), AgentError> {
        tracing::warn!(code = problem.code, text = problem.text, "notice");
        let json = serde_json::to_string(problem).expect("a problem encodes");
        let state = self.state();
        activity::note_problem(state.conn(), problem, now_ms())?;
        marks::set(state.conn(), marks::NOTICE_MS, now_ms())?;
        Ok(marks::set(state.conn(), marks::NOTICE, json)?)
    }
}
