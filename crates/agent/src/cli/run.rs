//! `tillsync run`, `pause`, `resume`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tillsync_core::config::Config;
use tokio::sync::mpsc;

use crate::agent::Agent;
use crate::claim::Claim;
use crate::cli::context::{Context, Lock, explain};
use crate::cli::propose;
use crate::clock::now_ms;
use crate::control::{self, Answer, Command};
use crate::machine::Standing;
use crate::runtime::{End, Request, Runtime};
use crate::state::marks;
use crate::{logs, watch};

/// When the loop has ended, work on store and state that is still under way gets this long.
const LAST_EFFECTS: Duration = Duration::from_secs(10);

/// A copy that cannot reach the server asks it again this often.
const PART_AGAIN: Duration = Duration::from_secs(5);

/// Requests that wait for the loop; more wait at the sender.
pub const REQUESTS_MAX: usize = 16;

pub fn run(context: &Context) -> anyhow::Result<ExitCode> {
    let Some(lock) = context.lock()? else {
        bail!("an agent is already running with the state folder {}", context.config.state_dir.display());
    };
    run_with(context, &lock)?;
    Ok(ExitCode::SUCCESS)
}

/// The same with the right to be the agent in hand.
pub fn run_with(context: &Context, _lock: &Lock) -> anyhow::Result<()> {
    let _logs = logs::start(&context.config.state_dir, true)?;
    let mut newer = None;
    loop {
        let now = newer.as_ref().unwrap_or(context);
        match live(now)? {
            End::Stopped => break,
            End::Reload => {}
            End::OtherKeys => follow_other_keys(now),
        }
        newer = reload(now).or(newer);
    }
    tracing::info!("stopped");
    Ok(())
}

/// One life of the agent, with one config.
fn live(context: &Context) -> anyhow::Result<End> {
    let agent = context.agent()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    runtime.block_on(settle_machine(&agent))?;
    agent.claim(Claim::Own).map_err(|error| explain(&error))?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), store = %context.config.store.display(), server = context.config.server, "started");
    let end = runtime.block_on(serve(Arc::new(agent)));
    // Whatever is still under way ends here: the next life must be the only one at store and state.
    runtime.shutdown_timeout(LAST_EFFECTS);
    end
}

/// A copy of a register on another machine becomes one of its own before it looks at the store.
async fn settle_machine(agent: &Agent) -> anyhow::Result<()> {
    loop {
        match agent.part(enroll_token().as_deref()).await.map_err(|error| explain(&error))? {
            Standing::Own => return Ok(()),
            Standing::Copy(problem) => bail!("{} {}", problem.text, problem.action),
            Standing::Unknown(trouble) => {
                tracing::warn!(?trouble, "this is a copy of another register, and the server is not reached");
            }
        }
        tokio::time::sleep(PART_AGAIN).await;
    }
}

/// Permission to register that the environment gives.
pub fn enroll_token() -> Option<String> {
    std::env::var("TILLSYNC_ENROLL_TOKEN").ok().filter(|token| !token.is_empty())
}

/// Lets the config follow what other registers have. Where that fails the agent goes on, and the rows wait with a reason.
pub fn follow_other_keys(context: &Context) {
    if let Err(error) = propose::adopt(context) {
        tracing::warn!(error = %format!("{error:#}"), "the config cannot follow the keys that other registers have");
    }
}

/// The config as it is now; `None` when the agent cannot go on with it.
fn reload(context: &Context) -> Option<Context> {
    let place = |config: &Config| (config.store.clone(), config.state_dir.clone(), config.server.clone(), config.credentials);
    match Context::load(Some(context.path.clone())) {
        Ok(newer) if place(&newer.config) == place(&context.config) => {
            tracing::info!("the config has changed");
            Some(newer)
        }
        Ok(_) => {
            tracing::warn!("store, server, state folder or credentials changed in the config; a restart takes that up");
            None
        }
        Err(error) => {
            tracing::warn!(error = %format!("{error:#}"), "the changed config cannot be used; the agent goes on with the one before");
            None
        }
    }
}

async fn serve(agent: Arc<Agent>) -> anyhow::Result<End> {
    let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
    let lane = Runtime::new(Arc::clone(&agent), true);
    let _watch = watch::watch(&agent, &lane.hints());
    let control = tokio::spawn(control::serve(Arc::clone(&agent), requests.clone()));
    let stop = requests.clone();
    let signals = tokio::spawn(async move {
        if stop_signal().await.is_ok() {
            let _ = stop.send(Request::Stop).await;
        }
    });
    let ended = lane.run(inbox).await;
    signals.abort();
    if control.is_finished()
        && let Ok(Err(error)) = control.await
    {
        tracing::warn!(%error, "the control socket could not be served");
    }
    Ok(ended?)
}

#[cfg(unix)]
async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn stop_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

pub fn pause(context: &Context, period: Option<&str>) -> anyhow::Result<ExitCode> {
    let until_ms = period.map(|text| parse_period(text).map(|ms| now_ms() + ms)).transpose()?;
    tell(context, &Command::Pause { until_ms }, |agent| Ok(marks::set(agent.state().conn(), marks::PAUSED, until_ms.unwrap_or(0))?))
}

pub fn resume(context: &Context) -> anyhow::Result<ExitCode> {
    tell(context, &Command::Resume, |agent| Ok(marks::clear(agent.state().conn(), marks::PAUSED)?))
}

/// Tells the running agent, or notes it for the next one.
fn tell(context: &Context, command: &Command, note: impl Fn(&Agent) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    match context.ask(command)? {
        Some(Answer::Failed(problem)) => bail!("{} {}", problem.text, problem.action),
        Some(_) => {}
        None => note(&context.agent()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn parse_period(text: &str) -> anyhow::Result<i64> {
    let span: jiff::SignedDuration = text.parse().with_context(|| format!("`{text}` is no time; write it like 30m or 1h"))?;
    let ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX / 4);
    if ms <= 0 {
        bail!("`{text}` is no time to pause for; write it like 30m or 1h");
    }
    Ok(ms)
}
