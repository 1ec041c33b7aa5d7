//! What the reader watches: one live line per register on a terminal, a plain line a second otherwise, a progress bar during
//! the first full sync.

use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime};

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::shop::Status;

/// Plain lines come at most this often.
const PLAIN_EVERY: Duration = Duration::from_secs(1);

/// One line per register.
pub struct Board {
    /// Absent when nobody watches.
    lines: Option<(MultiProgress, Vec<ProgressBar>)>,
    last_plain: Option<Instant>,
}

impl Board {
    /// For so many registers.
    pub fn new(registers: usize) -> Self {
        let lines = std::io::stdout().is_terminal().then(|| {
            let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
            let bars = (0..registers).map(|_| lines.add(ProgressBar::new(0).with_style(line_style()))).collect();
            (lines, bars)
        });
        Self { lines, last_plain: None }
    }

    /// Tells what happens next, above the lines.
    pub fn tell(&self, text: &str) {
        match &self.lines {
            Some((lines, _)) => drop(lines.println(text)),
            None => println!("{text}"),
        }
    }

    /// Whether it is time to look at the registers again.
    pub fn is_due(&self) -> bool {
        self.lines.is_some() || self.last_plain.is_none_or(|last| last.elapsed() >= PLAIN_EVERY)
    }

    /// Shows how the registers are.
    pub fn show(&mut self, registers: &[(&str, Status)]) {
        match &self.lines {
            Some((_, bars)) => {
                for (bar, (name, status)) in bars.iter().zip(registers) {
                    draw(bar, name, status);
                }
            }
            None => {
                self.last_plain = Some(Instant::now());
                for (name, status) in registers {
                    println!("  {}", line(name, status));
                }
            }
        }
    }

    /// Leaves the last state of the lines on the screen.
    pub fn finish(&self) {
        for bar in self.lines.iter().flat_map(|(_, bars)| bars) {
            bar.abandon();
        }
    }
}

fn draw(bar: &ProgressBar, name: &str, status: &Status) {
    match status.full_sync {
        Some(progress) => {
            bar.set_style(bar_style());
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            bar.set_message(name.to_owned());
        }
        None => {
            bar.set_style(line_style());
            bar.set_message(line(name, status));
        }
    }
}

fn line(name: &str, status: &Status) -> String {
    if let Some(progress) = status.full_sync {
        let total = if progress.total == 0 { "…".to_owned() } else { HumanCount(progress.total).to_string() };
        return format!("{name}  first full sync: {} of {total} rows", HumanCount(progress.done));
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64);
    let last_sync = status.last_sync_ms.map_or("never".to_owned(), |then| format!("{} s ago", (now - then).max(0) / 1000));
    format!(
        "{name}  {:<9} pending {:>4}  synced {:>7}  conflicts {}  last sync {last_sync:<8}  {}",
        status.state,
        status.pending,
        HumanCount(status.synced).to_string(),
        status.conflicts,
        status.sentence
    )
}

fn line_style() -> ProgressStyle {
    ProgressStyle::with_template("  {msg}").expect("the template is right")
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("  {msg}  first full sync {bar:30} {human_pos} of {human_len} rows")
        .expect("the template is right")
}
