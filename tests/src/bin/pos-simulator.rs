//! Rings up sales in a store, as a point-of-sale program would. Stops at the end of its standard input, on SIGTERM or Ctrl-C,
//! or when it has done what was asked; then prints its totals as one line of JSON.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use tillsync_tests::pos::{Till, TillOptions};
use tillsync_tests::retail::Journal;

/// How often the totals are printed while it runs.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

#[derive(Parser)]
#[command(about = "A point-of-sale program for tests: rings up sales in an SQLite store")]
struct Arguments {
    /// The store, in the schema of the retail extract
    #[arg(long)]
    store: PathBuf,
    /// This register's number; it makes the keys unique in the shop
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..9000))]
    register: u32,
    /// Stop after so many sales
    #[arg(long)]
    sales: Option<u64>,
    /// Stop after so many seconds
    #[arg(long)]
    seconds: Option<f64>,
    /// Steps per second; 0 is as fast as it goes
    #[arg(long, default_value_t = 5.0)]
    per_second: f64,
    /// In place of a pace: pauses of this many seconds at least and at most, at random
    #[arg(long, value_names = ["LEAST", "MOST"], num_args = 2, conflicts_with = "per_second")]
    between: Option<Vec<f64>>,
    /// Lines of every sale; as many as come up without it
    #[arg(long)]
    lines: Option<usize>,
    /// Open the store for every step and close it afterwards
    #[arg(long)]
    anew: bool,
    /// For the choice of products, quantities and steps
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The journal mode to use
    #[arg(long, value_enum, default_value = "wal")]
    journal: JournalArgument,
    /// SQLite's busy timeout in milliseconds; 0, like careless programs, has none
    #[arg(long, default_value_t = 0)]
    busy_timeout: u64,
    /// Append what each sale came to, one line after each commit
    #[arg(long)]
    receipts: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum JournalArgument {
    Wal,
    Delete,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let stop = stop_signals()?;
    let mut till = Till::open(&TillOptions {
        store: arguments.store.clone(),
        register: arguments.register,
        journal: match arguments.journal {
            JournalArgument::Wal => Journal::Wal,
            JournalArgument::Delete => Journal::Delete,
        },
        busy_timeout: Duration::from_millis(arguments.busy_timeout),
        seed: arguments.seed,
        receipts: arguments.receipts.clone(),
        anew: arguments.anew,
        lines: arguments.lines,
    })?;
    work(&mut till, &arguments, &stop)?;
    say(&till.tally().summary())
}

fn work(till: &mut Till, arguments: &Arguments, stop: &Receiver<()>) -> anyhow::Result<()> {
    let begun = Instant::now();
    let pace = if arguments.per_second > 0.0 { Duration::from_secs_f64(1.0 / arguments.per_second) } else { Duration::ZERO };
    let end = arguments.seconds.map(|seconds| begun + Duration::from_secs_f64(seconds));
    let mut random = fastrand::Rng::with_seed(arguments.seed ^ u64::from(arguments.register));
    let (mut next_step, mut next_progress) = (begun, begun + PROGRESS_EVERY);
    while arguments.sales.is_none_or(|sales| till.tally().sales < sales) && end.is_none_or(|end| Instant::now() < end) {
        match stop.recv_timeout(next_step.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
        }
        till.step()?;
        next_step = match arguments.between.as_deref() {
            Some([least, most]) => Instant::now() + Duration::from_secs_f64(least + random.f64() * (most - least)),
            // A register that fell behind does not hurry afterwards.
            _ => (next_step + pace).max(Instant::now() - pace),
        };
        if Instant::now() >= next_progress {
            say(&till.tally().progress())?;
            next_progress += PROGRESS_EVERY;
        }
    }
    Ok(())
}

fn stop_signals() -> anyhow::Result<Receiver<()>> {
    let (stop, stopped) = mpsc::channel();
    let by_signal = stop.clone();
    ctrlc::set_handler(move || {
        let _ = by_signal.send(());
    })?;
    thread::spawn(move || wait_for_end_of_input(&stop));
    Ok(stopped)
}

fn wait_for_end_of_input(stop: &Sender<()>) {
    let mut ignored = [0; 256];
    while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
    let _ = stop.send(());
}

fn say(line: &serde_json::Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
