//! Measurements against the promises, each side by side with plain SQLite in the same run where that means something.

mod full_sync;
mod latency;
mod locks;
mod maintenance;
mod pair;
mod pos_cost;
mod report;
mod sale;
mod throughput;
mod usage;

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use report::Report;

use crate::shop::{Folder, interruptible};
use crate::workspace::{built, cargo, root, run};

/// What shops run.
const PROFILE: &str = "release";

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Fewer rounds, and not the biggest data
    #[arg(long)]
    quick: bool,
    /// Only measurements whose name contains this: pos-cost, throughput, latency, locks, maintenance, full-sync
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Write the table into docs/bench.md
    #[arg(long)]
    write: bool,
}

/// Runs the measurements; an error when a limit is broken.
pub fn bench(options: &Options) -> Result<()> {
    if cfg!(debug_assertions) {
        println!("Building with optimisation …");
    }
    let packages = ["-p", "tillsync-agent", "-p", "tillsync-hub", "-p", "xtask"];
    run(cargo().args(["build", "--quiet", "--release", "--bins"]).args(packages))?;
    if cfg!(debug_assertions) {
        return go_on_optimised();
    }
    interruptible()?;
    let folder = Folder::new(None)?;
    let mut report = Report::default();
    measure(&mut report, folder.path(), options)?;
    if options.write {
        report.write(root())?;
    }
    report.judge()
}

/// The point-of-sale side of the measurements runs in this very program, so it must be optimised too.
fn go_on_optimised() -> Result<()> {
    let mut optimised = Command::new(built(PROFILE, "xtask"));
    optimised.args(std::env::args_os().skip(1));
    become_process(&mut optimised)
}

#[cfg(unix)]
fn become_process(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn become_process(command: &mut Command) -> Result<()> {
    run(command)
}

fn measure(report: &mut Report, folder: &Path, options: &Options) -> Result<()> {
    let wanted = |name: &str| name.contains(&options.only);
    if wanted("pos-cost") {
        pos_cost::measure(report, folder, options.quick)?;
    }
    if wanted("throughput") {
        throughput::measure(report, folder)?;
    }
    if wanted("latency") {
        latency::measure(report, folder, options.quick)?;
    }
    if wanted("locks") {
        locks::measure(report, folder)?;
    }
    if wanted("maintenance") {
        maintenance::measure(report, folder)?;
    }
    if wanted("full-sync") {
        full_sync::measure(report, folder, options.quick)?;
    }
    Ok(())
}
