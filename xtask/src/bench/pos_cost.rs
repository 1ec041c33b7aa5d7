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
const COMMITS_PER_ROUND: u32 = 100;
/// One transaction of the bulk insert.
const BULK_SALES: u32 = 1_000;
/// Short rounds and many of them: other programs disturb some, not most. Even, so that each goes first as often.
const ROUNDS: usize = 40;
const ROUNDS_QUICK: usize = 16;
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
        let rounds = if quick { ROUNDS_QUICK } else { ROUNDS };
        let ratio = ratio(&plain, &register.store, rounds, |counter| {
            (0..COMMITS_PER_ROUND).try_for_each(|_| counter.ring_up(LINES).map(drop))
        })?;
        report.limited(&format!("POS commit of an {LINES}-line sale, CPU with capture / without ({mode})"), ratio, RATIO_MAX, "×");
        let ratio = self::ratio(&plain, &register.store, rounds, |counter| counter.ring_up_many(BULK_SALES, LINES))?;
        report.plain(&format!("bulk insert in one transaction, CPU with capture / without ({mode})"), ratio, "×");
    }
    Ok(())
}

/// The median of the ratios of single rounds, in which both do the same work right after each other and take turns in who goes first: what
/// disturbs one of them most likely disturbs the other.
fn ratio(plain: &Path, captured: &Path, rounds: usize, work: impl Fn(&mut Counter) -> rusqlite::Result<()>) -> Result<f64> {
    let mut ratios = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let (without, with) = if round % 2 == 0 {
            let without = cost(plain, &work)?;
            (without, cost(captured, &work)?)
        } else {
            let with = cost(captured, &work)?;
            (cost(plain, &work)?, with)
        };
        ratios.push(with / without);
    }
    Ok(median(&mut ratios))
}

/// Processor time of the work, on a connection that is alone in this process (two would take each other's cached pages) and
/// has done the same before.
fn cost(store: &Path, work: impl Fn(&mut Counter) -> rusqlite::Result<()>) -> Result<f64> {
    let mut counter = Counter::open(store)?;
    work(&mut counter)?;
    let before = thread_cpu();
    work(&mut counter)?;
    Ok((thread_cpu() - before).as_secs_f64())
}
