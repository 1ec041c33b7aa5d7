//! What a register rang up, and how long its commits took.

use std::time::Duration;

use serde_json::{Value, json};

/// Commit times kept for the percentiles: an hour at the fastest pace that one register reaches, 4 MB.
const COMMITS_MAX: usize = 1_000_000;

/// Running totals of one register.
#[derive(Debug, Default)]
pub struct Tally {
    /// Sales rung up, voided ones included.
    pub sales: u64,
    /// Their lines.
    pub lines: u64,
    /// What they came to when they were rung up.
    pub cents: i64,
    /// Sales voided afterwards.
    pub voided_sales: u64,
    /// Their lines.
    pub voided_lines: u64,
    /// What they came to when they were voided.
    pub voided_cents: i64,
    /// Lines corrected afterwards.
    pub corrections: u64,
    /// By how much the corrections changed their sales.
    pub corrected_cents: i64,
    /// Edits of products.
    pub product_edits: u64,
    /// Statements that SQLite refused, for whatever reason.
    pub failed_statements: u64,
    commits_us: Vec<u32>,
}

impl Tally {
    /// Notes how long a transaction took, from its BEGIN to the end of its COMMIT.
    pub fn note_commit(&mut self, took: Duration) {
        if self.commits_us.len() < COMMITS_MAX {
            self.commits_us.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// The totals while it runs.
    pub fn progress(&self) -> Value {
        json!({
            "sales": self.sales,
            "lines": self.lines,
            "cents": self.cents,
            "failed_statements": self.failed_statements,
        })
    }

    /// The totals at the end. What the register's sales must come to in every store is `cents − voided_cents + corrected_cents`.
    pub fn summary(&self) -> Value {
        let mut sorted = self.commits_us.clone();
        sorted.sort_unstable();
        let percentile = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied();
        json!({
            "sales": self.sales,
            "lines": self.lines,
            "cents": self.cents,
            "voided_sales": self.voided_sales,
            "voided_lines": self.voided_lines,
            "voided_cents": self.voided_cents,
            "corrections": self.corrections,
            "corrected_cents": self.corrected_cents,
            "product_edits": self.product_edits,
            "failed_statements": self.failed_statements,
            "p50_us": percentile(50),
            "p99_us": percentile(99),
        })
    }
}
