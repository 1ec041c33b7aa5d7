//! The tray app: hosts the agent in its own process or attaches to one that runs, shows its state in the tray, and a window when asked.
//!
//! Whoever hosts the agent, it is reached over its control socket. What is deliberately not here: decisions about what to say (pure, in
//! `tillsync-core`) and about syncing (in `tillsync-agent`).

#![cfg_attr(windows, windows_subsystem = "windows")]

mod agent;
mod app;
mod autostart;
mod clicks;
mod commands;
mod diagnostics;
mod dialogs;
mod notify;
mod preferences;
mod tray;
mod window;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;

use crate::app::App;
use crate::window::KeptFor;

/// A hidden window is kept this long, for a person who comes back; then an idle register pays for an agent and not for a browser.
const WINDOW_KEPT_S: u64 = 60;

#[derive(Parser)]
#[command(name = "tillsync-tray", version, about = "Keeps this register in step, and shows how it is doing in the tray")]
struct Arguments {
    /// The config file [default: tillsync.toml in the platform's config folder]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show the window at the start
    #[arg(long)]
    open: bool,
    /// How long a hidden window is kept
    #[arg(long, hide = true, value_name = "SECONDS", default_value_t = WINDOW_KEPT_S)]
    window_kept: u64,
}

fn main() -> anyhow::Result<()> {
    let Arguments { config, open, window_kept } = Arguments::parse();
    let config = config.map(std::path::absolute).transpose()?;
    let mut context = tauri::generate_context!();
    let mut autostart = tauri_plugin_autostart::Builder::new();
    if let Some(config) = &config {
        // An app for another config is another app: it has its own single instance, preferences and entry at login.
        let mark = mark(config);
        context.config_mut().identifier.push_str(&format!(".{mark}"));
        autostart = autostart.app_name(format!("Tillsync {mark}")).args(["--config".to_owned(), config.display().to_string()]);
    }
    let app = tauri::Builder::default()
        // First, so that a second start does nothing else.
        .plugin(tauri_plugin_single_instance::init(|app, _, _| window::show(app, None)))
        .plugin(autostart.build())
        .manage(KeptFor(Duration::from_secs(window_kept)))
        .invoke_handler(tauri::generate_handler![commands::ask, commands::shell])
        .setup(move |app| {
            #[cfg(target_os = "macos")]
            app.set_activation_policy(tauri::ActivationPolicy::Accessory);
            App::begin(app.handle(), config)?;
            autostart::begin(app.handle());
            if open {
                window::show(app.handle(), None);
            }
            Ok(())
        })
        .build(context)?;
    app.run(|handle, event| match event {
        // Without a window the agent goes on.
        tauri::RunEvent::ExitRequested { api, code: None, .. } => api.prevent_exit(),
        tauri::RunEvent::WindowEvent { event: tauri::WindowEvent::CloseRequested { api, .. }, .. } => {
            api.prevent_close();
            window::hide(handle);
        }
        _ => {}
    });
    Ok(())
}

/// A name for a config file that starts with a letter, as names on a bus must.
fn mark(config: &Path) -> String {
    format!("at{:016x}", xxhash_rust::xxh3::xxh3_64(config.as_os_str().as_encoded_bytes()))
}
