//! What a person chose about the app itself. What the register does is in its config.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tauri::{AppHandle, Manager};
use tillsync_core::language::Language;
use tillsync_core::managed::Managed;

/// The file in the platform's config folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Preferences {
    /// The language; the system's when absent.
    #[serde(default)]
    pub language: Option<String>,
    /// Whether starting at login has been decided: it is switched on once, and then left to the person.
    #[serde(default)]
    pub autostart_decided: bool,
    #[serde(skip)]
    path: PathBuf,
}

impl Preferences {
    /// Reads them; what cannot be read is as if it were not there.
    pub fn load(handle: &AppHandle) -> Self {
        let path = handle.path().app_config_dir().map(|folder| folder.join("tray.json")).unwrap_or_default();
        let known = std::fs::read(&path).ok().and_then(|json| serde_json::from_slice(&json).ok());
        Self { path, ..known.unwrap_or_default() }
    }

    /// Writes them.
    pub fn save(&self) {
        let write = || {
            self.path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::write(&self.path, serde_json::to_vec_pretty(self)?)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, "the preferences cannot be kept");
        }
    }

    /// The language to speak.
    pub fn speaks(&self, managed: &Managed) -> Language {
        let chosen = managed.language.iter().chain(&self.language).cloned();
        Language::best(&chosen.chain(system_languages()).collect::<Vec<_>>())
    }
}

/// What the system speaks, best first.
pub fn system_languages() -> Vec<String> {
    sys_locale::get_locales().collect()
}
