//! How long the store is locked at a time while rows of other registers arrive in it: seen by another program that wants to write.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, ErrorCode};
use tillsync_tests::retail::{Journal, With, create_store};

use super::PROFILE;
use super::full_sync::unpack;
use super::report::{Report, percentile};
use crate::shop::{Hub, Register};
use crate::workspace::{is_installed, root};

/// The promise.
const LOCKED_MS_MAX: f64 = 5.0;
/// Between two tries to write.
const TRY_EVERY: Duration = Duration::from_micros(500);

/// While the store is locked; a try that never rests would take a core from those who are to let go of it.
const TRY_AGAIN: Duration = Duration::from_micros(50);

/// A full sync into an empty store in either journal mode.
pub fn measure(report: &mut Report, folder: &Path) -> Result<()> {
    for journal in [Journal::Wal, Journal::Delete] {
        let folder = folder.join(format!("locks-{}", journal.name()));
        std::fs::create_dir_all(&folder)?;
        let (a, b) = (Register::new(PROFILE, &folder, "A")?, Register::new(PROFILE, &folder, "B")?);
        let packed = root().join("../shared/data/store-367.db.zst");
        if packed.exists() && is_installed("zstd") {
            unpack(&packed, &a.store)?;
        } else {
            create_store(&a.store, Journal::Wal, With::Everything)?;
        }
        create_store(&b.store, journal, With::SchemaOnly)?;
        let hub = Hub::start(PROFILE, &folder, 2)?;
        for register in [&a, &b] {
            register.init(hub.address, &hub.enroll_token)?;
        }
        a.sync()?;
        let mut locked_ms = locked_during(&b.store, || b.sync())?;
        let what = |what: &str| format!("rows arriving ({}): the store is locked at a time, {what}", journal.name());
        report.limited(&what("p50"), percentile(&mut locked_ms, 50), LOCKED_MS_MAX, " ms");
        report.limited(&what("p99"), percentile(&mut locked_ms, 99), LOCKED_MS_MAX, " ms");
        let max = locked_ms.last().copied().unwrap_or_default();
        report.plain(&what(&format!("longest of {}", locked_ms.len())), max, " ms");
    }
    Ok(())
}

/// Works, and meanwhile tries to write to the store; gives back for how long at a time that could not be done, in milliseconds.
fn locked_during(store: &Path, work: impl Fn() -> Result<()> + Sync) -> Result<Vec<f64>> {
    thread::scope(|scope| {
        let working = scope.spawn(&work);
        let till = Connection::open(store)?;
        till.busy_timeout(Duration::ZERO)?;
        let (mut spans_ms, mut since) = (Vec::new(), None::<Instant>);
        while !working.is_finished() {
            let began = Instant::now();
            match till.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
                Ok(()) => spans_ms.extend(since.take().map(|since| (began - since).as_secs_f64() * 1000.0)),
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                    since.get_or_insert(began);
                    thread::sleep(TRY_AGAIN);
                    continue;
                }
                Err(error) => return Err(error).context("the store cannot be tried"),
            }
            thread::sleep(TRY_EVERY);
        }
        working.join().map_err(|_| anyhow::anyhow!("the sync panicked"))??;
        ensure!(!spans_ms.is_empty(), "the store was never seen locked");
        Ok(spans_ms)
    })
}
