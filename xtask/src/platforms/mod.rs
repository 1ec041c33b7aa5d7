//! Type-checks every crate for the systems that shops run, so that nothing made for Linux alone creeps in.

mod debian;
mod macos;
mod windows;

use std::path::PathBuf;

use anyhow::Result;

use crate::workspace::{cargo, run, step, succeeds, target};

/// A compiler that has a target's standard library, or can make it.
enum Compiler {
    /// The one in use, to which rustup added the target.
    Ours,
    /// Debian's, unpacked under the target folder.
    Debian { rustc: PathBuf, build_std: bool },
}

/// Checks Windows, which must work, then macOS, which is skipped with a reason where it cannot be set up.
pub fn check(without_rustup: bool) -> Result<()> {
    step("Windows", || windows::check(without_rustup))?;
    step("macOS", || macos::check(without_rustup))
}

/// Whether rustup has the target's standard library or could fetch it.
fn added_by_rustup(triple: &str) -> bool {
    succeeds("rustup", &["target", "add", triple])
}

/// `cargo check` of everything for one target. A folder of its own: another compiler would throw away what cargo built so far.
fn check_with(compiler: &Compiler, triple: &str, environment: &[(&str, String)]) -> Result<()> {
    let mut command = cargo();
    command.args(["check", "--workspace", "--all-targets", "--target", triple, "--target-dir"]).arg(target().join("platforms"));
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    if let Compiler::Debian { rustc, build_std } = compiler {
        command.env("RUSTC", rustc);
        if *build_std {
            command.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_unwind,test");
        }
    }
    run(&mut command)
}
