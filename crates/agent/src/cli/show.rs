//! `tillsync status` and `logs`.

use std::process::ExitCode;

use crate::cli::context::Context;
use crate::cli::say::say;
use crate::clock::now_ms;
use crate::control::{Answer, Command};
use crate::logs;
use crate::status::Status;

pub fn status(context: &Context, json: bool) -> anyhow::Result<ExitCode> {
    // A running agent answers for itself; while it starts or stops, the state does.
    let status = match context.ask(&Command::Status) {
        Ok(Some(Answer::Status(status))) => *status,
        _ => context.agent()?.status(context.is_running())?,
    };
    if json {
        say!("{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        print(&status)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(status: &Status) -> std::io::Result<()> {
    say!("{}", status.sentence)?;
    say!("  register   {}", status.name)?;
    say!("  store      {}", status.store.display())?;
    say!("  server     {}", status.server)?;
    say!("  pending    {}", with_age(status.pending, status.oldest_pending_ms))?;
    say!("  parked     {}", status.parked)?;
    say!("  conflicts  {}", status.conflicts)?;
    say!("  last sync  {}", status.last_sync_ms.map_or_else(|| "never".to_owned(), ago))?;
    if let Some(full) = status.full_sync {
        say!("  full sync  {} of {} rows", full.done, full.total)?;
    }
    for problem in &status.problems {
        say!("  - {} {}", problem.text, problem.action)?;
    }
    Ok(())
}

fn with_age(count: u64, oldest_ms: Option<i64>) -> String {
    match oldest_ms {
        Some(oldest) => format!("{count}, the oldest {}", ago(oldest)),
        None => count.to_string(),
    }
}

fn ago(unix_ms: i64) -> String {
    match (now_ms() - unix_ms) / 1000 {
        ..=1 => "just now".to_owned(),
        seconds @ 2..=119 => format!("{seconds} s ago"),
        seconds @ 120..=7199 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    }
}

pub fn logs(context: &Context, lines: usize, path: bool) -> anyhow::Result<ExitCode> {
    if path {
        say!("{}", logs::folder(&context.config.state_dir).display())?;
    } else {
        for line in logs::tail(&context.config.state_dir, lines)? {
            say!("{line}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
