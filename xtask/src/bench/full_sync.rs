//! The first full sync of real stores, and what an agent costs afterwards when nothing happens.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use tillsync_tests::retail::{Journal, With, create_store};

use super::pair::Pair;
use super::report::Report;
use super::usage::{peak_mb, process_cpu, resident_mb};
use crate::content;
use crate::shop::{Register, pause};
use crate::workspace::{is_installed, root, run};

/// The promises.
const PEAK_MB_MAX: f64 = 150.0;
const IDLE_MB_MAX: f64 = 30.0;
const IDLE_CPU_MS_MAX: f64 = 100.0;
/// Longer than the timer's 30 s, so that one of its beats falls in.
const IDLE: Duration = Duration::from_secs(35);

/// The extract, then the big stores where they are at hand.
pub fn measure(report: &mut Report, folder: &Path, quick: bool) -> Result<()> {
    full_sync(report, folder, "extract", |a| Ok(create_store(&a.store, Journal::Wal, With::Everything)?))?;
    for (name, for_quick) in [("store-367", true), ("chain", false)] {
        let packed = root().join(format!("../shared/data/{name}.db.zst"));
        if !packed.exists() {
            println!("{name}: not measured, because ../shared/data/{name}.db.zst is not there");
        } else if !is_installed("zstd") {
            println!("{name}: not measured, because the program zstd is not installed");
        } else if quick && !for_quick {
            println!("{name}: not measured with --quick");
        } else {
            full_sync(report, folder, name, |a| unpack(&packed, &a.store))?;
        }
    }
    Ok(())
}

/// A packed store, unpacked.
pub fn unpack(packed: &Path, store: &Path) -> Result<()> {
    run(Command::new("zstd").args(["-q", "-d"]).arg(packed).arg("-o").arg(store))?;
    Connection::open(store)?.pragma_update(None, "journal_mode", "wal").context("the unpacked store cannot be opened")
}

fn full_sync(report: &mut Report, folder: &Path, name: &str, fill: impl Fn(&Register) -> Result<()>) -> Result<()> {
    let mut pair = Pair::new(&folder.join(name), |a, b| {
        fill(a)?;
        Ok(create_store(&b.store, Journal::Wal, With::SchemaOnly)?)
    })?;
    let begun = Instant::now();
    pair.start_agents()?;
    // B may settle before the last rows are in the hub, so what counts is that both hold the same.
    let contents = loop {
        pair.wait_until_in_step()?;
        let took = begun.elapsed();
        let (of_a, of_b) = (content::of_store(&pair.a.store)?, content::of_store(&pair.b.store)?);
        if of_a == of_b {
            break (of_a, took);
        }
        let rows = |contents: &std::collections::BTreeMap<String, content::Content>| -> u64 {
            contents.values().map(|content| content.rows).sum()
        };
        ensure!(rows(&of_b) < rows(&of_a), "{name}: the stores hold as many rows, but not the same");
        pause(Duration::from_millis(100))?;
    };
    let (contents, took) = contents;
    let rows: u64 = contents.values().map(|content| content.rows).sum();
    report.plain(&format!("{name}: full sync of {rows} rows A → hub → B, wall time"), took.as_secs_f64(), " s");
    let same = if content::of_hub(&pair.hub.database)? == contents { Ok(()) } else { Err(anyhow::anyhow!("the hub differs")) };
    report.fact(&format!("{name}: A, B and hub equal value by value"), same);
    for (register, what) in [(&pair.a, "sending"), (&pair.b, "fetching")] {
        let agent = register.agent_id().context("the agent is not running")?;
        report.limited(&format!("{name}: peak memory of the agent, {what}"), peak_mb(agent)?, PEAK_MB_MAX, " MB");
    }
    idle(report, name, &mut pair)
}

fn idle(report: &mut Report, name: &str, pair: &mut Pair) -> Result<()> {
    pair.a.end_agent();
    pair.a.start_agent()?;
    pair.a.wait_for_status()?;
    pair.wait_until_in_step()?;
    let agent = pair.a.agent_id().context("the agent is not running")?;
    let before = process_cpu(agent)?;
    pause(IDLE)?;
    let used = process_cpu(agent)? - before;
    report.limited(&format!("{name}: memory of an idle agent"), resident_mb(agent)?, IDLE_MB_MAX, " MB");
    let milliseconds = used.as_secs_f64() * 1000.0;
    report.limited(&format!("{name}: CPU of an idle agent in {} s", IDLE.as_secs()), milliseconds, IDLE_CPU_MS_MAX, " ms");
    Ok(())
}
