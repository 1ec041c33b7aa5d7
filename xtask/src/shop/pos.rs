//! The point-of-sale program as a process of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tillsync_tests::pos::Receipts;

use super::process::Running;
use super::register::Register;
use crate::workspace::built;

/// What most database drivers set unless told otherwise.
const BUSY_TIMEOUT_MS: u32 = 5000;
/// It ends between two sales.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// A running point-of-sale program.
pub struct Pos {
    /// The register's number.
    pub register: u32,
    process: Running,
    output: PathBuf,
    receipts: PathBuf,
}

/// What it says at the end.
pub struct PosTotals {
    /// The register's number.
    pub register: u32,
    /// Sales rung up, voided ones included.
    pub sales: u64,
    /// Sales voided afterwards.
    pub voided_sales: u64,
    /// Lines corrected afterwards.
    pub corrections: u64,
    /// What its sales come to.
    pub cents: i64,
    /// Statements that SQLite refused.
    pub failed_statements: u64,
    /// The last word of the paper roll about each sale; `None` is voided.
    pub receipts: BTreeMap<i64, Option<i64>>,
}

impl Pos {
    /// Starts ringing up sales in the register's store.
    pub fn start(profile: &str, at: &Register, register: u32, per_second: f64) -> Result<Self> {
        let (output, receipts) = (at.log("pos"), at.log("receipts"));
        let mut command = Command::new(built(profile, "pos-simulator"));
        command.arg("--store").arg(&at.store).arg("--receipts").arg(&receipts);
        command.args(["--register", &register.to_string(), "--per-second", &per_second.to_string()]);
        command.args(["--busy-timeout", &BUSY_TIMEOUT_MS.to_string()]);
        let process = Running::start(&format!("{}: pos-simulator", at.name), &mut command, &output)?;
        Ok(Self { register, process, output, receipts })
    }

    /// Fails when it is gone.
    pub fn ensure_alive(&mut self) -> Result<()> {
        self.process.ensure_alive()
    }

    /// Closes up for the day.
    pub fn finish(mut self) -> Result<PosTotals> {
        self.process.close_input();
        self.process.wait_for_success(ENDS_WITHIN)?;
        let output = std::fs::read_to_string(&self.output)?;
        let totals = output.lines().rfind(|line| line.contains("voided_sales")).context("the POS program gave no totals")?;
        let totals: Value = serde_json::from_str(totals)?;
        let number = |name: &str| totals[name].as_i64().with_context(|| format!("the POS program gave no {name}"));
        let count = |name: &str| number(name).map(i64::unsigned_abs);
        Ok(PosTotals {
            register: self.register,
            sales: count("sales")?,
            voided_sales: count("voided_sales")?,
            corrections: count("corrections")?,
            cents: number("cents")? - number("voided_cents")? + number("corrected_cents")?,
            failed_statements: count("failed_statements")?,
            receipts: if self.receipts.exists() { Receipts::read(&self.receipts)? } else { BTreeMap::new() },
        })
    }
}
