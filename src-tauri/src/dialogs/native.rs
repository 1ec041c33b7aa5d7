//! Dialogs of Windows and macOS.

use std::path::PathBuf;

use rfd::{AsyncFileDialog, AsyncMessageDialog, MessageButtons, MessageDialogResult, MessageLevel};
use tauri::async_runtime::spawn;
use tillsync_core::menu::Question;
use tokio::sync::oneshot::Sender;

use super::ENDINGS;

/// Asks a question. The system turns it round where its language is written from right to left.
pub fn confirm(question: Question, _right_to_left: bool, answer: Sender<bool>) {
    let Question { title, text, yes, no } = question;
    let dialog = AsyncMessageDialog::new()
        .set_level(MessageLevel::Warning)
        .set_title(title)
        .set_description(text)
        .set_buttons(MessageButtons::OkCancelCustom(yes.clone(), no))
        .show();
    spawn(async move { answer.send(matches!(dialog.await, MessageDialogResult::Custom(said) if said == yes)) });
}

/// Lets a person choose a file.
pub fn pick_store(answer: Sender<Option<PathBuf>>) {
    let dialog = AsyncFileDialog::new().add_filter("SQLite", &ENDINGS).pick_file();
    spawn(async move { answer.send(dialog.await.map(|file| file.path().to_owned())) });
}
