//! What WebKit leaves running after its last window: the process that it has for the network, which would sit there for good. It makes a new one
//! for the next window.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tauri::AppHandle;

/// How the system calls it, which knows fifteen letters.
const NAME: &str = "WebKitNetworkPr";

/// The window's own process has ended by then.
const SOON: Duration = Duration::from_secs(1);

/// Ends it, unless somebody wants a window again.
pub async fn end(handle: &AppHandle) {
    tokio::time::sleep(SOON).await;
    if super::is_there(handle) {
        return;
    }
    for child in
        children().filter(|child| fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim_end() == NAME))
    {
        if let Some(child) = Pid::from_raw(child) {
            let _ = kill_process(child, Signal::TERM);
        }
    }
}

/// This process's own.
fn children() -> impl Iterator<Item = i32> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
}
