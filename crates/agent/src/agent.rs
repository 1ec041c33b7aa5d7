//! One agent: config, state, store and server together. The steps are methods of it, one file each.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard};

use tillsync_core::config::Config;
use tillsync_core::problem::Problem;

use crate::clock::now_ms;
use crate::faults::{Ended, Faults};
use crate::remote::Remote;
use crate::state::shadow::Entity;
use crate::state::{State, StateError, marks};
use crate::store::StoreError;
use crate::store::schema::Schema;

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
    /// Fault points, for tests.
    pub faults: Faults,
    state: Mutex<State>,
    store: Mutex<StoreSide>,
    /// Rows of the inbox may have become applicable.
    pub(crate) inbox_due: AtomicBool,
    /// The cursor went back while a pull may be waiting at the server with the one before.
    pub(crate) pull_anew: AtomicBool,
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
    /// When the POS was last seen writing.
    pub written_at: Option<std::time::Instant>,
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
        Self {
            config,
            remote,
            faults: Faults::default(),
            state: Mutex::new(state),
            store: Mutex::default(),
            inbox_due: AtomicBool::new(true),
            pull_anew: AtomicBool::new(false),
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

    /// Sorts out what SQLite said about the store.
    pub(crate) fn store_error(&self, error: rusqlite::Error) -> AgentError {
        StoreError::from_sqlite(&self.config.store, error).into()
    }

    /// Puts down something that a person may want to know later.
    pub(crate) fn notice(&self, problem: &Problem) -> Result<(), AgentError> {
        tracing::warn!(code = problem.code, text = problem.text, "notice");
        let json = serde_json::to_string(problem).expect("a problem encodes");
        let state = self.state();
        marks::set(state.conn(), marks::NOTICE_MS, now_ms())?;
        Ok(marks::set(state.conn(), marks::NOTICE, json)?)
    }
}
