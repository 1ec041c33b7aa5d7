//! `tillsync sync`: by the running agent, or by this process when none runs.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use tillsync_core::problem::Severity;
use tokio::sync::{mpsc, oneshot};

use crate::agent::Agent;
use crate::claim::Claim;
use crate::cli::context::{Context, explain};
use crate::cli::run::{REQUESTS_MAX, enroll_token, follow_other_keys};
use crate::cli::say::{complain, say};
use crate::control::{Answer, Command, Ended};
use crate::logs;
use crate::machine::Standing;
use crate::runtime::{End, Outcome, Request, Runtime};
use crate::status::Status;

const UNREACHABLE: u8 = 2;
const NEEDS_A_PERSON: u8 = 3;
const NOT_AUTHORISED: u8 = 4;

/// How often the progress is drawn.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

pub fn sync(context: &Context, timeout_s: u64) -> anyhow::Result<ExitCode> {
    let timeout_ms = timeout_s.saturating_mul(1000);
    let (ended, status) = match context.lock()? {
        None => by_the_running_agent(context, timeout_ms)?,
        Some(_lock) => {
            let _logs = logs::start(&context.config.state_dir, false)?;
            by_this_process(context, Duration::from_millis(timeout_ms))?
        }
    };
    report(&ended, &status)
}

/// A copy of a register on another machine becomes one of its own first; how it ends when it cannot.
fn settle_machine(agent: &Agent) -> anyhow::Result<Option<Ended>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(match runtime.block_on(agent.part(enroll_token().as_deref()))? {
        Standing::Own => None,
        Standing::Copy(problem) => Some(Ended::Failed(problem)),
        Standing::Unknown(trouble) => Some(Ended::from(Outcome::Trouble(trouble))),
    })
}

fn by_the_running_agent(context: &Context, timeout_ms: u64) -> anyhow::Result<(Ended, Status)> {
    let Some(Answer::Synced { ended }) = context.ask(&Command::Sync { timeout_ms })? else {
        bail!("another process uses the state folder but does not answer; try again in a moment");
    };
    Ok((ended, context.agent()?.status(true)?))
}

fn by_this_process(context: &Context, timeout: Duration) -> anyhow::Result<(Ended, Status)> {
    let begun = Instant::now();
    let mut newer = None;
    loop {
        let now = newer.as_ref().unwrap_or(context);
        let agent = Arc::new(now.agent()?);
        if let Some(ended) = settle_machine(&agent)? {
            return Ok((ended, agent.status(true)?));
        }
        agent.claim(Claim::Own).map_err(|error| explain(&error))?;
        if let Some(ended) = here(&agent, timeout.saturating_sub(begun.elapsed()))? {
            return Ok((ended, agent.status(true)?));
        }
        follow_other_keys(now);
        newer = Some(Context::load(Some(context.path.clone()))?);
    }
}

/// How it ended; `None` when the config is to follow other registers first.
fn here(agent: &Arc<Agent>, timeout: Duration) -> anyhow::Result<Option<Ended>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(8).enable_all().build()?;
    let ended = runtime.block_on(async {
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let (answer, ended) = oneshot::channel();
        let lane = Runtime::new(Arc::clone(agent), false);
        requests.send(Request::Sync { timeout, answer }).await?;
        let progress = tokio::spawn(draw_progress(Arc::clone(agent)));
        let running = tokio::spawn(lane.run(inbox));
        let ended = ended.await;
        progress.abort();
        drop(requests);
        let end = running.await??;
        Ok(match ended {
            Ok(outcome) => Some(Ended::from(outcome)),
            Err(_) if end == End::OtherKeys => None,
            Err(_) => Some(Ended::Unreachable("it was stopped".to_owned())),
        })
    });
    // A turn at a store that somebody has locked is over when that one leaves; this command need not wait for it.
    runtime.shutdown_background();
    ended
}

/// A bar on a terminal; plain lines every few seconds otherwise.
async fn draw_progress(agent: Arc<Agent>) {
    const LINE_EVERY: u32 = 10;
    let terminal = std::io::stderr().is_terminal();
    let bar = ProgressBar::no_length();
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} rows, {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    for tick in 1.. {
        tokio::time::sleep(PROGRESS_EVERY).await;
        let Ok(status) = tokio::task::block_in_place(|| agent.status(true)) else { continue };
        let Some(full) = status.full_sync else { continue };
        if terminal {
            bar.set_length(full.total);
            bar.set_position(full.done);
        } else if tick % LINE_EVERY == 0 {
            complain!("{} of {} rows", full.done, full.total);
        }
    }
}

fn report(ended: &Ended, status: &Status) -> anyhow::Result<ExitCode> {
    let stuck = status.parked + status.conflicts;
    match ended {
        Ended::Settled if stuck > 0 => {
            let see = match (status.parked, status.conflicts) {
                (_, 0) => "`tillsync outbox --parked`",
                (0, _) => "`tillsync conflicts`",
                _ => "`tillsync outbox --parked` and `tillsync conflicts`",
            };
            say!("{stuck} waiting for a person; see {see}")?;
            Ok(ExitCode::from(NEEDS_A_PERSON))
        }
        Ended::Settled => match status.problems.iter().find(|problem| problem.needs_a_person()) {
            Some(problem) => {
                say!("{} {}", problem.text, problem.action)?;
                Ok(ExitCode::from(NEEDS_A_PERSON))
            }
            None => {
                say!("Up to date")?;
                // What the status is about as well: nothing waits for it, but somebody should know.
                for problem in status.problems.iter().filter(|problem| problem.severity >= Severity::Attention) {
                    say!("{} {}", problem.text, problem.action)?;
                }
                Ok(ExitCode::SUCCESS)
            }
        },
        Ended::Paused => bail!("syncing is paused; run `tillsync resume` first"),
        Ended::StoreInUse => {
            complain!(
                "The POS had the store in use until the time was up. What is left comes with the next sync; {} changes are kept.",
                status.pending
            );
            Ok(ExitCode::FAILURE)
        }
        Ended::Unreachable(why) => {
            complain!("{} was not reached: {why}. {} changes are kept and sent later.", status.server, status.pending);
            Ok(ExitCode::from(UNREACHABLE))
        }
        Ended::NotAuthorised(why) => {
            complain!("{} refuses this register: {why}. {} changes are kept.", status.server, status.pending);
            Ok(ExitCode::from(NOT_AUTHORISED))
        }
        Ended::Failed(problem) => bail!("{} {}", problem.text, problem.action),
    }
}
