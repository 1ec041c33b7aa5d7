//! Hints: the store's files changed, the network may be back. A hint only brings a look forward; the timer is the truth.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tillsync_core::sync::Event;
use tokio::sync::mpsc;

use crate::agent::Agent;

/// A commit touches several files; this long after the first touch they count as one.
const DEBOUNCE: Duration = Duration::from_millis(8);

/// SQLite touches the log before the commit can be read, and nothing is touched when it can: a POS that was put to sleep in
/// between is looked at once more after this time.
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// The watchers; they stop when dropped.
pub struct Watch {
    _store: Option<RecommendedWatcher>,
    network: Option<netwatcher::WatchHandle>,
}

/// The network's watcher ends when its pipe is closed everywhere. A program that this process has started, such as the window's browser, may
/// hold it open, and nobody should wait for that.
impl Drop for Watch {
    fn drop(&mut self) {
        let network = self.network.take();
        std::thread::spawn(move || drop(network));
    }
}

/// Watches the store's folder and the network, and sends hints.
pub fn watch(agent: &Arc<Agent>, events: &mpsc::Sender<Event>) -> Watch {
    Watch { _store: watch_store(Arc::clone(agent), events.clone()), network: watch_network(events.clone()) }
}

fn watch_store(agent: Arc<Agent>, events: mpsc::Sender<Event>) -> Option<RecommendedWatcher> {
    let store = agent.config.store.clone();
    // One pending touch is enough: it stands for all that came before it is looked at.
    let (touched, mut touches) = mpsc::channel::<()>(1);
    let name = store.file_name()?.to_owned();
    let folder = store.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    // Reading a write-ahead log makes SQLite write its `-shm` index; that is our own doing and says nothing.
    let is_ours = move |path: &Path| {
        let file = path.file_name().map(|file| file.as_encoded_bytes()).unwrap_or_default();
        file.starts_with(name.as_encoded_bytes()) && !file.ends_with(b"-shm")
    };
    let on_event = move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event
            && !matches!(event.kind, EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)))
            && event.paths.iter().any(|path| is_ours(path))
        {
            agent.turns().touched();
            let _ = touched.try_send(());
        }
    };
    let mut watcher = match notify::recommended_watcher(on_event) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "the store's folder cannot be watched; changes are found by the timer");
            return None;
        }
    };
    if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
        tracing::warn!(%error, "the store's folder cannot be watched; changes are found by the timer");
        return None;
    }
    tokio::spawn(async move {
        let mut look_again = false;
        loop {
            let patience = if look_again { SECOND_LOOK } else { Duration::MAX };
            match tokio::time::timeout(patience, touches.recv()).await {
                Ok(None) => return,
                Ok(Some(())) => {
                    tokio::time::sleep(DEBOUNCE).await;
                    let _ = touches.try_recv();
                    look_again = true;
                }
                Err(_) => look_again = false,
            }
            if events.send(Event::StoreChanged).await.is_err() {
                return;
            }
        }
    });
    Some(watcher)
}

fn watch_network(events: mpsc::Sender<Event>) -> Option<netwatcher::WatchHandle> {
    let mut first = true;
    let handle = netwatcher::watch_interfaces_with_callback(move |_| {
        // The first call tells what is there already.
        if !std::mem::take(&mut first) {
            let _ = events.try_send(Event::NetworkUp);
        }
    });
    handle.inspect_err(|error| tracing::warn!(%error, "the network cannot be watched; its return is found by the timer")).ok()
}
