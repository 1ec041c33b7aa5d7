//! What was measured, against what was promised.

use std::path::Path;

use anyhow::{Result, ensure};
use rusqlite::Connection;

/// Where `--write` writes, under the workspace's root.
const FILE: &str = "docs/bench.md";

/// All measurements of one run.
#[derive(Default)]
pub struct Report {
    lines: Vec<Line>,
}

struct Line {
    what: String,
    value: String,
    limit: String,
    verdict: &'static str,
}

impl Report {
    /// A number with its limit, both in the same unit.
    pub fn limited(&mut self, what: &str, value: f64, limit: f64, unit: &str) {
        let verdict = if value <= limit { "ok" } else { "OVER" };
        self.add(what, format!("{value:.2}{unit}"), format!("≤ {limit}{unit}"), verdict);
    }

    /// A number for comparison only.
    pub fn plain(&mut self, what: &str, value: f64, unit: &str) {
        self.add(what, format!("{value:.2}{unit}"), String::new(), "");
    }

    /// Something that is so or is not.
    pub fn fact(&mut self, what: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.add(what, "yes".to_owned(), "yes".to_owned(), "ok"),
            Err(error) => {
                println!("{what}: {error:#}");
                self.add(what, "no".to_owned(), "yes".to_owned(), "OVER");
            }
        }
    }

    fn add(&mut self, what: &str, value: String, limit: String, verdict: &'static str) {
        println!("{what:<72} {value:>12}  {limit:<12} {verdict}");
        self.lines.push(Line { what: what.to_owned(), value, limit, verdict });
    }

    /// Fails when a limit is broken.
    pub fn judge(&self) -> Result<()> {
        let over = self.lines.iter().filter(|line| line.verdict == "OVER").count();
        ensure!(over == 0, "{over} of {} measurements are over their limit", self.lines.len());
        Ok(())
    }

    /// Writes the table into the documentation.
    pub fn write(&self, root: &Path) -> Result<()> {
        let today: String = Connection::open_in_memory()?.query_row("SELECT date('now')", [], |row| row.get(0))?;
        let mut text = format!(
            "# Measurements\n\nBy `cargo xtask bench --write` on {today}, {}. Ratios compare with plain SQLite in the same run; where a \
             measurement has rounds, the median stands here.\n\n| what | measured | limit | |\n|---|---|---|---|\n",
            machine()
        );
        for line in &self.lines {
            text += &format!("| {} | {} | {} | {} |\n", line.what, line.value, line.limit, line.verdict);
        }
        std::fs::write(root.join(FILE), text)?;
        println!("written to {FILE}");
        Ok(())
    }
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |model| model.trim_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {model}, {}", std::env::consts::OS)
}

/// The value in the middle.
pub fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50)
}

/// The value that so many percent do not exceed.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() * percent / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
