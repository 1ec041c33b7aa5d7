//! Dialogs of Linux, by GTK itself.

use std::cell::Cell;
use std::path::PathBuf;

use gtk::prelude::*;
use gtk::{
    ButtonsType, DialogFlags, FileChooserAction, FileChooserNative, FileFilter, MessageDialog, MessageType, ResponseType,
    TextDirection,
};
use tillsync_core::menu::Question;
use tokio::sync::oneshot::Sender;

use super::ENDINGS;

/// Asks a question.
pub fn confirm(question: Question, right_to_left: bool, answer: Sender<bool>) {
    let Question { title, text, yes, no } = question;
    gtk::Widget::set_default_direction(if right_to_left { TextDirection::Rtl } else { TextDirection::Ltr });
    let none: Option<&gtk::Window> = None;
    let dialog = MessageDialog::new(none, DialogFlags::empty(), MessageType::Warning, ButtonsType::None, &title);
    dialog.set_title(&title);
    dialog.set_secondary_text(Some(&text));
    dialog.set_skip_taskbar_hint(false);
    dialog.add_button(&yes, ResponseType::Accept);
    dialog.add_button(&no, ResponseType::Cancel);
    dialog.set_default_response(ResponseType::Cancel);
    let answer = Cell::new(Some(answer));
    dialog.connect_response(move |dialog, response| {
        if let Some(answer) = answer.take() {
            let _ = answer.send(response == ResponseType::Accept);
        }
        dialog.close();
    });
    dialog.show_all();
    dialog.present();
}

/// Lets a person choose a file.
pub fn pick_store(answer: Sender<Option<PathBuf>>) {
    let none: Option<&gtk::Window> = None;
    let dialog = FileChooserNative::new(None, none, FileChooserAction::Open, None, None);
    let filter = FileFilter::new();
    filter.set_name(Some("SQLite"));
    for ending in ENDINGS {
        filter.add_pattern(&format!("*.{ending}"));
    }
    dialog.add_filter(filter);
    // It is gone as soon as nobody holds it.
    let held = Cell::new(Some(dialog.clone()));
    let answer = Cell::new(Some(answer));
    dialog.connect_response(move |dialog, response| {
        if let Some(answer) = answer.take() {
            let _ = answer.send(dialog.filename().filter(|_| response == ResponseType::Accept));
        }
        held.take();
    });
    dialog.show();
}
