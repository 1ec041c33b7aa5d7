//! Hosting the agent, or following one that another process hosts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use tauri::async_runtime::block_on;
use tauri::{AppHandle, Manager};
use tillsync_agent::control::{self, Answer, Command};
use tillsync_agent::host::Place;
use tillsync_core::problem::Problem;
use tillsync_core::window::{Ask, Reply};

use crate::app::{App, broken, not_set_up, starting};

/// How often another process's agent, or a broken set-up, is looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// How soon an agent that does not answer, as it begins or ends, is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// This app is the agent.
#[derive(Default)]
pub struct Here(AtomicBool);

/// Wakes the host after a set-up, or to quit.
pub struct Wake(Sender<()>);

/// Starts the thread that is the agent, or waits for being it.
pub fn begin(handle: &AppHandle) {
    let (wake, woken) = channel();
    handle.manage(Wake(wake));
    handle.manage(Here::default());
    let handle = handle.clone();
    thread::spawn(move || host(&handle, &woken));
}

/// There is a register now, or it has changed.
pub fn look_again(handle: &AppHandle) {
    let _ = handle.state::<Wake>().0.send(());
}

/// The register of this app.
pub fn place(handle: &AppHandle) -> anyhow::Result<Option<Place>> {
    Place::find(App::of(handle).config.clone())
}

/// The state folder of the register, when there is one.
pub fn state_dir(handle: &AppHandle) -> Option<PathBuf> {
    place(handle).ok().flatten().map(|place| place.config().state_dir.clone())
}

/// Whether this app is the agent.
pub fn is_here(handle: &AppHandle) -> bool {
    handle.state::<Here>().0.load(Ordering::Relaxed)
}

fn host(handle: &AppHandle, woken: &Receiver<()>) {
    let mut follows = false;
    loop {
        match place(handle).and_then(|place| place.map(|place| be(handle, &place, &mut follows)).transpose()) {
            // It was asked to stop, by a person here or elsewhere, or by the system.
            Ok(Some(true)) => return handle.exit(0),
            // Another process is the agent; should that end, this one takes over.
            Ok(Some(false)) => drop(woken.recv_timeout(AGAIN)),
            Ok(None) => {
                App::take(handle, not_set_up());
                let _ = woken.recv();
            }
            Err(error) => {
                App::take(handle, broken(Problem::state(format!("{error:#}."))));
                let _ = woken.recv_timeout(AGAIN);
            }
        }
    }
}

/// Is the agent, if no other process is. Says whether it was.
fn be(handle: &AppHandle, place: &Place, follows: &mut bool) -> anyhow::Result<bool> {
    if !*follows {
        *follows = true;
        App::take(handle, starting());
        let (handle, state_dir) = (handle.clone(), place.config().state_dir.clone());
        thread::spawn(move || follow(&handle, &state_dir));
    }
    let here = &handle.state::<Here>().0;
    let Some(turn) = place.turn()? else { return Ok(false) };
    here.store(true, Ordering::Relaxed);
    let ran = place.run(&turn);
    here.store(false, Ordering::Relaxed);
    ran.map(|()| true)
}

/// Passes on how the agent is doing, whoever hosts it.
fn follow(handle: &AppHandle, state_dir: &Path) {
    let mut known = 0;
    loop {
        match block_on(control::ask(state_dir, &Command::Watch { known })) {
            Ok(Some(Answer::Watched { print, status })) => {
                if print != known {
                    known = print;
                    App::take(handle, *status);
                }
            }
            Ok(_) | Err(_) => thread::sleep(ASK_AGAIN),
        }
    }
}

/// Asks the agent for the window; `None` when none answers.
pub async fn ask(state_dir: &Path, ask: Ask, pass: Option<String>) -> Option<Reply> {
    match control::ask(state_dir, &Command::Window { ask, pass }).await {
        Ok(Some(Answer::Window { reply })) => Some(reply),
        Ok(_) | Err(_) => None,
    }
}

/// Asks the agent to end, after a last try to send what is there.
pub async fn stop(state_dir: &Path) {
    let _ = control::ask(state_dir, &Command::Stop).await;
}
