//! A hundred thousand changed rows from one store to the other.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use tillsync_tests::retail::{Journal, With, create_store};

use super::pair::Pair;
use super::report::Report;
use super::sale::{Counter, count_lines, count_sales};
use crate::shop::wait_until;

/// 11,112 sales with 8 lines each are 100,008 rows.
const SALES: u32 = 11_112;
const LINES: u32 = 8;
/// Sales per transaction: an import, not a counter.
const SALES_PER_COMMIT: u32 = 500;
/// The promise, in seconds.
const SECONDS_MAX: f64 = 8.0;
/// Twenty times the promise: rather a bad number than none.
const ARRIVED_WITHIN: Duration = Duration::from_secs(160);

/// Measures the line against plain SQLite doing the same three times.
pub fn measure(report: &mut Report, folder: &Path) -> Result<()> {
    let mut pair = Pair::with_catalogue(&folder.join("throughput"))?;
    pair.start_agents()?;
    pair.wait_until_in_step()?;
    let begun = Instant::now();
    import(&pair.a.store)?;
    let b = pair.b.store.clone();
    let have_arrived = || Ok(count_sales(&b)? == i64::from(SALES) && count_lines(&b)? == i64::from(SALES * LINES));
    wait_until("100,000 rows arrive", ARRIVED_WITHIN, || {
        pair.ensure_alive()?;
        have_arrived()
    })?;
    let line = begun.elapsed().as_secs_f64();

    let mut plain = 0.0;
    for n in 0..3 {
        let store = folder.join(format!("throughput-plain-{n}.db"));
        create_store(&store, Journal::Wal, With::Catalogue)?;
        let begun = Instant::now();
        import(&store)?;
        plain += begun.elapsed().as_secs_f64();
    }
    report.limited("100,000 changed rows A → hub → B, wall time", line, SECONDS_MAX, " s");
    report.plain("the same against plain SQLite inserting them into three files", line / plain, "×");
    Ok(())
}

fn import(store: &Path) -> Result<()> {
    let mut counter = Counter::open(store)?;
    let mut left = SALES;
    while left > 0 {
        let now = left.min(SALES_PER_COMMIT);
        counter.ring_up_many(now, LINES)?;
        left -= now;
    }
    Ok(())
}
