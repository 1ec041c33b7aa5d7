//! A register: a store, a state folder, and an agent that may end at any step and is opened again from the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::Router;
use rusqlite::OptionalExtension;
use tillsync_agent::agent::{Agent, AgentError};
use tillsync_agent::claim::Claim;
use tillsync_agent::credentials::{Credentials, Key};
use tillsync_agent::faults::Faults;
use tillsync_agent::rekey::Rekeyed;
use tillsync_agent::remote::{RegisterReply, Remote};
use tillsync_agent::state::State;
use tillsync_core::config::{self, Capture, Config, Table};
use tillsync_core::sync::{Applied, Pulled, Pushed};
use tillsync_core::wire::hub::RegisterRequest;

use super::line::Line;
use super::pos::{self, Journal};

/// A sync that takes more rounds than this never ends.
const ROUNDS_MAX: u32 = 50;

/// Changes in a batch: few, so that there are several batches.
const BATCH: u32 = 4;

/// The config's settings by table.
pub type Tables = BTreeMap<String, Table>;

/// A register.
pub struct Register {
    config: Config,
    line: Line,
    agent: Option<Agent>,
    /// What the agent is to be ended by; kept to know whether it was.
    faults: Faults,
}

impl Register {
    /// Makes the store, enrols, and installs the capture.
    pub async fn set_up(folder: &Path, name: &str, journal: Journal, before: &str, tables: Tables, line: Line) -> Self {
        let store = folder.join(format!("{name}.db"));
        pos::make_store(&store, journal, before);
        let config = Config { tables, ..Config::new(store, "http://hub.test", name, folder.join(name)).unwrap() };
        let mut register = Self { config, line, agent: None, faults: Faults::default() };
        let agent = register.open();
        agent.claim(Claim::Own).unwrap();
        let RegisterReply::Registered { device_id, key, .. } = agent.remote.register(&registration(name)).await else {
            panic!("the hub is open to everybody");
        };
        agent.remote.credentials().write(&device_id, &key).unwrap();
        agent.enrolled(&device_id).unwrap();
        agent.set_up().unwrap();
        register.agent = Some(agent);
        register
    }

    fn open(&self) -> Agent {
        let state = State::open(&self.config.state_dir).unwrap();
        let credentials = if self.line.own_key {
            Credentials::new(config::Credentials::File, &self.config.state_dir)
        } else {
            // The line knows the key; the agent only has to have one.
            Credentials::given(Key::from("key".to_owned()))
        };
        let remote = Remote::new(Box::new(self.line.clone()), credentials);
        let agent = Agent::new(self.config.clone(), state, remote);
        agent.never_wait();
        agent
    }

    /// The agent ends at the n-th step from now on.
    pub fn end_at(&mut self, step: i64) {
        self.faults = Faults::at(step);
        self.agent.as_mut().unwrap().faults = self.faults.clone();
    }

    /// The agent ends the first time it gets to this point.
    pub fn end_at_point(&mut self, name: &'static str) {
        self.faults = Faults::at_point(name);
        self.agent.as_mut().unwrap().faults = self.faults.clone();
    }

    /// Whether the agent was ended.
    pub fn was_ended(&self) -> bool {
        self.faults.reached()
    }

    /// The POS writes.
    pub fn sell(&self, sql: &str) {
        pos::write(&self.config.store, sql);
    }

    /// One value of the store as SQLite quotes it, or `None` without such a row.
    pub fn value(&self, sql: &str) -> Option<String> {
        let conn = rusqlite::Connection::open(&self.config.store).unwrap();
        conn.query_row(sql, [], |row| row.get(0)).optional().unwrap()
    }

