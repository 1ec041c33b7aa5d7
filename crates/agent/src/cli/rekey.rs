//! `tillsync rekey`: another API key, by the running agent or by this process when none runs.

use std::process::ExitCode;

use anyhow::bail;

use crate::cli::context::{Context, explain};
use crate::cli::say::say;
use crate::control::{Answer, Command, RekeyEnd};

pub fn rekey(context: &Context) -> anyhow::Result<ExitCode> {
    let end = match context.ask(&Command::Rekey)? {
        Some(Answer::Rekeyed(end)) => end,
        Some(Answer::Failed(problem)) => bail!("{} {}", problem.text, problem.action),
        Some(_) => bail!("the running agent gave another answer than asked for"),
        None => rekey_here(context)?,
    };
    match end {
        RekeyEnd::Done(None) => say!("this register has a new key")?,
        RekeyEnd::Done(Some(expires_ms)) => say!("this register has a new key, good until {}", day(expires_ms))?,
        RekeyEnd::Unreachable(why) => bail!("the server cannot be reached: {why}; nothing has changed, run `tillsync rekey` again"),
        RekeyEnd::Refused(why) => {
            bail!(
                "the server does not replace the key: {why}; if it refuses this register, run `tillsync init --enroll-token TOKEN`"
            )
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn rekey_here(context: &Context) -> anyhow::Result<RekeyEnd> {
    let Some(_lock) = context.lock()? else { bail!("another process uses the state folder; try again in a moment") };
    let agent = context.agent()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(agent.rekey()).map(RekeyEnd::from).map_err(|error| explain(&error))
}

fn day(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).map(|time| time.strftime("%F").to_string()).unwrap_or_default()
}
