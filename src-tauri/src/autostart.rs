//! Starting at login: as the administrator says; otherwise switched on once by itself, and left to the person from then on.

use tauri::{AppHandle, Manager};
use tauri_plugin_autostart::ManagerExt;
use tillsync_core::problem::Problem;

use crate::app::App;

/// Switches it on at the first start. An app for another config than the usual one, as in a demo, is nobody's idea of a login.
pub fn begin(handle: &AppHandle) {
    let app = App::of(handle);
    let wanted = match app.managed.autostart {
        Some(on) => on,
        None if app.config.is_some() || app.shared().preferences.autostart_decided => return,
        None => true,
    };
    match set(handle, wanted) {
        Ok(()) => {
            let mut shared = app.shared();
            shared.preferences.autostart_decided = true;
            shared.preferences.save();
        }
        Err(problem) => tracing::warn!(problem.text, "starting at login cannot be changed"),
    }
}

/// Whether the app starts at login.
pub fn is_on(handle: &AppHandle) -> bool {
    handle.autolaunch().is_enabled().unwrap_or(false)
}

/// Switches it on or off.
pub fn set(handle: &AppHandle, on: bool) -> Result<(), Problem> {
    let autolaunch = handle.autolaunch();
    if on == is_on(handle) {
        return Ok(());
    }
    // A new user may have no such folder yet, and the plugin makes the last part of the path only.
    let _ = handle.path().config_dir().map(std::fs::create_dir_all);
    let done = if on { autolaunch.enable() } else { autolaunch.disable() };
    done.map_err(|error| Problem::state(format!("Starting at login cannot be changed: {error}.")))
}
