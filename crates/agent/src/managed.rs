//! Reads what the administrator has set for this machine.

use std::path::PathBuf;

use anyhow::Context as _;
use tillsync_core::managed::Managed;

/// Reads the file; nothing is set where there is none.
pub fn load() -> anyhow::Result<Managed> {
    let path = path();
    match std::fs::read_to_string(&path) {
        Ok(text) => Managed::parse(&text).with_context(|| format!("{} is not valid", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Managed::default()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// A place where only an administrator writes.
fn path() -> PathBuf {
    // Tests have no such place. What ships listens to nobody here.
    if cfg!(debug_assertions)
        && let Some(path) = std::env::var_os("TILLSYNC_TEST_POLICY")
    {
        return PathBuf::from(path);
    }
    if cfg!(windows) {
        let folder = std::env::var_os("ProgramData").map_or_else(|| PathBuf::from("C:\\ProgramData"), PathBuf::from);
        folder.join("Tillsync").join("policy.toml")
    } else if cfg!(target_os = "macos") {
        PathBuf::from("/Library/Application Support/Tillsync/policy.toml")
    } else {
        PathBuf::from("/etc/tillsync/policy.toml")
    }
}
