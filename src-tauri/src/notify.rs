//! Notifications. Which ones there are is decided in the core.

use tauri::AppHandle;
use tillsync_core::notice::Notice;

/// Shows one. The system may have none, or may take its time, so this does not wait for it.
pub fn show(handle: &AppHandle, notice: Notice) {
    let identifier = handle.config().identifier.clone();
    std::thread::spawn(move || {
        if let Err(error) = show_now(&identifier, &notice) {
            tracing::warn!(error, title = notice.title, "a notification could not be shown");
        }
    });
}

#[cfg(target_os = "linux")]
fn show_now(_identifier: &str, notice: &Notice) -> Result<(), String> {
    use std::collections::HashMap;
    use zbus::zvariant::Value;

    const PLACE: &str = "/org/freedesktop/Notifications";
    const NAME: &str = "org.freedesktop.Notifications";
    const NO_OTHER: u32 = 0;
    const AS_LONG_AS_USUAL: i32 = -1;
    let hints = HashMap::from([("desktop-entry", Value::from("tillsync-tray"))]);
    let no_actions: Vec<&str> = Vec::new();
    let told = ("Tillsync", NO_OTHER, "tillsync", notice.title.as_str(), notice.text.as_str(), no_actions, hints, AS_LONG_AS_USUAL);
    let send = async {
        let bus = zbus::Connection::session().await?;
        bus.call_method(Some(NAME), PLACE, Some(NAME), "Notify", &told).await
    };
    tauri::async_runtime::block_on(send).map(drop).map_err(|error| error.to_string())
}

#[cfg(not(target_os = "linux"))]
fn show_now(identifier: &str, notice: &Notice) -> Result<(), String> {
    let mut notification = notify_rust::Notification::new();
    notification.summary(&notice.title).body(&notice.text);
    #[cfg(windows)]
    notification.app_id(identifier);
    #[cfg(target_os = "macos")]
    let _ = notify_rust::set_application(identifier);
    notification.show().map(drop).map_err(|error| error.to_string())
}
