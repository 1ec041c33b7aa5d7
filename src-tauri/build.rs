//! The commands that the window may call, and what Tauri needs at build time.

fn main() {
    let commands = tauri_build::AppManifest::new().commands(&["ask", "shell"]);
    tauri_build::try_build(tauri_build::Attributes::new().app_manifest(commands)).expect("the app's manifest is made");
}
