//! The real tray app on a desktop of the test's own: an X server without a screen, a session bus, a keychain, a panel, a WebDriver.
#![cfg(target_os = "linux")]

mod desktop;
mod login;
mod memory;
mod notices;
mod panel;
mod quitting;
mod set_up;
mod sharing;
#[allow(dead_code, unused_imports, reason = "shared with the tests of the line, which use all of it")]
#[path = "../../../tests/tests/line/stories/support/mod.rs"]
mod support;
mod till;
mod tray;
mod webdriver;
mod window;
