//! From a commit on one register to the row in the other's store.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::pair::Pair;
use super::report::{Report, percentile};
use super::sale::Counter;
use crate::content;
use crate::shop::pause;

/// As far from the timer as the config allows for, so that only the long poll brings rows.
const INTERVAL_MS: &str = "3600000";
const LINES: u32 = 8;
/// A fine look at B costs little.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Between two sales, at most: at random, so that they do not fall into step with anything.
const PAUSE_MS_MAX: u64 = 60;
/// A row that is not there by then would not come before the timer.
const ARRIVES_WITHIN: Duration = Duration::from_secs(20);
/// The promise.
const P50_MS_MAX: f64 = 150.0;
const P99_MS_MAX: f64 = 500.0;

/// Measures with the timer off.
pub fn measure(report: &mut Report, folder: &Path, quick: bool) -> Result<()> {
    let mut pair = Pair::with_catalogue(&folder.join("latency"))?;
    pair.a.configure("interval_ms", INTERVAL_MS)?;
    pair.b.configure("interval_ms", INTERVAL_MS)?;
    pair.start_agents()?;
    pair.wait_until_in_step()?;
    let mut counter = Counter::open(&pair.a.store)?;
    let b = content::open(&pair.b.store)?;
    let mut is_there = b.prepare("SELECT EXISTS (SELECT 1 FROM sales WHERE basket_id = ?1)")?;
    let mut random = fastrand::Rng::with_seed(1);
    let mut latencies_ms = Vec::new();
    for _ in 0..if quick { 200 } else { 1000 } {
        pair.ensure_alive()?;
        let basket = counter.ring_up(LINES)?;
        let committed = Instant::now();
        while !is_there.query_row([basket], |row| row.get(0))? {
            ensure!(committed.elapsed() < ARRIVES_WITHIN, "a sale did not arrive within {} s", ARRIVES_WITHIN.as_secs());
            thread::sleep(LOOK_EVERY);
        }
        latencies_ms.push(committed.elapsed().as_secs_f64() * 1000.0);
        pause(Duration::from_millis(random.u64(0..=PAUSE_MS_MAX)))?;
    }
    report.limited("commit on A → readable in B's store, timer off, p50", percentile(&mut latencies_ms, 50), P50_MS_MAX, " ms");
    report.limited("commit on A → readable in B's store, timer off, p99", percentile(&mut latencies_ms, 99), P99_MS_MAX, " ms");
    Ok(())
}
