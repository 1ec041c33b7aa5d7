//! Everything that must hold before a change is taken, cheapest first.

use anyhow::Result;

use crate::setup;
use crate::window;
use crate::workspace::{cargo, run, step, succeeds};

/// Runs all of it; the first failure ends it.
pub fn test() -> Result<()> {
    step("system packages", setup::for_tests)?;
    step("formatting", || run(cargo().args(["fmt", "--all", "--check"])))?;
    // The tray app holds the window's files, so these come first.
    window::build()?;
    step("clippy", || run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])))?;
    step("documentation", || run(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings")))?;
    window::test()?;
    // With the tests, whose dependencies would otherwise make cargo build half of the desktop's crates a second time.
    step("programs that tests start", || run(cargo().args(["build", "--workspace", "--bins", "--tests"])))?;
    if !succeeds("cargo", &["nextest", "--version"]) {
        return step("tests", || run(cargo().args(["test", "--workspace", "--no-fail-fast"])));
    }
    step("examples in the documentation", || run(cargo().args(["test", "--workspace", "--doc"])))?;
    step("tests", || run(cargo().args(["nextest", "run", "--workspace", "--no-fail-fast"])))
}
