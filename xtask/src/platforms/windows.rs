//! Windows, through the GNU toolchain, which Debian packages.

use anyhow::Result;

use super::{Compiler, added_by_rustup, check_with, debian};
use crate::setup;

const TRIPLE: &str = "x86_64-pc-windows-gnu";

/// Sets up what is missing and checks.
pub fn check(without_rustup: bool) -> Result<()> {
    setup::install(setup::FOR_WINDOWS)?;
    let compiler = if !without_rustup && added_by_rustup(TRIPLE) {
        Compiler::Ours
    } else {
        println!("rustup has no standard library for Windows: building one with Debian's compiler");
        Compiler::Debian { rustc: debian::compiler_for_windows()?, build_std: false }
    };
    check_with(&compiler, TRIPLE, &[])
}
