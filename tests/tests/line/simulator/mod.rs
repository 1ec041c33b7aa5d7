//! The simulator: registers and a hub on the pure core, persons, a virtual clock, a bad network, crashes, and one seed for everything.
//!
//! The invariant: every edit is in the final state, was superseded by somebody who knew of it, or is in the conflict log; nothing is
//! doubled; all registers converge. `cargo xtask torture` runs many seeds.

mod apply;
mod capture;
mod check;
mod clocks;
mod clones;
mod conflicts;
mod coverage;
mod disasters;
mod faults;
mod hub;
mod identity;
mod ids;
mod judge;
mod lanes;
mod ledger;
mod log;
mod losses;
mod network;
mod persons;
mod pos;
mod property;
mod push;
mod refill;
mod register;
mod requests;
mod restore;
mod scan;
mod schema;
mod shop;
mod state;
mod store;
mod trace;
mod upgrades;
mod world;

use coverage::Coverage;
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
    let (mut coverage, mut failed) = (Coverage::default(), Vec::new());
    for seed in from..from + number(RUNS_VARIABLE).unwrap_or(SEEDS) {
        match run(seed, false) {
            Ok(happened) => coverage.add(&happened),
            Err(what) => failed.push((seed, what)),
        }
    }
    for (seed, what) in &failed {
        eprintln!("{SEED_VARIABLE}={seed} cargo test -p tillsync-tests simulator  # {what}");
    }
    print!("{coverage}");
    if from == 0 && number(RUNS_VARIABLE).is_none() {
        assert!(coverage.missing().is_empty(), "never happened: {:?}", coverage.missing());
    }
    assert!(failed.is_empty(), "{} seeds fail", failed.len());
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

fn run(seed: u64, trace: bool) -> Result<Coverage, String> {
    World::new(seed, trace).run()
}