    /// The names of the triggers in the store.
    pub fn triggers(&self) -> Vec<String> {
        let conn = rusqlite::Connection::open(&self.config.store).unwrap();
        let mut query = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// The POS makes a backup of its store.
    pub fn backup(&self) -> PathBuf {
        let copy = self.config.store.with_extension("backup");
        let _ = std::fs::remove_file(&copy);
        let conn = rusqlite::Connection::open(&self.config.store).unwrap();
        conn.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        copy
    }

    /// The POS copies a backup over its store.
    pub fn restore(&self, backup: &Path) {
        for log in ["db-wal", "db-shm"] {
            let _ = std::fs::remove_file(self.config.store.with_extension(log));
        }
        std::fs::copy(backup, &self.config.store).unwrap();
    }

    /// The agent replaces its key; whatever happens meanwhile, it goes on.
    pub async fn rekey(&mut self) {
        match self.agent().rekey().await {
            Ok(Rekeyed::Done { .. } | Rekeyed::Trouble(_)) => {}
            Err(AgentError::Ended(_)) => self.reopen(),
            other => panic!("{}: {other:?}", self.config.name),
        }
    }

    /// From now on another hub is at the other end of the line.
    pub fn talk_to(&self, hub: Router) {
        self.line.lead_to(hub);
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.config.store.clone()
    }

    /// The running agent.
    pub fn agent(&self) -> &Agent {
        self.agent.as_ref().unwrap()
    }

    /// Captures and sends nothing yet.
    pub fn capture(&mut self) {
        loop {
            match self.agent().capture() {
                Ok(captured) if !captured.more => return,
                Ok(_) => {}
                Err(_) => self.reopen(),
            }
        }
    }

    /// The agent was ended and starts anew from its files, as after `kill -9`.
    pub fn reopen(&mut self) {
        assert!(self.was_ended(), "only the planned end may end it");
        self.start_anew();
    }

    /// The agent is stopped between two steps and started again.
    pub fn start_anew(&mut self) {
        self.agent = None;
        self.agent = Some(self.open());
    }

    /// From now on the store has no triggers, and every row is looked at instead.
    pub fn scans(&mut self) {
        self.config.capture = Capture::Scan;
        self.start_anew();
        self.agent().set_up().unwrap();
        assert_eq!(self.triggers(), [""; 0]);
    }

    /// Fetches a page and applies it; nothing when that fails.
    pub async fn fetch_page(&mut self) {
        let agent = self.agent();
        let fetch = async {
            if let Pulled::Page { .. } = agent.pull(0).await? {
                agent.apply()?;
            }
            Ok(())
        };
        match fetch.await {
            Ok(()) => {}
            Err(AgentError::Ended(_)) => self.reopen(),
            Err(error) => panic!("{}: {error}", self.config.name),
        }
    }

    /// Compares the store with what was last seen, as a running agent does after a restore.
    pub async fn scan(&mut self) {
        while let Err(error) = self.agent().scan(false) {
            assert!(matches!(error, AgentError::Ended(_)), "{error}");
            self.reopen();
        }
    }

    /// Captures, sends and fetches until nothing is left, however often the agent ends.
    pub async fn sync(&mut self) {
        for _ in 0..ROUNDS_MAX {
            match round(self.agent()).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(AgentError::Ended(_)) => self.reopen(),
                Err(error) => panic!("{}: {error}", self.config.name),
            }
        }
        panic!("{} does not come to rest", self.config.name);
    }
}

/// Every step once or as often as it has work. Gives back whether nothing was left to do.
async fn round(agent: &Agent) -> Result<bool, AgentError> {
    let mut quiet = true;
    loop {
        let captured = agent.capture()?;
        quiet &= captured.added == 0;
        if !captured.more {
            break;
        }
    }
    if agent.config.capture == Capture::Scan {
        quiet &= agent.scan(false)?.added == 0;
    }
    loop {
        match agent.push(BATCH).await? {
            Pushed::Nothing => break,
            Pushed::Done { .. } | Pushed::Refused => quiet = false,
            Pushed::Failed | Pushed::Later | Pushed::Trouble(_) => {
                quiet = false;
                break;
            }
        }
    }
    loop {
        match agent.pull(0).await? {
            Pulled::Nothing => return Ok(quiet),
            Pulled::Interrupted | Pulled::Trouble(_) => return Ok(false),
            Pulled::Page { .. } => {
                quiet = false;
                if agent.apply()? != Applied::Done {
                    return Ok(false);
                }
            }
        }
    }
}

fn registration(name: &str) -> RegisterRequest {
    RegisterRequest {
        name: name.to_owned(),
        kind: "desktop".to_owned(),
        version: String::new(),
        platform: String::new(),
        metadata: None,
        enroll_token: None,
        registration_id: None,
        role: None,
    }
}
