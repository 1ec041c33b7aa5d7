//! Debian's own compiler with its source, for machines where rustup does not answer. Unpacked, not installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::workspace::{root, run, target};

/// Unpacks the compiler and its source; `rustc` in the folder runs it.
pub fn compiler() -> Result<PathBuf> {
    prepare("compiler")
}

/// The same with a standard library for Windows.
pub fn compiler_for_windows() -> Result<PathBuf> {
    prepare("windows")
}

/// Two minutes and 1.1 GB the first time, nothing after that.
fn prepare(what: &str) -> Result<PathBuf> {
    let folder: &Path = &target().join("debian-rust");
    run(Command::new("bash").arg(root().join("xtask/platforms/debian-rust.sh")).arg(folder).arg(what))?;
    Ok(folder.join("rustc"))
}
