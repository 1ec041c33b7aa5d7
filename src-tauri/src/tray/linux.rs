//! The tray of Linux: a StatusNotifierItem on the session bus.

use ksni::menu::{MenuItem, StandardItem, SubMenu};
use ksni::{Category, Handle, Icon, Status, TextDirection, ToolTip, Tray, TrayMethods};
use tauri::async_runtime::{block_on, spawn};
use tauri::{AppHandle, Manager};
use tillsync_core::menu::{Action, Item};
use tillsync_core::status::State;

use super::{Drawing, picture};
use crate::{clicks, window};

/// What the bus asks for.
struct Notifier {
    handle: AppHandle,
    drawing: Drawing,
}

struct Shown(Handle<Notifier>);

/// Puts the icon there. A panel that starts later than this shows it then.
pub fn show(handle: &AppHandle, drawing: Drawing) -> anyhow::Result<()> {
    let notifier = Notifier { handle: handle.clone(), drawing };
    match block_on(notifier.assume_sni_available(true).spawn()) {
        Ok(shown) => drop(handle.manage(Shown(shown))),
        // Without a session bus there is no tray; the agent and the window work all the same.
        Err(error) => tracing::warn!(%error, "there is no tray here"),
    }
    Ok(())
}

/// Shows a change.
pub fn draw(handle: &AppHandle, drawing: Drawing) {
    if let Some(shown) = handle.try_state::<Shown>() {
        let shown = shown.0.clone();
        spawn(async move { shown.update(|notifier| notifier.drawing = drawing).await });
    }
}

impl Tray for Notifier {
    fn id(&self) -> String {
        "tillsync".to_owned()
    }

    fn category(&self) -> Category {
        Category::SystemServices
    }

    fn status(&self) -> Status {
        match self.drawing.state {
            State::Attention | State::Error => Status::NeedsAttention,
            _ => Status::Active,
        }
    }

    fn title(&self) -> String {
        format!("Tillsync: {}", self.drawing.sentence)
    }

    fn tool_tip(&self) -> ToolTip {
        ToolTip { title: "Tillsync".to_owned(), description: self.drawing.sentence.clone(), ..ToolTip::default() }
    }

    fn icon_pixmap(&self) -> Vec<Icon> {
        pixels(self.drawing.state)
    }

    fn attention_icon_pixmap(&self) -> Vec<Icon> {
        pixels(self.drawing.state)
    }

    fn text_direction(&self) -> TextDirection {
        if self.drawing.right_to_left { TextDirection::RightToLeft } else { TextDirection::LeftToRight }
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        items(&self.drawing.menu)
    }

    fn activate(&mut self, _x: i32, _y: i32) {
        window::show(&self.handle, None);
    }
}

/// The bus wants alpha first.
fn pixels(state: State) -> Vec<Icon> {
    let image = picture(state);
    let size = |pixels: u32| i32::try_from(pixels).unwrap_or_default();
    let data = image.rgba().chunks_exact(4).flat_map(|pixel| [pixel[3], pixel[0], pixel[1], pixel[2]]).collect();
    vec![Icon { width: size(image.width()), height: size(image.height()), data }]
}

fn items(wanted: &[Item]) -> Vec<MenuItem<Notifier>> {
    wanted
        .iter()
        .map(|item| match item {
            Item::Separator => MenuItem::Separator,
            Item::Submenu { label, items: below } => {
                SubMenu { label: plain(label), submenu: items(below), ..SubMenu::default() }.into()
            }
            Item::Line { label, action } => line(label, *action).into(),
        })
        .collect()
}

fn line(label: &str, action: Option<Action>) -> StandardItem<Notifier> {
    StandardItem {
        label: plain(label),
        enabled: action.is_some(),
        activate: Box::new(move |notifier: &mut Notifier| {
            if let Some(action) = action {
                clicks::carry_out(&notifier.handle, action);
            }
        }),
        ..StandardItem::default()
    }
}

/// An underscore would be taken for the mark of a key.
fn plain(label: &str) -> String {
    label.replace('_', "__")
}
