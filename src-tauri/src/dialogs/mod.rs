//! Dialogs of the system. They are made where its loop runs, and answered some time.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod native;

use std::path::PathBuf;

use tauri::AppHandle;
use tillsync_core::menu::Question;
use tokio::sync::oneshot;

use crate::app::App;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use native as system;

/// What SQLite files are called.
const ENDINGS: [&str; 4] = ["db", "db3", "sqlite", "sqlite3"];

/// Asks a question whose harmless answer is no.
pub async fn confirm(handle: &AppHandle, question: Question) -> bool {
    let (answer, answered) = oneshot::channel();
    let right_to_left = App::of(handle).shared().language.is_right_to_left();
    let _ = handle.run_on_main_thread(move || system::confirm(question, right_to_left, answer));
    answered.await.unwrap_or(false)
}

/// Lets a person choose the POS's store.
pub async fn pick_store(handle: &AppHandle) -> Option<PathBuf> {
    let (answer, answered) = oneshot::channel();
    let _ = handle.run_on_main_thread(move || system::pick_store(answer));
    answered.await.ok().flatten()
}
