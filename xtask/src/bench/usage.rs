//! Processor time and memory, as the system counts them.

use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel counts processor time of a process in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of this thread, kernel included.
#[cfg(unix)]
pub fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// Not known here.
#[cfg(not(unix))]
pub fn thread_cpu() -> Duration {
    Duration::ZERO
}

/// The most memory a process ever held, in MB.
pub fn peak_mb(process: u32) -> Result<f64> {
    memory_mb(process, "VmHWM:")
}

/// The memory a process holds now, in MB.
pub fn resident_mb(process: u32) -> Result<f64> {
    memory_mb(process, "VmRSS:")
}

fn memory_mb(process: u32, name: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).context("this measurement needs Linux")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} of process {process}"))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}

/// Processor time of a process so far, all its threads included.
pub fn process_cpu(process: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).context("this measurement needs Linux")?;
    // The program's name may hold spaces; after its closing bracket come the numbered fields, from the third on.
    let (_, fields) = stat.rsplit_once(')').context("/proc/…/stat has no name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<u32>().ok()).context("/proc/…/stat is short");
    Ok(TICK * (ticks(11)? + ticks(12)?))
}
