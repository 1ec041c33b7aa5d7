//! What a POS does to its own store now and then must work with the capture installed as it does without, and sales made
//! afterwards must still arrive.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use tillsync_tests::retail::{Journal, With, create_store};

use super::pair::Pair;
use super::report::Report;
use super::sale::Counter;
use crate::content;
use crate::shop::wait_until;

/// After a restore the whole store is compared first.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

/// A piece of maintenance on a store that nobody else has open.
type Maintenance = fn(&Path) -> Result<()>;

const ALL: [(&str, Maintenance); 4] = [
    ("ALTER TABLE … DROP COLUMN", drop_column),
    ("a table rebuilt by copy and rename", rebuild_table),
    ("a restore by copying a backup over the store", restore_by_copy),
    ("a restore by renaming a backup over the store", restore_by_rename),
];

/// Each on a plain store and on a captured one with its agent running.
pub fn measure(report: &mut Report, folder: &Path) -> Result<()> {
    let mut pair = Pair::with_catalogue(&folder.join("maintenance"))?;
    let plain = folder.join("maintenance-plain.db");
    create_store(&plain, Journal::Wal, With::Catalogue)?;
    pair.start_agents()?;
    pair.wait_until_in_step()?;
    for (what, maintain) in ALL {
        work_around(&plain, maintain)?;
        let outcome = work_around(&pair.a.store, maintain).and_then(|basket| arrives(&mut pair, basket));
        report.fact(&format!("{what}, then a sale that arrives"), outcome);
    }
    Ok(())
}

/// A sale, the maintenance, a sale; the second sale's basket.
fn work_around(store: &Path, maintain: Maintenance) -> Result<i64> {
    Counter::open(store)?.ring_up(8)?;
    maintain(store)?;
    let mut counter = Counter::open(store)?;
    let basket = counter.ring_up(8)?;
    let health: String = counter.db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(health == "ok", "the store is damaged: {health}");
    Ok(basket)
}

fn arrives(pair: &mut Pair, basket: i64) -> Result<()> {
    let b = content::open(&pair.b.store)?;
    wait_until("the sale arrives", ARRIVES_WITHIN, || {
        pair.ensure_alive()?;
        let lines: i64 = b.query_row("SELECT count(*) FROM sale_items WHERE basket_id = ?1", [basket], |row| row.get(0))?;
        Ok(lines == 8)
    })
}

fn drop_column(store: &Path) -> Result<()> {
    Ok(Counter::open(store)?.db.execute_batch("ALTER TABLE products DROP COLUMN package_size")?)
}

fn rebuild_table(store: &Path) -> Result<()> {
    let db = Counter::open(store)?.db;
    db.pragma_update(None, "foreign_keys", false)?;
    Ok(db.execute_batch(
        "BEGIN;
         CREATE TABLE sales_new(basket_id integer primary key, store_id integer not null, household_id integer not null,
           sold_at text not null, week integer not null, note text);
         INSERT INTO sales_new SELECT *, NULL FROM sales;
         DROP TABLE sales;
         ALTER TABLE sales_new RENAME TO sales;
         COMMIT;",
    )?)
}

fn restore_by_copy(store: &Path) -> Result<()> {
    restore(store, |backup| std::fs::copy(backup, store).map(drop))
}

fn restore_by_rename(store: &Path) -> Result<()> {
    restore(store, |backup| std::fs::rename(backup, store))
}

/// A backup, a sale that the backup lacks, and the restore as vendors' programs do it: everybody out, log removed, file replaced.
fn restore(store: &Path, replace: impl Fn(&Path) -> std::io::Result<()>) -> Result<()> {
    let backup = store.with_extension("backup");
    let _ = std::fs::remove_file(&backup);
    let mut counter = Counter::open(store)?;
    counter.db.execute("VACUUM INTO ?1", [backup.to_string_lossy()])?;
    counter.ring_up(8)?;
    counter.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    drop(counter);
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", store.display()));
    }
    Ok(replace(&backup)?)
}
