//! The window: made when it is asked for, hidden when it is closed, and destroyed when it has been hidden for a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tauri::{AppHandle, Emitter, Manager, WebviewUrl, WebviewWindowBuilder};

#[cfg(target_os = "linux")]
mod leftovers;

use crate::commands;

const LABEL: &str = "main";

/// How long a hidden window is kept.
pub struct KeptFor(pub Duration);

/// Each time the window is shown or hidden counts; what was planned before is off.
static TURN: AtomicU64 = AtomicU64::new(0);

/// Whether there is a window, hidden or not.
pub fn is_there(handle: &AppHandle) -> bool {
    handle.get_webview_window(LABEL).is_some()
}

/// Shows the window, at one of its parts if one is named.
pub fn show(handle: &AppHandle, part: Option<&'static str>) {
    TURN.fetch_add(1, Ordering::Relaxed);
    let on_main = handle.clone();
    let _ = handle.run_on_main_thread(move || {
        if let Err(error) = show_now(&on_main, part) {
            tracing::warn!(%error, "the window cannot be shown");
        }
    });
}

fn show_now(handle: &AppHandle, part: Option<&'static str>) -> tauri::Result<()> {
    let window = match handle.get_webview_window(LABEL) {
        Some(window) => window,
        None => {
            let address = part.map_or_else(|| "index.html".to_owned(), |part| format!("index.html#{part}"));
            WebviewWindowBuilder::new(handle, LABEL, WebviewUrl::App(address.into()))
                .title("Tillsync")
                .inner_size(380.0, 560.0)
                .min_inner_size(320.0, 400.0)
                .skip_taskbar(true)
                // Nothing is kept on the disk. A WebDriver finds only a browser that keeps something.
                .incognito(std::env::var_os("TAURI_WEBVIEW_AUTOMATION").is_none())
                // Nothing leads out of the window.
                .on_navigation(|url| matches!(url.scheme(), "tauri") || url.host_str() == Some("tauri.localhost"))
                .build()?
        }
    };
    window.show()?;
    window.unminimize()?;
    window.set_focus()?;
    if let Some(part) = part {
        handle.emit("show", part)?;
    }
    Ok(())
}

/// Hides the window. What a manager unlocked is locked again.
pub fn hide(handle: &AppHandle) {
    let turn = TURN.fetch_add(1, Ordering::Relaxed) + 1;
    if let Some(window) = handle.get_webview_window(LABEL) {
        let _ = window.hide();
    }
    let KeptFor(kept) = *handle.state::<KeptFor>();
    let handle = handle.clone();
    tauri::async_runtime::spawn(async move {
        commands::lock(&handle).await;
        tokio::time::sleep(kept).await;
        if TURN.load(Ordering::Relaxed) == turn
            && let Some(window) = handle.get_webview_window(LABEL)
        {
            let _ = window.destroy();
            #[cfg(target_os = "linux")]
            leftovers::end(&handle).await;
        }
    });
}
