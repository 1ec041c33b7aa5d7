//! What the window may call. Whatever comes from it is parsed into the types of `tillsync_core::window`, and checked here before anything is done.

use tauri::AppHandle;
use tillsync_agent::control::{self, Answer, Command};
use tillsync_agent::{host, pin};
use tillsync_core::config::Role;
use tillsync_core::problem::Problem;
use tillsync_core::window::{Ask, Reply, Secret, SetUp, Setting, Shell, ShellReply};

use crate::app::App;
use crate::preferences::system_languages;
use crate::{agent, autostart, dialogs, tray};

/// Asks the agent.
#[tauri::command]
pub async fn ask(app: AppHandle, ask: Ask) -> Reply {
    let (shown, pass) = {
        let of = App::of(&app);
        let shared = of.shared();
        (shared.status.clone(), shared.pass.clone())
    };
    let is_status = ask == Ask::Status;
    let reply = match agent::state_dir(&app) {
        Some(state_dir) => agent::ask(&state_dir, ask, pass).await,
        None => None,
    };
    match reply {
        Some(reply) => reply,
        // While no agent answers the tray knows why.
        None if is_status => Reply::Status { status: Box::new(shown) },
        None => Reply::Failed { problem: Problem::agent_not_running() },
    }
}

/// Asks the app.
#[tauri::command]
pub async fn shell(app: AppHandle, ask: Shell) -> ShellReply {
    let done = match ask.check() {
        Ok(()) => answer(&app, ask).await,
        Err(why) => Err(Problem::not_understood(why)),
    };
    done.unwrap_or_else(|problem| ShellReply::Failed { problem })
}

async fn answer(app: &AppHandle, ask: Shell) -> Result<ShellReply, Problem> {
    Ok(match ask {
        Shell::Setting => setting(app),
        Shell::Language { .. } | Shell::Autostart { .. } if is_managed(app, &ask) => return Err(Problem::managed()),
        Shell::Language { code } => {
            speak(app, code);
            setting(app)
        }
        Shell::Autostart { on } => {
            if !may_decide(app) {
                return Err(Problem::manager_only());
            }
            autostart::set(app, on)?;
            setting(app)
        }
        Shell::Unlock { pin } => unlock(app, pin).await?,
        Shell::Lock => {
            lock(app).await;
            setting(app)
        }
        Shell::FindStores => ShellReply::Stores { stores: on_thread(|| host::find_stores(&host::common_places())).await? },
        Shell::PickStore => {
            let picked = dialogs::pick_store(app).await;
            ShellReply::Stores { stores: on_thread(move || picked.iter().map(|path| host::look(path)).collect()).await? }
        }
        Shell::TestServer { server } => host::test_server(&server).await.map(|()| ShellReply::Done)?,
        Shell::SetUp { with } => set_up(app, with).await.map(|()| ShellReply::Done)?,
    })
}

async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tauri::async_runtime::spawn_blocking(work).await;
    done.map_err(|_| Problem::state("The app failed; see the log."))
}

fn setting(app: &AppHandle) -> ShellReply {
    let place = agent::place(app).ok().flatten();
    let (language, unlocked) = {
        let of = App::of(app);
        let shared = of.shared();
        (of.managed.language.clone().or_else(|| shared.preferences.language.clone()), shared.pass.is_some())
    };
    let setting = Setting {
        set_up: place.is_some(),
        language,
        system_languages: system_languages(),
        autostart: autostart::is_on(app),
        managed: App::of(app).managed.names(),
        manager: place.as_ref().is_some_and(|place| place.config().role == Role::Manager),
        has_pin: place.is_some_and(|place| pin::is_set(&place.config().state_dir)),
        unlocked,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        proposed_name: host::machine_name(),
        proposed_server: App::of(app).managed.server.clone().unwrap_or_default(),
    };
    ShellReply::Setting { setting: Box::new(setting) }
}

/// Whether the administrator has set it.
fn is_managed(app: &AppHandle, ask: &Shell) -> bool {
    let managed = &App::of(app).managed;
    match ask {
        Shell::Language { .. } => managed.language.is_some(),
        Shell::Autostart { .. } => managed.autostart.is_some(),
        _ => false,
    }
}

/// Decisions about rows are the agent's to refuse; this is about the app.
fn may_decide(app: &AppHandle) -> bool {
    let Ok(Some(place)) = agent::place(app) else { return true };
    let config = place.config();
    config.role == Role::Manager || !pin::is_set(&config.state_dir) || App::of(app).shared().pass.is_some()
}

fn speak(app: &AppHandle, code: Option<String>) {
    {
        let of = App::of(app);
        let mut shared = of.shared();
        shared.preferences.language = code;
        shared.language = shared.preferences.speaks(&of.managed);
        shared.preferences.save();
    }
    tray::follow(app);
}

async fn unlock(app: &AppHandle, pin: Secret) -> Result<ShellReply, Problem> {
    let Some(state_dir) = agent::state_dir(app) else { return Ok(setting(app)) };
    match control::ask(&state_dir, &Command::Unlock { pin }).await {
        Ok(Some(Answer::Unlocked { pass })) => {
            App::of(app).shared().pass = Some(pass);
            Ok(setting(app))
        }
        Ok(Some(Answer::WrongPin { wait_s })) => Ok(ShellReply::WrongPin { wait_s }),
        Ok(_) | Err(_) => Err(Problem::agent_not_running()),
    }
}

/// What a manager unlocked is locked again.
pub async fn lock(app: &AppHandle) {
    let pass = App::of(app).shared().pass.take();
    if let (Some(_), Some(state_dir)) = (pass, agent::state_dir(app)) {
        let _ = control::ask(&state_dir, &Command::Lock).await;
    }
}

async fn set_up(app: &AppHandle, mut with: SetUp) -> Result<(), Problem> {
    // A register that is there already is no window's to change.
    if agent::state_dir(app).is_some() {
        return Err(Problem::set_up_failed("this machine is a register already"));
    }
    let config = App::of(app).config.clone();
    if let Some(server) = &App::of(app).managed.server {
        with.server.clone_from(server);
    }
    on_thread(move || host::set_up(config.as_deref(), &with)).await??;
    agent::look_again(app);
    Ok(())
}
