//! What helps to find a fault, for the clipboard. It names no row, no key and no address of a person.

use tauri::AppHandle;
use tillsync_core::window::Status;

use crate::app::App;

/// Puts it into the clipboard.
pub fn copy(handle: &AppHandle) {
    let text = text(&App::of(handle).shared().status);
    // The clipboard belongs to the thread that has the window.
    let _ = handle.run_on_main_thread(move || put(&text));
}

#[cfg(target_os = "linux")]
fn put(text: &str) {
    let clipboard = gtk::Clipboard::get(&gtk::gdk::SELECTION_CLIPBOARD);
    clipboard.set_text(text);
    // A clipboard manager keeps it after the app's end.
    clipboard.store();
}

#[cfg(not(target_os = "linux"))]
fn put(text: &str) {
    if let Err(error) = arboard::Clipboard::new().and_then(|mut clipboard| clipboard.set_text(text)) {
        tracing::warn!(%error, "the clipboard cannot be used");
    }
}

fn text(status: &Status) -> String {
    let problems: Vec<&str> = status.problems.iter().map(|problem| problem.code.as_str()).collect();
    let facts = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "state": status.state,
        "running": status.running,
        "pending": status.pending,
        "parked": status.parked,
        "conflicts": status.conflicts,
        "oldestPendingMs": status.oldest_pending_ms,
        "lastSyncMs": status.last_sync_ms,
        "cursor": status.cursor,
        "device": status.device_id,
        "fullSync": status.full_sync,
        "sent": status.sent,
        "received": status.received,
        "problems": problems,
    });
    format!("{facts:#}")
}
