//! `tillsync login`, and the part of `init` that gets a register into a server of another protocol.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use secrecy::ExposeSecret;
use tillsync_core::protocol::client::login::Proof;
use tillsync_core::sync::Trouble;
use uuid::Uuid;

use crate::agent::Agent;
use crate::cli::context::{Context, explain};
use crate::cli::init::{explain_trouble, runtime};
use crate::cli::say::say;
use crate::credentials::Key;
use crate::foreign::Foreign;
use crate::state::marks;

/// Longer passwords and tokens are files by mistake.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// How a register gets in.
#[derive(Args, Default)]
pub(crate) struct LoginArgs {
    /// A token, for servers that give one out
    #[arg(long, value_name = "T", env = "TILLSYNC_TOKEN", hide_env_values = true, conflicts_with_all = ["user", "google_token_stdin"])]
    token: Option<String>,
    /// Log in with this name; needs --password-stdin
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    user: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long, requires = "user")]
    password_stdin: bool,
    /// Log in with an id token of Google's, from the first line of standard input
    #[arg(long, conflicts_with = "user")]
    google_token_stdin: bool,
}

impl LoginArgs {
    fn is_empty(&self) -> bool {
        self.token.is_none() && self.user.is_none() && !self.google_token_stdin
    }

    /// What to log in with; `None` when there is a token, or nothing.
    fn proof(&self) -> anyhow::Result<Option<Proof>> {
        if let Some(name) = &self.user {
            return Ok(Some(Proof::Password(name.clone(), first_line("password")?)));
        }
        Ok(if self.google_token_stdin { Some(Proof::Google(first_line("token")?)) } else { None })
    }

    /// Refuses what a hub has no use for.
    pub fn refuse(&self) -> anyhow::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        bail!("--token, --user and --google-token-stdin are for other protocols; a hub wants --enroll-token")
    }
}

fn first_line(what: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(SECRET_BYTES_MAX).read_to_string(&mut text).with_context(|| format!("the {what} cannot be read"))?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    if line.is_empty() {
        bail!("standard input holds no {what}; give it in its first line");
    }
    Ok(line)
}

pub fn login(context: &Context, args: &LoginArgs) -> anyhow::Result<ExitCode> {
    let agent = context.agent()?;
    let Some(foreign) = &agent.foreign else {
        bail!("a hub knows no log-in; run `tillsync init --enroll-token TOKEN` for a new key");
    };
    let known: Option<String> = marks::get(agent.state().conn(), marks::DEVICE_ID)?;
    let Some(device_id) = known else { bail!("this register is not set up yet; run `tillsync init`") };
    if foreign.facts().registers {
        let Some(_lock) = context.lock()? else { bail!("an agent is running; stop it first") };
        return register_anew(&agent, foreign, args);
    }
    let Some(key) = key_for(&agent, foreign, args)? else {
        bail!("say how to get in: --token T, --user NAME --password-stdin, or --google-token-stdin");
    };
    agent.remote.credentials().write(&device_id, &key).map_err(anyhow::Error::msg)?;
    check(&agent, foreign, &device_id)?;
    context.nudge();
    say!("device     {device_id} (logged in at {})", agent.config.server)?;
    Ok(ExitCode::SUCCESS)
}

/// A server that has forgotten its devices may have forgotten everything: the register looks what is there, and sends the rest.
fn register_anew(agent: &Agent, foreign: &Foreign, args: &LoginArgs) -> anyhow::Result<ExitCode> {
    if !args.is_empty() {
        bail!("{} gives every device a key of its own; run `tillsync login` without anything", foreign.facts().name);
    }
    register_device(agent, foreign, true)?;
    Ok(ExitCode::SUCCESS)
}

/// Gets the register into its server, unless it is in.
pub(super) fn enter(agent: &Agent, foreign: &Foreign, args: &LoginArgs) -> anyhow::Result<()> {
    let (known, server): (Option<String>, Option<String>) = {
        let state = agent.state();
        (marks::get(state.conn(), marks::DEVICE_ID)?, marks::get(state.conn(), marks::DEVICE_SERVER)?)
    };
    let known = known.filter(|_| server.as_deref() == Some(&agent.config.server_name()));
    let credentials = agent.remote.credentials();
    credentials.probe().map_err(anyhow::Error::msg)?;
    if foreign.facts().registers {
        if !args.is_empty() {
            bail!("{} gives every device a key of its own; leave --token and --user out", foreign.facts().name);
        }
        if let Some(device_id) = known.filter(|id| credentials.read(id).is_ok()) {
            return check(agent, foreign, &device_id).and_then(|()| Ok(say!("device     {device_id} (registered before)")?));
        }
        return register_device(agent, foreign, false);
    }
    let device_id = known.unwrap_or_else(|| Uuid::new_v4().to_string());
    match key_for(agent, foreign, args)? {
        Some(key) => credentials.write(&device_id, &key).map_err(anyhow::Error::msg)?,
        None if foreign.facts().needs_token && credentials.read(&device_id).is_err() => bail!(
            "{} lets nobody in without a token or a log-in; run `tillsync init` with --token T or --user NAME --password-stdin",
            foreign.facts().name
        ),
        None => {}
    }
    check(agent, foreign, &device_id)?;
    agent.enrolled(&device_id)?;
    Ok(say!("device     {device_id} (at {}, by {})", agent.config.server, foreign.facts().name)?)
}

fn key_for(agent: &Agent, foreign: &Foreign, args: &LoginArgs) -> anyhow::Result<Option<Key>> {
    if let Some(token) = &args.token {
        return Ok(Some(Key::from(token.clone())));
    }
    let Some(proof) = args.proof()? else { return Ok(None) };
    match runtime()?.block_on(agent.log_in(foreign, &proof)) {
        Ok(session) => Ok(Some(Key::from(session.keep()))),
        Err(refused) => match Trouble::from(refused) {
            Trouble::Unauthorized(why) => bail!("{} does not let you in: {why}", agent.config.server),
            trouble => bail!("{}", explain_trouble(&agent.config.server, &trouble)),
        },
    }
}

fn register_device(agent: &Agent, foreign: &Foreign, anew: bool) -> anyhow::Result<()> {
    match runtime()?.block_on(agent.register_at(foreign)) {
        Ok((device_id, key)) => {
            agent.remote.credentials().write(&device_id, &key).map_err(anyhow::Error::msg)?;
            agent.known_as(&device_id, anew).map_err(|error| explain(&error))?;
            Ok(say!("device     {device_id} (registered at {})", agent.config.server)?)
        }
        Err(trouble) => bail!("{}", explain_trouble(&agent.config.server, &trouble)),
    }
}

/// Whether the server lets the register in.
fn check(agent: &Agent, foreign: &Foreign, device_id: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match runtime.block_on(agent.foreign_status(foreign, device_id)).map_err(|error| explain(&error))? {
        Ok(()) => Ok(()),
        Err(Trouble::Unauthorized(why)) => {
            let is_kept = agent.remote.credentials().read(device_id).is_ok_and(|key| !key.expose_secret().is_empty());
            let what = if is_kept { "its key or token is refused" } else { "it wants a token or a log-in" };
            bail!("{} does not let this register in, {what}: {why}", agent.config.server)
        }
        Err(trouble) => bail!("{}", explain_trouble(&agent.config.server, &trouble)),
    }
}
