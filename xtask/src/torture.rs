//! `cargo xtask torture`: the simulator over many seeds, far more than every test run goes through.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::workspace::{cargo, root};

/// Where `--write` writes, under the workspace's root.
const FILE: &str = "docs/torture.md";

/// Failing seeds that are shown; more say nothing new.
const SHOWN_MAX: usize = 20;

/// How much to run.
#[derive(clap::Args)]
pub struct Options {
    /// So many seeds
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    runs: u64,
    /// The first seed; drawn from the clock when absent
    #[arg(long, value_name = "SEED")]
    from: Option<u64>,
    /// Write the result into docs/torture.md
    #[arg(long)]
    write: bool,
}

/// Runs the seeds, each core its part; an error when one fails.
pub fn torture(options: &Options) -> Result<()> {
    let from = options.from.unwrap_or_else(drawn);
    let parts = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    println!("{} seeds from {from} on, in {parts} processes …", options.runs);
    let simulator = build()?;
    let begun = Instant::now();
    let failed = run(&simulator, from, options.runs, parts)?;
    let took_s = begun.elapsed().as_secs();
    for line in failed.iter().take(SHOWN_MAX) {
        println!("{line}");
    }
    println!("{} seeds, {} failed, {took_s} s", options.runs, failed.len());
    if options.write {
        write(options.runs, from, &failed, took_s)?;
    }
    if failed.is_empty() { Ok(()) } else { bail!("{} seeds fail; each line above runs one of them alone", failed.len()) }
}

/// Seconds since 1970: another one every time, and short enough to read aloud.
fn drawn() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Builds the simulator, optimised, since many seeds are worth the longer build, and says where it is: it is run without cargo, so
/// that work on the sources may go on meanwhile.
fn build() -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["test", "--quiet", "--release", "--package", "tillsync-tests", "--test", "line", "--no-run"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    let built = command.stderr(Stdio::inherit()).output().context("cargo does not start")?;
    if !built.status.success() {
        bail!("the simulator does not build");
    }
    let text = String::from_utf8_lossy(&built.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let executables = messages.filter(|message| message["target"]["name"] == "line");
    let path = executables.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
    path.context("cargo does not say where the simulator is")
}

/// The lines of the seeds that failed.
fn run(simulator: &Path, from: u64, runs: u64, parts: u64) -> Result<Vec<String>> {
    let mut processes = Vec::new();
    for part in 0..parts {
        let (start, end) = (runs * part / parts, runs * (part + 1) / parts);
        let mut process = Command::new(simulator);
        process.args(["simulator::simulator", "--exact"]);
        process.env("TILLSYNC_FROM", (from + start).to_string()).env("TILLSYNC_RUNS", (end - start).to_string());
        processes.push(process.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("the simulator does not start")?);
    }
    let mut failed = Vec::new();
    for process in processes {
        let output = process.wait_with_output().context("the simulator cannot be waited for")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<String> = text.lines().filter(|line| line.starts_with("TILLSYNC_SEED=")).map(str::to_owned).collect();
        if lines.is_empty() && !output.status.success() {
            bail!("the simulator ended with {} and said:\n{text}", output.status);
        }
        failed.extend(lines);
    }
    Ok(failed)
}

fn write(runs: u64, from: u64, failed: &[String], took_s: u64) -> Result<()> {
    let mut text = format!(
        "# Torture\n\nBy `cargo xtask torture --write`: registers and a hub on the pure core, with POS programs that write all the \
         while, lost, late and doubled requests, lost answers, partitions, a hub that goes away, and agents that end between any \
         two steps. Every other shop has policies of its own for tables and columns (`latest`, `server`, `client`, `manager`, \
         `manual`, `sum`, `json`, `fill`) and managers; persons decide conflicts and take decisions back, two at once or too \
         late; wall clocks are off by up to years and are set; stores are restored from backups.\n\nIn two shops of three every \
         register counts the keys of its sales and of their lines for itself, with and without AUTOINCREMENT, and lines refer to \
         sales; on the wire rows have ids. Disks are copied to other machines, whose registers go on selling, ask the hub for an \
         identity of their own, and may go back to a backup of the original. In every other shop the POS program is upgraded, on \
         each register at another time and on some never: columns come, with and without a default, and go, tables come and go, and a \
         rebuilt table has lost its triggers.\n\nEvery seed is one shop. At its end persons have decided what waited, and: all \
         stores and the hub are equal, as far as a store has the tables and columns; every value that anybody wrote is there, was \
         replaced by somebody who had seen it, or is in the conflict log; what counts is the sum of all differences; every sale and \
         every line that was rung up is there once, unless it was voided; no register wrote a row into the log more often than its POS \
         program did, and no value that gave way is back by itself; every row has one id for life, and refers to what it was made for; \
         every change counts as written when it was.\n\n\
         What is left out: a store is restored at most once, after its first full sync, and the agent looks at it before the POS \
         has written as much again as was lost; none loses a sale that no trigger saw and of which lines were sent, \
         nor nothing but rows that no trigger saw, and no backup is from between the coming of a column and its filling. What others hold in a new column may give way unseen to what is \
         typed there before it has come. A disk is copied when the agent has captured all that the POS wrote, and its first \
         full sync is over. A column or table that goes does not come again. No column is renamed.\n\n| seeds | first seed | failed | seconds |\n|---|---|---|---|\n| {runs} | {from} | {} | {took_s} |\n",
        failed.len()
    );
    if !failed.is_empty() {
        text += &format!("\n```\n{}\n```\n", failed[..failed.len().min(SHOWN_MAX)].join("\n"));
    }
    std::fs::write(root().join(FILE), text)?;
    println!("written to {FILE}");
    Ok(())
}
