//! The tray's window: types, component tests, and every screen in a browser over a mock of the agent.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{root, run, step};

/// What the window's tools need at least.
const NODE_MIN: (u32, u32) = (20, 19);

/// Makes the files that the tray app holds.
pub fn build() -> Result<()> {
    step("window: packages", packages)?;
    step("window: build", || script("build"))
}

/// Runs all tests over the mock; the first failure ends it.
pub fn test() -> Result<()> {
    step("window: types", || script("check"))?;
    step("window: components", || script("test"))?;
    step("window: every screen, keyboard, axe", || script("e2e"))
}

/// Installs exactly what the lockfile says. A folder that is like it already is left alone.
fn packages() -> Result<()> {
    check_node()?;
    let wanted = std::fs::read(folder().join("package-lock.json"))?;
    let note = folder().join("node_modules/.lockfile");
    if std::fs::read(&note).is_ok_and(|installed| installed == wanted) {
        println!("nothing is missing");
        return Ok(());
    }
    run(npm().args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
    Ok(std::fs::write(note, wanted)?)
}

fn check_node() -> Result<()> {
    let output = Command::new("node").arg("--version").output().context("node does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.trim().trim_start_matches('v').split('.').map_while(|part| part.parse().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else { bail!("`node --version` says {text}") };
    let (least, minor_least) = NODE_MIN;
    ensure!((major, minor) >= NODE_MIN, "the window needs Node.js {least}.{minor_least} or later, and this is {}", text.trim());
    Ok(())
}

fn script(name: &str) -> Result<()> {
    run(npm().args(["run", "--silent", name]))
}

fn npm() -> Command {
    let mut command = Command::new("npm");
    command.current_dir(folder());
    command
}

fn folder() -> std::path::PathBuf {
    root().join("ui")
}
