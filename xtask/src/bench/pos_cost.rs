//! What the POS pays: processor time of its own commits with the capture installed against without.

use std::path::Path;

use anyhow::Result;
use tillsync_tests::retail::{Journal, With, create_store};

use super::report::{Report, median};
use super::sale::Counter;
use super::usage::thread_cpu;
use crate::shop::{Hub, Register};

/// The sale that the promise is about.
const LINES: u32 = 8;
/// Enough for the clock to mean something, few enough for many rounds.
const COMMITS_PER_ROUND: u32 = 200;
/// One transaction of the bulk insert.
const BULK_SALES: u32 = 2_000;
/// The promise.
const RATIO_MAX: f64 = 1.25;

/// Measures both journal modes.
pub fn measure(report: &mut Report, folder: &Path, quick: bool) -> Result<()> {
    let hub = Hub::start(super::PROFILE, folder, 2)?;
    for journal in [Journal::Wal, Journal::Delete] {
        let mode = journal.name();
        let plain = folder.join(format!("plain-{mode}.db"));
        create_store(&plain, journal, With::Everything)?;
        let register = Register::new(super::PROFILE, folder, &format!("Captured {mode}"))?;
        create_store(&register.store, journal, With::Everything)?;
        register.init(hub.address, &hub.enroll_token)?;
        let (mut plain, mut captured) = (Counter::open(&plain)?, Counter::open(&register.store)?);

        let rounds = if quick { 5 } else { 15 };
        let ratio = ratio(&mut plain, &mut captured, rounds, |counter| {
            (0..COMMITS_PER_ROUND).try_for_each(|_| counter.ring_up(LINES).map(drop))
        })?;
        report.limited(&format!("POS commit of an {LINES}-line sale, CPU with capture / without ({mode})"), ratio, RATIO_MAX, "×");
        let ratio = self::ratio(&mut plain, &mut captured, rounds / 2 + 1, |counter| counter.ring_up_many(BULK_SALES, LINES))?;
        report.plain(&format!("bulk insert in one transaction, CPU with capture / without ({mode})"), ratio, "×");
    }
    Ok(())
}

/// The median over rounds in which both do the same work, taking turns in who goes first.
fn ratio(
    plain: &mut Counter,
    captured: &mut Counter,
    rounds: usize,
    work: impl Fn(&mut Counter) -> rusqlite::Result<()>,
) -> Result<f64> {
    let cost = |counter: &mut Counter| -> Result<f64> {
        let before = thread_cpu();
        work(counter)?;
        Ok((thread_cpu() - before).as_secs_f64())
    };
    cost(plain)?;
    cost(captured)?;
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let (with, without) = if round % 2 == 0 {
            let without = cost(plain)?;
            (cost(captured)?, without)
        } else {
            (cost(captured)?, cost(plain)?)
        };
        ratios.push(with / without);
    }
    Ok(median(&mut ratios))
}
