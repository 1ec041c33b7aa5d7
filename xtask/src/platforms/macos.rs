//! macOS: types only. Nothing links without Apple's tools, so a stand-in takes the C compiler's place.

use anyhow::Result;

use super::{Compiler, added_by_rustup, check_with, debian};
use crate::workspace::{root, succeeds};

const TRIPLE: &str = "aarch64-apple-darwin";

/// Checks, or says why not.
pub fn check(without_rustup: bool) -> Result<()> {
    let compiler = if !without_rustup && added_by_rustup(TRIPLE) {
        Compiler::Ours
    } else {
        println!("rustup has no standard library for macOS: checking with Debian's compiler, which builds it");
        match debian::compiler() {
            Ok(rustc) => Compiler::Debian { rustc, build_std: true },
            Err(reason) => {
                println!("SKIPPED: macOS was not checked, because neither rustup nor Debian gives a standard library: {reason:#}");
                return Ok(());
            }
        }
    };
    if !succeeds("gcc", &["--version"]) {
        println!("SKIPPED: macOS was not checked, because the stand-in for Apple's C compiler needs gcc");
        return Ok(());
    }
    let stand_in = root().join("xtask/platforms/stand-in-cc.sh").to_string_lossy().into_owned();
    let environment = [
        ("CC_aarch64_apple_darwin", stand_in.clone()),
        ("CXX_aarch64_apple_darwin", stand_in),
        ("CRATE_CC_NO_DEFAULTS", "1".to_owned()),
        ("SDKROOT", "/nonexistent".to_owned()),
    ];
    check_with(&compiler, TRIPLE, &environment)
}
