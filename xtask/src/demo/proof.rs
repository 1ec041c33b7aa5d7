//! The proof: both stores and the hub hold the same rows, and every sale comes to what was rung up.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::HumanCount;
use tillsync_core::row::Row;
use tillsync_core::value::Value;
use tillsync_tests::pos::keys_of;

use crate::content::{self, Content};
use crate::shop::{Hub, PosTotals, Register};

type Cents = BTreeMap<i64, i64>;

/// Prints the proof; whether it holds.
pub fn prove(a: &Register, b: &Register, hub: &Hub, totals: &[PosTotals]) -> Result<bool> {
    println!("\nThe proof\n");
    let mut holds = same_rows(a, b, hub)?;
    if !totals.is_empty() {
        println!();
        holds &= same_cents(a, b, hub, totals)?;
    }
    Ok(holds)
}

fn same_rows(a: &Register, b: &Register, hub: &Hub) -> Result<bool> {
    let (of_a, of_b, of_hub) = (content::of_store(&a.store)?, content::of_store(&b.store)?, content::of_hub(&hub.database)?);
    println!("{:<24} {:>10} {:>10} {:>10}   content", "rows", a.name, b.name, "hub");
    let mut holds = true;
    for (table, content_of_a) in &of_a {
        let content_of = |contents: &BTreeMap<String, Content>| contents.get(table).copied().unwrap_or_default();
        let all = [*content_of_a, content_of(&of_b), content_of(&of_hub)];
        let same = all[0] == all[1] && all[1] == all[2];
        holds &= same;
        let counts = all.map(|content| format!("{:>10}", HumanCount(content.rows).to_string())).join(" ");
        let verdict = if same { format!("{:016x}, the same", all[0].hash as u64) } else { "DIFFERENT".to_owned() };
        println!("{table:<24} {counts}   {verdict}");
    }
    for table in of_hub.keys().filter(|table| !of_a.contains_key(*table)) {
        println!("{table:<24} only in the hub: DIFFERENT");
        holds = false;
    }
    Ok(holds)
}

fn same_cents(a: &Register, b: &Register, hub: &Hub, totals: &[PosTotals]) -> Result<bool> {
    let of_a = cents_of_store(&a.store)?;
    let same = of_a == cents_of_store(&b.store)? && of_a == cents_of_hub(&hub.database)?;
    let sum: i64 = of_a.values().sum();
    println!(
        "cents of each of {} sales, {} in all: {}",
        HumanCount(of_a.len() as u64),
        dollars(sum),
        if same { "the same in both stores and the hub" } else { "DIFFERENT" }
    );
    let mut holds = same;
    for pos in totals {
        holds &= as_rung_up(&of_a, pos);
    }
    Ok(holds)
}

/// The paper roll and the totals of one POS program against the sales under its keys.
fn as_rung_up(stored: &Cents, pos: &PosTotals) -> bool {
    let own: Cents = stored.range(keys_of(pos.register)).map(|(basket, cents)| (*basket, *cents)).collect();
    let rung_up: Cents = pos.receipts.iter().filter_map(|(basket, cents)| Some((*basket, (*cents)?))).collect();
    let as_printed = own == rung_up;
    let adds_up = own.values().sum::<i64>() == pos.cents && own.len() as u64 == pos.sales - pos.voided_sales;
    println!(
        "POS program {}: {} sales rung up, {} voided, {} lines corrected, {} in all: {}; statements that failed: {}",
        pos.register,
        pos.sales,
        pos.voided_sales,
        pos.corrections,
        dollars(pos.cents),
        if as_printed && adds_up { "as on its paper roll" } else { "DIFFERENT" },
        pos.failed_statements
    );
    as_printed && adds_up && pos.failed_statements == 0
}

fn cents_of_store(store: &Path) -> Result<Cents> {
    let db = content::open(store)?;
    let mut sales = db.prepare(
        "SELECT basket_id, (SELECT coalesce(sum(sales_cents), 0) FROM sale_items WHERE basket_id = sales.basket_id) FROM sales",
    )?;
    Ok(sales.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?)
}

fn cents_of_hub(database: &Path) -> Result<Cents> {
    let mut cents = Cents::new();
    content::for_each_hub_row(database, |table, row| {
        match table {
            "sales" => *cents.entry(integer(row, "basket_id")?).or_default() += 0,
            "sale_items" => *cents.entry(integer(row, "basket_id")?).or_default() += integer(row, "sales_cents")?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(cents)
}

fn integer(row: &Row, column: &str) -> Result<i64> {
    match row.get(column) {
        Some(Value::Integer(n)) => Ok(*n),
        other => Err(anyhow::anyhow!("{other:?}")).with_context(|| format!("the hub's {column} is no integer")),
    }
}

fn dollars(cents: i64) -> String {
    format!("${}.{:02}", HumanCount(cents.unsigned_abs() / 100), cents.unsigned_abs() % 100)
}
