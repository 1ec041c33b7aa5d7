//! What a click in the tray's menu does.

use tauri::AppHandle;
use tillsync_agent::logs;
use tillsync_core::menu::{Action, Question, quit};
use tillsync_core::notice::Notice;
use tillsync_core::window::Ask;

use crate::app::App;
use crate::{agent, diagnostics, dialogs, notify, window};

/// Does it.
pub fn carry_out(handle: &AppHandle, action: Action) {
    let handle = handle.clone();
    tauri::async_runtime::spawn(async move {
        match action {
            Action::SyncNow => tell(&handle, Ask::SyncNow).await,
            Action::Pause { minutes } => tell(&handle, Ask::Pause { minutes }).await,
            Action::Resume => tell(&handle, Ask::Resume).await,
            Action::Conflicts => window::show(&handle, Some("conflicts")),
            Action::Open => window::show(&handle, None),
            Action::About => window::show(&handle, Some("settings")),
            Action::CopyDiagnostics => diagnostics::copy(&handle),
            Action::OpenLogs => open_logs(&handle),
            Action::Quit => quit_if_meant(&handle).await,
        }
    });
}

async fn tell(handle: &AppHandle, ask: Ask) {
    if let Some(state_dir) = agent::state_dir(handle) {
        let _ = agent::ask(&state_dir, ask, None).await;
    }
}

fn open_logs(handle: &AppHandle) {
    let Some(state_dir) = agent::state_dir(handle) else { return };
    let folder = logs::folder(&state_dir);
    if let Err(error) = open::that_detached(&folder) {
        tracing::warn!(%error, "the log folder cannot be shown");
        notify::show(handle, Notice { title: "Tillsync".to_owned(), text: folder.display().to_string() });
    }
}

/// Ends the agent, if it is this app's, and the app. Asks first when changes are unsent.
async fn quit_if_meant(handle: &AppHandle) {
    if agent::is_here(handle)
        && let Some(question) = question(handle)
        && !dialogs::confirm(handle, question).await
    {
        return;
    }
    match agent::state_dir(handle) {
        Some(state_dir) if agent::is_here(handle) => agent::stop(&state_dir).await,
        // Another process's agent goes on.
        _ => handle.exit(0),
    }
}

fn question(handle: &AppHandle) -> Option<Question> {
    let app = App::of(handle);
    let shared = app.shared();
    quit(shared.status.pending, &shared.language)
}
