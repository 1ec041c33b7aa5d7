//! The simulator: registers and a hub on the pure core, a virtual clock, a bad network, crashes, and one seed for everything.
//!
//! The invariant: nothing lost, nothing doubled, all registers converge. `cargo xtask torture` runs many seeds.

mod apply;
mod capture;
mod check;
mod faults;
mod hub;
mod network;
mod pos;
mod push;
mod register;
mod shop;
mod state;
mod store;
mod trace;
mod world;

use world::World;

/// Seeds that every test run goes through.
const SEEDS: u64 = 300;

/// Runs this seed alone, and says what happens.
const SEED_VARIABLE: &str = "TILLSYNC_SEED";

/// Runs so many seeds from [`FROM_VARIABLE`] on.
const RUNS_VARIABLE: &str = "TILLSYNC_RUNS";

/// The first seed; 0 when absent.
const FROM_VARIABLE: &str = "TILLSYNC_FROM";

#[test]
fn simulator() {
    if let Some(seed) = number(SEED_VARIABLE) {
        if let Err(what) = run(seed, true) {
            panic!("{what}");
        }
        return;
    }
    let from = number(FROM_VARIABLE).unwrap_or(0);
    let failed: Vec<(u64, String)> = (from..from + number(RUNS_VARIABLE).unwrap_or(SEEDS))
        .filter_map(|seed| run(seed, false).err().map(|what| (seed, what)))
        .collect();
    for (seed, what) in &failed {
        eprintln!("{SEED_VARIABLE}={seed} cargo test -p tillsync-tests simulator  # {what}");
    }
    assert!(failed.is_empty(), "{} seeds fail", failed.len());
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

fn run(seed: u64, trace: bool) -> Result<(), String> {
    World::new(seed, trace).run()
}
