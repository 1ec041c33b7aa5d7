//! What the parts of the app share.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tauri::{AppHandle, Emitter, Manager};
use tillsync_agent::managed;
use tillsync_core::language::Language;
use tillsync_core::managed::Managed;
use tillsync_core::notice::Notices;
use tillsync_core::problem::Problem;
use tillsync_core::status::Sentence;
use tillsync_core::window::Status;

use crate::preferences::Preferences;
use crate::{agent, notify, tray, window};

/// The app.
pub struct App {
    /// The config file that the start named.
    pub config: Option<PathBuf>,
    /// What the administrator has set.
    pub managed: Managed,
    shared: Mutex<Shared>,
}

/// What changes while it runs.
pub struct Shared {
    /// How things are.
    pub status: Status,
    /// What a person chose.
    pub preferences: Preferences,
    /// The language of tray and notifications.
    pub language: Language,
    /// What the agent gave a manager, for decisions.
    pub pass: Option<String>,
    notices: Notices,
}

impl App {
    /// Shows the tray and lets the agent begin.
    pub fn begin(handle: &AppHandle, config: Option<PathBuf>) -> anyhow::Result<()> {
        let managed = managed::load().unwrap_or_else(|error| {
            eprintln!("{error:#}");
            Managed::default()
        });
        let preferences = Preferences::load(handle);
        let language = preferences.speaks(&managed);
        let shared = Shared { status: starting(), language, preferences, pass: None, notices: Notices::default() };
        handle.manage(Self { config, managed, shared: Mutex::new(shared) });
        if matches!(agent::place(handle), Ok(None)) {
            Self::of(handle).shared().status = not_set_up();
        }
        tray::show(handle)?;
        agent::begin(handle);
        Ok(())
    }

    /// The app of a handle.
    pub fn of(handle: &AppHandle) -> tauri::State<'_, Self> {
        handle.state()
    }

    /// What changes. Held for a look only.
    pub fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a status: tray, window and notifications follow.
    pub fn take(handle: &AppHandle, status: Status) {
        let app = Self::of(handle);
        let notices = {
            let mut shared = app.shared();
            let Shared { notices, language, .. } = &mut *shared;
            notices.follow(&status, language)
        };
        if window::is_there(handle) {
            let _ = handle.emit("status", &status);
        }
        app.shared().status = status;
        tray::follow(handle);
        for notice in notices {
            notify::show(handle, notice);
        }
    }
}

/// The status of a machine that is no register.
pub fn not_set_up() -> Status {
    says(Sentence::NotSetUp, Vec::new())
}

/// The status before the agent has said one.
pub fn starting() -> Status {
    says(Sentence::Syncing { left: 0 }, Vec::new())
}

/// The status where the agent cannot run.
pub fn broken(problem: Problem) -> Status {
    says(Sentence::Error { problem: problem.clone() }, vec![problem])
}

fn says(says: Sentence, problems: Vec<Problem>) -> Status {
    Status {
        state: says.state(),
        sentence: String::new(),
        says,
        pending: 0,
        parked: 0,
        conflicts: 0,
        oldest_pending_ms: None,
        last_sync_ms: None,
        cursor: 0,
        device_id: None,
        server: String::new(),
        store: PathBuf::new(),
        problems,
        name: String::new(),
        running: false,
        full_sync: None,
        synced: 0,
        sent: 0,
        received: 0,
    }
}
