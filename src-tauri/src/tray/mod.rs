//! The tray: an icon for the state, the sentence as its tooltip, and a menu, all of them values that the core makes.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod native;

use std::sync::{Mutex, PoisonError};

use tauri::image::Image;
use tauri::{AppHandle, Manager};
use tillsync_agent::status::clock_text;
use tillsync_core::menu::{Item, View, menu};
use tillsync_core::status::State;

use crate::app::App;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use native as system;

/// What there is to see.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Drawing {
    state: State,
    sentence: String,
    menu: Vec<Item>,
    right_to_left: bool,
}

/// What the tray shows now, so that nothing is drawn twice.
struct Drawn(Mutex<Drawing>);

/// Puts the icon there.
pub fn show(handle: &AppHandle) -> anyhow::Result<()> {
    let drawing = drawing(handle);
    handle.manage(Drawn(Mutex::new(drawing.clone())));
    system::show(handle, drawing)
}

/// Draws what has changed.
pub fn follow(handle: &AppHandle) {
    let now = drawing(handle);
    let drawn = handle.state::<Drawn>();
    let mut last = drawn.0.lock().unwrap_or_else(PoisonError::into_inner);
    if *last != now {
        last.clone_from(&now);
        system::draw(handle, now);
    }
}

fn drawing(handle: &AppHandle) -> Drawing {
    let app = App::of(handle);
    let shared = app.shared();
    let language = &shared.language;
    let view = View { sentence: shared.status.says.clone(), conflicts: shared.status.conflicts };
    Drawing {
        state: view.sentence.state(),
        sentence: language.sentence(&view.sentence, clock_text),
        menu: menu(&view, language, clock_text),
        right_to_left: language.is_right_to_left(),
    }
}

/// The drawing for a state; macOS colours its own.
fn picture(state: State) -> Image<'static> {
    macro_rules! drawing {
        ($any:tt, $template:tt) => {
            if cfg!(target_os = "macos") { tauri::include_image!($template) } else { tauri::include_image!($any) }
        };
    }
    match state {
        State::NotSetUp => drawing!("../icons/tray/not-set-up.png", "../icons/tray/not-set-up-template.png"),
        State::Synced => drawing!("../icons/tray/synced.png", "../icons/tray/synced-template.png"),
        State::Syncing => drawing!("../icons/tray/syncing.png", "../icons/tray/syncing-template.png"),
        State::Offline => drawing!("../icons/tray/offline.png", "../icons/tray/offline-template.png"),
        State::Paused => drawing!("../icons/tray/paused.png", "../icons/tray/paused-template.png"),
        State::Attention => drawing!("../icons/tray/attention.png", "../icons/tray/attention-template.png"),
        State::Error => drawing!("../icons/tray/error.png", "../icons/tray/error-template.png"),
    }
}
