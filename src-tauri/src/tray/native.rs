//! The tray of Windows and macOS.

use tauri::menu::{Menu, MenuBuilder, MenuItem, MenuItemBuilder, Submenu, SubmenuBuilder};
use tauri::tray::{TrayIconBuilder, TrayIconEvent};
use tauri::{AppHandle, Wry};
use tillsync_core::menu::{Action, Item};

use super::{Drawing, picture};
use crate::{clicks, window};

const ID: &str = "tillsync";

/// Puts the icon there.
pub fn show(handle: &AppHandle, drawing: Drawing) -> anyhow::Result<()> {
    TrayIconBuilder::with_id(ID)
        .icon(picture(drawing.state))
        .icon_as_template(cfg!(target_os = "macos"))
        .show_menu_on_left_click(cfg!(target_os = "macos"))
        .on_menu_event(|handle, event| {
            if let Some(action) = Action::parse(event.id().as_ref()) {
                clicks::carry_out(handle, action);
            }
        })
        .on_tray_icon_event(|tray, event| {
            if let TrayIconEvent::DoubleClick { .. } = event {
                window::show(tray.app_handle(), None);
            }
        })
        .build(handle)?;
    draw(handle, drawing);
    Ok(())
}

/// Shows a change. Menus are made where the system's loop runs.
pub fn draw(handle: &AppHandle, drawing: Drawing) {
    let on_main = handle.clone();
    let _ = handle.run_on_main_thread(move || {
        if let Err(error) = draw_now(&on_main, &drawing) {
            tracing::warn!(%error, "the tray cannot be drawn");
        }
    });
}

fn draw_now(handle: &AppHandle, drawing: &Drawing) -> tauri::Result<()> {
    let Some(tray) = handle.tray_by_id(ID) else { return Ok(()) };
    tray.set_menu(Some(menu(handle, &drawing.menu)?))?;
    tray.set_icon_with_as_template(Some(picture(drawing.state)), cfg!(target_os = "macos"))?;
    tray.set_tooltip(Some(format!("Tillsync: {}", drawing.sentence)))
}

fn menu(handle: &AppHandle, items: &[Item]) -> tauri::Result<Menu<Wry>> {
    let mut menu = MenuBuilder::new(handle);
    for item in items {
        menu = match item {
            Item::Separator => menu.separator(),
            Item::Line { label, action } => menu.item(&line(handle, label, *action)?),
            Item::Submenu { label, items } => menu.item(&submenu(handle, label, items)?),
        };
    }
    menu.build()
}

fn submenu(handle: &AppHandle, label: &str, items: &[Item]) -> tauri::Result<Submenu<Wry>> {
    let mut menu = SubmenuBuilder::new(handle, label);
    for item in items {
        menu = match item {
            Item::Separator => menu.separator(),
            Item::Line { label, action } => menu.item(&line(handle, label, *action)?),
            Item::Submenu { label, items } => menu.item(&submenu(handle, label, items)?),
        };
    }
    menu.build()
}

fn line(handle: &AppHandle, label: &str, action: Option<Action>) -> tauri::Result<MenuItem<Wry>> {
    // An ampersand would be taken for the mark of a key.
    let label = label.replace('&', "&&");
    match action {
        Some(action) => MenuItemBuilder::with_id(action.name(), label).build(handle),
        None => MenuItemBuilder::new(label).enabled(false).build(handle),
    }
}
